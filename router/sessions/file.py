"""Sessions in a file: what the processes of one machine share, and what outlives a restart.

One SQLite file holds the dumps of sessions, each with a version; a change is written only over the
version it was made from (compare-and-swap), so of two processes that change a session at the same
time each adds its part.  A dump leaves out the text of the ask, so none is written, and the key is
a hash.  What a session here holds is dated by the wall clock.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Final

from router.sessions.session import NEW, Session

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sessions (
    key TEXT PRIMARY KEY, version INTEGER NOT NULL, used_s REAL NOT NULL, data BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS sessions_used ON sessions (used_s);
"""

SWAP: Final = """
INSERT INTO sessions VALUES (?, 1, ?, ?)
ON CONFLICT (key) DO UPDATE
SET version = version + 1, used_s = excluded.used_s, data = excluded.data
WHERE version = ? OR used_s < ?"""
"""Writes a session that is new, unchanged since it was read, or forgotten; else changes no row."""

KEEP: Final = """
INSERT INTO sessions VALUES (?, 1, ?, ?)
ON CONFLICT (key) DO UPDATE
SET version = version + 1, used_s = excluded.used_s, data = excluded.data"""
"""Writes a session over whatever is there."""

SWEEP: Final = """
DELETE FROM sessions WHERE used_s < ? OR key IN (
    SELECT key FROM sessions ORDER BY used_s DESC LIMIT -1 OFFSET ?
)"""

SWEEP_EVERY: Final = 256
"""Writes of a process between two sweeps of what is too old or too much: rare enough to cost
nothing, often enough that a file is never much larger than its limit."""

BUSY_S: Final = 1.0
"""How long a write waits for another process's; a write takes a fraction of a millisecond."""


class FileSessions:
    """The newest ``limit`` sessions of a file, for ``idle_s`` seconds after their last use.

    Raises ``sqlite3.Error`` or OSError for a file that cannot be used.
    """

    def __init__(
        self,
        path: Path,
        *,
        limit: int,
        idle_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._limit = limit
        self._idle_s = idle_s
        self._clock = clock
        self._writes = 0
        self._lock = Lock()
        self._file = sqlite3.connect(
            path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        self._file.execute("PRAGMA journal_mode = WAL")
        self._file.execute("PRAGMA synchronous = NORMAL")
        self._file.executescript(SCHEMA)
        self._sweep()

    async def get(self, key: str) -> Session:
        """Return a session, or ``NEW``."""
        session, _ = await asyncio.to_thread(self._read, key)
        return session

    async def update(self, key: str, change: Callable[[Session], Session]) -> Session:
        """Change a session, in another thread; start over if another process was faster."""
        return await asyncio.to_thread(self._changed, key, change)

    def rows(self) -> list[tuple[str, float, bytes]]:
        """Return key, time of the last use and dump of all that are remembered; the oldest first."""
        with self._lock:
            self._sweep()
            query = "SELECT key, used_s, data FROM sessions ORDER BY used_s"
            return self._file.execute(query).fetchall()

    def keep(self, sessions: Mapping[str, Session]) -> None:
        """Write sessions over whatever is there, all or none; raises ``sqlite3.Error``."""
        now_s = self._clock()
        rows = [(key, now_s, session.dump()) for key, session in sessions.items()]
        with self._lock, self._file:
            self._file.execute("BEGIN IMMEDIATE")
            self._file.executemany(KEEP, rows)
            self._wrote(len(rows))

    async def aclose(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    def _read(self, key: str) -> tuple[Session, int]:
        """Return a session and its version; version 0 is none at all."""
        with self._lock:
            row = self._file.execute(
                "SELECT data, version FROM sessions WHERE key = ? AND used_s >= ?",
                (key, self._clock() - self._idle_s),
            ).fetchone()
        return (Session.load(row[0]), row[1]) if row else (NEW, 0)

    def _changed(self, key: str, change: Callable[[Session], Session]) -> Session:
        while True:
            session, version = self._read(key)
            made = change(session)
            if self._swap(key, version, made.dump()):
                return made

    def _swap(self, key: str, version: int, data: bytes) -> bool:
        """Write a session unless its version changed since it was read; say whether it was written."""
        now_s = self._clock()
        with self._lock:
            row = (key, now_s, data, version, now_s - self._idle_s)
            written = self._file.execute(SWAP, row).rowcount == 1
            self._wrote(1)
        return written

    def _wrote(self, n: int) -> None:
        """Count writes, and sweep now and then."""
        self._writes += n
        if self._writes >= SWEEP_EVERY:
            self._writes = 0
            self._sweep()

    def _sweep(self) -> None:
        self._file.execute(SWEEP, (self._clock() - self._idle_s, self._limit))
