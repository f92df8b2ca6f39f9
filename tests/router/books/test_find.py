"""Rows are found again, read on from by number, forgotten by person, and deleted by age."""

from __future__ import annotations

import asyncio
import threading

import pytest
from sqlalchemy import func, insert, select

from router.books.entries import entry_of, write
from router.books.find import every, exported, forget, made_of, row_of
from router.books.record import End
from router.books.retention import DAY_S, FOR_EVER, Retention, sweep
from router.books.spent import spent_usd
from router.storage.database import writing
from router.storage.schema import asks, days, feedback, hours, requests, workings
from tests.books_rig import (
    NOON_S,
    emptied,
    ledger,
    n_rows,
    put,
    record,
    rows_of,
)


def told(engine, **changes):
    made = entry_of(record(**changes), keep_ask=True)
    put(engine, made)
    return made.id


def say(engine, decision_id: str, caller: str, at_s: float = NOON_S) -> None:
    with writing(engine) as connection:
        said = {"decision_id": decision_id, "at_s": at_s, "caller": caller, "comment": "well"}
        connection.execute(insert(feedback), said)


# Found.


def test_a_row_is_found_by_its_id_and_by_its_answers(either):
    known = told(either, answer_id="chatcmpl-1")
    told(either, answer_id="chatcmpl-2")
    for name in (known, "chatcmpl-1"):
        assert row_of(either, name)["decision_id"] == known
    assert made_of(either, known) == {"decision": {}}


@pytest.mark.parametrize("name", ["", "nobody", "\0", "\ud800", "x" * 100_000, "' OR 1=1 --", "%"])
def test_what_is_not_there_is_not_found(either, name):
    told(either)
    assert row_of(either, name) is None


def test_two_answers_of_one_name_are_each_their_callers(either):
    """A provider names its answers as it likes, and a caller may bring a provider's key."""
    annas, bens = told(either, caller="anna"), told(either, caller="ben")
    assert row_of(either, "a-1", "anna")["decision_id"] == annas
    assert row_of(either, "a-1", "ben")["decision_id"] == bens
    assert row_of(either, annas, "ben") is None


def test_an_answers_long_name_finds_it(either):
    assert row_of(either, "y" * 600) is None
    known = told(either, answer_id="y" * 600)
    assert row_of(either, "y" * 600)["decision_id"] == known


# Read on from.


def test_pages_hold_every_row_once_and_in_order(either):
    ids = [told(either) for _ in range(7)]
    seen, after = [], 0
    while page := exported(either, after=after, limit=3):
        seen += [row["decision_id"] for row in page]
        after = page[-1]["seq"]
    assert seen == ids
    assert [row["decision_id"] for page in every(either) for row in page] == ids


async def test_who_reads_on_while_rows_are_written_has_every_row_once(either):
    """Rows end in any order: what counts is when they are written."""
    stop, seen, after = threading.Event(), [], 0

    def writes(n: int) -> None:
        with ledger(either) as kept:
            for i in range(400):
                kept.tell(record(decision_id=f"{n}-{i}", at_s=NOON_S - (i * 7919) % 977))
                stop.wait(0.001)

    writers = [asyncio.create_task(asyncio.to_thread(writes, n)) for n in range(2)]
    last = False
    while not last:
        last = all(writer.done() for writer in writers)
        while page := await asyncio.to_thread(exported, either, after=after, limit=50):
            seen += [row["decision_id"] for row in page]
            after = page[-1]["seq"]
        await asyncio.sleep(0.005)
    assert sorted(seen) == sorted(f"{n}-{i}" for n in range(2) for i in range(400))


def test_a_transaction_that_began_before_is_waited_for(postgres):
    """Numbers are given when a row is written, and seen when its transaction ends."""
    with emptied(postgres.url) as engine:
        went_on = threading.Event()
        one, two = (entry_of(record(), keep_ask=False) for _ in range(2))

        def second() -> None:
            put(engine, two)
            went_on.set()

        other = threading.Thread(target=second)
        with writing(engine) as connection:
            write(connection, [one])
            other.start()
            assert not went_on.wait(0.2)
            assert exported(engine) == []
        other.join()
        assert [row["decision_id"] for row in exported(engine)] == [one.id, two.id]


def test_a_number_is_not_given_again_after_its_row_is_deleted(either):
    told(either, caller="anna")
    [row] = exported(either)
    forget(either, "anna")
    told(either)
    assert [new["seq"] > row["seq"] for new in exported(either, after=row["seq"])] == [True]


# Forgotten.


def test_everything_of_one_person_is_forgotten_and_nothing_of_others(either):
    for caller in ("anna", "ben", "anna"):
        say(either, told(either, caller=caller), caller)
    hours_before = rows_of(either, hours)
    assert forget(either, "anna") == 2
    for table in (requests, feedback, days):
        assert {row["caller"] for row in rows_of(either, table)} == {"ben"}
    [left] = rows_of(either)
    for table in (workings, asks):
        assert [row["decision_id"] for row in rows_of(either, table)] == [left["decision_id"]]
    assert rows_of(either, hours) == hours_before  # of nobody
    assert forget(either, "anna") == 0


def test_an_address_is_forgotten_and_the_sum_of_all_strangers_stays(either):
    told(either, caller="anonymous 10.0.0.7", anonymous=True)
    told(either, caller="anonymous 10.0.0.8", anonymous=True)
    assert forget(either, "anonymous 10.0.0.7") == 1
    assert forget(either, "anonymous") == 0
    assert [row["requests"] for row in rows_of(either, days)] == [2]


# Deleted by age.


@pytest.mark.parametrize(
    ("kept", "left"),
    [
        (FOR_EVER, (3, 3, 3)),
        (Retention(400, 30), (2, 1, 2)),
        (Retention(None, 30), (3, 1, 3)),
        (Retention(30, None), (1, 1, 1)),
        (Retention(30, 400), (1, 1, 1)),
    ],
)
def test_what_is_older_than_it_is_kept_is_deleted(either, kept, left):
    """Workings never outlive their rows: by these a person's are found."""
    for age_days in (1, 100, 500):
        at_s = NOON_S - age_days * DAY_S
        say(either, told(either, at_s=at_s), "anna", at_s)
    summed = rows_of(either, days)
    n = sweep(either, kept, NOON_S)
    found = tuple(n_rows(either, table) for table in (requests, workings, feedback))
    assert found == left
    assert n_rows(either, asks) == n_rows(either, workings)
    assert n == 12 - sum(found) - n_rows(either, asks)
    assert rows_of(either, days) == summed


# Spent.


def test_spending_is_counted_by_account_from_a_day_on(either):
    for caller, team, usd in (("anna", "web", 1.0), ("ben", "web", 2.0), ("eve", None, 4.0)):
        told(either, caller=caller, team=team, usd=usd, at_s=NOON_S)
        told(either, caller=caller, team=team, usd=usd * 8, at_s=NOON_S - DAY_S)
    told(either, usd=None, end=End.FAILED)
    today = NOON_S - NOON_S % DAY_S
    assert [spent_usd(either, who, today) for who in ("org", "team:web", "key:eve", "key:x")] == [
        7, 3, 4, 0,
    ]  # fmt: skip
    assert spent_usd(either, "org", 0) == 63
    with either.connect() as connection:
        assert connection.execute(select(func.sum(requests.c.usd))).scalar() == 63
