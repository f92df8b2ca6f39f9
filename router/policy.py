"""The decision: the cheapest model that evidence shows to be adequate.  Pure.

A unit (a model at an effort) is *adequate* when it is proven non-inferior: with at least the
dial's confidence its chance of success is not worse than the best candidate's by more than
the dial's margin.  A bar on quality itself would not do: ten successes of ten have a lower
bound of 0.79, and a 0.95 bar at 95% confidence takes 59 of 59.  The comparison is made on the
table's joint posterior draws, averaged over what the classifier believes the task to be, so
an unsure reading, a thin cell and a borrowed one all cost confidence, and never a wrong turn
taken with certainty.

``decide`` is called for every request and touches no clock, disk, network or environment.
Session economics (what is cached where, how many turns are left) will enter through ``Session``;
they are not weighed yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from classifier.model import Assessment
from router.catalogue import Catalogue, Model, Needs
from router.errors import NoModelFits
from router.table import DEFAULT_EFFORT, DRAW_SCALE, Table, Unit

Array = NDArray[np.float32]

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


@dataclass(frozen=True, slots=True)
class Session:
    """What is known of the session a request belongs to; not read yet, see the module's text."""

    model: str = ""
    turns_left: float = 1.0


class Candidate(NamedTuple):
    """A unit that may serve the request, and what the table expects of it."""

    unit: Unit
    quality: float
    lower: float
    cost_usd: float
    direct: float
    p_adequate: float
    adequate: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """What serves the request, and why; ``fallbacks`` are tried in order.

    ``adequate`` is false when nothing was proven: the best candidate or, without any, the
    balanced mapping serves.
    """

    model: str
    effort: str
    fallbacks: tuple[Unit, ...]
    expected_quality: float
    expected_cost_usd: float
    adequate: bool
    why: str
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
) -> Decision:
    """Pick the cheapest adequate unit; see the module's text.

    ``reachable`` holds the model ids that some configured provider serves in the request's
    wire format; None means all.  Raises NoModelFits when no model of the catalogue, not even
    the balanced mapping, may serve the request.
    """
    excluded = _excluded(needs, table, catalogue, limits, reachable)
    keep = [i for i, unit in enumerate(table.units) if unit.model not in excluded]
    if not keep:
        return _balanced(needs, catalogue, limits, excluded, reachable)
    candidates = _candidates(assessment, table, keep, dial, limits)
    if not candidates:
        reason = {**excluded, "price cap or minimum quality": "left no candidate"}
        return _balanced(needs, catalogue, limits, reason, reachable)
    return _choose(assessment, candidates, dial, excluded, session)


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


def _candidates(
    assessment: Assessment, table: Table, keep: list[int], dial: Dial, limits: Limits
) -> list[Candidate]:
    """Compare the kept units on the classifier's view, cheapest first."""
    draws, cost, direct = table.expect(assessment.p_type, assessment.p_level)
    quality = draws.mean(axis=1)
    cap = np.inf if limits.max_cost_usd is None else limits.max_cost_usd
    keep = [i for i in keep if cost[i] <= cap and quality[i] >= limits.min_quality]
    if not keep:
        return []
    draws, cost, direct, quality = draws[keep], cost[keep], direct[keep], quality[keep]
    lower, p_adequate = adequacy(draws, dial.margin)
    columns = (quality, lower, cost, direct, p_adequate, p_adequate >= dial.confidence)
    rows = list(zip(keep, *(column.tolist() for column in columns), strict=True))
    found = [
        Candidate(table.units[unit], q, low, usd, share, p, adequate)
        for unit, q, low, usd, share, p, adequate in rows
    ]
    return sorted(found, key=lambda candidate: candidate.cost_usd)


def adequacy(draws: Array, margin: float) -> tuple[Array, Array]:
    """Compare units by their joint draws, (…, U, K).

    Returns their lower bounds (one-sided 95%) and the probability that each is not worse than
    the best by more than ``margin``, (…, U) each.  The best is the unit with the highest lower
    bound: what evidence can vouch for.  The highest *mean* often belongs to a unit that nobody
    measured, and nothing can be proven to be near a wide guess.
    """
    fifth = draws.shape[-1] // 20
    lower = np.partition(draws, fifth, axis=-1)[..., fifth]
    ranked = lower + np.float32(1e-4) * draws.mean(axis=-1)  # the mean only breaks ties
    best = np.take_along_axis(draws, ranked.argmax(axis=-1)[..., None, None], axis=-2)
    near = draws >= best - np.float32(margin + 1 / DRAW_SCALE)
    return lower, np.asarray(near.mean(axis=-1), dtype=np.float32)


def _choose(
    assessment: Assessment,
    candidates: list[Candidate],
    dial: Dial,
    excluded: Mapping[str, str],
    session: Session,
) -> Decision:
    """Take the cheapest adequate candidate; the rest, adequate first, are the fallbacks."""
    best = max(candidates, key=lambda c: c.lower + 1e-4 * c.quality)
    adequate = [c for c in candidates if c.adequate] or [best]
    chosen = adequate[0]
    fallbacks: dict[str, Unit] = {}
    for candidate in (*adequate[1:], *sorted(candidates, key=lambda c: -c.quality)):
        if len(fallbacks) == MAX_FALLBACKS:
            break
        if candidate.unit.model != chosen.unit.model:
            fallbacks.setdefault(candidate.unit.model, candidate.unit)
    return Decision(
        model=chosen.unit.model,
        effort=_effort(chosen.unit),
        fallbacks=tuple(fallbacks.values()),
        expected_quality=chosen.quality,
        expected_cost_usd=chosen.cost_usd,
        adequate=chosen.adequate,
        why=_why(assessment, chosen, best, candidates, dial),
        candidates=tuple(candidates),
        excluded=excluded,
    )


def _why(
    assessment: Assessment,
    chosen: Candidate,
    best: Candidate,
    candidates: list[Candidate],
    dial: Dial,
) -> str:
    """Say in one sentence why a unit was chosen."""
    task = assessment.task.split("/")[1].replace("_", " ")
    read = f"{task} ({assessment.confidence:.0%} sure), difficulty {assessment.expected_level:.1f} of 4"
    if assessment.declared:
        read += f", {assessment.declared}"
    evidence = "measured" if chosen.direct > 0.5 else "borrowed from related tasks"
    expects = f"{chosen.quality:.0%} at ${chosen.cost_usd:.3g} ({evidence})"
    if chosen is best:
        cheaper = sum(c.cost_usd < chosen.cost_usd for c in candidates)
        tail = f"none of the {cheaper} cheaper ones is proven within {dial.margin:.0%} of it"
        return f"{read}: {chosen.unit} is the best candidate, {expects}; {tail if cheaper else 'and the cheapest'}."
    return (
        f"{read}: {chosen.unit} is the cheapest of {sum(c.adequate for c in candidates)} adequate, "
        f"{expects}, against {best.quality:.0%} at ${best.cost_usd:.3g} for {best.unit}."
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
        why=f"no model with evidence is a candidate ({reasons}): the balanced mapping applies.",
        excluded=excluded,
    )


def _effort(unit: Unit) -> str:
    return "" if unit.effort == DEFAULT_EFFORT else unit.effort
