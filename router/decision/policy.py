"""The decision: the cheapest model that evidence shows to be adequate, in its session.  Pure.

A unit (a model at an effort) is *adequate* when it is proven not to be worse than the best by more
than the dial's margin (``router.decision.adequacy``).  The comparison is made on the table's joint
posterior draws, averaged over what the classifier believes the task to be, so an unsure reading, a
thin cell and a borrowed one all cost confidence, and never a wrong turn taken with certainty.

*Cheapest* is meant for this request and the rest of its task in this session: what it costs to
read or write the context, given what each model's prompt cache holds, and to finish
(``router.decision.economics``).  So a session mostly stays where it is because that is cheap; what
else moves it or holds it is a table of transitions (``router.decision.moves``).

With every failure that a model let be seen its chance of success falls, and by half as much
everybody's, and the dial's margin shrinks.  An incumbent that is no longer adequate is left for one
that is.  Until then it has the benefit of the doubt (``DOUBT``, ``HANDOVER``), so that a reading on
the edge does not move it to and fro.

``decide`` is called for every request and touches no clock, disk, network or environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from classifier.model import Assessment
from router.decision import reasons
from router.decision.adequacy import Array, after_failures, best_of, margin_left, p_near
from router.decision.economics import session_usd, work_of
from router.decision.eligible import MAY_LOG, Bar, Eligibility, Refusal, Way, beyond
from router.decision.forecast import forecast_of, standing_of
from router.decision.moves import Situation, lock_of, move_of, saves
from router.decision.nearest import nearest, shortfall
from router.errors import NoModelFits
from router.evidence.catalogue import Catalogue
from router.evidence.table import Table
from router.sessions.session import Session
from router.values import Candidate, Decision, Dial, Move, Needs, Unit, family_of

HANDOVER: Final = 0.15
"""How much likelier success must be with another model than with one whose failures were seen, to
hand its work over: about half of what was done is lost then.  Chosen on simulated sessions."""

DOUBT: Final = 1.5
"""Without failures an incumbent is left as inadequate only when it misses the dial's margin widened by
this, and is not even expected within the margin itself.  What is to be chosen must be proven; to
stay it is enough not to be refuted, so a reading that scatters does not move a session to and fro."""

MAX_FALLBACKS: Final = 3
"""How many further models a decision names; a fourth failure in a row is an outage."""


def decide(
    assessment: Assessment,
    eligible: Eligibility,
    session: Session,
    table: Table,
    dial: Dial,
    *,
    now_s: float = 0.0,
) -> Decision:
    """Pick the cheapest adequate unit; see the module's text.

    ``now_s`` is the time on the clock of the session's caches.  Raises NoModelFits when no model of
    the catalogue, with evidence or without, may serve the request.
    """
    models = dict.fromkeys(unit.model for unit in table.units)
    refusals = eligible.refusals(models, Way.DECIDED)
    keep = [
        i
        for i, unit in enumerate(table.units)
        if unit.model not in refusals and not (unit.effort and eligible.bars(unit))
    ]
    view = _View(assessment, eligible, session, table, dial, now_s)
    candidates = _candidates(view, keep, refusals) if keep else []
    if not candidates:
        return _mapped(view, refusals)
    return _choose(view, candidates, refusals)


@dataclass(frozen=True, slots=True)
class _View:
    """Everything a decision looks at."""

    assessment: Assessment
    eligible: Eligibility
    session: Session
    table: Table
    dial: Dial
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
        return (self.needs.input_tokens or 0) * self.session.context.scale

    def cached_tokens(self, model: str) -> float:
        """What of it a model's cache holds."""
        lifetime_s = self.catalogue.economics.lifetime_s(model)
        held = self.session.cached_tokens(model, lifetime_s, self.now_s)
        return min(float(held), self.context_tokens)


