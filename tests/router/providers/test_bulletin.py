"""Processes that read one log know together of failing providers what one of them would alone."""

from __future__ import annotations

import asyncio
import time

import orjson
import pytest

from router.providers.breaker import COOLDOWN_S, THRESHOLD, Admission
from router.providers.bulletin import LASTS_S, FileBulletin, Gossip, ValkeyBulletin
from router.providers.upstream import Upstream
from router.providers.waits import MAX_WAIT_S
from router.settings import Settings
from router.storage.valkey import AGAIN_S, StoreAway, Valkey
from tests.services import redis_server

KEY = ("openai", "openai/gpt-5.5")


@pytest.fixture(scope="module")
def server():
    with redis_server(keeps=True) as running:
        yield running


class Process:
    """One process's breaker and its part in the log."""

    def __init__(self, bulletin):
        self.upstream = Upstream(None, simulated=None, timeouts=Settings().timeouts)
        self.breaker = self.upstream.memory._ours
        self.turn = Gossip(self.upstream, bulletin).turn

    def fail(self, times, *, caller="me", first=0):
        for n in range(first, first + times):
            self.breaker.failed(KEY, time.monotonic(), (caller, str(n)))

    def admits(self, caller="me", key=KEY):
        return self.breaker.admit([key], time.monotonic(), caller)


@pytest.fixture(params=["file", "server"])
async def processes(request, tmp_path):
    """Return what makes one more process on the same log."""
    opened = []

    def begun():
        if request.param == "file":
            opened.append(FileBulletin(tmp_path / "bulletin.db"))
            return Process(opened[-1])
        opened.append(Valkey(request.getfixturevalue("server").url))
        return Process(ValkeyBulletin(opened[-1], str(tmp_path)))

    yield begun
    for held in opened:
        await held.aclose()


async def turns(*processes):
    for process in (*processes, *processes):
        await process.turn()


async def test_a_circuit_that_opens_in_one_process_is_open_in_the_others(processes):
    a, b, c = processes(), processes(), processes()
    a.fail(THRESHOLD)
    assert b.admits() is Admission.YES
    await turns(a, b, c)
    assert [p.admits() for p in (a, b, c)] == [Admission.IF_NEEDED] * 3


async def test_failures_that_each_saw_a_part_of_open_it_in_all(processes):
    a, b = processes(), processes()
    a.fail(3)
    b.fail(THRESHOLD - 3, first=3)
    await turns(a, b)
    assert [p.admits() for p in (a, b)] == [Admission.IF_NEEDED] * 2


async def test_one_request_repeated_everywhere_counts_once(processes):
    a, b = processes(), processes()
    for process in (a, b):
        process.fail(3)
    await turns(a, b)
    for process in (a, b):
        process.fail(1)
    assert [p.admits() for p in (a, b)] == [Admission.YES] * 2


async def test_one_caller_shuts_nothing_for_others_in_other_processes_either(processes):
    a, b = processes(), processes()
    a.fail(99, caller="odd")
    await turns(a, b)
    assert b.admits("odd") is Admission.IF_NEEDED
    assert b.admits("me") is Admission.YES


async def test_who_answers_in_one_process_is_asked_again_in_all(processes):
    a, b = processes(), processes()
    a.fail(THRESHOLD)
    await turns(a, b)
    b.breaker.succeeded([KEY])
    await turns(b, a)
    assert [p.admits() for p in (a, b)] == [Admission.YES] * 2


async def test_who_answers_is_asked_again_by_processes_whose_clocks_are_behind(processes):
    a, b = processes(), processes()
    a.fail(THRESHOLD)
    await turns(a, b)
    log, told = b.turn.__self__._bulletin, []
    log.tell = lambda text: noted(told, text)
    b.breaker.succeeded([KEY])
    await b.turn()
    [[notice]] = map(orjson.loads, told)
    assert all(until == 0 for until in notice["until"])


async def noted(told, text):
    told.append(text)


async def test_penalties_and_doubts_are_shared_with_the_time_that_is_left(processes):
    a, b = processes(), processes()
    now = time.monotonic()
    a.breaker.failed(KEY, now, ("me", "1"), 40.0)
    a.breaker.refused(("openai",), now, 60.0)
    await turns(a, b)
    assert b.admits() is Admission.NO
    assert 38.0 < b.breaker.wait_s(KEY, time.monotonic()) <= 40.0
    assert b.admits(key=("openai",)) is Admission.IF_NEEDED


async def test_a_process_that_begins_is_told_what_still_holds(processes):
    a = processes()
    a.fail(THRESHOLD)
    await turns(a)
    late = processes()
    await turns(late)
    assert late.admits() is Admission.IF_NEEDED


async def test_nothing_goes_back_and_forth(processes):
    a, b = processes(), processes()
    a.fail(THRESHOLD)
    await turns(a, b)
    assert a.breaker.changes(0.0) == b.breaker.changes(0.0) == {}


async def test_what_cannot_be_read_is_left_out_and_nothing_is_held_for_longer_than_may_be(
    processes, caplog
):
    a, odd = processes(), processes()
    bulletin = odd.turn.__self__._bulletin
    far = time.time() + 1e9
    good = {"by": "x", "at": time.time(), "key": KEY, "witnesses": [], "until": [far] * 3}
    old = good | {"at": time.time() - LASTS_S - 1, "key": ["old"]}
    await bulletin.tell(orjson.dumps([{"by": "x"}, good | {"until": ["soon"]}, old, good]))
    await a.turn()
    assert a.breaker.wait_s(KEY, time.monotonic()) <= MAX_WAIT_S
    assert list(a.breaker._states) == [KEY]
    assert a.breaker._states[KEY].open_until <= time.monotonic() + COOLDOWN_S
    assert len(caplog.records) == 2


async def test_what_could_not_be_told_is_told_when_the_server_is_back(server, tmp_path):
    now_s = [0.0]
    servers = [Valkey(server.url, lambda: now_s[0]) for _ in range(2)]
    a, b = (Process(ValkeyBulletin(shared, str(tmp_path))) for shared in servers)
    await turns(a, b)
    server.stop()
    a.fail(THRESHOLD)
    with pytest.raises(StoreAway):
        await a.turn()
    server.start()
    now_s[0] += AGAIN_S
    await asyncio.gather(*(process.turn() for process in (a, b)))
    await turns(a, b)
    assert b.admits() is Admission.IF_NEEDED
    for shared in servers:
        await shared.aclose()
