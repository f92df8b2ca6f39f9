"""The decision: the plan that costs least for what it brings, in its session.  Pure.

What is compared are *plans* (``router.decision.rule``): a unit (a model at an effort) that serves,
and where a failure can be seen the one that takes over when it is.  They are compared on what the
table expects over all that the classifier believes the task to be.

What a plan costs is meant for this request and the rest of its task in this session: what it costs to
read or write the context, given what each model's prompt cache holds, and to finish
(``router.decision.economics``).  So a session mostly stays where it is because that is cheap; what
else moves it or holds it is a table of transitions (``router.decision.moves``).

With every failure that a model let be seen its chance of success falls, and by half as much
everybody's, and the dial's margin shrinks.  Then its work is handed over to another within the guard
where that brings more than it costs (``_after_failure``).  An incumbent that is no longer within the
guard is left too, with the benefit of the doubt (``DOUBT``), so that a reading on the edge does not
move it to and fro.

``decide`` is called for every request and touches no clock, disk, network or environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from classifier.model import Assessment
from router.decision import reasons
from router.decision.eligible import MAY_LOG, Bar, Eligibility, Refusal, Way, beyond
from router.decision.forecast import context_tokens, forecast_of, task_usd, vouched_of, works_of
from router.decision.ladder import ladder_among
from router.decision.moves import Situation, lock_of, lost_share, move_of, saves
from router.decision.nearest import nearest, shortfall
from router.decision.rule import (
    FEW_ITEMS,
    NOBODY,
    VOUCHED,
    Array,
    Comparison,
    Mask,
    Plans,
    after_failures,
    compare,
    enough,
    margin_left,
    plans_of,
)
from router.errors import NoModelFits
from router.evidence.catalogue import Catalogue
from router.evidence.table import Expectation, Table
from router.sessions.session import Session
from router.values import (
    Candidate,
    Candidates,
    Decision,
    Dial,
    Move,
    Needs,
    Support,
    Unit,
    family_of,
)

DOUBT: Final = 1.5
"""For the guard an incumbent is left only when it misses the one widened by this, and is not even
expected within the dial's margin itself.  What is to be chosen must be likely near; to stay it is
enough not to be refuted, so a reading that scatters does not move a session to and fro."""

MAX_FALLBACKS: Final = 3
"""How many further models a decision names; a fourth failure in a row is an outage."""


def decide(
    assessment: Assessment,
    eligible: Eligibility,
    session: Session,
    table: Table,
    dial: Dial,
    *,
    seen: float = 0.0,
    now_s: float = 0.0,
) -> Decision:
    """Pick the plan of the lowest score; see the module's text.

    ``seen`` is how often a failure is seen in such a session, in [0, 1]; ``now_s`` is the time on the
    clock of the session's caches.  Raises NoModelFits when no model of the catalogue, with evidence or
    without, may serve the request.
    """
    models = dict.fromkeys(unit.model for unit in table.units)
    refusals = eligible.refusals(models, Way.DECIDED)
    keep = [
        i
        for i, unit in enumerate(table.units)
        if unit.model not in refusals and not (unit.effort and eligible.bars(unit))
    ]
    view = _View(assessment, eligible, session, table, dial, seen, now_s)
    compared = _compare(view, keep, refusals) if keep else None
    if compared is None:
        return _mapped(view, refusals)
    return _choose(view, compared, refusals)


@dataclass(frozen=True, slots=True)
class _View:
    """Everything a decision looks at."""

    assessment: Assessment
    eligible: Eligibility
    session: Session
    table: Table
    dial: Dial
    seen: float
    now_s: float

    @property
    def needs(self) -> Needs:
        return self.eligible.needs

    @property
    def catalogue(self) -> Catalogue:
        return self.eligible.catalogue

    @property
    def context_tokens(self) -> float:
        """The request's input; zero where its size is unknown."""
        return context_tokens(self.needs, self.session)

    def cached_tokens(self, model: str) -> float:
        """What of it a model's cache holds."""
        lifetime_s = self.catalogue.economics.lifetime_s(model)
        held = self.session.cached_tokens(model, lifetime_s, self.now_s)
        return min(float(held), self.context_tokens)


