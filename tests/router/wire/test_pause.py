"""Parsing lets the collector rest, and brings it back."""

from __future__ import annotations

import gc
import json
import time

from hypothesis import given
from hypothesis import strategies as st

from router.wire.pause import PAUSE, Pause


def test_what_is_made_of_many_values_is_made_without_collections_and_goes_without_one():
    runs = []
    gc.callbacks.append(lambda phase, info: runs.append(phase))
    try:
        with PAUSE:
            made = json.loads(b"[%b0]" % (b"[]," * 100_000))
        assert not runs
        del made
    finally:
        gc.callbacks.pop()
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


def test_pauses_that_overlap_without_end_let_the_collector_run():
    pause = Pause(longest_s=0.0)
    pause.__enter__()
    time.sleep(0.001)
    for _ in range(3):
        pause.__enter__()
        assert gc.isenabled()
        pause.__exit__()
    pause.__exit__()
    assert gc.isenabled()
