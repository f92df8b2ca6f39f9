"""What a reply cost, written beside its usage, as OpenRouter's clients read it (``usage.cost``).  Pure."""

from __future__ import annotations

from typing import Any, Final

from router.wire import sse
from router.wire.parts import parsed
from router.wire.splice import Path, edited

USAGE: Final = b'"usage"'
COST: Final = "cost"


def with_cost(data: bytes, usd: float) -> bytes:
    """Return a reply, or the data of an event, with its cost; as it was where it tells no final usage.

    A provider's own word of the cost stays.
    """
    if USAGE not in data:
        return data
    path = _usage_in(parsed(data))
    return data if path is None else edited(data, (), {(*path, COST): _short(usd)})


def events_with_cost(block: bytes, usd: float) -> bytes:
    """Return whole events with their cost; no byte of any other changes."""
    if USAGE not in block:
        return block
    return b"".join(_priced(raw, usd) for raw in sse.split(block))


def _priced(raw: bytes, usd: float) -> bytes:
    data = sse.data_of(raw).strip()
    told = with_cost(data, usd)
    return raw if told is data else sse.event(told, sse.name_of(raw))


def _usage_in(fields: dict[str, Any]) -> Path | None:
    """Say where the final usage stands: at the top, or in the response that an event brings."""
    places = ((), ("response",))
    for place in places:
        held: Any = fields
        for step in place:
            held = held.get(step) if isinstance(held, dict) else None
        usage = held.get("usage") if isinstance(held, dict) else None
        if isinstance(usage, dict):
            return None if usage.get(COST) is not None else (*place, "usage")
    return None


def _short(usd: float) -> float:
    """Return dollars with nine significant figures: a token of the cheapest model costs 1e-8."""
    return float(f"{usd:.9g}")
