"""Work on a large body: off the event loop, and little of it at a time.

Parsing holds the interpreter in whatever thread it runs, so many threads would win nothing; but
reading takes many steps, and between them the event loop serves everybody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final, TypeVar

T = TypeVar("T")

LARGE_BYTES: Final = 128 << 10
"""A body up to this size is worked on where it came in.  On a busy machine of two cores one took 0.4 ms
to read where it is text and 50 ms where it is thousands of tiny turns; handing it to a thread and back
takes 0.1 ms."""


THREADS: Final = 2
"""One in which bodies are read, in turn, and one to write what was read: what is parsed waits for no
other body."""


async def apart(size_bytes: int, work: Callable[[], T]) -> T:
    """Do what a body of this size makes slow, apart from the event loop if it is large."""
    if size_bytes <= LARGE_BYTES:
        return work()
    return await asyncio.get_running_loop().run_in_executor(_threads(), work)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="large-body")
