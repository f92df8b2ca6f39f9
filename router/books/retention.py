"""How long the books keep what is about single requests, and deleting what is older.  Sums stay."""

from __future__ import annotations

from typing import Final, NamedTuple

from sqlalchemy import Engine, delete, select

from router.storage.database import writing
from router.storage.schema import asks, feedback, requests, workings

ROWS: Final = 5000
"""Rows that are deleted at a time, so that writing goes on in between."""

DAY_S: Final = 86_400.0


class Retention(NamedTuple):
    """How many days things are kept; None: for ever."""

    requests: float | None = None
    """Rows, and what is said of them."""
    workings: float | None = None
    """Workings and asks; never longer than their rows, by which a person's are found."""


FOR_EVER: Final = Retention()


def sweep(engine: Engine, retention: Retention, now_s: float) -> int:
    """Delete all that is older than it is kept; return how many rows that were."""
    deleted = 0
    while n := sweep_some(engine, retention, now_s):
        deleted += n
    return deleted


def sweep_some(engine: Engine, retention: Retention, now_s: float) -> int:
    """Delete some of what is older than it is kept; return how many rows that were, 0 for the last."""
    shortest = min(filter(None, retention), default=None)
    deleted = 0
    for table, kept_days in (
        (workings, shortest),
        (asks, shortest),
        (feedback, retention.requests),
        (requests, retention.requests),
    ):
        if kept_days is None:
            continue
        [key] = table.primary_key.columns
        old = select(key).where(table.c.at_s < now_s - kept_days * DAY_S).limit(ROWS)
        with engine.connect() as connection:  # who finds nothing need not wait to write
            found = connection.execute(old).scalars().all()
        if found:
            with writing(engine) as connection:
                deleted += connection.execute(delete(table).where(key.in_(found))).rowcount
    return deleted
