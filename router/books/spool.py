"""Rows on their way to a database that may be away: a small file on this machine's disk.

Rows for a server in the network are written here first and taken out once the server has them, so
that neither its absence nor this process's death loses one.  The workers of a machine share the file;
whoever finds rows in it carries them on, also those that another left when it died.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final

from router.books.entries import BookEntry, packed, unpacked
from router.storage.database import private_file

log = logging.getLogger(__name__)

SCHEMA: Final = "CREATE TABLE IF NOT EXISTS rows (id TEXT PRIMARY KEY, data BLOB NOT NULL)"

BUSY_S: Final = 5.0
"""How long a write waits for another worker's, which takes a millisecond."""

MAX_BYTES: Final = 4 << 30
"""Most that the file may take: a million rows, a day of a busy gateway."""

PAGE_BYTES: Final = 4096


class Spool:
    """Used by any thread; raises ``sqlite3.Error`` or OSError for a file that fails or is full."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES) -> None:
        private_file(path)
        self._lock = Lock()
        self._file = sqlite3.connect(
            path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        for pragma in (
            f"page_size = {PAGE_BYTES}",
            "journal_mode = WAL",
            "synchronous = NORMAL",
            f"max_page_count = {max_bytes // PAGE_BYTES}",
        ):
            self._file.execute(f"PRAGMA {pragma}")
        self._file.execute(SCHEMA)

    def put(self, entries: Sequence[BookEntry]) -> None:
        """Keep entries, all or none."""
        rows = [(entry.id, packed(entry)) for entry in entries]
        with self._changing() as file:
            file.executemany("INSERT OR IGNORE INTO rows VALUES (?, ?)", rows)

    def first(self, n: int) -> list[BookEntry]:
        """Return some entries, the ones that have waited longest; what cannot be read is deleted."""
        while True:
            with self._lock:
                found = self._file.execute(
                    "SELECT rowid, data FROM rows ORDER BY rowid LIMIT ?", (n,)
                ).fetchall()
            entries, broken = [], []
            for row_id, data in found:
                try:
                    entries.append(unpacked(data))
                except (AttributeError, LookupError, TypeError, ValueError):
                    broken.append((row_id,))
            if broken:
                log.error("%d rows of the spool cannot be read and are lost", len(broken))
                with self._changing() as file:
                    file.executemany("DELETE FROM rows WHERE rowid = ?", broken)
            if entries or not broken:
                return entries

    def drop(self, entries: Sequence[BookEntry]) -> None:
        """Let go of entries."""
        with self._changing() as file:
            file.executemany("DELETE FROM rows WHERE id = ?", [(entry.id,) for entry in entries])

    def __len__(self) -> int:
        with self._lock:
            return int(self._file.execute("SELECT count(*) FROM rows").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._file as file:  # commits, or rolls back what is still open
            file.execute("BEGIN IMMEDIATE")
            yield file
