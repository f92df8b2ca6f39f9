"""Work on a large body leaves the event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from router.providers.large import LARGE_BYTES, THREADS, apart


async def test_only_a_large_body_is_worked_on_apart():
    here = threading.current_thread()
    assert await apart(LARGE_BYTES, threading.current_thread) is here
    assert await apart(LARGE_BYTES + 1, threading.current_thread) is not here


async def test_few_large_bodies_are_worked_on_at_a_time():
    inside, seen = [], []

    def work() -> None:
        inside.append(1)
        seen.append(len(inside))
        inside.pop()

    await asyncio.gather(*(apart(LARGE_BYTES + 1, work) for _ in range(20)))
    assert max(seen) <= THREADS


async def test_what_goes_wrong_there_is_told_here():
    with pytest.raises(ZeroDivisionError):
        await apart(LARGE_BYTES + 1, lambda: 1 // 0)
