"""Sessions in a shared server lose no change, are forgotten in time, and go on while it is away."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from router.sessions.session import NEW, Wishes
from router.sessions.store import learn, recall
from router.sessions.valkey import ValkeySessions
from router.storage.valkey import AGAIN_S, Valkey
from tests.services import redis_server


@pytest.fixture(scope="module")
def server():
    with redis_server(keeps=True) as running:
        yield running


@pytest.fixture
async def replicas(server):
    """Two replicas' stores on one empty server, and the clock by which they ask it again."""
    now_s = [0.0]
    servers = [Valkey(server.url, lambda: now_s[0]) for _ in range(2)]
    await servers[0].ask("FLUSHALL")
    yield [ValkeySessions(s, "test:", limit=100, idle_s=3600.0) for s in servers], now_s
    for shared in servers:
        await shared.aclose()


def called_once_more(session):
    return replace(session, task=replace(session.task, calls=session.task.calls + 1))


def pinned(model):
    return lambda session: replace(session, wishes=Wishes(model))


async def test_what_one_replica_learns_the_other_knows(replicas):
    (a, b), _ = replicas
    assert await a.get("one") is NEW
    await a.update("one", pinned("openai/gpt-5.5"))
    assert (await b.get("one")).wishes.pin == "openai/gpt-5.5"
    await b.update("one", called_once_more)
    session = await a.get("one")
    assert (session.wishes.pin, session.task.calls) == ("openai/gpt-5.5", 1)


async def test_no_change_of_two_replicas_is_lost(replicas):
    stores, _ = replicas

    async def often(store):
        for _ in range(100):
            await store.update("one", called_once_more)

    await asyncio.gather(*(often(store) for store in stores for _ in range(3)))
    assert [(await store.get("one")).task.calls for store in stores] == [600, 600]


async def test_what_is_known_here_is_not_read_again(replicas):
    (a, _), _ = replicas
    made = await a.update("one", called_once_more)
    assert await a.get("one") is made


async def test_a_session_ends_when_it_was_idle_too_long(server):
    shared = Valkey(server.url)
    store = ValkeySessions(shared, "brief:", limit=100, idle_s=60.0)
    await store.update("one", called_once_more)
    assert 59_000 < await shared.ask("PTTL", "brief:one") <= 60_000
    await shared.aclose()


async def test_while_the_server_is_away_each_goes_on_and_what_it_learned_is_there_after(
    replicas, server
):
    (a, b), now_s = replicas
    await learn(a, "one", pinned("openai/gpt-5.5"))
    await recall(b, "one")
    server.stop()
    for store in (a, b):
        assert (await recall(store, "one")).wishes.pin == "openai/gpt-5.5"
    await learn(a, "one", called_once_more)
    await learn(a, "begun meanwhile", called_once_more)
    server.start()
    now_s[0] += AGAIN_S
    assert (await recall(a, "one")).task.calls == 1
    await learn(a, "one", called_once_more)
    await learn(a, "begun meanwhile", called_once_more)
    assert (await recall(b, "one")).task.calls == 2
    assert (await recall(b, "begun meanwhile")).task.calls == 2


async def test_a_server_that_lost_everything_learns_it_again(replicas):
    (a, b), _ = replicas
    await a.update("one", pinned("openai/gpt-5.5"))
    await a._server.ask("FLUSHALL")
    assert (await a.get("one")).wishes.pin == "openai/gpt-5.5"
    await a.update("one", called_once_more)
    assert (await b.get("one")).wishes.pin == "openai/gpt-5.5"


async def test_what_another_replica_changed_while_one_could_not_is_the_others(replicas):
    (a, b), now_s = replicas
    await a.update("one", called_once_more)
    a._server.problem, a._server._again_s = "cut off", AGAIN_S
    await a.update("one", pinned("openai/gpt-5.5"))
    await b.update("one", pinned("anthropic/claude-opus-4.8"))
    now_s[0] += AGAIN_S
    assert (await a.get("one")).wishes.pin == "anthropic/claude-opus-4.8"


async def test_no_more_is_remembered_here_than_the_limit(server):
    shared = Valkey(server.url)
    store = ValkeySessions(shared, "many:", limit=10, idle_s=60.0)
    for n in range(50):
        await store.update(str(n), called_once_more)
    assert (len(store._known), len(store._seen)) == (10, 10)
    assert (await store.update("0", called_once_more)).task.calls == 2
    await shared.aclose()


async def test_what_was_forgotten_here_is_read_again_before_it_is_changed(server):
    shared, now_s = Valkey(server.url), [0.0]
    idle_s = 60.0
    store = ValkeySessions(shared, "late:", limit=10, idle_s=idle_s, clock=lambda: now_s[0])
    await store.update("one", pinned("openai/gpt-5.5"))
    now_s[0] += idle_s  # this clock goes faster than the server's
    assert (await store.update("one", called_once_more)).wishes.pin == "openai/gpt-5.5"
    await shared.aclose()
