"""What pages read of the books is right, bounded, and the same on SQLite and PostgreSQL."""

from __future__ import annotations

import math
import time
import zlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert

from benchmarks.speed import books as filler
from router.books import queries, rollups
from router.books.queries import SPANS, Filter
from router.storage.database import file_url, open_database, writing
from router.storage.schema import GROUPS, LATENCY_S, changes, requests, times, workings
from tests.services import postgres_server

N = 3000
NOW_S = time.time()
ROWS = list(filler.rows_of(N, 0, N, NOW_S))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request, tmp_path_factory):
    if request.param == "sqlite":
        engine = open_database(file_url(tmp_path_factory.mktemp("books") / "books.db"))
        yield filled(engine)
        engine.dispose()
        return
    with postgres_server() as server:
        engine = open_database(server.url)
        yield filled(engine)
        engine.dispose()


def filled(engine):
    filler.fill(engine, N, NOW_S)
    return engine


def within(span):
    """Return the rows of a span, by the hours or days that it is read in."""
    step_s = rollups.DAY_S if span.step_s == rollups.DAY_S else rollups.HOUR_S
    since = (NOW_S - span.back_s) // step_s * step_s
    return [row for row in ROWS if row["at_s"] >= since]


@pytest.mark.parametrize("span", SPANS.values(), ids=lambda span: span.name)
def test_totals_are_sums_of_rows(database, span):
    found, rows = queries.totals(database, span, NOW_S), within(span)
    assert found["requests"] == len(rows)
    assert found["usd"] == pytest.approx(sum(row["usd"] for row in rows))
    assert found["failed"] == sum(row["end"] == "failed" for row in rows)
    assert sum(found[name] for name in times("total")) == found["served"]
    drawn = queries.series(database, span, NOW_S)
    assert sum(row["requests"] for row in drawn) == len(rows)
    assert [row["at_s"] % span.step_s for row in drawn] == [0] * len(drawn)
    assert drawn == sorted(drawn, key=lambda row: row["at_s"])


@pytest.mark.parametrize("span", SPANS.values(), ids=lambda span: span.name)
@pytest.mark.parametrize("by", GROUPS)
def test_groups_add_up_and_the_dearest_comes_first(database, by, span):
    hourly = span.step_s < rollups.DAY_S and by in ("tier", "model")
    step = rollups.HOUR_S if hourly else rollups.DAY_S
    since = (NOW_S - span.back_s) // step * step
    wanted = {}
    for row in ROWS:
        if row["at_s"] >= since:
            wanted[row[by]] = wanted.get(row[by], 0.0) + row["usd"]
    found = queries.grouped(database, span, NOW_S, by)
    assert len(found) == min(len(wanted), queries.TOP)
    assert [row["usd"] for row in found] == sorted((row["usd"] for row in found), reverse=True)
    for row in found:
        assert row["usd"] == pytest.approx(wanted[row["name"]])
    assert queries.spent(database, span, NOW_S, by) == pytest.approx(sum(wanted.values()))
    names = [row["name"] for row in found[:3]]
    drawn = queries.lines(database, span, NOW_S, by, names)
    assert list(drawn) == sorted(drawn)
    for name in names:
        assert sum(usd.get(name, 0) for usd in drawn.values()) == pytest.approx(wanted[name])


def test_there_are_no_other_groups(database):
    with pytest.raises(KeyError):
        queries.grouped(database, SPANS["24h"], NOW_S, "usd")


@pytest.mark.parametrize(
    "sought",
    [Filter(), Filter(caller="caller-000"), Filter(end="failed"), Filter(tier=filler.TIERS[2])]
    + [Filter(caller="caller-001", end="served", task=ROWS[5]["task"])],
)
def test_a_list_is_walked_from_the_newest_to_the_oldest_without_gap(database, sought):
    walked, before = [], None
    while True:
        found = queries.page(database, sought, before=before, limit=40)
        walked += found.rows
        if found.before is None:
            break
        before = found.before
    wanted = [row for row in ROWS[::-1] if all(row[k] == v for k, v in sought.sought.items())]
    assert [row["decision_id"] for row in walked] == [row["decision_id"] for row in wanted]