@dataclass(frozen=True)
class _Compared:
    """The units that may serve, compared; arrays are of these units."""

    units: list[Unit]
    expected: Expectation
    standing: Comparison
    plans: Plans
    task_usd: Array
    score: Array
    may: Mask
    """Who may serve: within the guard, and monotone in level (``router.decision.ladder``)."""
    tolerable: Mask

    @cached_property
    def order(self) -> list[int]:
        """Rows, the lowest score first."""
        return list(np.argsort(self.score, kind="stable").tolist())

    @cached_property
    def serving(self) -> list[int]:
        """Rows that may serve, the lowest score first."""
        may = self.may
        return [i for i in self.order if may[i]]

    def rows_of(self, model: str | None) -> list[int]:
        """Return the rows of a model, the lowest score first."""
        return [i for i in self.order if self.units[i].model == model]

    def written(self, i: int) -> Candidate:
        """Write a unit out."""
        standing, plans, second = self.standing, self.plans, int(self.plans.second[i])
        quality = float(standing.quality[i])
        return Candidate(
            unit=self.units[i],
            quality=quality,
            lower=max(0.0, quality - VOUCHED * float(standing.spread[i])),
            evidence=support_of(self.expected, i),
            p_near=standing.p_near(i),
            near=bool(standing.near[i]),
            tolerable=bool(self.tolerable[i]),
            ordinary_usd=float(self.expected.cost_usd[i]),
            task_usd=float(self.task_usd[i]),
            plan_usd=float(plans.cost_usd[i]),
            score=float(self.score[i]),
            second=None if second == NOBODY else self.units[second],
        )

    def all(self) -> Candidates:
        """Return all of them, each written out when it is asked for."""
        order = self.order
        return Candidates([self.units[i] for i in order], lambda at: self.written(order[at]))


def support_of(expected: Expectation, unit: int) -> Support:
    """Say what is known of a unit on a request."""
    if expected.items[unit] < FEW_ITEMS:
        return Support.PRIOR
    return Support.MEASURED if expected.measured[unit] > 0.5 else Support.RELATED


def _compare(view: _View, keep: list[int], refusals: dict[str, Refusal]) -> _Compared | None:
    """Compare the kept units; None where none is within the limits in numbers.

    A model none of whose units is within these is added to the ``refusals``.
    """
    table, limits, session = view.table, view.eligible.limits, view.session
    whole = table.expect(view.assessment.p_type, view.assessment.p_level)
    fresh, cached = task_usd(
        table, view.assessment, view.catalogue,
        ordinary=whole.cost_usd, needs=view.needs, session=session, now_s=view.now_s,
    )  # fmt: skip
    rows = np.array(keep)
    expected, units = whole.of(rows), [table.units[i] for i in keep]
    usd, after_usd = cached[rows], fresh[rows]
    margin, price = view.dial.margin, table.price_of(view.dial.margin)
    if limits.counts:  # of the kind of request, whatever failed in this session
        rows = _within(view, units, usd, expected.quality, refusals)
        if not len(rows):
            return None
        keep, units = [keep[i] for i in rows], [units[i] for i in rows]
        expected, usd, after_usd = expected.of(rows), usd[rows], after_usd[rows]
    if troubles := session.troubles:
        expected = after_failures(expected, units, troubles)
        margin = margin_left(margin, session.trouble.failures)
    standing = compare(expected, margin)
    plans = plans_of(
        expected, standing, usd, price,
        seen=view.seen, after_usd=after_usd, after_price=table.price_of(0.0),
        cap_usd=limits.max_cost_usd,
    )  # fmt: skip
    may = standing.near
    if not troubles:  # a failure tells more than who serves easier work
        may = ladder_among(table, margin, tuple(keep)).may(standing, expected)
    score = plans.score(price)
    tolerable = may.copy()
    own = [i for i, unit in enumerate(units) if unit.model == session.model]
    if own:
        wider = compare(expected, DOUBT * margin)
        gap = standing.quality[standing.best] - standing.quality[own]
        tolerable[own] |= wider.near[own] | (gap <= margin)
    return _Compared(units, expected, standing, plans, usd, score - score.min(), may, tolerable)


def _within(
    view: _View, units: list[Unit], usd: Array, quality: Array, refusals: dict[str, Refusal]
) -> NDArray[np.int64]:
    """Return the rows within the limits in numbers; a model without any is added to the ``refusals``.

    What has no price that anybody lists is not known to cost anything, nor nothing.
    """
    limits = view.eligible.limits
    models = [view.catalogue.model(unit.model) for unit in units]
    known = [m is not None and (m.price is not None or m.costs_nothing) for m in models]
    outside = [
        beyond(limits, dollars if told else None, chance)
        for dollars, told, chance in zip(usd.tolist(), known, quality.tolist(), strict=True)
    ]
    kept = {unit.model for unit, reason in zip(units, outside, strict=True) if not reason}
    for unit, reason in zip(units, outside, strict=True):
        if reason and unit.model not in kept:
            refusals.setdefault(unit.model, Refusal(Bar.LIMIT, reason))
    return np.array([i for i, reason in enumerate(outside) if not reason], dtype=np.int64)


