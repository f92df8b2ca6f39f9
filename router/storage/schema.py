"""The tables, the same on SQLite and PostgreSQL.  Times are seconds since 1970, UTC; money is US dollars.

``requests`` is the ledger: one row per request, at its end.  ``hours``, ``days`` and ``days_by`` are sums of
it, kept as rows are written, so that what people look at costs the same after ten million rows; ``hours``
knows how long answers took, ``days`` callers, ``days_by`` is by one thing alone.  No table holds a prompt or an answer but ``asks``, which
stays empty unless it is switched on.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)

Serial: Final = BigInteger().with_variant(Integer, "sqlite")
"""A number that a row is given when it is written: SQLite's own only where it is called INTEGER."""


requests = Table(
    "requests",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("decision_id", String(32), nullable=False),
    Column("answer_id", String(128)),
    Column("at_s", Float, nullable=False),
    Column("end", String(16), nullable=False),
    Column("status", Integer),
    Column("error", String(64)),
    Column("interface", String(16), nullable=False),
    Column("total_s", Float, nullable=False),
    Column("first_s", Float),
    Column("decided_s", Float),
    Column("caller", String(256)),
    Column("team", String(256)),
    Column("anonymous", Boolean, nullable=False),
    Column("asked_model", Text),
    Column("streams", Boolean),
    Column("body_bytes", BigInteger, nullable=False),
    Column("mode", Text),
    Column("agent", Text),
    Column("subagent", Boolean, nullable=False),
    Column("session", String(64)),
    Column("ask", String(64)),
    Column("tier", String(64)),
    Column("task", String(64)),
    Column("difficulty", Float),
    Column("confidence", Float),
    Column("move", String(16)),
    Column("why", Text),
    Column("evidence", String(16)),
    Column("expected_quality", Float),
    Column("expected_cost_usd", Float),
    Column("candidates", Text),
    Column("model", String(256)),
    Column("effort", String(32)),
    Column("provider", String(128)),
    Column("served_model", Text),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("cached_tokens", BigInteger),
    Column("cache_write_tokens", BigInteger),
    Column("reasoning_tokens", BigInteger),
    Column("usd", Float),
    Column("frontier_usd", Float),
    Column("balanced_usd", Float),
    Column("former_usd", Float),
    Column("saved_usd", Float),
    Column("failures", Text, nullable=False),
    UniqueConstraint("decision_id"),
    Index(None, "at_s"),
    Index("ix_requests_session", "session", "at_s"),
    Index("ix_requests_caller", "caller", "at_s"),
    Index("ix_requests_answer", "answer_id"),
    Index("ix_requests_caller_seq", "caller", "seq"),
    Index("ix_requests_model_seq", "model", "seq"),
    Index("ix_requests_end_seq", "end", "seq"),
    sqlite_autoincrement=True,  # a number is never given twice: who reads on from one misses nothing
)

workings = Table(
    "workings",
    metadata,
    Column("decision_id", String(32), primary_key=True),
    Column("at_s", Float, nullable=False, index=True),
    Column("made", LargeBinary, nullable=False),
)
"""What decisions were made from, compressed: to be opened, and made again against another table."""

asks = Table(
    "asks",
    metadata,
    Column("decision_id", String(32), primary_key=True),
    Column("at_s", Float, nullable=False, index=True),
    Column("text", Text, nullable=False),
)
"""What users asked for, where ``keep_asks`` is on."""


SUMS: Final = (
    "requests",
    "served",
    "refused",
    "failed",
    "left",
    "fallbacks",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "usd",
    "frontier_usd",
    "balanced_usd",
    "saved_usd",
    "priced",
    "related",
    "prior",
    "measured",
)
"""What is summed up of requests."""

DOLLARS: Final = frozenset(name for name in SUMS if name.endswith("usd"))

LATENCY_S: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0)
"""Upper ends of the buckets in which times are counted, a factor of about two apart; what is longer
is counted in one more.  A first word takes half a second to a minute, an answer up to some minutes."""


