"""How often an anonymous caller may ask: a sliding window per address, in bounded memory.

A caller's use is estimated from two counters, this window's and the last one's weighted by how
much of it the window ending now still covers; exact for a caller who comes within one window,
and within a few per cent of exact otherwise
(https://blog.cloudflare.com/counting-things-a-lot-of-different-things/).  Several workers count
together (``router.callers.shared_rates``).
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Final, NamedTuple, Protocol

from router.callers.local import address_in

WINDOW_S: Final = 3600.0

MAX_ADDRESSES: Final = 100_000
"""Addresses remembered (about 20 MB); beyond it the least recently seen is forgotten."""

LISTINGS_PER_WINDOW: Final = 3600
"""Times an hour that one address may list models without a key: a picker asks at its start and
every few minutes, and many may sit behind one address.  Listing calls no model."""


class Count(NamedTuple):
    """What one address asked, in a window and in the one before it."""

    window: int
    now: int = 0
    before: int = 0


class Rates(Protocol):
    """Counts requests by address."""

    def wait_s(self, address: str, now: float) -> float:
        """Count a request; return 0 when it is allowed, else how long to wait."""
        ...


class Window:
    """Count requests per address; times are seconds on one monotonic clock."""

    def __init__(self, per_window: int, *, window_s: float = WINDOW_S) -> None:
        """Allow ``per_window`` requests in any ``window_s`` seconds."""
        self._allowed = per_window
        self._window_s = window_s
        self._counts: OrderedDict[str, Count] = OrderedDict()

    def wait_s(self, address: str, now: float) -> float:
        """Count a request; return 0 when it is allowed, else how long to wait."""
        before = self._counts.get(address)
        self._counts[address], wait_s = counted(before, now, self._allowed, self._window_s)
        self._counts.move_to_end(address)
        if len(self._counts) > MAX_ADDRESSES:
            self._counts.popitem(last=False)
        return wait_s


def counted(count: Count | None, now: float, allowed: int, window_s: float) -> tuple[Count, float]:
    """Return a count with one more request, and 0, or as it stands and how long to wait."""
    at, into = divmod(now, window_s)
    window = int(at)
    count = count or Count(window)
    if count.window != window:
        count = Count(window, 0, count.now if count.window == window - 1 else 0)
    share = 1 - into / window_s
    if count.now + count.before * share < allowed:
        return count._replace(now=count.now + 1), 0.0
    if count.now >= allowed or not count.before:
        return count, window_s - into
    excess = count.now + count.before * share - allowed
    return count, max(1.0, excess / count.before * window_s)


def block_of(address: str) -> str:
    """Return the part of an address that one caller holds: all of IPv4, a /64 of IPv6.

    A port beside it is not part of it.
    """
    found = address_in(address)
    if found is None:
        return address
    if ":" not in found:
        return found
    return str(ipaddress.ip_network((found, 64), strict=False))
