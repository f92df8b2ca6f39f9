"""What a request and the rest of its task are expected to cost with any model, and how they end.  Pure.

Limits in numbers hold wherever a model comes from, so what the table expects of it is looked up where
nothing is compared: for a model that was named, mapped or stands in.  Nobody takes over from such a
model, so its plan is itself.  Without evidence the list price of such a task is expected, and no
quality.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifier.model import Assessment
from router.decision.economics import Work, listed_usd, sessions_usd, work_of
from router.evidence.catalogue import Catalogue, Model, price_list_of
from router.evidence.table import Table
from router.sessions.session import NEW, Session
from router.values import Needs

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is expected of models on one request."""

    units: dict[str, dict[str | None, tuple[float, float]]]
    """Model → effort → dollars of the request and the rest of its task, probability of success."""
    works: tuple[Work, ...]
    """The kinds of work that the request may be."""

    def of(self, model: Model, effort: str | None) -> tuple[float | None, float | None]:
        """Return (dollars, probability of success); None where nothing tells.

        Without an effort that was measured it is the dearest and the least likely of the model's: a
        limit that cannot be told to hold does not.
        """
        if model.costs_nothing:
            return 0.0, self._worst(model, effort)[1]
        if model.id in self.units:
            return self._worst(model, effort)
        return (listed_usd(model.price, self.works) if model.price else None), None

    def least_usd(self, model: Model) -> float | None:
        """Return what a model costs at the effort that costs least; None where nothing tells."""
        costs = [usd for usd, _ in self.units.get(model.id, {}).values()]
        return min(costs) if costs and not model.costs_nothing else self.of(model, None)[0]

    def most(self, model: Model) -> float | None:
        """Return its probability of success at its best effort; None without evidence."""
        return max((chance for _, chance in self.units.get(model.id, {}).values()), default=None)

    def _worst(self, model: Model, effort: str | None) -> tuple[float | None, float | None]:
        known = self.units.get(model.id, {})
        if effort in known:
            return known[effort]
        found = list(known.values())
        if not found:
            return None, None
        return max(usd for usd, _ in found), min(quality for _, quality in found)


def forecast_of(
    assessment: Assessment, table: Table, catalogue: Catalogue, *, needs: Needs
) -> Forecast:
    """Look up what the table expects of every unit on a request that was read, and begins a session."""
    expected = table.expect(assessment.p_type, assessment.p_level)
    _, usd_of = task_usd(table, assessment, catalogue, ordinary=expected.cost_usd, needs=needs)
    units: dict[str, dict[str | None, tuple[float, float]]] = {}
    rows = zip(table.units, usd_of.tolist(), expected.quality.tolist(), strict=True)
    for unit, usd, quality in rows:
        units.setdefault(unit.model, {})[unit.effort] = (usd, quality)
    return Forecast(units, works_of(assessment, catalogue, needs=needs, session=NEW))


def works_of(
    read: Assessment, catalogue: Catalogue, *, needs: Needs, session: Session
) -> tuple[Work, ...]:
    """Say what kinds of work a request in its session may be."""
    return work_of(
        catalogue.economics,
        read,
        tools=needs.tools,
        context_tokens=context_tokens(needs, session),
        begins=session.incumbent is None,
        made=session.task.calls,
        growth_tokens=session.context.growth_tokens,
    )


def context_tokens(needs: Needs, session: Session) -> float:
    """Return a request's input; zero where its size is unknown."""
    return (needs.input_tokens or 0) * session.context.scale


def task_usd(
    table: Table,
    read: Assessment,
    catalogue: Catalogue,
    *,
    ordinary: Array,
    needs: Needs,
    session: Session = NEW,
    now_s: float = 0.0,
) -> tuple[Array, Array]:
    """Dollars of a request and the rest of its task with every unit of the table, (U,) each.

    The first without any cache, for who takes over; the second with what is cached at ``now_s``.  Where
    the request's size is not known both are those of an ``ordinary`` task, (U,).
    """
    if not needs.input_tokens:
        return ordinary, ordinary
    weight = np.outer(read.p_type, read.p_level)
    works = works_of(read, catalogue, needs=needs, session=session)
    single = catalogue.economics.is_single[:, None]
    usual = [_mean_usd(table, weight * (1 - single if w.agent else single)) for w in works]
    rates = table.rates
    if rates is None:  # a table that was not brought together with its catalogue
        models = (catalogue.model(unit.model) for unit in table.units)
        rates = price_list_of(model.price if model else None for model in models)
    cached = np.zeros(len(ordinary), dtype=np.float32)
    fresh = np.where(rates.known, sessions_usd(rates, works, usual, cached), ordinary)
    lifetime_s = catalogue.economics.lifetime_s
    held = {
        cache.model: session.cached_tokens(cache.model, lifetime_s(cache.model), now_s)
        for cache in session.context.caches
    }
    if not any(held.values()):
        return fresh, fresh
    for i, unit in enumerate(table.units):
        cached[i] = held.get(unit.model, 0.0)
    return fresh, np.where(rates.known, sessions_usd(rates, works, usual, cached), ordinary)


def _mean_usd(table: Table, weight: Array) -> Array:
    """Return the table's dollars of an ordinary task, averaged over cells (T, L), (U,)."""
    flat = weight.ravel()
    cost = table.cost_usd.reshape(len(flat), -1)
    return np.asarray(flat @ cost / flat.sum(), dtype=np.float32)


def vouched_of(table: Table) -> dict[str, float]:
    """Return model → how well it does over all kinds of task alike, at its best effort.

    It is the mean of the lower bounds of success, in [0, 1]: what evidence can vouch for.
    """
    vouched = table.lower.mean(axis=(0, 1)).tolist()
    best: dict[str, float] = {}
    for unit, value in zip(table.units, vouched, strict=True):
        best[unit.model] = max(value, best.get(unit.model, 0.0))
    return best
