"""How often an anonymous caller may ask: a sliding window per address, in bounded memory.

A caller's use is estimated from two counters, this window's and the last one's weighted by how
much of it the window ending now still covers; exact for a caller who comes within one window,
and within a few per cent of exact otherwise
(https://blog.cloudflare.com/counting-things-a-lot-of-different-things/).  Counters live in one
process: with ``--workers N`` a caller spread over all of them may ask up to N times as often.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

WINDOW_S: Final = 3600.0

MAX_ADDRESSES: Final = 100_000
"""Addresses remembered (about 20 MB); beyond it the least recently seen is forgotten."""


@dataclass(slots=True)
class _Count:
    window: int
    now: int = 0
    before: int = 0


class Window:
    """Count requests per address; times are seconds on one monotonic clock."""

    def __init__(self, per_window: int, *, window_s: float = WINDOW_S) -> None:
        """Allow ``per_window`` requests in any ``window_s`` seconds."""
        self._allowed = per_window
        self._window_s = window_s
        self._counts: OrderedDict[str, _Count] = OrderedDict()

    def wait_s(self, address: str, now: float) -> float:
        """Count a request; return 0 when it is allowed, else how long to wait."""
        window, into = divmod(now, self._window_s)
        count = self._counts.setdefault(address, _Count(int(window)))
        self._counts.move_to_end(address)
        if count.window != window:
            count.before = count.now if count.window == window - 1 else 0
            count.window, count.now = int(window), 0
        if len(self._counts) > MAX_ADDRESSES:
            self._counts.popitem(last=False)
        share = 1 - into / self._window_s
        if count.now + count.before * share < self._allowed:
            count.now += 1
            return 0.0
        if count.now >= self._allowed or not count.before:
            return self._window_s - into
        excess = count.now + count.before * share - self._allowed
        return max(1.0, excess / count.before * self._window_s)


def block_of(address: str) -> str:
    """Return the part of an address that one caller holds: all of IPv4, a /64 of IPv6."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if ip.version == 4:
        return address
    if ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, 64), strict=False))
