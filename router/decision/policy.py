"""The decision: the cheapest model that evidence shows to be adequate, in its session.  Pure.

A unit (a model at an effort) is *adequate* when it is proven non-inferior: with at least the
dial's confidence its chance of success is not worse than the best candidate's by more than
the dial's margin.  A bar on quality itself would not do: ten successes of ten have a lower
bound of 0.79, and a 0.95 bar at 95% confidence takes 59 of 59.  The comparison is made on the
table's joint posterior draws, averaged over what the classifier believes the task to be, so
an unsure reading, a thin cell and a borrowed one all cost confidence, and never a wrong turn
taken with certainty.

*Cheapest* is meant for this request and the rest of its task in this session: what it costs to
read or write the context, given what each model's prompt cache holds, and to finish
(``router.decision.economics``).  So a session mostly stays where it is because that is cheap.  Three rules
stand beside the price:

1.  *Locks.*  A tool call without its result, a conversation that the provider keeps, a user who
    forbade switching: the incumbent serves.  Reasoning since the ask that is signed or encrypted
    binds to the family that can read it.  Only an incumbent that cannot serve is left.
2.  *Failure.*  With every failure that a model let be seen its chance of success falls, and by half
    as much everybody's, and the dial's margin shrinks.  An incumbent that is no longer adequate is
    left for one that is: the session escalates.  Until then it has the benefit of the doubt
    (``DOUBT``, ``HANDOVER``), so that a reading on the edge does not move it to and fro.
3.  *The toll.*  A switch for price alone waits for the user's next word, and must save a share of
    the bill that doubles with every such switch and halves again only slowly: a session that would
    oscillate stays.

``decide`` is called for every request and touches no clock, disk, network or environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from classifier.model import Assessment
from router.decision.economics import session_usd, work_of
from router.errors import NoModelFits
from router.evidence.catalogue import Catalogue, Model, Needs
from router.evidence.table import DEFAULT_EFFORT, DRAW_SCALE, Table, Unit
from router.sessions.session import Session, family_of

Array = NDArray[np.float32]

FAILED_ODDS: Final = 0.6
MAX_FAILURES: Final = 6
STRONGER: Final = 0.44
WEAKER: Final = 0.58
"""What a visible failure leaves of the odds that a model succeeds; how many of one model count; and
which share of its weight speaks against models that are expected to do better, and no better.  On
the OpenHands runs of nine models a failure that is final takes 3.2 off a model's own log odds (a
second run ends otherwise one time in ten), 1.4 off a stronger one's and 1.8 off a weaker one's: the
item is hard, and half of the failure was the model's own (benchmarks/LOG.md).  Six visible failures
weigh as a final one, and leave nothing of the dial's margin."""

HANDOVER: Final = 0.15
"""How much likelier success must be with another model than with one whose failures were seen, to
hand its work over: about half of what was done is lost then.  Chosen on simulated sessions."""

DOUBT: Final = 1.5
"""Without failures an incumbent is left as inadequate only when it misses the dial's margin widened by
this, and is not even expected within the margin itself.  What is to be chosen must be proven; to
stay it is enough not to be refuted, so a reading that scatters does not move a session to and fro."""

TOLL: Final = 0.05
"""Share of the bill that the first switch for price must save; doubles with every one."""

MAX_FALLBACKS: Final = 3
"""How many further models a decision names; a fourth failure in a row is an outage."""


@dataclass(frozen=True, slots=True)
class Dial:
    """How much quality may be given up for cost, and how sure one must be.

    ``margin`` is in probability of success; ``confidence`` is one-sided.
    """

    name: str
    margin: float
    confidence: float


DIALS: Final = {
    "quality": Dial("quality", margin=0.05, confidence=0.90),
    "balanced": Dial("balanced", margin=0.10, confidence=0.80),
    "economy": Dial("economy", margin=0.20, confidence=0.80),
}
"""The dial's named stops.  Two standard errors of a paired difference over the 437 issues of the
largest benchmark are 0.05: less cannot be proven of anything, and costs as much as always taking
the best.  The promise of each stop is tested by ``auto-efficient evaluate --study adequacy``."""

DEFAULT_DIAL: Final = "balanced"

