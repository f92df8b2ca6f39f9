"""The ledger writes every row once, off the request path, in bounded room, whatever its database does."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import weakref
from contextlib import closing

import pytest
from sqlalchemy.exc import (
    DataError,
    IntegrityError,
    InternalError,
    OperationalError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from router.books.entries import entry_of
from router.books.ledger import ROOM, Ledger, is_refused
from router.books.record import Workings
from router.books.retention import Retention
from router.books.spool import Spool
from router.storage.database import file_url, open_database
from router.storage.schema import hours
from tests.books_rig import (
    NOON_S,
    emptied,
    ledger,
    n_rows,
    record,
    rows_of,
)
from tests.services import postgres_server, soon

WRITES = """
import sys, time
from router.books.ledger import Ledger
from router.books.spool import Spool
from router.storage.database import open_database
from tests.books_rig import record
from pathlib import Path
url, spool, n = sys.argv[1:]
kept = Ledger(open_database(url), spool=Spool(Path(spool)) if spool else None)
print("ready", flush=True)
for line in sys.stdin:
    for i in range(int(n)):
        kept.tell(record(decision_id=f"{line.strip()}-{i}"))
    time.sleep(0.9)
    print("told", flush=True)
"""


def writer(url: str, spool: str = "", n: int = 50) -> subprocess.Popen[bytes]:
    """Start a process that tells its ledger n records for every line, and says so 0.9 s later."""
    path = os.pathsep.join(sys.path)
    return subprocess.Popen(
        [sys.executable, "-c", WRITES, url, spool, str(n)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )


def ends(process: subprocess.Popen[bytes]) -> None:
    """Kill a process as nothing can be killed harder."""
    process.send_signal(signal.SIGKILL)
    process.communicate()


def tells(process: subprocess.Popen[bytes], name: str) -> None:
    process.stdin.write(f"{name}\n".encode())
    process.stdin.flush()
    assert process.stdout.readline() == b"told\n"


def test_all_that_was_told_is_written_by_the_end(books):
    with ledger(books) as kept:
        for _ in range(1200):
            kept.tell(record())
    assert n_rows(books) == 1200
    assert (kept.waiting, kept.lost, kept.problem) == (0, 0, "")


def test_what_is_told_while_it_closes_is_written(books):
    """A request may end when the server has begun to stop."""
    for _ in range(5):
        kept = Ledger(books)
        telling = threading.Thread(
            target=lambda kept=kept: [kept.tell(record()) for _ in range(40)]
        )
        telling.start()
        telling.join()
        kept.close()
    assert n_rows(books) == 200


async def test_a_row_is_there_soon(books):
    with ledger(books) as kept:
        kept.tell(record())
        await soon(lambda: n_rows(books) == 1, 2)


def test_a_killed_process_loses_nothing_that_is_a_second_old(tmp_path):
    url = file_url(tmp_path / "books.db")
    process = writer(url)
    assert process.stdout.readline() == b"ready\n"
    tells(process, "a")
    ends(process)
    opened = open_database(url)
    assert n_rows(opened) == 50
    assert sum(row["requests"] for row in rows_of(opened, hours)) == 50
    opened.dispose()


async def test_a_database_that_stands_still_slows_nobody_and_takes_bounded_room(
    books,
    tmp_path,
    caplog,
):
    with closing(sqlite3.connect(tmp_path / "books.db", isolation_level=None)) as holds:
        holds.execute("BEGIN IMMEDIATE")
        with ledger(books, room=100) as kept:
            began = time.perf_counter()
            for _ in range(5000):
                kept.tell(record())
            assert time.perf_counter() - began < 1
            assert (kept.waiting, kept.lost) == (100, 4900)
            await soon(lambda: "the ledger lost 4900 rows" in caplog.text, 5)
            holds.execute("ROLLBACK")
            await soon(lambda: n_rows(books) == 100, 10)
            kept.tell(record())
    assert n_rows(books) == 101
    assert sum(row["requests"] for row in rows_of(books, hours)) == 101
    assert ROOM > 100


async def test_what_waits_is_small(books, tmp_path):
    """A record holds on to all that its decision compared; an entry is some kilobytes."""
    with closing(sqlite3.connect(tmp_path / "books.db", isolation_level=None)) as holds:
        holds.execute("BEGIN IMMEDIATE")
        with ledger(books) as kept:
            held = type("Held", (), {"__call__": lambda self: Workings("", b"{}", "")})()
            gone = weakref.ref(held)
            kept.tell(record(workings=held))
            del held
            await soon(lambda: gone() is None, 5)
            assert kept.waiting == 1
            holds.execute("ROLLBACK")


def test_a_refused_row_does_not_stop_the_others(books, caplog):
    with ledger(books) as kept:
        for _ in range(3):
            kept.tell(record())
            kept.tell(record(total_s=None))
            kept.tell(record(body_bytes=1 << 70))
    assert (n_rows(books), kept.lost, kept.problem) == (3, 6, "")
    assert sum(row["requests"] for row in rows_of(books, hours)) == 3
    assert caplog.text.count("refused and lost") == 6
    assert "Fix it" not in caplog.text


def test_only_what_a_row_holds_is_a_reason_to_lose_it():
    for kind in (DataError, IntegrityError):
        assert is_refused(kind("", {}, Exception()))
    assert is_refused(StatementError("", "", {}, TypeError()))
    for kind in (OperationalError, InternalError):  # away, full, or no longer the one that writes
        assert not is_refused(kind("", {}, Exception()))
    assert not is_refused(PoolTimeout("all connections are taken"))
    assert is_refused(OverflowError())
    assert not is_refused(OSError())


def test_what_cannot_be_written_at_the_end_is_told_of(books, tmp_path, caplog):
    with closing(sqlite3.connect(tmp_path / "books.db", isolation_level=None)) as holds:
        holds.execute("BEGIN IMMEDIATE")
        kept = Ledger(books)
        kept.tell(record())
        kept.close(wait_s=0.3)
        assert "ends with 1 rows" in caplog.text
        holds.execute("ROLLBACK")


# Through a spool.


def test_a_spool_keeps_order_and_takes_nothing_twice(tmp_path):
    spool = Spool(tmp_path / "spool.db")
    entries = [entry_of(record(), keep_ask=True) for _ in range(5)]
    spool.put(entries)
    spool.put(entries[:2])
    assert spool.first(3) == entries[:3]
    spool.drop(entries[:3])
    assert spool.first(9) == entries[3:]
    assert len(spool) == 2
    spool.close()


def test_a_full_spool_refuses_and_is_usable_after(tmp_path):
    spool = Spool(tmp_path / "spool.db", max_bytes=200_000)
    kept = []
    with pytest.raises(sqlite3.OperationalError, match="full"):
        while True:
            made = entry_of(record(why="x" * 3000), keep_ask=True)
            spool.put([made])
            kept.append(made)
    assert spool.first(1000) == kept
    spool.drop(kept)
    spool.put(kept[:10])
    assert len(spool) == 10
    spool.close()


def test_what_cannot_be_read_in_a_spool_holds_up_nothing(tmp_path, caplog):
    spool, made = Spool(tmp_path / "spool.db"), entry_of(record(), keep_ask=False)
    with closing(sqlite3.connect(tmp_path / "spool.db")) as file, file:
        file.executemany(
            "INSERT INTO rows VALUES (?, ?)", [("1", b"{"), ("2", b"[]"), ("3", b"{}")]
        )
    spool.put([made])
    assert spool.first(2) == [made]
    assert caplog.text.count("cannot be read") == 2
    spool.close()


async def test_a_database_that_goes_away_and_comes_back_has_every_row_once(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    with postgres_server() as service, emptied(service.url) as away:
        spool = Spool(tmp_path / "spool.db")
        with ledger(away, spool=spool) as kept:
            kept.tell(record())
            await soon(lambda: n_rows(away) == 1, 5)
            service.kill()
            for _ in range(700):
                kept.tell(record())
            await soon(lambda: kept.problem and len(spool) == 700 and not kept.waiting, 5)
            service.start()
            await soon(lambda: n_rows(away) == 701, 10)
        assert sum(row["requests"] for row in rows_of(away, hours)) == 701
        assert caplog.text.count("they wait") == 1
        assert "written again" in caplog.text
        assert kept.lost == 0


def test_what_a_killed_process_left_is_carried_on_by_the_next(tmp_path):
    """The server hangs, which is worse than being gone: nothing tells the writer that it is."""
    with postgres_server() as service, emptied(service.url) as away:
        spool = tmp_path / "spool.db"
        process = writer(service.url, str(spool))
        assert process.stdout.readline() == b"ready\n"
        tells(process, "a")
        service.pause()
        tells(process, "b")
        tells(process, "c")
        ends(process)
        service.resume()
        with ledger(away, spool=Spool(spool)) as kept:
            kept.tell(record())
        assert n_rows(away) == 151
        assert sum(row["requests"] for row in rows_of(away, hours)) == 151


async def test_workers_that_share_a_spool_write_each_row_once(tmp_path, postgres):
    with emptied(postgres.url) as one, emptied(postgres.url) as two:
        with (
            ledger(one, spool=Spool(tmp_path / "spool.db")) as first,
            ledger(two, spool=Spool(tmp_path / "spool.db")) as second,
        ):
            for _ in range(1500):
                first.tell(record())
                second.tell(record())
        assert n_rows(one) == 3000
        assert sum(row["requests"] for row in rows_of(one, hours)) == 3000
        assert (first.lost, second.lost) == (0, 0)


async def test_a_ledger_sweeps_when_it_begins(books):
    with ledger(books) as kept:
        kept.tell(record(at_s=NOON_S - 3 * 86_400))
        kept.tell(record())
    with ledger(books, retention=Retention(2.0), clock=lambda: NOON_S):
        await soon(lambda: n_rows(books) == 1, 5)