def test_a_search_that_no_index_serves_says_where_to_go_on(database):
    sought, far = Filter(caller="nobody", end="failed"), 3 * queries.WINDOW
    found = queries.page(database, sought, before=far)
    assert (found.rows, found.before) == ([], far - queries.WINDOW)
    assert queries.page(database, sought, before=50).before is None


def test_newer_rows_are_those_after_a_number(database):
    found = queries.newer(database, Filter(), N - 7)
    assert [row["seq"] for row in found] == list(range(N, N - 7, -1))
    assert queries.newer(database, Filter(), N) == []
    assert len(queries.newer(database, Filter(), 0)) == queries.ROWS


def test_one_request_is_found_by_its_id_with_what_it_was_made_from(database):
    row = ROWS[7]
    with writing(database) as connection:
        made = zlib.compress(orjson.dumps({"dial": "balanced"}))
        connection.execute(
            insert(workings).values(decision_id=row["decision_id"], at_s=0, made=made)
        )
    assert queries.one(database, row["decision_id"])["usd"] == pytest.approx(row["usd"])
    assert queries.working(database, row["decision_id"]) == {"dial": "balanced"}
    assert queries.one(database, "nothing") is None
    assert queries.working(database, ROWS[8]["decision_id"]) is None


def test_sessions_are_summed_and_told_in_order(database):
    found = queries.sessions(database, None)
    assert len(found.rows) <= queries.LISTED_AT_ONCE
    assert [row["seq"] for row in found.rows] == sorted(
        (row["seq"] for row in found.rows), reverse=True
    )
    first = found.rows[0]
    told = queries.session(database, first["session"])
    assert first["requests"] == len(told)
    assert first["usd"] == pytest.approx(sum(row["usd"] for row in told))
    assert [row["at_s"] for row in told] == sorted(row["at_s"] for row in told)
    assert queries.session(database, "nothing") == []


def test_no_session_is_left_out_however_many_there_are_at_once(tmp_path):
    engine = open_database(file_url(tmp_path / "books.db"))
    rows = [
        ROWS[0] | {"seq": i + 1, "decision_id": f"{i}", "session": f"s{i % 3000}"}
        for i in range(queries.RECENT)
    ]
    with writing(engine) as connection:
        connection.execute(insert(requests), rows)
    found, before = [], None
    while (page := queries.sessions(engine, before)).rows:
        found += page.rows
        if (before := page.before) is None:
            break
    assert {row["session"] for row in found} == {row["session"] for row in rows}
    assert sum(row["requests"] for row in found) == len(rows)
    engine.dispose()


def test_changes_are_told_with_the_newest_first(database):
    with writing(database) as connection:
        connection.execute(
            insert(changes), [{"at_s": 1.0, "said": "one"}, {"at_s": 2.0, "said": "two"}]
        )
    assert [row["said"] for row in queries.changes(database)] == ["two", "one"]


def test_an_empty_database_has_nothing_and_says_so(tmp_path):
    engine = open_database(file_url(tmp_path / "books.db"))
    found = queries.totals(engine, SPANS["24h"], NOW_S)
    assert set(found.values()) == {0.0}
    assert queries.page(engine, Filter()).rows == []
    assert queries.sessions(engine, None).rows == []
    assert queries.newest(engine) == 0
    assert queries.quantile_s(found, "total", 0.5) is None
    engine.dispose()


@given(st.lists(st.floats(0.001, 500), min_size=1, max_size=50), st.floats(0.01, 1))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(took, share):
    counts = dict.fromkeys((*times("total"), *times("first")), 0.0)
    for s in took:
        for name, n in rollups.times_of({"end": "served", "first_s": None, "total_s": s}).items():
            counts[name] += n
    true = sorted(took)[max(0, math.ceil(len(took) * share - 1e-9) - 1)]
    found = queries.quantile_s(counts, "total", share)
    edges = (0.0, *LATENCY_S)
    low = max(edge for edge in edges if edge < true)
    high = min((edge for edge in LATENCY_S if edge >= true), default=LATENCY_S[-1])
    assert min(low, LATENCY_S[-1]) - 1e-6 <= found <= high + 1e-6


def test_a_row_of_a_list_has_columns_that_there_are():
    assert set(queries.LISTED) <= set(requests.columns.keys())
