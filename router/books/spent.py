"""What accounts spent by the ledger: where a counter begins that was lost, or is new."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Engine, func, select

from router.callers.terms import ORG
from router.storage.schema import days

COLUMNS: Final = {"team": days.c.team, "key": days.c.caller}
"""Kind of account → the column that names it."""


def spent_usd(engine: Engine, account: str, since_s: float) -> float:
    """Return the dollars of an account from the day of ``since_s`` on (seconds since 1970)."""
    query = select(func.coalesce(func.sum(days.c.usd), 0.0)).where(days.c.day_s >= since_s)
    kind, _, name = account.partition(":")
    if account != ORG:
        query = query.where(COLUMNS[kind] == name)
    with engine.connect() as connection:
        return float(connection.execute(query).scalar() or 0.0)
