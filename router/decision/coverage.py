"""Which tiers can be served in which formats, for who sets a gateway up.  Pure.

Each tier is asked the smallest request in each format, as its machine's owner would: what cannot be
served then never can, and is said when the gateway starts.
"""

from __future__ import annotations

from typing import Final

import orjson

from router.callers.keys import OWNER
from router.decision.tiers import Data, plan
from router.errors import NoModelFits
from router.values import Interface
from router.wire.format import FORMATS
from router.wire.request import parse

WAY_OUT: Final = "to serve all"


def gaps(data: Data) -> dict[str, list[str]]:
    """Return tier → the formats in which no provider has a model that could serve it."""
    found: dict[str, list[str]] = {}
    for tier in data.catalogue.tiers:
        for interface in Interface:
            if not _serves(tier.id, interface, data):
                found.setdefault(tier.id, []).append(interface.value)
    return found


def _serves(tier: str, interface: Interface, data: Data) -> bool:
    asks = {"model": tier, FORMATS[interface].ITEMS: [{"role": "user", "content": "Hello"}]}
    try:
        plan(parse(orjson.dumps(asks), interface=interface), OWNER, data)
    except NoModelFits:
        return False
    return True


def said_of_gaps(data: Data) -> list[str]:
    """Return the same in words: tiers with the same gap on one line, then the way out."""
    by_formats: dict[str, list[str]] = {}
    for tier, formats in gaps(data).items():
        by_formats.setdefault(", ".join(formats), []).append(tier)
    lines = [f"{', '.join(tiers)} over {formats}" for formats, tiers in by_formats.items()]
    ways = dict.fromkeys(filter(None, data.openings.values()))
    return [*lines, *(f"{WAY_OUT}: {way}" for way in ways)] if lines else []
