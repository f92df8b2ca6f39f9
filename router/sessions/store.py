"""Where sessions are kept: what a store must do, and the one in this process's memory.

A store that several processes share implements the same two methods over ``Session.dump`` and
``Session.load``.  A store that fails must not fail a request: ``recall`` and ``learn`` see to that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from threading import Lock
from typing import Final, Protocol, runtime_checkable

from cachetools import TTLCache

from router.sessions.session import NEW, Session

log = logging.getLogger("router.requests")

STORE_S: Final = 2.0
"""How long a store may take before a request goes on without it; one on the same network takes a
millisecond, and a client waits for this twice."""


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
    """Sessions of this process: the newest ``limit``, for ``idle_s`` seconds after their last use."""

    def __init__(self, *, limit: int, idle_s: float, clock: Callable[[], float]) -> None:
        self._held: TTLCache[str, Session] = TTLCache(limit, idle_s, timer=clock)
        self._lock = Lock()

    async def get(self, key: str) -> Session:
        """Return a session, or ``NEW``."""
        with self._lock:
            return self._held.get(key, NEW)

    async def update(self, key: str, change: Callable[[Session], Session]) -> Session:
        """Change a session; nothing runs in between, not even another thread."""
        with self._lock:
            made = change(self._held.get(key, NEW))
            self._held[key] = made
        return made

    def __len__(self) -> int:
        return len(self._held)


async def recall(store: Sessions, key: str) -> Session:
    """Return a session; a store that fails counts as empty."""
    try:
        async with asyncio.timeout(STORE_S):
            return await store.get(key)
    except Exception:
        log.exception("the session store failed; the request counts as a session's first")
        return NEW


async def learn(store: Sessions, key: str, change: Callable[[Session], Session]) -> Session | None:
    """Change a session, and return what it became; None when the store failed."""
    try:
        async with asyncio.timeout(STORE_S):
            return await store.update(key, change)
    except Exception:
        log.exception("the session store failed; the session does not learn of this request")
        return None
