"""A session store that several processes share: one SQLite file, changed by compare-and-swap.

Hand it in where you build the application, ``create_app(settings, sessions=SqliteSessions(path))``,
or name its maker in auto-efficient.toml, which works with several workers too::

    workers       = 4
    session_store = "examples.store:make"

The module must be importable: put yours in a package that is installed, or on ``PYTHONPATH``.

What a store must do is ``auto_efficient.Sessions``: two methods.  ``Session.dump`` leaves out the
text of the ask, so none is written.  What a shared session holds is dated by the wall clock.  One
file serves the processes of one machine; for several machines put a database in its place.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from auto_efficient import Session

IDLE_S: Final = 6 * 3600.0
"""How long a session is kept after its last use; longer than any provider's cache lives."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sessions (
    key TEXT PRIMARY KEY, version INTEGER NOT NULL, used_s REAL NOT NULL, data BLOB NOT NULL
)"""

SWAP: Final = """
INSERT INTO sessions VALUES (?, 1, ?, ?)
ON CONFLICT (key) DO UPDATE
SET version = version + 1, used_s = excluded.used_s, data = excluded.data
WHERE version = ? OR used_s < ?"""
"""Writes a session that is new, unchanged since it was read, or forgotten; else changes no row."""


class SqliteSessions:
    """Sessions in one file.  A row's version tells whether another process changed it meanwhile."""

    def __init__(self, path: Path, *, idle_s: float = IDLE_S) -> None:
        self._path = path
        self._idle_s = idle_s
        with self._open() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(SCHEMA)
            connection.execute("DELETE FROM sessions WHERE used_s < ?", (time.time() - idle_s,))

    async def get(self, key: str) -> Session:
        """Return a session, or an empty one."""
        session, _ = await asyncio.to_thread(self._read, key)
        return session

    async def update(self, key: str, change: Callable[[Session], Session]) -> Session:
        """Change a session; start over from the newer one if another process was faster."""
        while True:
            session, version = await asyncio.to_thread(self._read, key)
            made = change(session)
            if await asyncio.to_thread(self._swap, key, version, made.dump()):
                return made

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=1)
        try:
            with connection:
                yield connection
        finally:
            connection.close()

    def _read(self, key: str) -> tuple[Session, int]:
        """Return a session and its version; version 0 is none at all."""
        with self._open() as connection:
            row = connection.execute(
                "SELECT data, version FROM sessions WHERE key = ? AND used_s >= ?",
                (key, time.time() - self._idle_s),
            ).fetchone()
        return (Session.load(row[0]), row[1]) if row else (Session(), 0)

    def _swap(self, key: str, version: int, data: bytes) -> bool:
        """Write a session unless its version changed since it was read; say whether it was written."""
        now_s = time.time()
        with self._open() as connection:
            done = connection.execute(SWAP, (key, now_s, data, version, now_s - self._idle_s))
        return done.rowcount == 1


def make() -> SqliteSessions:
    """Make the store of this machine; ``SESSIONS_DB`` names the file."""
    return SqliteSessions(Path(os.environ.get("SESSIONS_DB", "sessions.db")))
