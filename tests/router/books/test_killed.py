"""What a gateway that is killed, or told to stop, has written to its books."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import time

import httpx
import pytest

from router.values import Interface
from tests.gateway_rig import PATHS, ask
from tests.load import Answered
from tests.processes import served
from tests.services import soon

LOAD_S = 4.0
CONNECTIONS = 24
"""So many that every worker has some."""


def port_of(running):
    return httpx.URL(running.url).port


def booked(folder):
    """Return the decision ids in the books, each as often as it is there."""
    with contextlib.closing(sqlite3.connect(folder / "books.db")) as books:
        return [id_ for (id_,) in books.execute("SELECT decision_id FROM requests")]


def summed(folder):
    with contextlib.closing(sqlite3.connect(folder / "books.db")) as books:
        return books.execute("SELECT sum(requests) FROM days").fetchone()[0]


async def loaded(running, until):
    """Ask a gateway until something happened; return what was answered."""
    answered = Answered()
    asking = asyncio.create_task(answered.ask(port_of(running), CONNECTIONS))
    await until()
    answered.stop()
    await asking
    return answered


def check(answered, ended_s, folder):
    """Assert that what ended a second before is in the books, once; return how many later ones are not."""
    rows = booked(folder)
    assert len(rows) == len(set(rows)) == summed(folder)
    assert answered.before(ended_s - 1.0) <= set(rows)
    return len(answered.at.keys() - set(rows))


@pytest.mark.slow
async def test_a_killed_gateway_has_booked_what_ended_a_second_before(tmp_path):
    with served(state_dir=tmp_path) as running:

        async def killed():
            await asyncio.sleep(LOAD_S)
            running.process.kill()

        answered = await loaded(running, killed)
        running.process.wait(20)
        ended_s = max(answered.at.values())
    with served(state_dir=tmp_path):
        assert check(answered, ended_s, tmp_path) < len(answered.at) / LOAD_S


@pytest.mark.slow
async def test_three_workers_of_one_machine_book_every_reply_when_they_are_told_to_stop(tmp_path):
    with served(state_dir=tmp_path, workers=3) as running:

        async def backed_up():
            await asyncio.sleep(LOAD_S / 2)
            with contextlib.closing(sqlite3.connect(tmp_path / "books.db")) as books:
                books.execute("VACUUM INTO ?", [str(tmp_path / "backup.db")])
            await asyncio.sleep(LOAD_S / 2)

        answered = await loaded(running, backed_up)
        assert running.stop() in (0, -15)
        assert "locked" not in running.said
        assert "Traceback" not in running.said
    assert check(answered, time.monotonic() + 1.0, tmp_path) == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "backup.db")) as backup:
        [copied] = backup.execute("SELECT count(*) FROM requests").fetchone()
    assert 0 < copied < len(answered.at)


@pytest.mark.slow
async def test_a_worker_that_is_killed_is_replaced_and_only_its_last_second_is_lost(tmp_path):
    with served(state_dir=tmp_path, workers=3) as running:
        before = set(running.workers)
        moments = []

        async def one_killed():
            await asyncio.sleep(LOAD_S / 2)
            os.kill(min(before), signal.SIGKILL)
            moments.append(time.monotonic())
            await soon(lambda: set(running.workers) - before, 10.0)
            await asyncio.sleep(LOAD_S / 2)

        answered = await loaded(running, one_killed)
        await soon(lambda: running.all_serve(3), 60.0)
        assert running.stop() in (0, -15)
    rows = set(booked(tmp_path))
    unbooked = [answered.at[id_] for id_ in answered.at.keys() - rows]
    assert all(moments[0] - 1.0 < at_s < moments[0] + 0.1 for at_s in unbooked)
    assert len(unbooked) < len(answered.at) / LOAD_S


@pytest.mark.slow
async def test_two_gateways_with_one_folder_begin_together_and_write_the_same_books(tmp_path):
    with contextlib.ExitStack() as both:
        begun = [asyncio.to_thread(both.enter_context, served(state_dir=tmp_path)) for _ in "ab"]
        one, other = await asyncio.gather(*begun)
        answered = [
            *await asyncio.gather(
                *(loaded(running, lambda: asyncio.sleep(LOAD_S)) for running in (one, other))
            )
        ]
        for running in (one, other):
            assert running.stop() in (0, -15)
            assert "locked" not in running.said
            assert "Traceback" not in running.said
    rows = set(booked(tmp_path))
    assert all(found.at.keys() <= rows and found.at for found in answered)
    assert summed(tmp_path) == len(rows)


@pytest.mark.slow
def test_workers_share_sessions_and_limits_and_a_restart_forgets_neither(tmp_path):
    environ = {"state_dir": tmp_path, "anonymous_per_hour": 12, "trust_forwarded": True}
    stranger = {"x-forwarded-for": "203.0.113.9"}
    free = ask(Interface.CHAT, "kilo-auto/free")
    asked = ask(Interface.CHAT, "kilo-auto/efficient")
    pin = {"x-session-id": "s", "x-auto-pin": "anthropic/claude-opus-4.8"}
    path = PATHS[Interface.CHAT]
    for workers, admitted in ((3, 12), (1, 0)):
        with served(workers=workers, **environ) as running:

            def post(body, headers, url=running.url + path):
                return httpx.post(url, json=body, headers=headers, timeout=20)  # a connection each

            statuses = [post(free, stranger).status_code for _ in range(20)]
            assert statuses.count(200) == admitted
            assert statuses.count(429) == 20 - admitted
            if workers > 1:
                post(asked, pin)
            found = {post(asked, {"x-session-id": "s"}).headers["x-auto-model"] for _ in range(9)}
            assert found == {pin["x-auto-pin"]}
