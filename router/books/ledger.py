"""The ledger: every record becomes a row, written in batches by threads of its own.

``tell`` appends to a queue and returns; nothing of a request waits for a disk.  Every quarter of a
second one thread takes what is there and puts it where it waits for the database: in memory, or for a
server in the network in a file on this machine (``router.books.spool``).  Another writes it from there in
transactions, with the sums that it adds to (``router.books.rollups``).  So a process that is killed loses
the rows of its last half second at most, also while a server hangs; a row is written once, however
often that is tried; and what finds no room is counted, never in silence.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final, Protocol

from sqlalchemy import Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError

from router.books.entries import BookEntry, entry_of, write
from router.books.record import Record
from router.books.retention import FOR_EVER, Retention, sweep_some
from router.storage.database import said_of, writing

log = logging.getLogger(__name__)

FLUSH_S: Final = 0.25
"""How long a row waits for others: a batch then has some hundred at a thousand requests a second."""

BATCH: Final = 500
"""Rows of one transaction: some 10 ms, in which no other worker can write."""

ROOM: Final = 20_000
"""Rows that wait in memory, some 6 KB each: twenty seconds of a busy gateway whose disk stands still."""

SWEEP_S: Final = 3600.0
"""How often is looked for what is older than it is kept."""

TELL_S: Final = 10.0
"""How often lost rows are told of in the log, while it goes on."""


class Waiting(Protocol):
    """Where entries wait for the database, in order."""

    def put(self, entries: Sequence[BookEntry]) -> None:
        """Keep entries, all or none."""

    def first(self, n: int) -> list[BookEntry]:
        """Return some entries, the ones that have waited longest."""

    def drop(self, entries: Sequence[BookEntry]) -> None:
        """Let go of the first entries."""

    def close(self) -> None:
        """Let go of what is open."""


class Backlog:
    """Entries that wait in this process."""

    def __init__(self) -> None:
        self._entries: deque[BookEntry] = deque()

    def put(self, entries: Sequence[BookEntry]) -> None:
        """Keep entries."""
        self._entries.extend(entries)

    def first(self, n: int) -> list[BookEntry]:
        """Return some entries, the ones that have waited longest."""
        return [self._entries[i] for i in range(min(n, len(self._entries)))]

    def drop(self, entries: Sequence[BookEntry]) -> None:
        """Let go of the first entries; they are as many as were returned."""
        for _ in entries:
            self._entries.popleft()

    def close(self) -> None:
        """Do nothing: nothing is open."""

    def __len__(self) -> int:
        return len(self._entries)


class Ledger:
    """Keeps the books of one process; ``tell`` is called on the event loop, all else is the threads'."""

    def __init__(
        self,
        engine: Engine,
        *,
        spool: Waiting | None = None,
        keep_asks: bool = False,
        retention: Retention = FOR_EVER,
        room: int = ROOM,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Begin to write; ``close`` writes what is left."""
        self._engine = engine
        self._backlog = Backlog()
        self._between: Waiting = self._backlog if spool is None else spool
        self._keep_asks = keep_asks
        self._retention = retention
        self._room = room
        self._clock = clock
        self._told: deque[Record] = deque()
        self._taken: list[BookEntry] = []
        """Entries that could not be put where they wait."""
        self._swept_s: float | None = None
        self._problems = {"put": "", "written": ""}
        self._overflowed = 0
        self._refused = 0
        self._stop = threading.Event()
        self._news = threading.Event()
        self._last = threading.Event()
        """Nothing will be put any more."""
        self._taker = threading.Thread(target=self._take, name="ledger", daemon=True)
        self._writer = threading.Thread(target=self._write, name="ledger writer", daemon=True)
        self._taker.start()
        self._writer.start()

    def tell(self, record: Record) -> None:
        """Take a record; returns at once."""
        if self.waiting >= self._room:
            self._overflowed += 1
            return
        self._told.append(record)

    @property
    def waiting(self) -> int:
        """How many rows are not in the database yet, those of a spool aside."""
        return len(self._told) + len(self._taken) + len(self._backlog)

    @property
    def lost(self) -> int:
        """How many rows found no room or were refused, since the process began."""
        return self._overflowed + self._refused

    @property
    def problem(self) -> str:
        """Why nothing can be written at the moment; empty when all is well."""
        return self._problems["put"] or self._problems["written"]

    def close(self, wait_s: float = 10.0) -> None:
        """Write what is left and end the threads; what cannot be written is told of."""
        self._stop.set()
        self._taker.join(wait_s)
        self._last.set()
        self._news.set()
        self._writer.join(wait_s)
        if n := self.waiting:
            log.error("the ledger ends with %d rows that it could not write", n)

    # The thread that takes.

    def _take(self) -> None:
        told, told_s = 0, -TELL_S
        stopped = False
        while not stopped:
            stopped = self._stop.wait(FLUSH_S)
            try:
                self._put()
            except Exception as error:  # whatever it is must not end the books
                self._note("put", error)
            else:
                self._note("put", None)
            self._news.set()
            now_s = time.monotonic()
            if self._overflowed > told and (stopped or now_s - told_s >= TELL_S):
                log.error("the ledger lost %d rows: no room for them", self._overflowed - told)
                told, told_s = self._overflowed, now_s

    def _put(self) -> None:
        """Put all that was told where it waits; what fails is kept for the next time."""
        while self._taken or self._told:
            if not self._taken:
                n = min(BATCH, len(self._told))
                records = [*islice(self._told, n)]
                self._taken = [entry_of(r, keep_ask=self._keep_asks) for r in records]
                for _ in records:
                    self._told.popleft()
            self._between.put(self._taken)
            self._taken = []

    # The thread that writes.

    def _write(self) -> None:
        last = False
        while not last:
            last = self._last.is_set()
            if not last:
                self._news.wait()
                self._news.clear()
            try:
                self._carry()
                self._sweep()
            except Exception as error:  # as above
                self._note("written", error)
            else:
                self._note("written", None)
        self._between.close()

    def _carry(self) -> None:
        """Write all that waits; what fails waits on."""
        while found := self._between.first(BATCH):
            self._write_out(found)
            self._between.drop(found)

    def _write_out(self, entries: Sequence[BookEntry]) -> None:
        """Write entries.

        A row that the database will never take is lost, and told of; whatever else fails may pass.
        """
        try:
            with writing(self._engine) as connection:
                write(connection, entries)
        except Exception as error:
            if not is_refused(error):
                raise
            if len(entries) == 1:
                told = said_of(error)  # its details would tell what is beside the row
                log.error("a row of the ledger is refused and lost, %s: %r", told, entries[0].row)
                self._refused += 1
                return
            for entry in entries:
                self._write_out([entry])

    def _note(self, what: str, error: Exception | None) -> None:
        """Tell of a problem once, and of its end."""
        problem = "" if error is None else said_of(error)
        if problem and not self._problems[what]:
            expected = isinstance(error, SQLAlchemyError | OSError)
            log.error(
                "rows of the ledger cannot be %s, they wait: %s",
                what,
                problem,
                exc_info=None if expected else error,
            )
        elif self._problems[what] and not problem:
            log.warning("rows of the ledger are %s again", what)
        self._problems[what] = problem

    def _sweep(self) -> None:
        """Delete some of what is older than it is kept, now and then; more of it at the next turn."""
        now_s, swept_s = self._clock(), self._swept_s
        if swept_s is not None and 0 <= now_s - swept_s < SWEEP_S:
            return
        if not sweep_some(self._engine, self._retention, now_s):
            self._swept_s = now_s


def is_refused(error: Exception) -> bool:
    """Say whether a row was refused for what it holds; anything else is the database's trouble."""
    if isinstance(error, DBAPIError):
        return isinstance(error, DataError | IntegrityError)
    return isinstance(error, StatementError | ArithmeticError | TypeError | ValueError)
