"""Find rows of the ledger again: one request, what its decision was made from, pages of an export."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
from sqlalchemy import Engine, delete, func, select

from router.books.entries import WIDTHS, fit_text
from router.books.rollups import ANONYMOUS
from router.storage.database import writing
from router.storage.schema import asks, days, feedback, requests, workings

Row = Mapping[str, Any]

EXPORT_ROWS: Final = 10_000
"""Rows of one page of an export."""


def row_of(engine: Engine, name: str, caller: str | None = None) -> dict[str, Any] | None:
    """Return the row of a request by its decision's id, or the newest by the id of its answer.

    With a caller only among its own: providers name answers, and two may be called the same.  None for
    none.
    """
    with engine.connect() as connection:
        for column in (requests.c.decision_id, requests.c.answer_id):
            known_as = fit_text(name, WIDTHS[column.name])
            query = select(requests).where(column == known_as)
            if caller is not None:
                query = query.where(requests.c.caller == caller)
            query = query.order_by(requests.c.seq.desc()).limit(1)
            if (row := connection.execute(query).mappings().first()) is not None:
                return plain(row)
    return None


def made_of(engine: Engine, decision_id: str) -> dict[str, Any] | None:
    """Return what a decision was made from; None where it is kept no more, or nothing was decided."""
    with engine.connect() as connection:
        query = select(workings.c.made).where(workings.c.decision_id == decision_id)
        data = connection.execute(query).scalar()
    return None if data is None else orjson.loads(zlib.decompress(data))


def plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a row under plain names: of SQLAlchemy's own kind of string orjson takes none."""
    return {str(name): value for name, value in row.items()}


def exported(engine: Engine, *, after: int = 0, limit: int = EXPORT_ROWS) -> list[dict[str, Any]]:
    """Return rows in order, those after a number.

    None comes later with a lower number (``router.books.entries.write``), so whoever goes on from the
    last one has every row once.
    """
    query = select(requests).where(requests.c.seq > after).order_by(requests.c.seq).limit(limit)
    with engine.connect() as connection:
        return [plain(row) for row in connection.execute(query).mappings()]


def every(engine: Engine) -> Iterator[list[dict[str, Any]]]:
    """Yield all rows that there are now, a page at a time."""
    with engine.connect() as connection:
        last = connection.execute(select(func.max(requests.c.seq))).scalar() or 0
    after = 0
    while after < last and (page := exported(engine, after=after)):
        page = [row for row in page if row["seq"] <= last]
        yield page
        after = page[-1]["seq"] if page else last


def forget(engine: Engine, caller: str) -> int:
    """Delete everything of a caller: rows, workings, asks, feedback, sums; return how many rows it were."""
    theirs = select(requests.c.decision_id).where(requests.c.caller == caller)
    with writing(engine) as connection:
        for table in (workings, asks):
            connection.execute(delete(table).where(table.c.decision_id.in_(theirs)))
        connection.execute(delete(feedback).where(feedback.c.caller == caller))
        n = connection.execute(delete(requests).where(requests.c.caller == caller)).rowcount
        if caller != ANONYMOUS:
            connection.execute(delete(days).where(days.c.caller == caller))
    return n
