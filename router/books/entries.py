"""A request as the books write it: its row, and beside it what its decision was made from."""

from __future__ import annotations

import logging
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import Connection, insert, select

from router.books import rollups
from router.books.record import Record, as_row
from router.storage.database import alone
from router.storage.schema import asks, requests, workings

log = logging.getLogger(__name__)

WIDTHS: Final = {column.name: getattr(column.type, "length", None) for column in requests.columns}
"""Column → the most characters it takes; None: any number."""

LEVEL: Final = 6
"""Of zlib: 5 KB of workings become 1.5, in 0.1 ms."""

ASK_CHARS: Final = 8000
"""Of what a user asked for, where that is kept."""

ORDER: Final = 7_204_116_552
"""Names, in PostgreSQL's advisory locks, who writes rows: see ``write``."""


class BookEntry(NamedTuple):
    """One request as it is written."""

    row: dict[str, Any]
    made: bytes | None
    """What its decision was made from, compressed."""
    ask: str | None

    @property
    def id(self) -> str:
        """The decision's."""
        return str(self.row["decision_id"])


def entry_of(record: Record, *, keep_ask: bool) -> BookEntry:
    """Return a record as it is written; one whose workings fail is written without them."""
    row: dict[str, Any] = {name: clean(name, value) for name, value in as_row(record).items()}
    row["candidates"] = None
    if record.workings is None:
        return BookEntry(row, None, None)
    try:
        worked = record.workings()
    except Exception:  # whatever a client made of its request must not cost the row
        log.exception("what request %s was decided from cannot be kept", record.decision_id)
        return BookEntry(row, None, None)
    row["candidates"] = worked.candidates or None
    ask = fit_text(worked.ask, ASK_CHARS) if keep_ask else None
    return BookEntry(row, zlib.compress(worked.made, LEVEL), ask)


def clean(name: str, value: Any) -> Any:
    """Return a value as its column takes it: clients choose names, and no sum survives a NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return fit_text(value, WIDTHS[name]) if isinstance(value, str) else value


def fit_text(text: str, chars: int | None) -> str:
    """Return a text that every database takes: UTF-8, without NUL, of at most so many characters."""
    return (
        text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")[:chars]
    )


def write(connection: Connection, entries: Sequence[BookEntry]) -> None:
    """Write those entries that are not there yet, with the sums that they add to.

    Of all processes one writes at a time: so no row is written twice, and whoever has seen a row has
    seen every row of a lower number.
    """
    alone(connection, ORDER)
    known = select(requests.c.decision_id).where(
        requests.c.decision_id.in_([entry.id for entry in entries])
    )
    there = set(connection.execute(known).scalars())
    new = [*{entry.id: entry for entry in entries if entry.id not in there}.values()]
    if not new:
        return
    rows = [entry.row for entry in new]
    connection.execute(insert(requests), rows)
    for table, column, values in (
        (workings, "made", [entry.made for entry in new]),
        (asks, "text", [entry.ask for entry in new]),
    ):
        found = [
            {"decision_id": row["decision_id"], "at_s": row["at_s"], column: value}
            for row, value in zip(rows, values, strict=True)
            if value is not None
        ]
        if found:
            connection.execute(insert(table), found)
    rollups.add(connection, rows)


def packed(entry: BookEntry) -> bytes:
    """Write an entry as JSON, for the way to the database."""
    made = None if entry.made is None else entry.made.hex()
    return orjson.dumps({"row": entry.row, "made": made, "ask": entry.ask})


def unpacked(data: bytes) -> BookEntry:
    """Read what ``packed`` wrote, of another version too: a column that it did not know is empty."""
    fields: Mapping[str, Any] = orjson.loads(data)
    made, row = fields["made"], fields["row"]
    known = {name: row.get(name) for name in WIDTHS if name != requests.c.seq.name}
    return BookEntry(known, None if made is None else bytes.fromhex(made), fields["ask"])
