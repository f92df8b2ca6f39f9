"""Sums of the ledger by hour and by day, kept as its rows are written.  Pure but for ``add``.

A page that looks at a month reads some thousand sums and no row.  What they are grouped by is in
``router.storage.schema``; a person's address is no group: anonymous callers count as one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

from router.storage.schema import (
    DAY_BY_KEYS,
    DAY_KEYS,
    GROUPS,
    HOUR_KEYS,
    LATENCY_S,
    SUMS,
    days,
    days_by,
    hours,
    times,
)

HOUR_S: Final = 3600
DAY_S: Final = 86_400

ANONYMOUS: Final = "anonymous"

Row = Mapping[str, Any]
Sums = dict[tuple[Any, ...], dict[str, float]]


def summed(rows: Iterable[Row]) -> tuple[Sums, Sums]:
    """Sum rows of the ledger by hour and by day: key → column → sum."""
    by_hour: Sums = defaultdict(lambda: defaultdict(float))
    by_day: Sums = defaultdict(lambda: defaultdict(float))
    for row in rows:
        counted = counts_of(row)
        at = {**row, "hour_s": _floor(row["at_s"], HOUR_S), "day_s": _floor(row["at_s"], DAY_S)}
        at["caller"] = ANONYMOUS if row["anonymous"] else row["caller"]
        for sums, keys, more in (
            (by_hour, HOUR_KEYS, times_of(row)),
            (by_day, DAY_KEYS, {}),
        ):
            found = sums[tuple("" if at[name] is None else at[name] for name in keys)]
            for name, value in (*counted.items(), *more.items()):
                found[name] += value
    return by_hour, by_day


def alone(by_day: Sums) -> Sums:
    """Sum days further, by each of ``GROUPS`` alone."""
    found: Sums = defaultdict(lambda: defaultdict(float))
    for key, sums in by_day.items():
        named = dict(zip(DAY_KEYS, key, strict=True))
        for by in GROUPS:
            kept = found[named["day_s"], by, named[by]]
            for name, value in sums.items():
                kept[name] += value
    return found


def counts_of(row: Row) -> dict[str, float]:
    """Return what a row adds to each of ``SUMS``."""
    served = {name: float(row["end"] == name) for name in ("served", "refused", "failed", "left")}
    known = {name: float(row["evidence"] == name) for name in ("measured", "related", "prior")}
    return {
        **{name: row.get(name) or 0 for name in SUMS},
        **{
            name: _elsewhere(row.get(name), row["usd"]) for name in ("frontier_usd", "balanced_usd")
        },
        **served,
        **known,
        "requests": 1,
        "fallbacks": float(bool(row["failures"]) and row["end"] == "served"),
        "priced": float(row["usd"] is not None),
    }


def _elsewhere(elsewhere_usd: float | None, usd: float | None) -> float:
    """Return what a row adds to a baseline, so that spend taken from it leaves what is known to be saved.

    Of a row whose price is known nowhere else nothing is saved or lost; one without a price of its own
    is no spend, and so no saving.
    """
    if usd is None:
        return 0.0
    return usd if elsewhere_usd is None else elsewhere_usd


def times_of(row: Row) -> dict[str, float]:
    """Return the buckets of its times that a row which was served counts in."""
    if row["end"] != "served":
        return {}
    took = (("first", row["first_s"]), ("total", row["total_s"]))
    return {f"{kind}_{bisect_left(LATENCY_S, s)}": 1 for kind, s in took if s is not None}


def add(connection: Connection, rows: Iterable[Row]) -> None:
    """Add rows to the sums, in one order for all processes, so that none waits for another in a ring."""
    by_hour, by_day = summed(rows)
    every_hour = (*SUMS, *times("first"), *times("total"))
    _add(connection, hours, HOUR_KEYS, every_hour, by_hour)
    _add(connection, days, DAY_KEYS, SUMS, by_day)
    _add(connection, days_by, DAY_BY_KEYS, SUMS, alone(by_day))


def _add(
    connection: Connection, table: Table, keys: tuple[str, ...], names: tuple[str, ...], sums: Sums
) -> None:
    if not sums:
        return
    made = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = made.insert(table)
    upsert = insert.on_conflict_do_update(
        index_elements=list(keys),
        set_={name: table.c[name] + insert.excluded[name] for name in names},
    )
    values = [
        dict(zip(keys, key, strict=True)) | {name: sums[key].get(name, 0) for name in names}
        for key in sorted(sums)
    ]
    connection.execute(upsert, values)


def _floor(at_s: float, step_s: int) -> int:
    return int(at_s // step_s) * step_s
