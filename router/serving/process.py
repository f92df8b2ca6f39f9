"""What a serving process sets for itself as a whole: threads of arithmetic, the collector, the allocator.

**One thread of arithmetic.**  numpy's BLAS begins a thread a core, and splits among them products that
one core has in some ten microseconds.  Waking the others costs more than they save; where they must
wait for a core that another process uses, everybody waits for them, and two workers on two cores
answered less than one.  So BLAS is told, at runtime, to use the one thread that asks: that holds
however the process began and whatever loaded numpy before, under ``serve``, in each of its workers,
and where ``create_app`` is embedded.  A variable of the environment (``OPENBLAS_NUM_THREADS``) would
come too late there.  The setting is the process's: an application that computes much beside a gateway
had better do so in another one.  The classifier's network has one thread by its session's options
(``classifier.model``).

**The collector.**  What is there when a server begins stays: it is taken out of the collector's rounds.
A request leaves hardly a cycle behind, and its values go with it; so it begins a round after ``NEW_OBJECTS``
and not after 700, of which a request makes half.

**The allocator.**  glibc learns to keep large blocks: over reloads that was 80 MB to 150 MB, in blocks
that come and go.

**The end.**  uvicorn closes its sockets as soon as it is told to stop.  Load balancers learn only from
their next look that a replica goes, and what they send until then would be refused: so the stop may
be put off while the gateway says that it is not ready.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

from threadpoolctl import threadpool_limits

M_MMAP_THRESHOLD: Final = -3
"""glibc's name of the setting (malloc.h)."""

BLOCK_BYTES: Final = 1 << 20
"""How large a block of memory is that goes back to the system at once."""

NEW_OBJECTS: Final = 20_000
"""After so many that were made and not let go the collector looks at them: CPU per request of models by
their names 0.93 of what it is with Python's own 700 (benchmarks/LOG.md, 2026-11-30)."""


def compute_on_one_thread() -> None:
    """Have every product of matrices be computed by the thread that asks for it."""
    threadpool_limits(limits=1, user_api="blas")


def freeze() -> None:
    """Take what is there out of the collector's rounds, and let them be rare: they cost the p99.

    What was frozen before and is garbage now goes first, else each reload would keep the last data.
    """
    young, *older = gc.get_threshold()
    if 0 < young < NEW_OBJECTS:  # a host that set more, or none at all, knows why
        gc.set_threshold(NEW_OBJECTS, *older)
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def give_back_blocks() -> None:
    """Let large blocks of memory, a body or a network, go back to the system when they are freed."""
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(M_MMAP_THRESHOLD, BLOCK_BYTES)


def defer_stop(tell: Callable[[], None], delay_s: float) -> None:
    """Have SIGTERM ``tell`` at once, and reach whoever handles it ``delay_s`` seconds later; a second one at once.

    Called on the event loop.  Signals are the main thread's, so one that runs elsewhere is left alone; so is all
    where there is nothing to wait for.
    """
    if not delay_s:
        return
    stop = signal.getsignal(signal.SIGTERM)
    if not callable(stop) or threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()

    def begin(number: int, frame: FrameType | None) -> None:
        tell()
        signal.signal(number, stop)
        loop.call_soon_threadsafe(loop.call_later, delay_s, stop, number, frame)

    signal.signal(signal.SIGTERM, begin)
