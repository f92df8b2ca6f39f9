"""Where sessions are kept: what a store must do, and the one in this process's memory.

A store that several processes share implements the same two methods over ``Session.dump`` and
``Session.load``.  A store that fails must not fail a request: ``recall`` and ``learn`` see to that.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from threading import Lock
from typing import Any, Final, Protocol, runtime_checkable

from router.sessions.session import NEW, Session

log = logging.getLogger("router.requests")

STORE_S: Final = 2.0
"""How long a store may take before a request goes on without it; one on the same network takes a
millisecond, and a client waits for this twice."""


AWAKE: Final = 512
"""Sessions that are kept as values: more than have a request at the same time."""

AT_ONCE: Final = 32
"""So many more are, before that many are dumped one after the other: each then takes a third of the
time, and all of them less than a decision."""


class Sessions(Protocol):
    """A store of sessions.  Methods may wait for a network; ``update`` must be atomic."""

    async def get(self, key: str) -> Session:
        """Return a session, or ``NEW``."""
        ...

    async def update(self, key: str, change: Callable[[Session], Session]) -> Session:
        """Replace a session by what ``change`` makes of it, and return that.

        ``change`` is pure and may be called again: a store that finds its value changed by
        another process in the meantime starts over from the newer one.
        """
        ...


@runtime_checkable
class Closes(Protocol):
    """A store that has something to let go of when its gateway stops."""

    async def aclose(self) -> None:
        """Let go of it."""
        ...


class MemorySessions:
    """Sessions of this process: the newest ``limit``, for ``idle_s`` seconds after their last change.

    The ``AWAKE`` newest are values.  The others lie as their dumps, in half the memory: a value is some
    fifteen objects, and a collection that goes over those of 20,000 sessions stops the server.
    """

    def __init__(self, *, limit: int, idle_s: float, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._idle_s = idle_s
        self._clock = clock
        self._awake: OrderedDict[str, tuple[float, Session]] = OrderedDict()
        """Key → when it was changed, and the session; the oldest first."""
        self._asleep: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        """The same of those that are older."""
        self._lock = Lock()

    async def get(self, key: str) -> Session:
        """Return a session, or ``NEW``."""
        with self._lock:
            return self._found(key, self._clock())

    async def update(self, key: str, change: Callable[[Session], Session]) -> Session:
        """Change a session; nothing runs in between, not even another thread."""
        with self._lock:
            now_s = self._clock()
            made = change(self._found(key, now_s))
            self._asleep.pop(key, None)
            self._awake[key] = (now_s, made)
            self._awake.move_to_end(key)
            self._grow_old(now_s)
        return made

    def _found(self, key: str, now_s: float) -> Session:
        if (awake := self._awake.get(key)) is not None:
            return awake[1] if now_s - awake[0] < self._idle_s else NEW
        if (asleep := self._asleep.get(key)) is not None and now_s - asleep[0] < self._idle_s:
            return Session.load(asleep[1])
        return NEW

    def _grow_old(self, now_s: float) -> None:
        """Put to sleep, and forget, what is too old or too much."""
        if len(self._awake) >= AWAKE + AT_ONCE:
            for _ in range(AT_ONCE):
                key, (changed_s, session) = self._awake.popitem(last=False)
                self._asleep[key] = (changed_s, session.dump())
        for held in (self._asleep, self._awake):
            while held and (len(self) > self._limit or self._is_old(held, now_s)):
                held.popitem(last=False)

    def _is_old(self, held: OrderedDict[str, Any], now_s: float) -> bool:
        """Say whether the oldest of some is forgotten."""
        return bool(now_s - held[next(iter(held))][0] >= self._idle_s)

    def __len__(self) -> int:
        return len(self._awake) + len(self._asleep)


async def recall(store: Sessions, key: str) -> Session:
    """Return a session; a store that fails counts as empty."""
    try:
        async with _patience(store):
            return await store.get(key)
    except Exception:
        log.exception("the session store failed; the request counts as a session's first")
        return NEW


async def learn(store: Sessions, key: str, change: Callable[[Session], Session]) -> Session | None:
    """Change a session, and return what it became; None when the store failed."""
    try:
        async with _patience(store):
            return await store.update(key, change)
    except Exception:
        log.exception("the session store failed; the session does not learn of this request")
        return None


def _patience(store: Sessions) -> AbstractAsyncContextManager[object]:
    """Return what bounds the time of a store; this process's memory waits for nobody."""
    return nullcontext() if isinstance(store, MemorySessions) else asyncio.timeout(STORE_S)
