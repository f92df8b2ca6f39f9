"""Check that the cost of reading grows with what is read, and not with its square."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

FACTOR = 8
SLACK = 3.0
"""Of linear work eight times the size costs about eight times, of quadratic work sixty-four times."""

LEAST_S = 0.004
"""What is too short to be measured is not too slow."""


def cpu_s(work: Callable[[], object]) -> float:
    """Return the CPU seconds of this thread that the quickest of three runs took."""
    took = []
    for _ in range(3):
        began = time.thread_time()
        work()
        took.append(time.thread_time() - began)
    return min(took)


def assert_linear(work: Callable[[T], object], make: Callable[[int], T], n: int) -> None:
    """Let ``work`` read what ``make`` writes, of size ``n`` and of eight times that."""
    small, large = make(n), make(FACTOR * n)
    allowed_s = max(LEAST_S, cpu_s(lambda: work(small))) * FACTOR * SLACK
    assert (took_s := cpu_s(lambda: work(large))) < allowed_s, f"{took_s:.3f} s"
