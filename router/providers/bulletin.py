"""What the processes of a gateway tell each other of failing providers: a log that all of them read.

Every ``EVERY_S`` each adds how that stands which changed with it, and takes in what others added, so
that they know together what one process alone would.  A notice names accounts, models, digests and
times of the wall clock; one of another version of the gateway is left out.  No request waits for any
of it, and a log that is away leaves each process with what it learns by itself.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Protocol

import orjson

from router.providers.breaker import MAX_KEYS, Key, Suspicion
from router.providers.upstream import Upstream
from router.providers.wordings import HELD_S
from router.storage.valkey import StoreAway, Valkey

log = logging.getLogger(__name__)

EVERY_S: Final = 0.5
"""How often: what one process learned holds at all within a second."""

LASTS_S: Final = max(HELD_S.values())
"""How long a notice is kept, and who begins is told: nothing is held against anybody for longer."""

NOTICES: Final = 1000
"""Most at once; what is left is told the next time."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS notices (
    id INTEGER PRIMARY KEY AUTOINCREMENT, told_s REAL NOT NULL, text BLOB NOT NULL
)"""

OVER_S: Final = 0.0
"""Until when nothing is held."""

BUSY_S: Final = 1.0
"""How long a write waits for another process's."""


class Bulletin(Protocol):
    """A log of texts that several processes read."""

    async def tell(self, text: bytes) -> None:
        """Add a text."""
        ...

    async def news(self) -> list[bytes]:
        """Return what was added since this was asked last, one's own included."""
        ...


class FileBulletin:
    """A log in an SQLite file, of one machine; raises ``sqlite3.Error`` for one that cannot be used."""

    def __init__(self, path: Path) -> None:
        self._file = sqlite3.connect(
            path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        self._file.execute("PRAGMA journal_mode = WAL")
        self._file.execute("PRAGMA synchronous = OFF")
        self._file.execute(SCHEMA)
        self._last = 0

    async def tell(self, text: bytes) -> None:
        """Add a text, and take away what is old."""
        await asyncio.to_thread(self._add, text)

    async def news(self) -> list[bytes]:
        """Return what was added since this was asked last."""
        query = "SELECT id, text FROM notices WHERE id > ? ORDER BY id"
        found = await asyncio.to_thread(lambda: self._file.execute(query, (self._last,)).fetchall())
        self._last = found[-1][0] if found else self._last
        return [text for _, text in found]

    async def aclose(self) -> None:
        """Close the file."""
        self._file.close()

    def _add(self, text: bytes) -> None:
        now_s = time.time()
        self._file.execute("INSERT INTO notices (told_s, text) VALUES (?, ?)", (now_s, text))
        self._file.execute("DELETE FROM notices WHERE told_s < ?", (now_s - LASTS_S,))


class ValkeyBulletin:
    """A log in a stream of a Redis or Valkey server, of any number of machines."""

    def __init__(self, server: Valkey, name: str) -> None:
        self._server = server
        self._name = name
        self._last = "-"

    async def tell(self, text: bytes) -> None:
        """Add a text, and take away what is old."""
        oldest_ms = int((time.time() - LASTS_S) * 1e3)
        await self._server.ask("XADD", self._name, "MINID", "~", oldest_ms, "*", "text", text)

    async def news(self) -> list[bytes]:
        """Return what was added since this was asked last."""
        found = await self._server.ask("XRANGE", self._name, self._last, "+")
        if found:
            self._last = f"({found[-1][0].decode()}"
        return [fields[b"text"] for _, fields in found]


class Gossip:
    """One process's part in it."""

    def __init__(self, upstream: Upstream, bulletin: Bulletin) -> None:
        self._upstream = upstream
        self._bulletin = bulletin
        self._name = secrets.token_hex(8)
        self._untold: dict[Key, dict[str, Any]] = {}

    async def run(self) -> None:
        """Tell and hear for as long as the process serves."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.turn()
            except StoreAway:
                continue  # the server says so itself
            except Exception:
                log.exception("failing providers are not told to the other processes")

    async def turn(self) -> None:
        """Tell what changed, then hear what others tell; raises StoreAway or ``sqlite3.Error``."""
        changes = self._upstream.memory.changes()
        self._untold |= {key: self._notice(key, held) for key, held in changes.items()}
        now = dict(list(self._untold.items())[:NOTICES])
        self._untold = dict(list(self._untold.items())[:MAX_KEYS])
        if now:
            await self._bulletin.tell(orjson.dumps(list(now.values())))
            self._untold = {k: notice for k, notice in self._untold.items() if k not in now}
        for text in await self._bulletin.news():
            self._take_in(orjson.loads(text))

    def _notice(self, key: Key, held: Suspicion) -> dict[str, Any]:
        now_s = time.time()
        return {
            "by": self._name,
            "at": now_s,
            "key": key,
            "witnesses": list(held.witnesses),
            "until": [
                now_s + left_s if left_s else OVER_S  # also for a clock that is behind this one
                for left_s in (held.open_s, held.doubted_s, held.penalty_s)
            ],
        }

    def _take_in(self, notices: Iterable[dict[str, Any]]) -> None:
        now_s = time.time()
        for notice in notices:
            try:
                if notice["by"] == self._name or notice["at"] < now_s - LASTS_S:
                    continue
                left = (min(max(0.0, until - now_s), LASTS_S) for until in notice["until"])
                witnesses = frozenset((caller, request) for caller, request in notice["witnesses"])
                self._upstream.memory.take_in(tuple(notice["key"]), Suspicion(witnesses, *left))
            except (LookupError, TypeError, ValueError) as error:
                log.warning("a notice of failing providers cannot be read: %r", error)
