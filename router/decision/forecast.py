"""What an ordinary task of a request's kind is expected to cost, and how it is to end.  Pure.

Limits in numbers hold wherever a model comes from, so what the table expects of it is looked up where
nothing is compared: for a model that was named, mapped or stands in.  Without evidence the list price
of such a task is expected, and no quality.
"""

from __future__ import annotations

from dataclasses import dataclass

from classifier.model import Assessment
from router.decision.economics import Work, listed_usd, work_of
from router.evidence.catalogue import Catalogue, Model
from router.evidence.table import Table


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is expected of models on one request."""

    units: dict[str, dict[str | None, tuple[float, float]]]
    """Model → effort → dollars of an ordinary task, probability of success."""
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
    assessment: Assessment, table: Table, catalogue: Catalogue, *, tools: bool
) -> Forecast:
    """Look up what the table expects of every unit on a request that was read."""
    draws, cost_usd, _ = table.expect(assessment.p_type, assessment.p_level)
    units: dict[str, dict[str | None, tuple[float, float]]] = {}
    rows = zip(table.units, cost_usd.tolist(), draws.mean(axis=1).tolist(), strict=True)
    for unit, usd, quality in rows:
        units.setdefault(unit.model, {})[unit.effort] = (usd, quality)
    economics = catalogue.economics
    works = work_of(economics, assessment, tools=tools, context_tokens=economics.context_tokens)
    return Forecast(units, works)


def standing_of(table: Table) -> dict[str, float]:
    """Return model → how well it does over all kinds of task alike, at its best effort.

    It is the mean of the lower bounds of success, in [0, 1]: what evidence can vouch for, as in
    ``router.decision.adequacy``.
    """
    vouched = table.lower.mean(axis=(0, 1)).tolist()
    best: dict[str, float] = {}
    for unit, value in zip(table.units, vouched, strict=True):
        best[unit.model] = max(value, best.get(unit.model, 0.0))
    return best
