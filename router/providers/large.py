"""Work on a large body: off the event loop, one at a time, and without the cyclic collector.

Parsing holds the interpreter in whatever thread it runs, so a second thread would win nothing; but
reading takes many steps, and between them the event loop serves everybody else.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Lock
from typing import Final, TypeVar

T = TypeVar("T")

LARGE_BYTES: Final = 256 << 10
"""A body up to this size is worked on where it came in.  On one core it took 0.5 to 9 ms to read,
the longest for thousands of tiny turns, and handing it to a thread and back 0.1 to 0.3 ms."""


async def apart(size_bytes: int, work: Callable[[], T]) -> T:
    """Do what a body of this size makes slow, apart from the event loop if it is large."""
    if size_bytes <= LARGE_BYTES:
        return work()
    return await asyncio.get_running_loop().run_in_executor(_thread(), _uncollected, work)


@cache
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="large-body")


def _uncollected(work: Callable[[], T]) -> T:
    with PAUSE:
        return work()


class Pause:
    """Time in which the cyclic collector does not run, in any thread.

    What a parser makes is no garbage, but each few hundred of its values start a collection that goes
    over them: a list of a million objects took 8 times as long.  Pauses may overlap; the last to
    end brings the collector back, if it ran before the first.
    """

    def __init__(self) -> None:
        """Begin with nobody inside."""
        self._lock = Lock()
        self._inside = 0
        self._was_on = False

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._was_on = gc.isenabled()
                gc.disable()
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._was_on:
                gc.enable()


PAUSE: Final = Pause()
"""The collector is the process's, and so is its pause."""