def _candidates(view: _View, keep: list[int], refusals: dict[str, Refusal]) -> list[Candidate]:
    """Compare the kept units on the classifier's view, cheapest first.

    A model none of whose units is within the limits in numbers is added to the ``refusals``.
    """
    table, dial, limits, session = view.table, view.dial, view.eligible.limits, view.session
    draws, cost, direct = table.expect(view.assessment.p_type, view.assessment.p_level)
    quality = draws.mean(axis=1)
    if limits.counts:
        outside = {i: beyond(limits, float(cost[i]), float(quality[i])) for i in keep}
        kept = {table.units[i].model for i in keep if not outside[i]}
        for i, reason in outside.items():
            if reason and table.units[i].model not in kept:
                refusals.setdefault(table.units[i].model, Refusal(Bar.LIMIT, reason))
        keep = [i for i in keep if not outside[i]]
    if not keep:
        return []
    draws, cost, direct, quality = draws[keep], cost[keep], direct[keep], quality[keep]
    units = [table.units[i] for i in keep]
    margin = dial.margin
    if troubles := session.troubles:
        draws = after_failures(draws, quality, units, troubles)
        quality = draws.mean(axis=1)
        margin = margin_left(margin, session.trouble.failures)
    lower, best = best_of(draws)
    p_adequate = p_near(draws, best, margin)
    adequate = p_adequate >= dial.confidence
    tolerable = adequate.copy()
    own = [i for i, unit in enumerate(units) if unit.model == session.model]
    tolerable[own] = p_near(draws[own], best, DOUBT * margin) >= dial.confidence
    short = HANDOVER if troubles else dial.margin
    tolerable[own] |= best.mean() - quality[own] <= short
    columns = (quality, lower, cost, direct, p_adequate, adequate, tolerable, cost)
    rows = zip(units, *(column.tolist() for column in columns), strict=True)
    found = _priced(view, [Candidate(*row) for row in rows], keep)
    return sorted(found, key=lambda candidate: candidate.session_usd)


def _priced(view: _View, candidates: list[Candidate], keep: list[int]) -> list[Candidate]:
    """Price the adequate, and the incumbent, in this session; ``keep`` are their rows in the table."""
    if not view.needs.input_tokens:
        return candidates
    session, economics, read = view.session, view.catalogue.economics, view.assessment
    context = view.context_tokens
    if session.incumbent is None:  # a first request smaller than an ordinary one grows into it
        context = max(context, economics.context_tokens)
    works = work_of(
        economics,
        read,
        tools=view.needs.tools,
        context_tokens=context,
        made=session.task.calls,
        growth_tokens=session.context.growth_tokens,
    )
    single = economics.is_single
    usual = [_table_usd(view.table, read, 1 - single if work.agent else single) for work in works]
    priced = []
    for i, candidate in zip(keep, candidates, strict=True):
        name = candidate.unit.model
        model = view.catalogue.model(name)
        if model and model.price and (candidate.adequate or name == session.model):
            table_usd = [cost[i] for cost in usual]
            usd = session_usd(model.price, works, table_usd, view.cached_tokens(name))
            candidate = candidate._replace(session_usd=usd)
        priced.append(candidate)
    return priced


def _table_usd(table: Table, read: Assessment, of: Array) -> list[float]:
    """Return the table's dollars per task of every unit, averaged over some of the types."""
    weight = np.outer(read.p_type * of, read.p_level).ravel()
    cost = table.cost_usd.reshape(len(weight), -1)
    return list((weight @ cost / weight.sum()).tolist())


def _choose(view: _View, candidates: list[Candidate], refusals: Mapping[str, Refusal]) -> Decision:
    """Take the cheapest adequate candidate, or stay; the rest, adequate first, are fallbacks."""
    excluded = {model: refusal.reason for model, refusal in refusals.items()}
    best = max(candidates, key=lambda c: c.lower + 1e-4 * c.quality)
    adequate = [c for c in candidates if c.adequate] or [best]
    unit, move, why = _move(view, candidates, adequate, best, excluded)
    chosen = next((c for c in candidates if c.unit == unit), None)
    return Decision(
        unit=unit,
        fallbacks=_fallbacks(view, unit, candidates, adequate),
        expected_quality=chosen.quality if chosen else None,
        expected_cost_usd=chosen.session_usd if chosen else None,
        adequate=chosen is not None and chosen.adequate,
        why=f"{reasons.read(view.assessment)}: {why}{reasons.within(_limited(view, refusals))}",
        move=move,
        candidates=tuple(candidates),
        excluded=excluded,
    )


