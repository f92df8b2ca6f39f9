"""What a tier may be served by for a caller, before any request is there.  Pure.

Limits in numbers (a price cap, a least quality) and what a request needs are left out: they are asked of
each request.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from router.decision.eligible import Eligibility, Way
from router.decision.mapping import fallback_of, rows_of
from router.decision.nearest import nearest
from router.decision.policy import MAX_FALLBACKS
from router.decision.tiers import Data
from router.evidence.catalogue import Tier
from router.values import NO_LIMITS, Caller, Needs, Target


class TierPool(NamedTuple):
    """The models of a tier that may serve a caller."""

    rows: dict[str, Target]
    """Mode, agent, format or balance → what serves there."""
    models: tuple[str, ...]
    """All of them; those that stand in where none of the tier's own may serve."""


NOBODY: Final = TierPool({}, ())


def standing_of(caller: Caller, data: Data, reachable: frozenset[str]) -> Eligibility:
    """Say which models may serve a caller, whatever it asks; ``reachable`` are those that somebody has."""
    limits = caller.limits
    if limits is not NO_LIMITS:
        limits = limits.model_copy(update={"max_cost_usd": None, "min_quality": 0.0})
    return Eligibility(data.catalogue, Needs(), limits, reachable, caller.anonymous)


def pool_of(tier: Tier, caller: Caller, data: Data, eligible: Eligibility) -> TierPool:
    """Return a tier's pool for a caller."""
    catalogue = data.catalogue
    if caller.anonymous and not any(
        model is not None and model.free for model in map(catalogue.model, tier.model_ids)
    ):
        return NOBODY
    rows = {
        key: target
        for key, target in rows_of(tier, caller, catalogue, data.names).items()
        if not eligible.refusal(target.unit.model, Way.MAPPED, effort=target.unit.effort)
    }
    decides = tier.rule == "efficient"
    decided = _decided(data, eligible) if decides else []
    maps = fallback_of(tier, catalogue) if decides and (rows or not decided) else tier
    behind = [model for model in _in_order(maps) if not eligible.refusal(model, Way.MAPPED)]
    mapped = (target.unit.model for target in rows.values())
    models = tuple(dict.fromkeys([*mapped, *decided, *behind]))
    return TierPool(rows, models or _stand_ins(maps, data, eligible))


def _decided(data: Data, eligible: Eligibility) -> list[str]:
    """Return the models that evidence may choose."""
    models = data.engine.models if data.engine else ()
    return [model for model in sorted(models) if not eligible.refusal(model, Way.DECIDED)]


def _in_order(tier: Tier) -> Iterable[str]:
    """Return the models that a tier maps to, those of a weighted list as they stand there."""
    return [choice.model for choice in tier.affinity] or sorted(tier.model_ids)


def _stand_ins(tier: Tier, data: Data, eligible: Eligibility) -> tuple[str, ...]:
    standing = data.engine.standing if data.engine else {}
    found = nearest(tier, tier.model_ids, eligible, standing).units
    return tuple(dict.fromkeys(unit.model for unit in found[: MAX_FALLBACKS + 1]))
