"""What every store of accounts must do: this process's memory, a file, and a real Redis."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import uuid
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.callers.accounts import MemoryAccounts, release
from router.callers.accounts_file import FileAccounts
from router.callers.accounts_redis import RedisAccounts
from router.callers.meters import Charge, Meter, Period, Resource
from tests.router.callers.redis_rig import redis_server

NOON = 20_000 * 86_400.0 + 43_200
TEN_USD = Meter(Resource.USD, Period.DAY, 10.0)
TEN = Meter(Resource.REQUESTS, Period.HOUR, 10)

STORES = ["memory", "file", "redis"]
every_store = pytest.mark.parametrize("kind", STORES)


class Ledger:
    """What was spent, by account, and how often somebody asked."""

    def __init__(self, **spent):
        self.spent, self.asked, self.fails = spent, [], False

    async def __call__(self, account, since_s):
        self.asked.append((account, since_s))
        await asyncio.sleep(0)
        if self.fails:
            raise OSError("no database")
        return self.spent.get(account, 0.0)


@pytest.fixture(scope="module")
def redis():
    with redis_server() as server:
        yield server


@pytest.fixture
def opens(redis, tmp_path):
    """Return what opens a store of a kind, as often as wanted."""

    @asynccontextmanager
    async def store(kind, base=None):
        made = {
            "memory": lambda: MemoryAccounts(base or Ledger()),
            "file": lambda: FileAccounts(tmp_path / "accounts.db", base or Ledger()),
            "redis": lambda: RedisAccounts(redis.url, base or Ledger()),
        }[kind]()
        try:
            yield made
        finally:
            await made.aclose()

    return store


def on(meter, amount=1.0, account="a"):
    """Return a charge on an account that no other test knows."""
    return Charge(f"{account}:{os.environ['PYTEST_CURRENT_TEST']}", meter, amount)


steps = st.lists(
    st.tuples(
        st.lists(
            st.builds(
                Charge,
                st.sampled_from("ab"),
                st.builds(
                    Meter, st.sampled_from(Resource), st.sampled_from(Period), st.floats(0, 20)
                ),
                st.floats(0, 9),
            ),
            max_size=3,
        ),
        st.sampled_from([0.0, 1.0, 40.0, 61.0, 1900.0, 3600.0, 90_000.0]),
        st.none() | st.floats(0, 12),
    ),
    max_size=25,
)


@given(steps=steps, now_s=st.floats(1e9, 2e9))
def test_every_store_counts_as_the_pure_arithmetic_does(redis, tmp_path_factory, steps, now_s):
    """Also what is settled after others claimed, in the same window or the next."""

    async def play():
        new = uuid.uuid4().hex
        file = FileAccounts(tmp_path_factory.mktemp("law") / "accounts.db", Ledger())
        stores, at_s = [MemoryAccounts(Ledger()), file, RedisAccounts(redis.url, Ledger())], now_s
        open_claims = []
        for charges, later_s, actual in steps:
            at_s += later_s
            wanted = [Charge(new + c.account, c.meter, c.amount) for c in charges]
            told = [await store.claim(wanted, at_s) for store in stores]
            assert told[0] == told[1] == told[2]
            open_claims.append(told)
            if actual is not None:
                for store, claim in zip(stores, open_claims.pop(0), strict=True):
                    await store.settle(claim, [actual] * len(claim.readings))
            shown = [await store.readings(wanted, at_s) for store in stores]
            assert shown[0] == shown[1] == shown[2]
        for store in stores:
            await store.aclose()

    asyncio.run(play())


@every_store
async def test_of_a_hundred_at_once_with_room_for_ten_at_most_eleven_pass(kind, opens):
    async with opens(kind) as one, opens(kind) as other:
        two = one if kind == "memory" else other
        claims = await asyncio.gather(
            *(store.claim([on(TEN_USD, 0.99)], NOON) for store in (one, two) for _ in range(50))
        )
    assert sum(claim.admitted for claim in claims) == 11


@every_store
async def test_all_charges_are_made_or_none(kind, opens):
    async with opens(kind) as store:
        narrow = on(Meter(Resource.TOKENS, Period.MINUTE, 0), account="b")
        claim = await store.claim([on(TEN_USD, 3.0), narrow], NOON)
        assert not claim.admitted
        assert [r.refused for r in claim.readings] == [False, True]
        assert [r.used for r in await store.readings([on(TEN_USD), narrow], NOON)] == [0, 0]


@every_store
async def test_what_was_claimed_is_held_then_spent_or_given_back(kind, opens):
    async with opens(kind) as store:
        charges = [on(TEN_USD, 0.3), on(TEN)]
        first, second = [await store.claim(charges, NOON) for _ in range(2)]
        assert [(r.spent, r.held) for r in second.readings] == [(0, 0.6), (2, 0)]
        await store.settle(first, [9.9, 1])
        await release(store, second)
        shown = await store.readings(charges, NOON)
        assert [(r.spent, r.held) for r in shown] == [(9.9, pytest.approx(0)), (1, 0)]
        assert shown[0].remaining == pytest.approx(0.1)


@every_store
async def test_what_was_refused_settles_nothing(kind, opens):
    async with opens(kind) as store:
        closed = on(Meter(Resource.USD, Period.DAY, 0))
        await store.settle(await store.claim([closed], NOON), [5.0])
        assert (await store.readings([closed], NOON))[0].used == 0


@every_store
async def test_a_ledgers_word_is_taken_once_for_an_account_and_period(kind, opens):
    charge = on(TEN_USD, 0.1)
    ledger = Ledger(**{charge.account: 9.0})
    async with opens(kind, ledger) as store:
        claims = await asyncio.gather(*(store.claim([charge], NOON) for _ in range(20)))
        assert sum(claim.admitted for claim in claims) in (10, 11)  # a tenth is no binary fraction
        assert set(ledger.asked) == {(charge.account, NOON - 43_200)}
        assert (
            len(ledger.asked) == 1 or kind == "redis"
        )  # where others learn of a base when it is set
        ledger.asked.clear()
        for _ in range(2):
            assert (await store.claim([charge], NOON + 86_400)).admitted
        assert ledger.asked == [(charge.account, NOON + 43_200)]


@every_store
async def test_without_the_ledger_a_budget_admits_nothing_and_a_rate_goes_on(kind, opens, caplog):
    ledger = Ledger()
    ledger.fails = True
    async with opens(kind, ledger) as store:
        claim = await store.claim([on(TEN_USD)], NOON)
        assert (claim.admitted, claim.problem) == (False, "the ledger cannot be read")
        assert claim.retry_s > 0
        assert (await store.claim([on(TEN)], NOON)).admitted
        ledger.fails = False
        assert (await store.claim([on(TEN_USD)], NOON)).admitted
    assert "is not known" in caplog.text


@pytest.mark.parametrize("kind", STORES[1:])
async def test_what_was_counted_outlives_who_counted_it(kind, opens):
    async with opens(kind) as store:
        await store.settle(await store.claim([on(TEN_USD)], NOON), [7.0])
    ledger = Ledger()
    async with opens(kind, ledger) as store:
        assert (await store.readings([on(TEN_USD)], NOON))[0].spent == 7
    assert ledger.asked == []


CLAIMS = """
import asyncio, sys
from pathlib import Path
from router.callers.accounts_file import FileAccounts
from router.callers.meters import Charge, Meter, Period, Resource