FALLBACK_TIER: Final = "kilo-auto/balanced"
"""Serves when the table offers no candidate: the interface's mapping."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the caller allows, per key or per request; empty means no limit.

    ``prompt_logging`` lets in free offers and providers that may log prompts; a caller who
    demands ``data_policies`` gets only models known to have one of them.
    """

    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()
    max_cost_usd: float | None = None
    min_quality: float = 0.0
    open_weights_only: bool = False
    data_policies: frozenset[str] = frozenset()
    prompt_logging: bool = False
    pin: str = ""


class Candidate(NamedTuple):
    """A unit that may serve the request, and what the table expects of it.

    ``cost_usd`` is the table's, for an ordinary task; ``session_usd`` is for this request and the
    rest of its task, where the unit is adequate and the session's size is known, else the same.
    ``tolerable``: adequate by the margin that an incumbent is allowed.
    """

    unit: Unit
    quality: float
    lower: float
    cost_usd: float
    direct: float
    p_adequate: float
    adequate: bool
    tolerable: bool
    session_usd: float


class Move(StrEnum):
    """What a decision does to its session."""

    BEGIN = "begin"
    STAY = "stay"
    SWITCH = "switch"
    ESCALATE = "escalate"
    LOCKED = "locked"
    REPLACE = "replace"
    """The incumbent cannot serve this request."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What serves the request, and why; ``fallbacks`` are tried in order.

    ``adequate`` is false when nothing was proven: the best candidate or, without any, the
    balanced mapping serves (``mapped``).  ``expected_cost_usd`` is for this request and the rest of
    its task in this session; for an ordinary task where the request's size is unknown.
    """

    model: str
    effort: str
    fallbacks: tuple[Unit, ...]
    expected_quality: float
    expected_cost_usd: float
    adequate: bool
    why: str
    move: Move = Move.BEGIN
    mapped: bool = False
    candidates: tuple[Candidate, ...] = ()
    excluded: Mapping[str, str] = field(default_factory=dict)


def decide(
    assessment: Assessment,
    needs: Needs,
    session: Session,
    table: Table,
    catalogue: Catalogue,
    dial: Dial,
    *,
    limits: Limits = Limits(),
    reachable: frozenset[str] | None = None,
    now_s: float = 0.0,
) -> Decision:
    """Pick the cheapest adequate unit; see the module's text.

    ``reachable`` holds the model ids that some configured provider serves in the request's
    wire format; None means all.  ``now_s`` is the time on the clock of the session's caches.
    Raises NoModelFits when no model of the catalogue, not even the balanced mapping, may serve
    the request.
    """
    excluded = _excluded(needs, table, catalogue, limits, reachable)
    keep = [i for i, unit in enumerate(table.units) if unit.model not in excluded]
    if not keep:
        return _balanced(needs, catalogue, limits, excluded, reachable)
    view = _View(assessment, needs, session, table, catalogue, dial, limits, reachable, now_s)
    candidates = _candidates(view, keep)
    if not candidates:
        reason = {**excluded, "price cap or minimum quality": "left no candidate"}
        return _balanced(needs, catalogue, limits, reason, reachable)
    return _choose(view, candidates, excluded)


@dataclass(frozen=True, slots=True)
class _View:
    """Everything a decision looks at."""

    assessment: Assessment
    needs: Needs
    session: Session
    table: Table
    catalogue: Catalogue
    dial: Dial
    limits: Limits
    reachable: frozenset[str] | None
    now_s: float

    def incumbent_serves(self) -> bool:
        """Whether the incumbent can and may serve this request, evidence or none."""
        name = self.session.model
        model = self.catalogue.model(name)
        reached = self.reachable is None or name in self.reachable
        return model is not None and reached and not forbidden(model, self.needs, self.limits)

    @property
    def context_tokens(self) -> float:
        """The request's input; zero where its size is unknown."""
        return self.needs.input_tokens * self.session.scale

    def cached_tokens(self, model: str) -> float:
        """What of it a model's cache holds."""
        held = self.session.cached_tokens(model, self.catalogue.economics, self.now_s)
        return min(float(held), self.context_tokens)


def _excluded(
    needs: Needs,
    table: Table,
    catalogue: Catalogue,
    limits: Limits,
    reachable: frozenset[str] | None,
) -> dict[str, str]:
    """Map each model that cannot or may not serve the request to the reason."""
    reasons: dict[str, str] = {}
    abilities = needs.abilities
    for model_id in dict.fromkeys(unit.model for unit in table.units):
        model = catalogue.model(model_id)
        reason = (
            "not in the catalogue" if model is None else forbidden(model, needs, limits, abilities)
        )
        if not reason and reachable is not None and model_id not in reachable:
            reason = f"no configured provider serves it over {needs.interface.value}"
        if reason:
            reasons[model_id] = reason
    return reasons