def _sums() -> list[Column[Any]]:
    return [
        Column(name, Float(), nullable=False)
        if name in DOLLARS
        else Column(name, BigInteger(), nullable=False)
        for name in SUMS
    ]


def times(kind: str) -> tuple[str, ...]:
    """Name the columns that count how long something took, one a bucket."""
    return tuple(f"{kind}_{i}" for i in range(len(LATENCY_S) + 1))


HOUR_KEYS: Final = ("hour_s", "tier", "model", "provider")
DAY_KEYS: Final = ("day_s", "caller", "team", "tier", "model", "task")

hours = Table(
    "hours",
    metadata,
    Column("hour_s", BigInteger, primary_key=True),
    *(Column(name, String(256), primary_key=True) for name in HOUR_KEYS[1:]),
    *_sums(),
    *(Column(name, BigInteger, nullable=False) for name in (*times("first"), *times("total"))),
)

days = Table(
    "days",
    metadata,
    Column("day_s", BigInteger, primary_key=True),
    *(Column(name, String(256), primary_key=True) for name in DAY_KEYS[1:]),
    *_sums(),
)

DAY_BY_KEYS: Final = ("day_s", "by", "name")
GROUPS: Final = ("tier", "model", "task", "caller", "team")
"""What days are summed up by, each alone: months of it are some thousand rows, where those of ``days``
are a million with some hundred callers."""

days_by = Table(
    "days_by",
    metadata,
    Column("day_s", BigInteger, primary_key=True),
    Column("by", String(16), primary_key=True),
    Column("name", String(256), primary_key=True),
    *_sums(),
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("decision_id", String(32), nullable=False, index=True),
    Column("at_s", Float, nullable=False),
    Column("caller", String(256)),
    Column("ask", String(64)),
    Column("outcome", String(16)),
    Column("score", Float),
    Column("comment", Text),
)
"""What users and their tests say of answers; credited to the ask."""


# Who may ask, and under what.

keys = Table(
    "keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(256), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("hint", String(16), nullable=False),
    Column("team", String(256)),
    Column("scopes", String(64), nullable=False),
    Column("created_s", Float, nullable=False),
    Column("expires_s", Float),
    Column("revoked_s", Float),
    Column("used_s", Float),
    UniqueConstraint("sha256"),
    Index(None, "name"),
)

teams = Table(
    "teams",
    metadata,
    Column("name", String(256), primary_key=True),
    Column("created_s", Float, nullable=False),
)

terms = Table(
    "terms",
    metadata,
    Column("scope", String(300), primary_key=True),
    Column("terms", Text, nullable=False),
    Column("changed_s", Float, nullable=False),
)
"""Scope (``org``, ``team:NAME``, ``key:NAME``) → what holds there, as JSON."""

secrets = Table(
    "secrets",
    metadata,
    Column("scope", String(300), primary_key=True),
    Column("provider", String(128), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("changed_s", Float, nullable=False),
)
"""Callers' own provider keys, encrypted."""

audit = Table(
    "audit",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("at_s", Float, nullable=False, index=True),
    Column("actor", String(256), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", String(300), nullable=False),
    Column("before", Text),
    Column("after", Text),
)
"""Every change of keys, teams and terms: who, what, from what, to what."""

changes = Table(
    "changes",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("at_s", Float, nullable=False, index=True),
    Column("said", Text, nullable=False),
    UniqueConstraint("at_s", "said"),
)
"""What of mappings and tables changed while the gateway ran, in words."""

revisions = Table(
    "revisions",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("number", BigInteger, nullable=False),
)
"""How often something was changed: whoever holds a copy looks here whether it is the newest."""

alerts = Table(
    "alerts",
    metadata,
    Column("hook", String(16), primary_key=True),
    Column("id", String(400), primary_key=True),
    Column("said", Text, nullable=False),
    Column("seen_s", Float, nullable=False),
)
"""Alerts that stand, by webhook: whoever writes a row tells of it, and whoever takes it away of its end."""
