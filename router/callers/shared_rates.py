"""How often an anonymous caller may ask, counted by the processes of one machine together.

The same sliding window as ``router.callers.rates``, its counters in an SQLite file that the workers
of one gateway share; a count takes some ten microseconds, and only anonymous callers are counted.
"""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from typing import Final

from router.callers.rates import WINDOW_S, Count, counted

log = logging.getLogger(__name__)

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS counts (
    address TEXT PRIMARY KEY, window INTEGER NOT NULL, now INTEGER NOT NULL, before INTEGER NOT NULL
)"""

BUSY_S: Final = 0.25
"""How long a count waits for another process's, with the event loop waiting for it."""

UNCOUNTED_S: Final = 1.0
"""What a caller is told to wait whose request could not be counted."""


class SharedWindow:
    """Count requests per address; raises ``sqlite3.Error`` for a file that cannot be used."""

    def __init__(self, path: Path, per_window: int, *, window_s: float = WINDOW_S) -> None:
        self._allowed = per_window
        self._window_s = window_s
        self._file = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
        self._file.execute("PRAGMA journal_mode = WAL")
        self._file.execute("PRAGMA synchronous = OFF")
        self._file.execute(SCHEMA)

    def wait_s(self, address: str, now: float) -> float:
        """Count a request; return 0 when it is allowed, else how long to wait.

        ``now`` is in seconds on a clock that every process of the machine shares.  A count that
        cannot be made lets nobody in.
        """
        try:
            with self._file:
                self._file.execute("BEGIN IMMEDIATE")
                return self._counted(address, now)
        except sqlite3.Error:
            log.exception("an anonymous request cannot be counted and is refused")
            return UNCOUNTED_S

    def _counted(self, address: str, now: float) -> float:
        row = self._file.execute(
            "SELECT window, now, before FROM counts WHERE address = ?", (address,)
        ).fetchone()
        count, wait_s = counted(Count(*row) if row else None, now, self._allowed, self._window_s)
        self._file.execute("INSERT OR REPLACE INTO counts VALUES (?, ?, ?, ?)", (address, *count))
        self._file.execute("DELETE FROM counts WHERE window < ?", (count.window - 1,))
        return wait_s