def forbidden(
    model: Model, needs: Needs, limits: Limits, abilities: frozenset[str] | None = None
) -> str:
    """Say why the efficient tier must not pick a model; empty when it may."""
    if not limits.prompt_logging and (model.free or model.data_policy == "may_log"):
        return "its provider may log prompts"
    return disallowed(model, limits) or model.lacks(needs, abilities)


def disallowed(model: Model, limits: Limits) -> str:
    """Say why the caller's limits rule a model out; empty when they do not."""
    if limits.pin and model.id != limits.pin:
        return f"the session is pinned to {limits.pin}"
    if model.id in limits.deny:
        return "denied"
    if limits.allow and model.id not in limits.allow:
        return "not on the allow list"
    if limits.open_weights_only and not model.open_weights:
        return "weights are not open"
    if limits.data_policies and model.data_policy not in limits.data_policies:
        return f"data policy is {model.data_policy}"
    return ""


def _candidates(view: _View, keep: list[int]) -> list[Candidate]:
    """Compare the kept units on the classifier's view, cheapest first."""
    table, dial, limits = view.table, view.dial, view.limits
    draws, cost, direct = table.expect(view.assessment.p_type, view.assessment.p_level)
    quality = draws.mean(axis=1)
    cap = np.inf if limits.max_cost_usd is None else limits.max_cost_usd
    keep = [i for i in keep if cost[i] <= cap and quality[i] >= limits.min_quality]
    if not keep:
        return []
    draws, cost, direct, quality = draws[keep], cost[keep], direct[keep], quality[keep]
    units = [table.units[i] for i in keep]
    margin = dial.margin
    if view.session.troubles:
        draws = _after_failures(draws, quality, units, view.session)
        quality = draws.mean(axis=1)
        margin *= max(0.0, 1 - view.session.failures / MAX_FAILURES)
    lower, best = _best(draws)
    p_adequate = _p_near(draws, best, margin)
    adequate = p_adequate >= dial.confidence
    tolerable = adequate.copy()
    own = [i for i, unit in enumerate(units) if unit.model == view.session.model]
    tolerable[own] = _p_near(draws[own], best, DOUBT * margin) >= dial.confidence
    short = HANDOVER if view.session.troubles else dial.margin
    tolerable[own] |= best.mean() - quality[own] <= short
    columns = (quality, lower, cost, direct, p_adequate, adequate, tolerable, cost)
    rows = zip(units, *(column.tolist() for column in columns), strict=True)
    found = _priced(view, [Candidate(*row) for row in rows], keep)
    return sorted(found, key=lambda candidate: candidate.session_usd)


def _after_failures(draws: Array, quality: Array, units: list[Unit], session: Session) -> Array:
    """Lower the odds of who failed in this task, and by a share of that those of all others."""
    power = np.zeros(len(units), dtype=np.float32)
    for unit, failures in session.troubles:
        if unit not in units:
            continue
        i = units.index(unit)
        share = np.where(quality > quality[i], STRONGER, WEAKER)
        share[i] = 1.0
        power += min(failures, MAX_FAILURES) * share
    odds = np.float32(FAILED_ODDS) ** power[:, None]
    return np.asarray(draws * odds / (1 - draws * (1 - odds)), dtype=np.float32)