def _fallbacks(
    view: _View, unit: Unit, candidates: list[Candidate], adequate: list[Candidate]
) -> tuple[Unit, ...]:
    """Return one unit of each further model: the adequate, then the best.

    Where only the incumbent's family can go on, that comes first.
    """
    others = [c for c in adequate if c.unit != unit]
    others += sorted(candidates, key=lambda c: -c.quality)
    if view.needs.provider_state or view.needs.signed_reasoning:
        others.sort(key=lambda c: family_of(c.unit.model) != view.session.family)
    found: dict[str, Unit] = {}
    for candidate in others:
        if len(found) == MAX_FALLBACKS:
            break
        if candidate.unit.model != unit.model:
            found.setdefault(candidate.unit.model, candidate.unit)
    return tuple(found.values())


def _move(
    view: _View,
    candidates: list[Candidate],
    adequate: list[Candidate],
    best: Candidate,
    excluded: Mapping[str, str],
) -> tuple[Unit, Move, str]:
    """Say which unit serves, what that does to the session, and why."""
    session, needs, cheapest = view.session, view.needs, adequate[0]
    incumbent = session.incumbent
    stay = _own(candidates, incumbent.unit) if incumbent else None
    lock, bound = lock_of(needs, session), False
    if incumbent and needs.signed_reasoning:
        binds = reasons.binds(incumbent.family)
        within = [c for c in adequate if family_of(c.unit.model) == incumbent.family]
        if stay is None:
            lock = lock or binds
        elif family_of(cheapest.unit.model) != incumbent.family:
            bound = not within or within[0] is stay
            lock, cheapest = (lock or binds, cheapest) if bound else (lock, within[0])
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
            under_way=session.task.calls > 0,
            saves=stay is not None and saves(stay, cheapest, session.task.toll),
        )
    )
    if incumbent is None:
        return cheapest.unit, move, reasons.begins(cheapest, best, candidates, view.dial.margin)
    if move is Move.REPLACE:
        model = incumbent.unit.model
        cannot = excluded.get(model, "it is outside the limits or without evidence")
        return cheapest.unit, move, reasons.replaces(model, cannot, cheapest.unit)
    if move is Move.LOCKED or stay is None:
        held = stay.unit if stay else incumbent.unit
        return held, move, reasons.locked(held, lock or "it is all there is")
    chosen = stay if move is Move.STAY else cheapest
    return chosen.unit, move, _moves(view, move, stay, cheapest)


def _own(candidates: list[Candidate], incumbent: Unit) -> Candidate | None:
    """Return the incumbent's candidate: at its own effort or, without evidence of that, another."""
    own = [c for c in candidates if c.unit.model == incumbent.model]
    return next((c for c in own if c.unit == incumbent), own[0] if own else None)


def _moves(view: _View, move: Move, stay: Candidate, cheapest: Candidate) -> str:
    """Say why a session stays with a candidate, or leaves it."""
    if move is Move.ESCALATE:
        return reasons.escalates(view.session, stay, cheapest)
    if move is Move.STAY and view.session.task.calls:
        return reasons.under_way(stay)
    held = view.cached_tokens(stay.unit.model)
    cached = reasons.cached_part(held, view.context_tokens)
    explain = reasons.switches if move is Move.SWITCH else reasons.stays
    return explain(stay, cheapest, cached)


def _limited(view: _View, refusals: Mapping[str, Refusal]) -> list[str]:
    """Return the words of what the caller's limits keep out."""
    if not view.eligible.limits.standing:
        return []
    return [r.reason for r in refusals.values() if r.bar is Bar.LIMIT and r.reason != MAY_LOG]


def _mapped(view: _View, refusals: Mapping[str, Refusal]) -> Decision:
    """Fall back to the mapping of the fallback tier, or who is nearest to it, without a candidate."""
    eligible, table = view.eligible, view.table
    if eligible.limits.counts:
        tools, catalogue = view.needs.tools, eligible.catalogue
        forecast = forecast_of(view.assessment, table, catalogue, tools=tools)
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
        found = nearest(tier, tier.model_ids, eligible, standing_of(table))
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
