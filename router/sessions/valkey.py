"""Sessions in a Redis or Valkey server, which replicas share.

A key holds a session's dump, and a change is written only over the bytes that it was made from
(compare-and-swap), so of two replicas that change a session at the same time each adds its part.

This process remembers what it last saw of a session, and of which bytes.  Where the server still
holds these, nothing is read again.  Where it holds nothing, because it began anew, or does not
answer, the session goes on from there; what was changed meanwhile is written over the same bytes
with the first change after.  A session that another replica changed in the meantime is that one's.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Final

from cachetools import LRUCache

from router.sessions.session import NEW, Session
from router.sessions.store import MemorySessions
from router.storage.valkey import StoreAway, Valkey

SWAP: Final = """
local held = redis.call('GET', KEYS[1])
if held and redis.sha1hex(held) ~= ARGV[1] then return held end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return false
"""
"""Writes a session over nothing, or over what it was made from; else returns what is there."""

UNSEEN: Final = ""


class ValkeySessions:
    """Sessions under a prefix, each for ``idle_s`` seconds after its last change.

    Of the ``limit`` newest that this process saw it remembers what it needs without the server.
    """

    def __init__(
        self,
        server: Valkey,
        prefix: str,
        *,
        limit: int,
        idle_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._server = server
        self._prefix = prefix
        self._idle_ms = max(1, int(idle_s * 1e3))
        self._known = MemorySessions(limit=limit, idle_s=idle_s, clock=clock)
        self._seen: LRUCache[str, str] = LRUCache(limit)
        """Digest of the bytes that a known session was made from."""

    async def get(self, key: str) -> Session:
        """Return a session, or ``NEW``."""
        try:
            held = await self._server.ask("GET", self._prefix + key)
        except StoreAway:
            held = None
        return await self._newest(key, held)

    async def update(self, key: str, change: Callable[[Session], Session]) -> Session:
        """Change a session; start over where another replica was faster."""
        session = await self._known.get(key)
        if session is NEW:  # forgotten here, which says nothing of what the server holds
            self._seen.pop(key, None)
        while True:
            made = change(session)
            data = made.dump()
            try:
                seen = self._seen.get(key, UNSEEN)
                swap = ("EVAL", SWAP, 1, self._prefix + key, seen, data, self._idle_ms)
                held = await self._server.ask(*swap)
            except StoreAway:
                return await self._known.update(key, change)
            if held is None:
                await self._learn(key, made, data)
                return made
            session = await self._newest(key, held)

    async def _newest(self, key: str, held: bytes | None) -> Session:
        """Return a session as the server holds it, or as it is known here where that goes on from it."""
        known = await self._known.get(key)
        if held is None or (known is not NEW and _digest(held) == self._seen.get(key)):
            return known
        session = Session.load(held)
        await self._learn(key, session, held)
        return session

    async def _learn(self, key: str, session: Session, data: bytes) -> None:
        self._seen[key] = _digest(data)
        await self._known.update(key, lambda _: session)


def _digest(data: bytes) -> str:
    """Return what Lua's ``redis.sha1hex`` does; nobody is kept out by it."""
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
