"""The ledger: every record becomes a row, written in batches by a thread of its own.

``tell`` appends to a queue and returns; nothing of a request waits for a disk.  Every quarter of a
second the thread takes what is there and writes it in one transaction with the sums that it adds to
(``router.books.rollups``), so a process that is killed loses the rows of its last half second at most.
Rows for a server in the network go through a file on this machine (``router.books.spool``) and are
written once, however often that is tried.  What finds no room is counted, never in silence.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import Connection, Engine, delete, insert, select
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from router.books import rollups
from router.books.record import Record, as_row
from router.books.spool import Spool
from router.storage.database import writing
from router.storage.schema import asks, requests, workings

log = logging.getLogger(__name__)

FLUSH_S: Final = 0.25
"""How long a row waits for others: a batch then has some hundred at a thousand requests a second."""

BATCH: Final = 500
"""Rows of one transaction: some 10 ms, in which no other worker can write."""

ROOM: Final = 20_000
"""Rows that wait in memory, some 3 KB each: twenty seconds of a busy gateway whose disk stands still."""

WIDTHS: Final = {column.name: getattr(column.type, "length", None) for column in requests.columns}
"""Column → the most characters it takes; None: any number."""

LEVEL: Final = 6
"""Of zlib: 5 KB of workings become 1.5, in 0.1 ms."""

ASK_CHARS: Final = 8000
"""Of what a user asked for, where that is kept."""

SWEEP_S: Final = 3600.0
SWEEP_ROWS: Final = 5000
"""Rows that are deleted at a time, so that writing goes on in between."""

DAY_S: Final = 86_400.0


class Entry(NamedTuple):
    """One request as it is written."""

    row: dict[str, Any]
    made: bytes | None
    """What its decision was made from, compressed."""
    ask: str | None


Write = Callable[[Connection, Sequence[Entry]], None]


class Retention(NamedTuple):
    """How many days things are kept; None: for ever.  Sums stay."""

    requests: float | None = None
    workings: float | None = None


FOR_EVER: Final = Retention()


class Ledger:
    """Keeps the books of one process; ``tell`` is called on the event loop, all else is the thread's."""

    def __init__(
        self,
        engine: Engine,
        *,
        spool: Spool | None = None,
        keep_asks: bool = False,
        retention: Retention = FOR_EVER,
        room: int = ROOM,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Begin to write; ``close`` writes what is left."""
        self._engine = engine
        self._spool = spool
        self._keep_asks = keep_asks
        self._retention = retention
        self._room = room
        self._clock = clock
        self._waiting: deque[Record] = deque()
        self._taken: list[Entry] = []
        """Entries that could not be written yet, where there is no spool."""
        self._swept_s = clock()
        self._problem = ""
        self.lost = 0
        """Rows that found no room, since the process began."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    def tell(self, record: Record) -> None:
        """Take a record; returns at once."""
        if len(self._waiting) + len(self._taken) >= self._room:
            self.lost += 1
            return
        self._waiting.append(record)

    @property
    def waiting(self) -> int:
        """How many rows are not in the database yet, those of a spool aside."""
        return len(self._waiting) + len(self._taken)

    @property
    def problem(self) -> str:
        """Why nothing can be written at the moment; empty when all is well."""
        return self._problem

    def close(self, wait_s: float = 10.0) -> None:
        """Write what is left and end the thread."""
        self._stop.set()
        self._thread.join(wait_s)

    # The thread.

    def _run(self) -> None:
        lost = 0
        while not self._stop.is_set():
            self._stop.wait(FLUSH_S)
            try:
                self._flush()
                self._sweep()
            except Exception:  # whatever it is must not end the books
                log.exception("the ledger failed; it tries again")
            if self.lost > lost:
                log.error("the ledger lost %d rows: it had no room for them", self.lost - lost)
                lost = self.lost
        if self._spool is not None:
            self._spool.close()

    def _flush(self) -> None:
        """Write all that waits; stop at the first failure."""
        while self._waiting or self._taken:
            entries = self._taken or self._entries()
            if self._spool is None:
                self._taken = entries
                if not self._written(entries, write):
                    return
                self._taken = []
            else:
                self._put(self._spool, entries)
        if self._spool is not None:
            self._carry(self._spool)

    def _entries(self) -> list[Entry]:
        n = min(BATCH, len(self._waiting))
        return [entry_of(self._waiting.popleft(), keep_ask=self._keep_asks) for _ in range(n)]

    def _put(self, spool: Spool, entries: list[Entry]) -> None:
        try:
            spool.put(
                [(entry.row["decision_id"], orjson.dumps(_packed(entry))) for entry in entries]
            )
            self._taken = []
        except (sqlite3.Error, OSError):
            self._taken = entries
            raise

    def _carry(self, spool: Spool) -> None:
        """Carry rows from the spool to the database."""
        while found := spool.first(BATCH):
            entries = [_unpacked(orjson.loads(data)) for _, data in found]
            if not self._written(entries, write_once):
                return
            spool.drop([id_ for id_, _ in found])

    def _written(self, entries: Sequence[Entry], how: Write) -> bool:
        """Write entries; say whether they need no more care.  A database that is away is told of once."""
        try:
            with writing(self._engine) as connection:
                how(connection, entries)
        except (OperationalError, InterfaceError) as error:
            problem = str(error.orig).splitlines()[0]
            if not self._problem:
                log.error("the ledger cannot be written, its rows wait: %s", problem)
            self._problem = problem
            return False
        except SQLAlchemyError:
            return self._sorted_out(entries)
        if self._problem:
            log.warning("the ledger is written again")
            self._problem = ""
        return True

    def _sorted_out(self, entries: Sequence[Entry]) -> bool:
        """Write entries one by one, after one among them was refused; what is refused alone is lost."""
        if len(entries) > 1:
            return all(self._written([entry], write_once) for entry in entries)
        log.exception("a row of the ledger is refused and lost: %r", entries[0].row)
        self.lost += 1
        return True

    def _sweep(self) -> None:
        """Delete what is older than it is kept, now and then."""
        now_s = self._clock()
        if now_s - self._swept_s < SWEEP_S:
            return
        self._swept_s = now_s
        sweep(self._engine, self._retention, now_s)


def entry_of(record: Record, *, keep_ask: bool) -> Entry:
    """Return a record as it is written."""
    row: dict[str, Any] = {name: clean(name, value) for name, value in as_row(record).items()}
    row["candidates"] = None
    if record.workings is None:
        return Entry(row, None, None)
    worked = record.workings()
    row["candidates"] = worked.candidates or None
    ask = fit_text(worked.ask, ASK_CHARS) if keep_ask else None
    return Entry(row, zlib.compress(worked.made, LEVEL), ask)


def clean(name: str, value: Any) -> Any:
    """Return a value as its column takes it: clients choose names, modes and models."""
    return fit_text(value, WIDTHS[name]) if isinstance(value, str) else value


def fit_text(text: str, chars: int | None) -> str:
    """Return a text that every database takes: UTF-8, without NUL, of at most so many characters."""
    return (
        text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")[:chars]
    )


def write(connection: Connection, entries: Sequence[Entry]) -> None:
    """Write entries, none of which is there yet."""
    rows = [entry.row for entry in entries]
    if not rows:
        return
    connection.execute(insert(requests), rows)
    for table, column, at in ((workings, "made", 1), (asks, "text", 2)):
        found = [
            {
                "decision_id": entry.row["decision_id"],
                "at_s": entry.row["at_s"],
                column: entry[at],
            }
            for entry in entries
            if entry[at] is not None
        ]
        if found:
            connection.execute(insert(table), found)
    rollups.add(connection, rows)


def write_once(connection: Connection, entries: Sequence[Entry]) -> None:
    """Write those entries that are not there yet."""
    ids = [entry.row["decision_id"] for entry in entries]
    known = select(requests.c.decision_id).where(requests.c.decision_id.in_(ids))
    there = set(connection.execute(known).scalars())
    write(connection, [entry for entry in entries if entry.row["decision_id"] not in there])


def sweep(engine: Engine, retention: Retention, now_s: float) -> int:
    """Delete what is older than it is kept; return how many rows that were."""
    deleted = 0
    for table, kept_days in (
        (requests, retention.requests),
        (workings, retention.workings),
        (asks, retention.workings),
    ):
        if kept_days is None:
            continue
        id_ = table.c.decision_id
        before_s = now_s - kept_days * DAY_S
        old = select(id_).where(table.c.at_s < before_s).limit(SWEEP_ROWS)
        while True:
            with writing(engine) as connection:
                n = connection.execute(delete(table).where(id_.in_(old))).rowcount
            deleted += n
            if n < SWEEP_ROWS:
                break
    return deleted


def _packed(entry: Entry) -> dict[str, Any]:
    made = None if entry.made is None else entry.made.hex()
    return {"row": entry.row, "made": made, "ask": entry.ask}


def _unpacked(fields: dict[str, Any]) -> Entry:
    made = fields["made"]
    return Entry(fields["row"], None if made is None else bytes.fromhex(made), fields["ask"])
