"""Sessions of one process outlive it, and no request waits for the disk."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from dataclasses import replace

import pytest

from router.sessions import kept
from router.sessions.file import FileSessions
from router.sessions.kept import KeptSessions
from router.sessions.session import NEW
from router.sessions.store import AWAKE
from tests.services import soon


def file_in(path, *, limit=100, idle_s=3600.0, clock=time.time):
    return FileSessions(path / "sessions.db", limit=limit, idle_s=idle_s, clock=clock)


def opened(path, *, limit=100, idle_s=3600.0, clock=time.time):
    file = file_in(path, limit=limit, idle_s=idle_s, clock=clock)
    return KeptSessions(file, limit=limit, idle_s=idle_s, clock=clock)


def called_once_more(session):
    return replace(session, task=replace(session.task, calls=session.task.calls + 1))


async def test_what_was_learned_is_there_after_a_restart(tmp_path):
    before = opened(tmp_path)
    for _ in range(3):
        await before.update("one", called_once_more)
    await before.aclose()
    after = opened(tmp_path)
    assert (await after.get("one")).task.calls == 3
    assert await after.get("two") is NEW
    assert (await after.update("one", called_once_more)).task.calls == 4
    await after.aclose()


async def test_a_change_is_on_disk_half_a_second_later_without_an_end(tmp_path):
    """As after a kill: the first store is never closed."""
    store = opened(tmp_path)
    await store.update("one", called_once_more)
    with contextlib.closing(sqlite3.connect(tmp_path / "sessions.db")) as reader:
        await soon(lambda: reader.execute("SELECT 1 FROM sessions").fetchone(), 2 * kept.BEHIND_S)
    await store.aclose()


async def test_a_request_does_not_wait_while_the_file_is_taken(tmp_path):
    store = opened(tmp_path)
    other = sqlite3.connect(tmp_path / "sessions.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for _ in range(3):
        began = time.perf_counter()
        await store.update("one", called_once_more)
        assert time.perf_counter() - began < 0.1
    other.execute("ROLLBACK")
    other.close()
    await store.aclose()
    assert (await opened(tmp_path).get("one")).task.calls == 3


class FullDisk(FileSessions):
    """A file that cannot be written until it can."""

    full = True

    def keep(self, sessions):
        if self.full:
            raise sqlite3.OperationalError("database or disk is full")
        super().keep(sessions)


async def test_what_cannot_be_written_is_written_when_it_can_and_told_once(tmp_path, caplog):
    file = FullDisk(tmp_path / "sessions.db", limit=5, idle_s=60.0)
    store = KeptSessions(file, limit=5, idle_s=60.0)
    for n in range(20):
        await store.update(str(n), called_once_more)
    await soon(lambda: store._fails, 2.0)
    assert len(store._unwritten) <= 5
    file.full = False
    await store.aclose()
    assert {key for key, *_ in file_in(tmp_path).rows()} == {"15", "16", "17", "18", "19"}
    assert len(caplog.records) == 1


async def test_a_disk_that_stays_full_does_not_hold_up_the_end(tmp_path):
    store = KeptSessions(
        FullDisk(tmp_path / "sessions.db", limit=5, idle_s=60.0), limit=5, idle_s=60.0
    )
    await store.update("one", called_once_more)
    await store.aclose()
    assert not store._writer.is_alive()


async def test_an_idle_session_is_new_after_a_restart_too(tmp_path):
    now = [1000.0]
    before = opened(tmp_path, idle_s=60.0, clock=lambda: now[0])
    await before.update("one", called_once_more)
    await before.aclose()
    now[0] += 59.0
    after = opened(tmp_path, idle_s=60.0, clock=lambda: now[0])
    assert (await after.get("one")).task.calls == 1
    now[0] += 2.0
    assert await after.get("one") is NEW


@pytest.mark.parametrize("limit", [3, 2 * AWAKE])
async def test_the_newest_are_kept_on_disk_as_in_memory(tmp_path, limit):
    before = opened(tmp_path, limit=limit)
    for n in range(2 * limit):
        await before.update(str(n), called_once_more)
    await before.aclose()
    after = opened(tmp_path, limit=limit)
    assert len(after) == limit
    assert (await after.get(str(2 * limit - 1))).task.calls == 1


async def test_a_process_that_keeps_nothing_begins_no_thread(tmp_path):
    threads = threading.active_count()
    store = opened(tmp_path)
    await store.get("one")
    assert threading.active_count() == threads
    await store.aclose()
