"""The sums of hours and days are those of the rows, however these were written."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from router.books.entries import entry_of
from router.books.record import End
from router.storage.schema import SUMS, days, hours, requests, times
from router.values import Usage
from router.wire.parts import MAX_TOKENS, MAX_USD
from tests.books_rig import (
    books_in,
    put,
    record,
    records,
    rows_of,
)

COUNTED = ("input_tokens", "output_tokens", "cached_tokens", "usd", "saved_usd")


def totals(engine, table, names=SUMS) -> dict[str, float]:
    with engine.connect() as connection:
        query = select(*(func.coalesce(func.sum(table.c[name]), 0).label(name) for name in names))
        found = connection.execute(query).mappings().one()
    return {name: float(value) for name, value in found.items()}  # PostgreSQL sums to decimals


def check_sums(engine) -> None:
    """Assert that all sums say what the rows say."""
    rows = rows_of(engine)
    ends = Counter(row["end"] for row in rows)
    expected = totals(engine, requests, COUNTED) | {
        "requests": len(rows),
        **{end.value: ends[end.value] for end in End},
        "priced": sum(row["usd"] is not None for row in rows),
    }
    for table in (hours, days):
        found = totals(engine, table)
        for name in ("frontier_usd", "balanced_usd"):
            known = [row for row in rows if None not in (row["usd"], row[name])]
            saved = sum(row[name] - row["usd"] for row in known)
            assert found[name] - found["usd"] == pytest.approx(saved, rel=1e-9, abs=1e-6)
        assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-12)
    served = [row for row in rows if row["end"] == "served"]
    for kind in ("first", "total"):
        counted = sum(totals(engine, hours, times(kind)).values())
        assert counted == sum(row[f"{kind}_s"] is not None for row in served)
    for row in rows_of(engine, hours):
        assert row["hour_s"] % 3600 == 0


@settings(max_examples=15)
@given(
    told=st.lists(records, max_size=12),
    batches=st.lists(st.lists(st.integers(0, 11), max_size=8), max_size=4),
)
def test_sums_are_those_of_the_rows_whatever_the_batches_and_duplicates(told, batches):
    entries = [entry_of(record, keep_ask=False) for record in told]
    with TemporaryDirectory() as folder, books_in(Path(folder)) as engine:
        for batch in batches:
            put(engine, *(entries[i] for i in batch if i < len(entries)))
        assert len(rows_of(engine)) == len({i for b in batches for i in b if i < len(entries)})
        check_sums(engine)


def test_both_databases_sum_alike(either):
    for at_s in (0.0, 10.0, 3600.0, 90_000.0):
        told = (record(at_s=at_s), record(at_s=at_s, end=End.FAILED), record(at_s=at_s, usd=None))
        put(either, *(entry_of(one, keep_ask=False) for one in told))
    check_sums(either)
    assert [row["hour_s"] for row in rows_of(either, hours)] == [0, 3600, 90_000]


def test_the_largest_counts_are_summed(either):
    most = Usage(*[MAX_TOKENS] * 5)
    put(either, *(entry_of(record(usage=most, usd=MAX_USD), keep_ask=False) for _ in range(20)))
    check_sums(either)


def test_an_address_is_in_no_sum(either):
    put(either, entry_of(record(caller="anonymous 10.0.0.7", anonymous=True), keep_ask=False))
    assert [row["caller"] for row in rows_of(either, days)] == ["anonymous"]


@pytest.mark.parametrize("s", [0.0, 0.1, 0.11, 120.0, 121.0])
def test_every_time_has_a_bucket(books, s):
    put(books, entry_of(record(first_s=s), keep_ask=False))
    assert sum(totals(books, hours, times("first")).values()) == 1