def _priced(view: _View, candidates: list[Candidate], keep: list[int]) -> list[Candidate]:
    """Price the adequate, and the incumbent, in this session; ``keep`` are their rows in the table."""
    if not view.needs.input_tokens:
        return candidates
    session, economics, read = view.session, view.catalogue.economics, view.assessment
    context = view.context_tokens
    if not session.model:  # a first request that is smaller than an ordinary one grows into it
        context = max(context, economics.context_tokens)
    works = work_of(
        economics,
        read,
        tools=view.needs.tools,
        context_tokens=context,
        made=session.calls,
        growth_tokens=session.growth_tokens,
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


def adequacy(draws: Array, margin: float) -> tuple[Array, Array]:
    """Compare units by their joint draws, (…, U, K).

    Returns their lower bounds (one-sided 95%) and the probability that each is not worse than
    the best by more than ``margin``, (…, U) each.  The best is the unit with the highest lower
    bound: what evidence can vouch for.  The highest *mean* often belongs to a unit that nobody
    measured, and nothing can be proven to be near a wide guess.
    """
    lower, best = _best(draws)
    return lower, _p_near(draws, best, margin)


def _best(draws: Array) -> tuple[Array, Array]:
    """Return lower bounds (…, U), and the draws (…, 1, K) of the unit with the highest."""
    fifth = draws.shape[-1] // 20
    lower = np.partition(draws, fifth, axis=-1)[..., fifth]
    ranked = lower + np.float32(1e-4) * draws.mean(axis=-1)  # the mean only breaks ties
    best = np.take_along_axis(draws, ranked.argmax(axis=-1)[..., None, None], axis=-2)
    return lower, best


def _p_near(draws: Array, best: Array, margin: float) -> Array:
    """Return the probability of not being worse than ``best`` by more than a margin, (…, U)."""
    near = draws >= best - np.float32(margin + 1 / DRAW_SCALE)
    return np.asarray(near.mean(axis=-1), dtype=np.float32)


def _choose(view: _View, candidates: list[Candidate], excluded: Mapping[str, str]) -> Decision:
    """Take the cheapest adequate candidate, or stay; the rest, adequate first, are fallbacks."""
    best = max(candidates, key=lambda c: c.lower + 1e-4 * c.quality)
    adequate = [c for c in candidates if c.adequate] or [best]
    chosen, move, reason = _move(view, candidates, adequate, excluded)
    others = [c for c in adequate if c is not chosen]
    others += sorted(candidates, key=lambda c: -c.quality)
    if view.needs.provider_state or view.needs.signed_reasoning:
        others.sort(key=lambda c: family_of(c.unit.model) != view.session.family)
    fallbacks: dict[str, Unit] = {}
    for candidate in others:
        if len(fallbacks) == MAX_FALLBACKS:
            break
        if candidate.unit.model != chosen.unit.model:
            fallbacks.setdefault(candidate.unit.model, candidate.unit)
    return Decision(
        model=chosen.unit.model,
        effort=_effort(chosen.unit),
        fallbacks=tuple(fallbacks.values()),
        expected_quality=chosen.quality,
        expected_cost_usd=chosen.session_usd,
        adequate=chosen.adequate,
        why=f"{_read(view)}: {reason or _why(view, chosen, best, candidates)}",
        move=move,
        candidates=tuple(candidates),
        excluded=excluded,
    )


def _move(
    view: _View,
    candidates: list[Candidate],
    adequate: list[Candidate],
    excluded: Mapping[str, str],
) -> tuple[Candidate, Move, str]:
    """Say which candidate serves, what that does to the session, and why if it has an incumbent."""
    session, cheapest = view.session, adequate[0]
    if not session.model:
        return cheapest, Move.BEGIN, ""
    own = [c for c in candidates if c.unit.model == session.model]
    stay = next((c for c in own if c.unit == session.unit), own[0] if own else None)
    lock = lock_of(view.needs, session)
    binds = f"only {session.family} models can read its reasoning since the ask"
    if stay is None and view.needs.signed_reasoning:
        lock = lock or binds
    if stay is None and lock and view.incumbent_serves():  # there is no evidence of it, or a cap
        nan = float("nan")
        stay = Candidate(session.unit, nan, nan, nan, 0.0, nan, False, True, nan)
    if stay is None:
        cannot = excluded.get(session.model, "it is outside the limits or without evidence")
        return cheapest, Move.REPLACE, f"{session.model} cannot go on ({cannot}): {cheapest.unit}."
    if lock:
        return stay, Move.LOCKED, f"stays with {stay.unit}: {lock}."
    if view.needs.signed_reasoning and family_of(cheapest.unit.model) != session.family:
        within = [c for c in adequate if family_of(c.unit.model) == session.family]
        if not within or within[0] is stay:
            return stay, Move.LOCKED, f"stays with {stay.unit}: {binds}."
        cheapest = within[0]
    if not stay.tolerable:
        return cheapest, Move.ESCALATE, _escalates(view, stay, cheapest)
    if session.calls:
        return stay, Move.STAY, f"stays with {_expects(stay)} while the ask is under way."
    return _by_price(view, stay, cheapest)


def lock_of(needs: Needs, session: Session) -> str:
    """Say what forbids any switch; empty when nothing does."""
    if needs.open_tool_call:
        return "a tool call is open"
    if needs.provider_state:
        return "its provider keeps the conversation"
    if session.stays:
        return "switching is off for this session"
    return ""


def _by_price(view: _View, stay: Candidate, cheapest: Candidate) -> tuple[Candidate, Move, str]:
    """Switch only where that saves the toll; see the module's text."""
    toll = TOLL * 2**view.session.toll
    cached = view.cached_tokens(stay.unit.model)
    context = f"{cached:,.0f} of {view.context_tokens:,.0f} tokens are cached"
    if cheapest.unit == stay.unit or stay.session_usd <= (1 + toll) * cheapest.session_usd:
        against = ""
        if cheapest.unit != stay.unit:
            against = f", against ${cheapest.session_usd:.3g} with {cheapest.unit}"
        return stay, Move.STAY, f"stays with {_expects(stay)}; {context}{against}."
    saves = f"${cheapest.session_usd:.3g} instead of ${stay.session_usd:.3g}"
    return (
        cheapest,
        Move.SWITCH,
        (
            f"leaves {stay.unit}, where {context}, for {_expects(cheapest)}; the rest of the task costs "
            f"{saves}."
        ),
    )


def _escalates(view: _View, stay: Candidate, chosen: Candidate) -> str:
    failed = view.session.failures
    seen = f" after {failed} visible failure{'s' * (failed > 1)}" if failed else " to this"
    return (
        f"{stay.unit} is no longer adequate{seen} ({stay.quality:.0%} against "
        f"{chosen.quality:.0%}): escalates to {_expects(chosen)}."
    )


def _read(view: _View) -> str:
    """Say how the request was read."""
    assessment = view.assessment
    task = assessment.task.split("/")[1].replace("_", " ")
    level = f"difficulty {assessment.expected_level:.1f} of 4"
    read = f"{task} ({assessment.confidence:.0%} sure), {level}"
    return f"{read}, {assessment.declared}" if assessment.declared else read


def _expects(candidate: Candidate) -> str:
    evidence = "measured" if candidate.direct > 0.5 else "borrowed from related tasks"
    return f"{candidate.unit}, {candidate.quality:.0%} at ${candidate.session_usd:.3g} ({evidence})"


def _why(view: _View, chosen: Candidate, best: Candidate, candidates: list[Candidate]) -> str:
    """Say why a new session begins with a unit."""
    evidence = "measured" if chosen.direct > 0.5 else "borrowed from related tasks"
    expects = f"{chosen.quality:.0%} at ${chosen.session_usd:.3g} ({evidence})"
    if chosen is best:
        cheaper = sum(c.session_usd < chosen.session_usd for c in candidates)
        tail = f"none of the {cheaper} cheaper ones is proven within {view.dial.margin:.0%} of it"
        return f"{chosen.unit} is the best candidate, {expects}; {tail if cheaper else 'and the cheapest'}."
    return (
        f"{chosen.unit} is the cheapest of {sum(c.adequate for c in candidates)} adequate, "
        f"{expects}, against {best.quality:.0%} at ${best.session_usd:.3g} for {best.unit}."
    )


def _balanced(
    needs: Needs,
    catalogue: Catalogue,
    limits: Limits,
    excluded: Mapping[str, str],
    reachable: frozenset[str] | None,
) -> Decision:
    """Fall back to the balanced mapping when the table offers no candidate."""
    tier = catalogue.tier(FALLBACK_TIER)
    target = tier.interfaces.get(needs.interface) if tier else None
    model = catalogue.model(target.model) if target else None
    reasons = "; ".join(f"{name}: {reason}" for name, reason in list(excluded.items())[:4])
    if target is None or model is None:
        raise NoModelFits(f"no model can serve this request ({reasons})")
    reason = forbidden(model, needs, limits)
    if not reason and reachable is not None and model.id not in reachable:
        reason = "no configured provider serves it"
    if reason:
        raise NoModelFits(
            f"no model can serve this request: {model.id}: {reason}; {reasons}. "
            "Loosen the limits, shorten the request, or configure another provider."
        )
    return Decision(
        model=target.model,
        effort=target.effort,
        fallbacks=(),
        expected_quality=float("nan"),
        expected_cost_usd=float("nan"),
        adequate=False,
        mapped=True,
        why=f"no model with evidence is a candidate ({reasons}): the balanced mapping applies.",
        excluded=excluded,
    )


def _effort(unit: Unit) -> str:
    return "" if unit.effort == DEFAULT_EFFORT else unit.effort
