"""What tests of the books stand on: records of every kind, databases of both kinds, and their rows."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from sqlalchemy import Engine, select

from router.books.entries import write
from router.books.ledger import Ledger
from router.books.record import End, Record, Workings
from router.storage.database import file_url, open_database, writing
from router.storage.schema import HOUR_KEYS, metadata, requests
from router.values import Failure, Interface, Move, Support, Unit, Usage

NOON_S = 1_796_000_000.0


def record(**changes: Any) -> Record:
    """Return a record of a request that was served."""
    given: dict[str, Any] = {
        "decision_id": secrets.token_hex(8),
        "end": End.SERVED,
        "status": 200,
        "error": None,
        "interface": Interface.CHAT,
        "total_s": 1.5,
        "at_s": NOON_S,
        "answer_id": "a-1",
        "first_s": 0.4,
        "decided_s": 0.001,
        "caller": "anna",
        "team": "web",
        "asked_model": "kilo-auto/efficient",
        "streams": True,
        "body_bytes": 120,
        "mode": "code",
        "agent": "explore",
        "session": "s1",
        "ask": "k1",
        "tier": "kilo-auto/efficient",
        "task": "debugging/bug_fixing",
        "difficulty": 1.5,
        "confidence": 0.9,
        "move": Move.BEGIN,
        "why": "It is the best buy.",
        "evidence": Support.MEASURED,
        "expected_quality": 0.8,
        "expected_cost_usd": 0.02,
        "unit": Unit("openai/gpt-5.5", "low"),
        "provider": "openai",
        "served_model": "gpt-5.5-x",
        "usage": Usage(100, 20, 80, 10, 5),
        "usd": 0.01,
        "frontier_usd": 0.05,
        "balanced_usd": 0.02,
        "former_usd": 0.03,
        "saved_usd": 0.02,
        "failures": (Failure(Unit("z-ai/glm-5"), "zai", 429, "status 429"),),
        "workings": lambda: Workings("openai/gpt-5.5@low 0.80 $0.02", b'{"decision":{}}', "Fix it"),
    }
    return Record(**given | changes)


REFUSED = {
    "end": End.REFUSED,
    "status": 401,
    "error": "invalid_api_key",
    **dict.fromkeys(
        ("answer_id", "first_s", "decided_s", "caller", "team", "asked_model", "streams", "mode")
    ),
    **dict.fromkeys(("agent", "session", "ask", "tier", "task", "difficulty", "confidence")),
    **dict.fromkeys(("move", "why", "evidence", "expected_quality", "expected_cost_usd", "unit")),
    **dict.fromkeys(("provider", "served_model", "usage", "usd", "frontier_usd", "balanced_usd")),
    **dict.fromkeys(("former_usd", "saved_usd", "workings")),
    "failures": (),
}
"""What makes of a record one of a request that nobody knew."""

names = st.sampled_from([None, "anna", "ben", "=1+1", "Zoë ☃"])
dollars = st.none() | st.integers(0, 2000).map(lambda n: n / 1024)
"""Binary fractions: their sums are the same in any order."""

records = st.builds(
    record,
    end=st.sampled_from(End),
    at_s=st.floats(0, 200_000),
    first_s=st.none() | st.floats(0, 200),
    total_s=st.floats(0, 200),
    caller=names,
    team=names,
    anonymous=st.booleans(),
    tier=st.sampled_from([None, "kilo-auto/efficient"]),
    unit=st.sampled_from([None, Unit("m/a"), Unit("m/b", "low")]),
    usage=st.none() | st.builds(Usage, st.integers(0, 10**9), st.integers(0, 10**9)),
    usd=dollars,
    frontier_usd=dollars,
    saved_usd=dollars,
    evidence=st.none() | st.sampled_from(Support),
    failures=st.sampled_from([(), (Failure(Unit("z-ai/glm-5"), "zai", 429, "status 429"),)]),
    workings=st.none(),
)


@contextmanager
def books_in(folder: Path) -> Iterator[Engine]:
    """Open books in a folder."""
    engine = open_database(file_url(folder / "books.db"))
    yield engine
    engine.dispose()


@contextmanager
def emptied(url: str) -> Iterator[Engine]:
    engine = open_database(url)
    with writing(engine) as connection:
        for table in metadata.sorted_tables:
            connection.execute(table.delete())
    yield engine
    engine.dispose()


@contextmanager
def ledger(engine: Engine, **options: Any) -> Iterator[Ledger]:
    """Keep books; all that was told is written at the end."""
    kept = Ledger(engine, **options)
    try:
        yield kept
    finally:
        kept.close()


def put(engine: Engine, *entries: Any) -> None:
    """Write entries in one transaction."""
    with writing(engine) as connection:
        write(connection, entries)


def rows_of(engine: Engine, table: Any = requests) -> list[dict[str, Any]]:
    """Return all rows of a table."""
    with engine.connect() as connection:
        order = table.c.hour_s if HOUR_KEYS[0] in table.c else [*table.primary_key.columns][0]
        return [dict(row) for row in connection.execute(select(table).order_by(order)).mappings()]


def n_rows(engine: Engine, table: Any = requests) -> int:
    """Count the rows of a table."""
    return len(rows_of(engine, table))
