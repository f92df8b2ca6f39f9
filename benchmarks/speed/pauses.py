"""``python -m benchmarks.speed.pauses``: how long a full collection stops a server with 20,000 sessions.

The same sessions are held in turn as values and by the store that a gateway has, in one run; the rest of
the process is frozen, as a gateway's is.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import time
from typing import Final

from benchmarks.speed.latency import SIZES, requests, turn
from router.decision.engine import Engine
from router.serving.process import freeze
from router.sessions.session import NEW, Session
from router.sessions.store import MemorySessions
from router.wire.request import parse

SESSIONS: Final = 20_000
SAMPLES: Final = 50
"""Different ones; each of the others is read anew from the dump of one."""

ROUNDS: Final = 7


def samples() -> list[bytes]:
    """Return dumps of sessions after a turn."""
    engine = Engine.load()
    asked = (parse(body, interface=i) for i, body in requests(SIZES["5 KB"], SAMPLES))
    return [turn(request, NEW, engine.decide(request)).dump() for request in asked]


async def filled(dumps: list[bytes]) -> MemorySessions:
    """Return a store with that many sessions."""
    store = MemorySessions(limit=SESSIONS, idle_s=3600.0, clock=time.time)
    for i in range(SESSIONS):
        made = Session.load(dumps[i % SAMPLES])
        await store.update(str(i), lambda _, made=made: made)  # type: ignore[misc]  # mypy cannot infer a default
    return store


def collection_s() -> float:
    """Time a full collection; the one before it takes away what others left."""
    gc.collect()
    began = time.perf_counter()
    gc.collect()
    return time.perf_counter() - began


def measure(dumps: list[bytes]) -> float:
    """Return how many times as long a collection takes where the sessions are values as in the store."""
    ratios = []
    for _ in range(ROUNDS):
        values = {str(i): Session.load(dumps[i % SAMPLES]) for i in range(SESSIONS)}
        as_values_s = collection_s()
        del values
        store = asyncio.run(filled(dumps))
        ratios.append(as_values_s / collection_s())
        del store
    return statistics.median(ratios)


def main() -> None:
    """Measure, and say the ratio."""
    dumps = samples()
    freeze()
    sys.stdout.write(f"as values over in the store: {measure(dumps):.0f}\n")


if __name__ == "__main__":
    main()
