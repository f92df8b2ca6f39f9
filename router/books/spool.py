"""Rows on their way to a database that may be away: a small file on this machine's disk.

Rows for a server in the network are written here first and taken out once the server has them, so
that neither its absence nor this process's death loses one.  The workers of a machine share the file;
whoever finds rows in it carries them on, also those that another left when it died.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

SCHEMA: Final = "CREATE TABLE IF NOT EXISTS rows (id TEXT PRIMARY KEY, data BLOB NOT NULL)"

BUSY_S: Final = 5.0
"""How long a write waits for another worker's, which takes a millisecond."""


class Spool:
    """Used by one thread at a time; raises ``sqlite3.Error`` or OSError for a file that fails."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = sqlite3.connect(
            path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        self._file.execute("PRAGMA journal_mode = WAL")
        self._file.execute("PRAGMA synchronous = NORMAL")
        self._file.execute(SCHEMA)

    def put(self, rows: Sequence[tuple[str, bytes]]) -> None:
        """Keep rows under their names, all or none."""
        self._file.execute("BEGIN IMMEDIATE")
        try:
            self._file.executemany("INSERT OR IGNORE INTO rows VALUES (?, ?)", rows)
        except BaseException:
            self._file.execute("ROLLBACK")
            raise
        self._file.execute("COMMIT")

    def first(self, n: int) -> list[tuple[str, bytes]]:
        """Return some rows, the ones that have waited longest."""
        return self._file.execute(
            "SELECT id, data FROM rows ORDER BY rowid LIMIT ?", (n,)
        ).fetchall()

    def drop(self, ids: Sequence[str]) -> None:
        """Let go of rows."""
        self._file.execute("BEGIN IMMEDIATE")
        self._file.executemany("DELETE FROM rows WHERE id = ?", [(id_,) for id_ in ids])
        self._file.execute("COMMIT")

    def __len__(self) -> int:
        return int(self._file.execute("SELECT count(*) FROM rows").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._file.close()
