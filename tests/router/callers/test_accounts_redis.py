"""A shared store that goes away and comes back: nothing opens, and what was spent is not forgotten."""

from __future__ import annotations

import asyncio
import time

import pytest

from router.callers.accounts_redis import AWAY_S, PROBE_S, RedisAccounts
from router.callers.meters import Charge, Meter, Period, Resource
from tests.router.callers.redis_rig import redis_server

NOON = 20_000 * 86_400.0 + 43_200
LATER = NOON + PROBE_S

BUDGET = Meter(Resource.USD, Period.DAY, 100.0)
RATE = Meter(Resource.REQUESTS, Period.MINUTE, 100)


@pytest.fixture
def redis():
    with redis_server() as server:
        yield server


async def admitted(store, charge, n, now_s):
    """Return how many of so many claims are admitted."""
    return sum([(await store.claim([charge], now_s)).admitted for _ in range(n)])


async def spent_by(account, since_s):
    return {"known": 40.0}.get(account, 0.0)


async def no_ledger(account, since_s):
    raise OSError("no database")


async def test_while_it_is_away_a_share_of_what_was_left_is_admitted_and_then_nothing(
    redis, caplog
):
    store = RedisAccounts(redis.url, spent_by, away_share=0.1)
    assert await admitted(store, Charge("org", BUDGET, 1.0), 20, NOON) == 20
    assert await admitted(store, Charge("org", RATE), 50, NOON) == 50
    redis.stop()
    assert await admitted(store, Charge("org", BUDGET, 1.0), 50, NOON) == 8
    assert await admitted(store, Charge("org", RATE), 50, NOON) == 5
    assert await admitted(store, Charge("new", RATE), 50, NOON) == 10
    assert await admitted(store, Charge("known", BUDGET, 1.0), 50, NOON) == 6
    claim = await store.claim([Charge("org", BUDGET, 1.0)], LATER)
    assert "away" in claim.problem
    assert 0 < claim.retry_s <= 86_400
    assert caplog.text.count("is away") == 1
    await store.aclose()
    redis.start()


async def test_without_store_and_ledger_a_budget_that_nobody_knows_admits_nothing(redis):
    store = RedisAccounts(redis.url, no_ledger)
    redis.stop()
    assert await admitted(store, Charge("org", BUDGET), 5, NOON) == 0
    assert await admitted(store, Charge("org", RATE), 50, NOON) == 10
    await store.aclose()
    redis.start()


async def test_back_again_it_learns_what_was_spent_meanwhile(redis, caplog):
    one, two = RedisAccounts(redis.url), RedisAccounts(redis.url)
    charge = Charge("org", BUDGET, 2.0)
    before = await one.claim([charge], NOON)
    redis.stop()
    alone = [await one.claim([charge], NOON) for _ in range(3)]
    assert all(claim.admitted for claim in alone)
    await one.settle(before, [5.0])
    await one.settle(alone[0], [1.0])
    redis.start()
    [reading] = await one.readings([charge], LATER)
    assert (reading.spent, reading.held) == (6, 4)
    await one.settle(alone[1], [3.0])
    await one.settle(alone[2], [0.0])
    assert caplog.text.count("is back") == 1
    [reading] = await two.readings([charge], LATER)
    assert (reading.spent, reading.held) == (9, 0)
    for store in (one, two):
        await store.aclose()


async def test_a_store_that_lost_everything_begins_where_the_ledger_says(redis):
    store = RedisAccounts(redis.url, spent_by)
    charge = Charge("known", BUDGET, 1.0)
    held = await store.claim([charge], NOON)
    redis.stop()
    redis.forget()
    redis.start()
    again = await store.claim([charge], LATER)
    if again.problem:  # its connections were cut, so it was away for a moment
        again = await store.claim([charge], LATER + PROBE_S)
    assert (again.readings[0].spent, again.problem) == (40, "")
    await store.settle(held, [2.0])
    assert (await store.readings([charge], LATER + PROBE_S))[0].spent == 42
    await store.aclose()


async def test_a_store_that_hangs_costs_one_request_a_moment_and_is_not_paid_twice(redis):
    """What was sent while it hung is carried out when it goes on; what is owed then is known by name."""
    store = RedisAccounts(redis.url)
    charge = Charge("org", BUDGET, 2.0)
    claim = await store.claim([charge], NOON)
    redis.pause()
    began_s = time.monotonic()
    await store.settle(claim, [3.0])
    for _ in range(20):
        await store.claim([Charge("other", RATE)], NOON)
    assert time.monotonic() - began_s < 2 * AWAY_S
    redis.resume()
    [reading] = await store.readings([charge], LATER)
    assert (reading.spent, reading.held) == (3, 0)
    await store.aclose()


async def test_only_one_request_at_a_time_asks_whether_it_is_back(redis):
    store = RedisAccounts(redis.url)
    redis.pause()
    await store.claim([Charge("org", RATE)], NOON)
    began_s = time.monotonic()
    probing = asyncio.ensure_future(store.claim([Charge("org", RATE)], LATER))
    await asyncio.sleep(0)
    await asyncio.gather(*(store.claim([Charge("org", RATE)], LATER) for _ in range(20)))
    assert not probing.done()
    assert time.monotonic() - began_s < AWAY_S
    await probing
    redis.resume()
    await store.aclose()


async def test_a_budget_that_begins_anew_while_it_is_away_begins_where_the_ledger_says(redis):
    store = RedisAccounts(redis.url, spent_by)
    charge = Charge("known", BUDGET, 1.0)
    await store.claim([charge], NOON)
    redis.stop()
    assert await admitted(store, charge, 3, NOON) == 3
    tomorrow = NOON + 86_400
    assert await admitted(store, charge, 50, tomorrow) == 6
    redis.start()
    [reading] = await store.readings([charge], tomorrow + PROBE_S)
    assert reading.used == 40
    await store.aclose()
