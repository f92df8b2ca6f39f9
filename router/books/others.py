"""What a request would have cost elsewhere: an estimate that leans against us.  Pure.

Another model would have been sent the same tokens and, as far as anybody knows, have answered with as
many.  It is priced at its list price, and its cache is taken to have held all that the session had
sent before, as it would have had it served all along: writing to a cache is not counted.  Both make
the other cheaper than it may have been, so that what is told as saved is not too much.  How many more
or fewer tokens another model takes for the same work is not in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

from router.decision.economics import usage_usd
from router.decision.mapping import mapped
from router.decision.tiers import Data, aliased
from router.sessions.session import Session
from router.values import Caller, Usage
from router.wire.request import ChatRequest

FRONTIER: Final = "kilo-auto/frontier"
BALANCED: Final = "kilo-auto/balanced"


class Others(NamedTuple):
    """Dollars of the same request; None where no price is known."""

    frontier_usd: float | None = None
    balanced_usd: float | None = None
    former_usd: float | None = None


NO_OTHERS: Final = Others()


def others_of(
    usage: Usage,
    request: ChatRequest,
    caller: Caller,
    session: Session,
    data: Data,
    *,
    served: str,
    usd: float | None,
    now_s: float,
) -> Others:
    """Return what a request would have cost at other models.

    ``served`` is the model that answered, for ``usd`` dollars; ``session`` as it was before.
    """
    catalogue = data.catalogue
    economics = catalogue.economics

    def priced(model_id: str | None) -> float | None:
        if model_id is None:
            return None
        known_as = data.names.of(model_id).id
        if known_as == served:
            return usd
        model = catalogue.model(known_as)
        if model is None or model.price is None:
            return None
        held = _held(session, economics.lifetime_s(model.id), now_s)
        cached = min(usage.input_tokens, max(usage.cached_tokens, held))
        sent = replace(usage, cached_tokens=cached, cache_write_tokens=0, cost_usd=None)
        return usage_usd(sent, model.price)

    def mapping_of(tier_id: str) -> str | None:
        tier = catalogue.tier(tier_id)
        if tier is None:
            return None
        return mapped(tier, request, caller, catalogue).targets[0].unit.model

    return Others(
        priced(mapping_of(FRONTIER)),
        priced(mapping_of(BALANCED)),
        priced(_model_of(caller.former, data, mapping_of)),
    )


def _model_of(
    former: str | None, data: Data, mapping_of: Callable[[str], str | None]
) -> str | None:
    """Return the model that a caller used before; it may have been a tier."""
    if former is None:
        return None
    name = aliased(former, data.aliases)
    return mapping_of(name) if data.catalogue.tier(name) else name


def _held(session: Session, lifetime_s: float, now_s: float) -> int:
    """Return how much of a conversation the cache of one model that served all of it would hold."""
    touched_s = max((cache.touched_s for cache in session.context.caches), default=None)
    if touched_s is None or now_s - touched_s > lifetime_s:
        return 0
    return session.context.input_tokens or 0


def saved_usd(others: Others, usd: float | None) -> float | None:
    """Return what was saved against the caller's former model, or else the frontier."""
    before = others.frontier_usd if others.former_usd is None else others.former_usd
    return None if before is None or usd is None else before - usd