def _choose(view: _View, compared: _Compared, refusals: Mapping[str, Refusal]) -> Decision:
    """Take the lowest score within the guard, or stay; the rest, within the guard first, are fallbacks."""
    excluded = {model: refusal.reason for model, refusal in refusals.items()}
    unit, move, why = _move(view, compared, excluded)
    candidates = compared.all()
    chosen = candidates.of(unit)
    return Decision(
        unit=unit,
        fallbacks=_fallbacks(view, unit, compared),
        expected_quality=chosen.quality if chosen else None,
        expected_cost_usd=chosen.plan_usd if chosen else None,
        adequate=chosen is not None and chosen.near,
        why=f"{reasons.read(view.assessment)}: {why}{reasons.within(_limited(view, refusals))}",
        successor=chosen.second if chosen else None,
        evidence=chosen.evidence if chosen else None,
        input_tokens=view.needs.input_tokens,
        move=move,
        candidates=candidates,
        excluded=excluded,
    )


def _fallbacks(view: _View, unit: Unit, compared: _Compared) -> tuple[Unit, ...]:
    """Return one unit of each further model: those that may serve, then who is best vouched for.

    Where only the incumbent's family can go on, that comes first.
    """
    vouched = compared.standing.quality - VOUCHED * compared.standing.spread
    measured = enough(compared.expected.items)
    by_word = np.lexsort((-vouched, ~measured)).tolist()
    others = [compared.units[i] for i in (*compared.serving, *by_word)]
    if view.needs.provider_state or view.needs.signed_reasoning:
        others.sort(key=lambda other: family_of(other.model) != view.session.family)
    found: dict[str, Unit] = {}
    for other in others:
        if len(found) == MAX_FALLBACKS:
            break
        if other.model != unit.model:
            found.setdefault(other.model, other)
    return tuple(found.values())


def _move(view: _View, compared: _Compared, excluded: Mapping[str, str]) -> tuple[Unit, Move, str]:
    """Say which unit serves, what that does to the session, and why."""
    session, needs = view.session, view.needs
    incumbent = session.incumbent
    serving, score = compared.serving, None
    if incumbent and session.trouble.failures:
        score = after = _after_failure(view, compared)
        serving = sorted(
            serving, key=lambda i: (compared.units[i].model == session.model, after[i])
        )
    cheapest = compared.written(serving[0])
    stay = _own(compared, incumbent.unit) if incumbent else None
    lock, bound = lock_of(needs, session), False
    if incumbent and needs.signed_reasoning:
        binds = reasons.binds(incumbent.family)
        within = [i for i in serving if family_of(compared.units[i].model) == incumbent.family]
        if stay is None:
            lock = lock or binds
        elif family_of(cheapest.unit.model) != incumbent.family:
            bound = not within or compared.units[within[0]] == stay.unit
            lock = lock or binds if bound else lock
            cheapest = cheapest if bound else compared.written(within[0])
    # Without evidence only a lock keeps an incumbent, and nothing does beyond a cap.
    unproven = (
        incumbent is not None
        and stay is None
        and lock is not None
        and not view.eligible.limits.counts
        and view.eligible.refusal(incumbent.unit.model, Way.DECIDED) is None
    )
    move = move_of(
        Situation(
            begun=incumbent is not None,
            can_stay=stay is not None or unproven,
            locked=lock is not None and not bound,
            bound=bound,
            tolerable=stay is None or stay.tolerable,
            pays=stay is not None and _pays(compared, score, stay.unit, cheapest.unit),
            under_way=session.task.calls > 0,
            saves=stay is not None and saves(stay, cheapest, session.task.toll),
        )
    )
    if incumbent is None:
        best = compared.written(compared.standing.best)
        cheaper = int((compared.plans.cost_usd < cheapest.plan_usd).sum())
        return (
            cheapest.unit,
            move,
            reasons.begins(
                cheapest, best, len(serving), cheaper, reasons.span_of(needs.input_tokens)
            ),
        )
    if move is Move.REPLACE:
        model = incumbent.unit.model
        cannot = excluded.get(model, "it is outside the limits or without evidence")
        return cheapest.unit, move, reasons.replaces(model, cannot, cheapest.unit)
    if move is Move.LOCKED or stay is None:
        held = stay.unit if stay else incumbent.unit
        return held, move, reasons.locked(held, lock or "it is all there is")
    chosen = stay if move is Move.STAY else cheapest
    return chosen.unit, move, _moves(view, move, stay, cheapest)


