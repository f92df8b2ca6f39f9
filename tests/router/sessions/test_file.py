"""Sessions in a file are shared, lose no change, forget in time, and tell nothing of the ask."""

from __future__ import annotations

import asyncio
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial

import pytest

from router.sessions import file
from router.sessions.file import FileSessions
from router.sessions.session import NEW


def opened(path, *, limit=100, idle_s=3600.0, clock=lambda: 1000.0):
    return FileSessions(path / "sessions.db", limit=limit, idle_s=idle_s, clock=clock)


def called_once_more(session):
    return replace(session, task=replace(session.task, calls=session.task.calls + 1))


def call_often(path, times):
    """Change one session again and again; runs in a process of its own."""

    async def change():
        sessions = opened(path)
        for _ in range(times):
            await sessions.update("one", called_once_more)

    asyncio.run(change())


def test_no_change_of_a_shared_session_is_lost(tmp_path):
    opened(tmp_path)
    with ProcessPoolExecutor(2) as processes:
        list(processes.map(partial(call_often, tmp_path), [40, 40]))
    assert asyncio.run(opened(tmp_path).get("one")).task.calls == 80


async def test_a_change_starts_over_from_the_newer_session(tmp_path):
    sessions, seen = opened(tmp_path), []

    def change(session):
        if not seen:  # another process comes in between
            assert opened(tmp_path)._swap("one", 0, called_once_more(session).dump())
        seen.append(session.task.calls)
        return called_once_more(session)

    made = await sessions.update("one", change)
    assert seen == [0, 1]
    assert made.task.calls == 2


async def test_what_was_idle_too_long_is_new(tmp_path):
    now = [1000.0]
    sessions = opened(tmp_path, idle_s=60.0, clock=lambda: now[0])
    await sessions.update("one", called_once_more)
    now[0] += 60.0
    assert (await sessions.get("one")).task.calls == 1
    now[0] += 1.0
    assert await sessions.get("one") is NEW
    assert (await sessions.update("one", called_once_more)).task.calls == 1


async def test_only_the_newest_are_kept(tmp_path):
    now = [0.0]
    sessions = opened(tmp_path, limit=3, clock=lambda: now[0])
    for n in range(file.SWEEP_EVERY):
        now[0] += 1.0
        await sessions.update(f"s{n}", called_once_more)
    kept = [n for n in range(file.SWEEP_EVERY) if (await sessions.get(f"s{n}")).task.calls]
    assert kept == [file.SWEEP_EVERY - 3, file.SWEEP_EVERY - 2, file.SWEEP_EVERY - 1]


async def test_a_file_that_was_closed_is_an_error_that_a_request_survives(tmp_path):
    sessions = opened(tmp_path)
    await sessions.aclose()
    with pytest.raises(Exception, match="closed"):
        await sessions.get("one")
