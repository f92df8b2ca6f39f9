"""Find rows of the ledger again: one request, what its decision was made from, pages of an export."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
from sqlalchemy import Engine, delete, select

from router.books.rollups import ANONYMOUS
from router.storage.database import writing
from router.storage.schema import asks, days, feedback, requests, workings

Row = Mapping[str, Any]

EXPORT_ROWS: Final = 10_000
"""Rows of one page of an export."""

SETTLED_S: Final = 5.0
"""How old a row is before an export has it: rows of several gateways are numbered before they can be
seen, and one that came out of turn would be passed over."""


def row_of(engine: Engine, name: str) -> dict[str, Any] | None:
    """Return the row of a request by its decision's id, or by the id of its answer; None for none."""
    with engine.connect() as connection:
        for column in (requests.c.decision_id, requests.c.answer_id):
            query = select(requests).where(column == name).order_by(requests.c.seq.desc()).limit(1)
            if (row := connection.execute(query).mappings().first()) is not None:
                return dict(row)
    return None


def made_of(engine: Engine, decision_id: str) -> dict[str, Any] | None:
    """Return what a decision was made from; None where it is kept no more, or nothing was decided."""
    with engine.connect() as connection:
        query = select(workings.c.made).where(workings.c.decision_id == decision_id)
        data = connection.execute(query).scalar()
    return None if data is None else orjson.loads(zlib.decompress(data))


def exported(
    engine: Engine, *, after: int = 0, limit: int = EXPORT_ROWS, until_s: float
) -> list[dict[str, Any]]:
    """Return rows in order, those after a number; none that ended later than ``until_s``."""
    query = (
        select(requests)
        .where(requests.c.seq > after, requests.c.at_s <= until_s)
        .order_by(requests.c.seq)
        .limit(limit)
    )
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def every(engine: Engine, until_s: float) -> Iterator[list[dict[str, Any]]]:
    """Yield all rows, a page at a time."""
    after = 0
    while page := exported(engine, after=after, until_s=until_s):
        yield page
        after = page[-1]["seq"]


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