def _after_failure(view: _View, compared: _Compared) -> Array:
    """Score units where a failure was seen: at the strictest stop's price, work that is lost priced in.

    A failure that shows tells more of a request than any reading, so a dollar buys most success there,
    whatever the dial: on simulated sessions this saves much more at the economy stop than the dial's own price,
    and about as much at the others.
    """
    session = view.session
    begun = replace(session, task=replace(session.task, calls=0))
    left, whole = (
        sum(work.share * work.here.calls for work in works)
        for works in (
            works_of(view.assessment, view.catalogue, needs=view.needs, session=at)
            for at in (session, begun)
        )
    )
    others = np.array([unit.model != session.model for unit in compared.units])
    lost = lost_share(whole, left) * compared.task_usd * others
    return np.asarray(compared.plans.score(view.table.price_of(0.0)) + lost, dtype=np.float32)


def _pays(compared: _Compared, score: Array | None, stay: Unit, other: Unit) -> bool:
    """Say whether another model has the lower score after a failure; nothing pays without one."""
    if score is None or stay.model == other.model:
        return False
    return bool(score[compared.units.index(other)] < score[compared.units.index(stay)])


def _own(compared: _Compared, incumbent: Unit) -> Candidate | None:
    """Return the incumbent's candidate: at its own effort or, without evidence of that, another."""
    own = compared.rows_of(incumbent.model)
    same = (i for i in own if compared.units[i] == incumbent)
    at = next(same, own[0] if own else None)
    return None if at is None else compared.written(at)


def _moves(view: _View, move: Move, stay: Candidate, cheapest: Candidate) -> str:
    """Say why a session stays with a candidate, or leaves it."""
    span = reasons.span_of(view.needs.input_tokens)
    if move is Move.ESCALATE:
        return reasons.escalates(view.session, stay, cheapest, span)
    if move is Move.STAY and view.session.task.calls:
        return reasons.under_way(stay, span)
    held = view.cached_tokens(stay.unit.model)
    cached = reasons.cached_part(held, view.context_tokens)
    explain = reasons.switches if move is Move.SWITCH else reasons.stays
    return explain(stay, cheapest, cached, span)


def _limited(view: _View, refusals: Mapping[str, Refusal]) -> list[str]:
    """Return the words of what the caller's limits keep out."""
    if not view.eligible.limits.standing:
        return []
    return [r.reason for r in refusals.values() if r.bar is Bar.LIMIT and r.reason != MAY_LOG]


def _mapped(view: _View, refusals: Mapping[str, Refusal]) -> Decision:
    """Fall back to the mapping of the fallback tier, or who is nearest to it, without a candidate."""
    eligible, table = view.eligible, view.table
    if eligible.limits.counts:
        catalogue = eligible.catalogue
        forecast = forecast_of(view.assessment, table, catalogue, needs=view.needs)
        eligible = replace(eligible, forecast=forecast)
    tier = eligible.catalogue.fallback
    mapping = tier.mapping(eligible.needs.interface) if tier else None
    excluded = {name: refusal.reason for name, refusal in refusals.items()}
    said = reasons.refused(excluded)
    if tier is None or mapping is None:
        raise NoModelFits(f"no model can serve this request ({said})")
    units: tuple[Unit, ...] = (mapping.target.unit,)
    refusal = eligible.refusal(mapping.model, Way.STANDS_IN, effort=mapping.effort)
    if refusal:
        said = reasons.refused(excluded | {mapping.model: refusal.reason})
        found = nearest(tier, tier.model_ids, eligible, vouched_of(table))
        units = found.units[: MAX_FALLBACKS + 1]
        if not units:
            needed = shortfall(found.refusals, eligible)
            raise NoModelFits(
                f"no model can serve this request: {f'{needed}; ' if needed else ''}"
                f"{said}. "
                "Loosen the limits, shorten the request, or configure another provider."
            )
    serves = "the balanced mapping applies" if not refusal else f"{units[0]} stands in"
    stands_in = eligible.catalogue.model(units[0].model)
    if stands_in is not None and stands_in.own:
        serves += ", a model of your own server: there is no evidence about it"
    return Decision(
        unit=units[0],
        fallbacks=units[1:],
        expected_quality=None,
        expected_cost_usd=None,
        adequate=False,
        mapped=True,
        why=f"no model with evidence is a candidate ({said}): {serves}.",
        excluded=excluded,
    )
