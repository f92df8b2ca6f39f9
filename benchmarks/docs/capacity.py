"""docs/capacity.md: what a request costs the gateway, and how many of them a team makes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from benchmarks.docs.pages import Block, Sources, grid

DEVELOPERS: Final = 500
AT_WORK: Final = 0.6
"""Of them, those whose agents work in the busiest hour."""
PER_HOUR: Final = 240
"""Requests of one of these in that hour: an agent's turn takes some fifteen seconds."""
PEAK: Final = 3.0
"""The busiest seconds over the mean of that hour."""
BUSY: Final = 0.5
"""Of a core, what may be used at the peak: beyond it waiting grows fast."""

SHORT: Final = "short chat, whole"
STREAM: Final = "short chat, a stream of 256 events"
MIX: Final = {
    "repeat turn of one, 50 KB": 0.65,
    "first request of a coding agent, 50 KB": 0.15,
    SHORT: 0.05,
    "a model by its name": 0.10,
    "embeddings": 0.05,
}
"""Of the requests, what they are; an agent's (the first two) are streamed."""
STREAMED: Final = tuple(MIX)[:2]


def costs(sources: Sources) -> str:
    """Show CPU per request, and requests per second and core, by kind of traffic."""
    found = sources.result("capacity")
    kept = list(found["memory_mb"])
    lines = [[kind, *(_cost(by[name]) for name in kept)] for kind, by in found["cpu_us"].items()]
    note = (
        f"CPU milliseconds of a request (median of {found['rounds']} rounds, lowest and highest), and how many of them a core "
        f"has room for in a second. {found['machine']}."
    )
    return f"{note}\n\n{grid(('kind', *kept), lines)}"


def _cost(us: Mapping[str, float]) -> str:
    median, low, high = (us[name] / 1000 for name in ("median", "low", "high"))
    return f"{median:.2f} [{low:.2f}, {high:.2f}]: {1000 / median:,.0f}/s"


def added(sources: Sources) -> str:
    """Show how long an answer takes alone, and what is added to it where something is kept."""
    found = sources.result("capacity")["alone_ms"]
    kept = list(next(iter(found.values())))
    lines = [
        [f"{kind}, {at}", *(_added(by, name, at, kept[0]) for name in kept)]
        for kind, by in found.items()
        for at in ("p50", "p99")
    ]
    return grid(("milliseconds", *kept), lines)


def _added(by: Mapping[str, Mapping[str, float]], name: str, at: str, first: str) -> str:
    took, bare = by[name][at], by[first][at]
    return f"{took:.2f}" if name == first else f"{took:.2f} ({took - bare:+.2f})"


def memory(sources: Sources) -> str:
    """Show what a worker holds, before and after the measurement."""
    found = sources.result("capacity")["memory_mb"]
    lines = [[name, *(f"{mb} MB" for mb in held)] for name, held in found.items()]
    return grid(("books", "a worker that starts", "after the measurement"), lines)


def sizing(sources: Sources) -> str:
    """Say what some hundred developers need, under assumptions that are said."""
    cpu = sources.result("capacity")["cpu_us"]
    mean = DEVELOPERS * AT_WORK * PER_HOUR / 3600
    lines = []
    for name in cpu[SHORT]:
        ms = _mixed_ms(cpu, name)
        cores = mean * PEAK * ms / 1000 / BUSY
        lines.append(
            [
                name,
                f"{ms:.2f}",
                f"{mean * PEAK * ms / 1000:.2f}",
                f"{cores:.2f}",
                str(math.ceil(cores) + 1),
            ]
        )
    kinds = ", ".join(
        f"{part:.0%} {kind}{' (streamed)' if kind in STREAMED else ''}"
        for kind, part in MIX.items()
    )
    assumed = (
        f"{DEVELOPERS} developers, {AT_WORK:.0%} of them with an agent at work in the busiest hour, {PER_HOUR} requests an hour each: "
        f"{mean:.0f} requests a second, {mean * PEAK:.0f} in the busiest seconds. Of these {kinds}."
    )
    header = (
        "books", "CPU ms of a request", "cores at the peak", f"cores at {BUSY:.0%} of their time",
        "workers, one more than needed",
    )  # fmt: skip
    return f"{assumed}\n\n{grid(header, lines)}"


def _mixed_ms(cpu: Mapping[str, Any], name: str) -> float:
    """Return the CPU milliseconds of a request of the mix; a stream's events come on top of reading it."""
    of: dict[str, float] = {kind: by[name]["median"] / 1000 for kind, by in cpu.items()}
    events = max(0.0, of[STREAM] - of[SHORT])
    return sum(
        part * (of[kind] + (events if kind in STREAMED else 0.0)) for kind, part in MIX.items()
    )


BLOCKS: Final[dict[str, Block]] = {
    "capacity": costs,
    "capacity-added": added,
    "capacity-memory": memory,
    "capacity-sizing": sizing,
}
