"""Work on a large body leaves the event loop, and lets the collector rest."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.providers.large import LARGE_BYTES, Pause, apart


async def test_only_a_large_body_is_worked_on_apart():
    here = threading.current_thread()
    assert await apart(LARGE_BYTES, threading.current_thread) is here
    assert await apart(LARGE_BYTES + 1, threading.current_thread) is not here


async def test_one_large_body_is_worked_on_at_a_time_without_the_collector():
    inside, seen = [], []

    def work() -> None:
        inside.append(1)
        seen.append((len(inside), gc.isenabled()))
        inside.pop()

    await asyncio.gather(*(apart(LARGE_BYTES + 1, work) for _ in range(20)))
    assert seen == [(1, False)] * 20
    assert gc.isenabled()


async def test_what_goes_wrong_there_is_told_here_and_brings_the_collector_back():
    with pytest.raises(ZeroDivisionError):
        await apart(LARGE_BYTES + 1, lambda: 1 // 0)
    assert gc.isenabled()


@given(st.lists(st.booleans(), max_size=30), st.booleans())
def test_the_collector_comes_back_with_the_last_of_overlapping_pauses(steps, on):
    """As it was before the first; entering and leaving in any order, which threads may do."""
    pause, inside = Pause(), 0
    was_on = gc.isenabled()
    (gc.enable if on else gc.disable)()
    try:
        for enter in steps:
            if enter:
                pause.__enter__()
                inside += 1
            elif inside:
                pause.__exit__()
                inside -= 1
            assert gc.isenabled() == (on and not inside)
        for _ in range(inside):
            pause.__exit__()
        assert gc.isenabled() == on
    finally:
        (gc.enable if was_on else gc.disable)()