async def main():
    store = FileAccounts(Path(sys.argv[1]))
    charge = Charge("a", Meter(Resource.USD, Period.DAY, 10.0), 0.99)
    claims = [await store.claim([charge], 1e9) for _ in range(25)]
    print(sum(claim.admitted for claim in claims))

asyncio.run(main())
"""


def test_processes_that_share_a_file_admit_no_more_than_one_would(tmp_path):
    command = [sys.executable, "-c", CLAIMS, str(tmp_path / "accounts.db")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(4)]
    admitted = [int(process.communicate()[0]) for process in running]
    assert sum(admitted) == 11


async def test_a_file_that_another_process_holds_refuses_and_settles_afterwards(tmp_path, caplog):
    path = tmp_path / "accounts.db"
    store = FileAccounts(path)
    claim = await store.claim([on(TEN_USD)], NOON)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    refused = await store.claim([on(TEN_USD)], NOON)
    await store.settle(claim, [4.0])
    assert (refused.admitted, refused.retry_s) == (False, 1.0)
    assert "refused" in caplog.text
    other.execute("COMMIT")
    other.close()
    assert (await store.readings([on(TEN_USD)], NOON))[0].used == 4
    await store.aclose()
    assert not (await store.claim([on(TEN_USD)], NOON)).admitted


async def test_a_file_forgets_what_no_longer_matters(tmp_path):
    store = FileAccounts(tmp_path / "accounts.db")
    for n in range(300):
        await store.claim([Charge(f"address:{n}", TEN)], NOON + 100.0 * n)
    with sqlite3.connect(tmp_path / "accounts.db") as file:
        [(left,)] = file.execute("SELECT count(*) FROM counters").fetchall()
    file.close()
    assert left < 300 - 150
    await store.aclose()
