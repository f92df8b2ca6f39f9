"""Accounts in a file: what the processes of one machine count together, and what outlives them.

One SQLite file; a claim is one transaction.  A crash of a process loses nothing that was counted.  A
file that another process holds for too long refuses; what it could not settle is settled next time.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from router.callers.accounts import RETRY_S, Base, Bases, nothing_spent
from router.callers.meters import (
    Charge,
    Claim,
    Correction,
    Counted,
    Counter,
    MeterReading,
    corrected,
    corrections,
    counted,
    expires_s,
    held_back,
)

log = logging.getLogger("router.requests")

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS counters (
    key TEXT PRIMARY KEY, window INTEGER NOT NULL, spent REAL NOT NULL, held REAL NOT NULL,
    stale REAL NOT NULL, before REAL NOT NULL, hour INTEGER NOT NULL, until_s REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS counters_until ON counters (until_s);
"""

PUT: Final = "INSERT OR REPLACE INTO counters VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
GET: Final = "SELECT window, spent, held, stale, before, hour FROM counters WHERE key = ?"

SWEEP_EVERY: Final = 256
"""Transactions of a process between two sweeps of counters that are over: rare enough to cost nothing."""

BUSY_S: Final = 0.25
"""How long a count waits for another process's, with the event loop waiting for it; one takes some
fifty microseconds."""


class FileAccounts:
    """The accounts in a file; raises ``sqlite3.Error`` or OSError for one that cannot be used."""

    def __init__(self, path: Path, base: Base = nothing_spent) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._bases = Bases(base)
        self._unsettled: deque[Correction] = deque()
        self._counts = 0
        self._file = sqlite3.connect(
            path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        self._file.execute("PRAGMA journal_mode = WAL")
        self._file.execute("PRAGMA synchronous = NORMAL")
        self._file.executescript(SCHEMA)

    async def claim(self, charges: Sequence[Charge], now_s: float) -> Claim:
        """Put all charges on their accounts, or none; refuses where the file cannot be written."""
        return await self._counted(charges, now_s, takes=True)

    async def settle(self, claim: Claim, actuals: Sequence[float]) -> None:
        """Replace what was claimed by what was used, now or with what is counted next."""
        self._unsettled.extend(corrections(claim, actuals))
        if not self._unsettled:
            return
        try:
            self._begin()
            self._commit(self._settled())
        except sqlite3.Error:
            self._undo()
            log.exception("what a request used is settled later")

    async def readings(self, charges: Sequence[Charge], now_s: float) -> tuple[MeterReading, ...]:
        """Return what the meters show."""
        return (await self._counted(charges, now_s, takes=False)).readings

    async def aclose(self) -> None:
        """Close the file."""
        self._file.close()

    async def _counted(self, charges: Sequence[Charge], now_s: float, *, takes: bool) -> Claim:
        async def count(bases: Mapping[str, float]) -> Counted:
            return self._count(charges, now_s, bases, takes=takes)

        try:
            return await self._bases.counted(count, charges, now_s)
        except sqlite3.Error:
            self._undo()
            log.exception("a request cannot be counted and is refused")
            return held_back(charges, "the counters cannot be written", RETRY_S)

    def _count(
        self, charges: Sequence[Charge], now_s: float, bases: Mapping[str, float], *, takes: bool
    ) -> Counted:
        self._begin()
        settled = self._settled()
        found = counted(charges, self._of(charges), now_s, bases, takes=takes)
        for charge in charges if found.claim else ():
            self._put(charge, found.counters[charge.key])
        if self._counts % SWEEP_EVERY == 0:
            self._file.execute("DELETE FROM counters WHERE until_s < ?", (now_s,))
        self._counts += 1
        self._commit(settled)
        return found

    def _of(self, charges: Iterable[Charge]) -> dict[str, Counter]:
        rows = {c.key: self._file.execute(GET, (c.key,)).fetchone() for c in charges}
        return {key: Counter(*row) for key, row in rows.items() if row}

    def _put(self, charge: Charge, counter: Counter) -> None:
        until_s = expires_s(charge.meter, counter.window)
        self._file.execute(PUT, (charge.key, *counter, until_s))

    def _settled(self) -> int:
        """Settle what was not yet, in a transaction; return how much it was."""
        for correction in self._unsettled:
            charge = correction.charge
            counter = corrected(self._of((charge,)).get(charge.key), correction)
            if counter is not None:
                self._put(charge, counter)
        return len(self._unsettled)

    def _begin(self) -> None:
        self._file.execute("BEGIN IMMEDIATE")

    def _commit(self, settled: int) -> None:
        self._file.execute("COMMIT")
        for _ in range(settled):
            self._unsettled.popleft()

    def _undo(self) -> None:
        """End a transaction that failed."""
        with suppress(sqlite3.Error):  # it did not begin, or the file is closed
            self._file.execute("ROLLBACK")
