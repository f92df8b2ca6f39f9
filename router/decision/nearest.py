"""What stands in for a tier's models where none of them may serve.  Pure.

A mapping is a preference: with another vendor's key, or under a caller's limits, the nearest model
that may serve does.  What is near follows from what the tier is for:

* one that maps by mode is for the best work: the best by the table;
* one that maps by format is for good work at a moderate price: the cheapest of those that the
  table does not put further from the best than the dial's middle stop does;
* one that maps by balance is for background jobs: the cheapest;
* one that maps to free models only stays so: nothing that costs stands in, whatever else it is for.

A model that its vendor lets think only without tools comes after all that keep the tier's effort,
and serves such a request without thinking. Models without evidence come after those with, the
dearest first where the best is wanted, else the cheapest: of two that nobody measured the price is
all there is to go by. What a server of one's own lists and the catalogue does not know comes last,
in that server's order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import inf
from typing import Final, NamedTuple

from router.decision.eligible import Bar, Eligibility, Refusal, Way
from router.evidence.catalogue import Economics, Model, Tier
from router.evidence.names import ROUTERS
from router.values import DEFAULT_DIAL, DIALS, Unit

MODERATE: Final = DIALS[DEFAULT_DIAL].margin
"""How far from the best, in probability of success over all kinds of task, a moderate price may put
a model: what the dial's middle stop gives up for cost, so that both tiers mean the same by it."""

BEST: Final = "the best"
MIDDLE: Final = "the cheapest near the best"
CHEAPEST: Final = "the cheapest"

NEAR: Final = {
    "mode": BEST,
    "interface": MIDDLE,
    "efficient": MIDDLE,
    "affinity": BEST,
    "balance": CHEAPEST,
}
"""Rule of a tier → what stands in for its models, in words."""


UNTHINKING: Final = "none"
"""The effort at which a model does not think."""


class StandIns(NamedTuple):
    """Who may stand in, nearest first, and what stands against everybody else."""

    units: tuple[Unit, ...]
    refusals: dict[str, Refusal]


def nearest(
    tier: Tier, mapped: Iterable[str], eligible: Eligibility, standing: Mapping[str, float]
) -> StandIns:
    """Say who may stand in for the models that a tier maps to.

    ``standing`` is how well each measured model does over all kinds of task.  Routers of
    an aggregator never do: whom they choose cannot be told.
    """
    known = [eligible.catalogue.model(model_id) for model_id in mapped]
    free = all(model is not None and model.free for model in known)
    if free and not eligible.limits.prompt_logging:  # their tier says that they may log
        logging = eligible.limits.model_copy(update={"prompt_logging": True})
        eligible = replace(eligible, limits=logging)
    able, unthinking, refusals = [], [], {}
    for model in eligible.catalogue.models:
        if model.vendor == ROUTERS or (free and not model.costs_nothing):
            continue
        refusal = eligible.refusal(model.id, Way.STANDS_IN, effort=_effort(tier, model))
        if refusal is None:
            able.append(model)
        elif refusal.bar is Bar.ABILITY and _serves_unthinking(model, eligible):
            unthinking.append(model)
        else:
            refusals[model.id] = refusal
    economics = eligible.catalogue.economics
    first = [Unit(m.id, _effort(tier, m)) for m in _ranked(tier, able, economics, standing)]
    last = [Unit(m.id, UNTHINKING) for m in _ranked(tier, unthinking, economics, standing)]
    return StandIns((*first, *last), refusals)


def _serves_unthinking(model: Model, eligible: Eligibility) -> bool:
    """Say whether a model that may not serve at the tier's effort may without thinking."""
    may = UNTHINKING in model.efforts
    return may and eligible.refusal(model.id, Way.STANDS_IN, effort=UNTHINKING) is None


def _effort(tier: Tier, model: Model) -> str | None:
    """Return the tier's effort, where a model knows it."""
    return tier.effort if tier.effort in model.efforts else None


def _ranked(
    tier: Tier, able: list[Model], economics: Economics, standing: Mapping[str, float]
) -> list[Model]:
    own = [model for model in able if model.own]
    cheap = sorted((m for m in able if not m.own), key=lambda model: _job_usd(model, economics))
    return [*_by_price_and_rank(NEAR[tier.rule], cheap, standing), *own]


def _by_price_and_rank(near: str, cheap: list[Model], standing: Mapping[str, float]) -> list[Model]:
    """Order models, given by price, as what is near says."""
    if near == CHEAPEST:
        return cheap
    measured = sorted((m for m in cheap if m.id in standing), key=lambda m: -standing[m.id])
    unknown = [model for model in cheap if model.id not in standing]
    if near == BEST:
        return [*measured, *reversed(unknown)]
    least = standing[measured[0].id] - MODERATE if measured else 0.0
    good = [model for model in cheap if standing.get(model.id, -1.0) >= least]
    return [*good, *(model for model in measured if model not in good), *unknown]


def _job_usd(model: Model, economics: Economics) -> float:
    """Return what one small answer costs by the list; what has no price comes last."""
    if model.price is None:
        return inf
    band = model.price.bands[0]
    return economics.single_tokens * band.fresh + economics.output_tokens * band.output


def shortfall(
    refusals: Mapping[str, Refusal], eligible: Eligibility, tier: Tier | None = None
) -> str:
    """Say what the cheapest, or the best, of the refused would need, where only numbers refuse it.

    It would stand in at a tier's effort; without a tier any effort may be decided on.
    """
    forecast, limits = eligible.forecast, eligible.limits
    if forecast is None or not limits.counts:
        return ""
    without = limits.model_copy(update={"max_cost_usd": None, "min_quality": 0.0})
    freed = replace(eligible, limits=without)
    known = (eligible.catalogue.model(model_id) for model_id in refusals)
    able = [m for m in known if m and freed.refusal(m.id, Way.STANDS_IN) is None]
    if tier is None:
        terms = [(forecast.least_usd(model), forecast.most(model), model.id) for model in able]
    else:
        terms = [(*forecast.of(model, _effort(tier, model)), model.id) for model in able]
    costs = [(usd, model_id) for usd, _, model_id in terms if usd is not None]
    chances = [(chance, model_id) for _, chance, model_id in terms if chance is not None]
    said = []
    if limits.max_cost_usd is not None and costs:
        usd, model_id = min(costs)
        said.append(f"the cheapest is {model_id}, which needs a price cap of ${usd:.3g}")
    if limits.min_quality > 0 and chances:
        chance, model_id = max(chances)
        said.append(f"the best is {model_id}, which needs a least quality of {chance:.2g}")
    return "; ".join(said)
