"""Every read that the pages make of the books, each bounded whatever the books hold.

Sums are read from ``hours`` and ``days_by``, rows by their number or an index, so many at most.  A search
that no index serves looks through ``WINDOW`` rows, and says from where to go on: a page is there at
once and nothing is ever counted over all rows.  None of this waits for the network of an event loop:
it is called on a thread.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import Column, ColumnElement, Engine, Table, case, distinct, func, select

from router.books.rollups import DAY_S, HOUR_S
from router.storage import schema
from router.storage.schema import (
    GROUPS,
    LATENCY_S,
    SUMS,
    days_by,
    hours,
    requests,
    times,
    workings,
)

Row = Mapping[str, Any]


class Span(NamedTuple):
    """How far back a page looks, and in which steps it draws."""

    name: str
    back_s: int
    step_s: int


SPANS: Final = {
    span.name: span
    for span in (
        Span("24h", DAY_S, HOUR_S),
        Span("7d", 7 * DAY_S, 6 * HOUR_S),
        Span("30d", 30 * DAY_S, DAY_S),
        Span("90d", 90 * DAY_S, DAY_S),
    )
}

TOP: Final = 50
"""Groups that are told, the dearest first."""

LINES: Final = 6
"""Groups that are drawn."""

ROWS: Final = 50
"""Of a page of a list."""

WINDOW: Final = 100_000
"""Rows that a search looks through at a time, where no index finds what it seeks."""

RECENT: Final = 4000
"""Requests whose sessions are listed at a time."""

LISTED_AT_ONCE: Final = 200
"""Sessions of a page, which reaches less far back where ``RECENT`` requests have more."""

STEPS: Final = 400
"""Requests of a session that are told, the last ones."""

LISTED: Final = (
    "seq", "decision_id", "at_s", "end", "error", "caller", "team", "asked_model", "session", "tier",
    "task", "difficulty", "move", "why", "evidence", "model", "effort", "provider", "input_tokens",
    "cached_tokens", "output_tokens", "usd", "saved_usd", "first_s", "total_s", "failures",
)  # fmt: skip
"""Columns of a row in a list."""


# Sums.


def totals(engine: Engine, span: Span, now_s: float) -> dict[str, float]:
    """Return the sums of a span, and how many answers took how long."""
    names = (*SUMS, *times("first"), *times("total"))
    sums = (func.coalesce(func.sum(hours.c[name]), 0).label(name) for name in names)
    since = hours.c.hour_s >= _since(span, now_s)
    return {name: float(n) for name, n in _one(engine, select(*sums).where(since)).items()}


def grouped(engine: Engine, span: Span, now_s: float, by: str) -> list[Row]:
    """Return the sums of a span by one of ``GROUPS``, the dearest first, ``TOP`` at most."""
    kept = _kept_by(span, now_s, by)
    sums = {name: func.sum(kept.table.c[name]).label(name) for name in SUMS}
    return _many(
        engine,
        select(kept.name.label("name"), *sums.values())
        .where(*kept.where)
        .group_by(kept.name)
        .order_by(sums["usd"].desc(), sums["requests"].desc(), kept.name)
        .limit(TOP),
    )


def spent(engine: Engine, span: Span, now_s: float, by: str) -> float:
    """Return the dollars of all groups of a span, of which ``grouped`` tells the dearest."""
    kept = _kept_by(span, now_s, by)
    asked = select(func.coalesce(func.sum(kept.table.c.usd), 0.0).label("usd"))
    return float(_one(engine, asked.where(*kept.where))["usd"])


def series(engine: Engine, span: Span, now_s: float) -> list[Row]:
    """Return the sums of each step of a span, the oldest first."""
    told = ("requests", "failed", "usd", "frontier_usd", "balanced_usd")
    kept = _kept_by(span, now_s, "tier")
    step = _step(kept.at, span.step_s)
    sums = (func.sum(kept.table.c[name]).label(name) for name in told)
    return _many(engine, select(step, *sums).where(*kept.where).group_by(step).order_by(step))


def lines(
    engine: Engine, span: Span, now_s: float, by: str, names: Sequence[str]
) -> dict[float, dict[str, float]]:
    """Return the dollars of some groups in each step of a span: step → group → dollars.

    Groups that only days know are drawn by days.
    """
    kept = _kept_by(span, now_s, by)
    step = _step(kept.at, span.step_s)
    asked = (
        select(step, kept.name.label("name"), func.sum(kept.table.c.usd).label("usd"))
        .where(*kept.where, kept.name.in_(names[:LINES]))
        .group_by(step, kept.name)
    )
    found: dict[float, dict[str, float]] = {}
    for row in _many(engine, asked):
        found.setdefault(row["at_s"], {})[row["name"]] = row["usd"]
    return dict(sorted(found.items()))


class _Kept(NamedTuple):
    """The sums that know a group, as far as a span goes."""

    table: Table
    at: Column[int]
    name: Column[str]
    where: tuple[ColumnElement[bool], ...]


def _kept_by(span: Span, now_s: float, by: str) -> _Kept:
    """Return hours where they know a group and a span is drawn in them, else days; raises KeyError."""
    if by not in GROUPS:
        raise KeyError(by)
    since = _since(span, now_s)
    if span.step_s < DAY_S and by in hours.c:
        return _Kept(hours, hours.c.hour_s, hours.c[by], (hours.c.hour_s >= since,))
    at = days_by.c.day_s
    where = (at >= since // DAY_S * DAY_S, days_by.c.by == by)
    return _Kept(days_by, at, days_by.c.name, where)


def _since(span: Span, now_s: float) -> int:
    """Return where a span begins: with a whole hour, or day where it is drawn in days."""
    whole_s = DAY_S if span.step_s >= DAY_S else HOUR_S
    return int((now_s - span.back_s) // whole_s) * whole_s


def quantile_s(counts: Mapping[str, float], kind: str, share: float) -> float | None:
    """Return the time within which a share of the answers came, by the buckets of ``totals``.

    Within a bucket times are taken to lie evenly; of the last one nothing but its beginning is known.
    """
    buckets = [counts[name] for name in times(kind)]
    wanted, before = sum(buckets) * share, 0.0
    if not wanted:
        return None
    for low, high, n in zip((0.0, *LATENCY_S), LATENCY_S, buckets, strict=False):
        if before + n >= wanted:
            return low + (high - low) * (wanted - before) / n
        before += n
    return LATENCY_S[-1]


def _step(at: Column[int], step_s: int) -> ColumnElement[Any]:
    return (at - at % step_s).label("at_s")


# Requests.


@dataclass(frozen=True, slots=True)
class Filter:
    """Which requests are sought; None: any."""

    tier: str | None = None
    model: str | None = None
    caller: str | None = None
    end: str | None = None
    task: str | None = None

    @property
    def sought(self) -> dict[str, str]:
        """What is sought, by its column."""
        return {name: value for name, value in asdict(self).items() if value}

    @property
    def indexed(self) -> bool:
        """Whether an index finds all of it, or nothing is sought."""
        return not self.sought or (len(self.sought) == 1 and self.sought.keys() <= INDEXED)


INDEXED: Final = frozenset({"caller", "model", "end"})


LAST: Final = 2**63 - 1
"""The largest number that a row can have."""


class Page(NamedTuple):
    """Rows of a list, the newest first, and where to go on."""

    rows: list[Row]
    before: int | None
    """The number of the first row that was not looked at, and one more; None: all was."""


def newest(engine: Engine) -> int:
    """Return the number of the newest row; zero before the first."""
    with engine.connect() as connection:
        return int(connection.execute(select(func.max(requests.c.seq))).scalar() or 0)


def page(engine: Engine, sought: Filter, *, before: int | None = None, limit: int = ROWS) -> Page:
    """Return rows before a number."""
    top = newest(engine) + 1 if before is None else before
    floor = 0 if sought.indexed else max(0, top - WINDOW)
    where = (requests.c.seq < top, requests.c.seq >= floor, *_is(sought))
    rows = _many(engine, _listed().where(*where).order_by(requests.c.seq.desc()).limit(limit + 1))
    if len(rows) > limit:
        return Page(rows[:limit], rows[limit - 1]["seq"])
    return Page(rows, floor or None)


def newer(engine: Engine, sought: Filter, after: int, limit: int = ROWS) -> list[Row]:
    """Return rows after a number, the newest first; of many the newest."""
    top = newest(engine)
    where = (requests.c.seq > max(after, top - WINDOW), requests.c.seq <= top, *_is(sought))
    return _many(engine, _listed().where(*where).order_by(requests.c.seq.desc()).limit(limit))


def one(engine: Engine, decision_id: str) -> Row | None:
    """Return all of one request."""
    return _one(engine, select(requests).where(requests.c.decision_id == decision_id)) or None


def working(engine: Engine, decision_id: str) -> dict[str, Any] | None:
    """Return what a decision was made from; None where it is not kept, or no longer."""
    found = _one(engine, select(workings.c.made).where(workings.c.decision_id == decision_id))
    if not found:
        return None
    made: dict[str, Any] = orjson.loads(zlib.decompress(found["made"]))
    return made


def _listed() -> Any:
    return select(*(requests.c[name] for name in LISTED))


def _is(sought: Filter) -> list[ColumnElement[bool]]:
    return [requests.c[name] == value for name, value in sought.sought.items()]


# Sessions.


def sessions(engine: Engine, before: int | None) -> Page:
    """Return the sessions of ``RECENT`` requests before a number, or of fewer that have enough of them."""
    top = newest(engine) + 1 if before is None else before
    floor = max(0, top - RECENT)
    rows = _sessions_of(engine, floor, top)
    if len(rows) > LISTED_AT_ONCE:
        floor = rows[LISTED_AT_ONCE - 1]["seq"]
        rows = _sessions_of(engine, floor, top)
    return Page(rows, floor or None)


def _sessions_of(engine: Engine, floor: int, top: int) -> list[Row]:
    """Return the sessions of requests from a number to before another, one more than is listed at most."""
    row = (
        select(*(requests.c[name] for name in (*LISTED, "frontier_usd")))
        .where(requests.c.seq < top, requests.c.seq >= floor, requests.c.session.is_not(None))
        .subquery()
    )
    moved = case((row.c.move.in_(("switch", "escalate", "replace")), 1), else_=0)
    last = func.max(row.c.seq)
    asked = select(
        row.c.session,
        last.label("seq"),
        func.max(row.c.caller).label("caller"),
        func.min(row.c.at_s).label("began_s"),
        func.max(row.c.at_s).label("at_s"),
        func.count().label("requests"),
        func.count(distinct(row.c.model)).label("models"),
        func.max(row.c.model).label("model"),
        func.sum(moved).label("moves"),
        func.sum(row.c.input_tokens).label("input_tokens"),
        func.sum(row.c.cached_tokens).label("cached_tokens"),
        func.sum(row.c.usd).label("usd"),
        func.sum(row.c.saved_usd).label("saved_usd"),
    )
    asked = asked.group_by(row.c.session).order_by(last.desc())
    return _many(engine, asked.limit(LISTED_AT_ONCE + 1))


def session(engine: Engine, key: str) -> list[Row]:
    """Return the last requests of a session, the oldest first, ``STEPS`` at most."""
    asked = _listed().where(requests.c.session == key).order_by(requests.c.at_s.desc())
    return _many(engine, asked.limit(STEPS))[::-1]


def changes(engine: Engine) -> list[Row]:
    """Return what of mappings and tables changed while some gateway ran, the newest first."""
    found = schema.changes.c
    return _many(engine, select(found.at_s, found.said).order_by(found.at_s.desc()).limit(200))


def _many(engine: Engine, asked: Any) -> list[Row]:
    with engine.connect() as connection:
        rows = connection.execute(asked).mappings()
        return [{name: _plain(value) for name, value in row.items()} for row in rows]


def _plain(value: Any) -> Any:
    """Return a whole number as one: PostgreSQL sums them up to decimals."""
    return int(value) if isinstance(value, Decimal) else value


def _one(engine: Engine, asked: Any) -> dict[str, Any]:
    rows = _many(engine, asked.limit(1))
    return dict(rows[0]) if rows else {}
