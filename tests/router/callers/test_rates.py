"""How often a caller without a key may ask."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.callers.accounts import MAX_COUNTERS, MemoryAccounts
from router.callers.rates import LISTINGS_PER_HOUR, asking, block_of, listing


def step(accounts, charge, now_s):
    """Claim without an event loop: this process's memory waits for nobody."""
    claiming = accounts.claim((charge,), now_s)
    with pytest.raises(StopIteration) as ended:
        claiming.send(None)
    return ended.value.value


class Asked:
    """Asks as often as an address may in an hour, or as its models may be listed."""

    def __init__(self, per_hour):
        self.accounts, self.per_hour = MemoryAccounts(), per_hour

    def wait_s(self, address, now_s):
        """Ask once; return 0 when it is allowed, else how long to wait."""
        claim = step(self.accounts, asking(address, self.per_hour), now_s)
        assert claim.admitted == (claim.retry_s == 0)
        return claim.retry_s

    def allowed(self, n, at_s):
        """Ask ``n`` times at once; return how often that was allowed."""
        return sum(self.wait_s("a", at_s) == 0 for _ in range(n))


def test_an_hour_allows_exactly_its_number_and_then_says_how_long_to_wait():
    asked = Asked(200)
    assert [asked.wait_s("a", 0.0) for _ in range(200)] == [0.0] * 200
    assert 0 < asked.wait_s("a", 10.0) <= 3600
    assert asked.wait_s("b", 10.0) == 0.0
    assert asked.wait_s("a", 2 * 3600.0) == 0.0


@given(st.lists(st.floats(0, 20_000), max_size=300))
def test_no_hour_ever_lets_much_more_through(times):
    asked = Asked(20)
    allowed = [t for t in sorted(times) if asked.wait_s("a", t) == 0.0]
    for start in allowed:
        assert sum(start <= t < start + 3600 for t in allowed) <= 40


def test_listing_models_spends_nothing_of_what_may_be_asked():
    asked = Asked(1)
    listed = [step(asked.accounts, listing("a"), 0.0) for _ in range(LISTINGS_PER_HOUR + 1)]
    assert [claim.admitted for claim in listed] == [True] * LISTINGS_PER_HOUR + [False]
    assert asked.allowed(2, 0.0) == 1


def test_addresses_are_counted_by_what_one_caller_holds():
    assert block_of("2001:db8:1:2:3::4") == block_of("2001:db8:1:2:ffff::1")
    assert block_of("::ffff:1.2.3.4") == "1.2.3.4"
    assert block_of("nonsense") == "nonsense"


@pytest.mark.parametrize(("at_s", "allowed"), [(3600, 0), (5400, 5), (6480, 8), (7196.4, 10)])
def test_what_was_asked_in_the_hour_before_counts_as_far_as_that_still_reaches(at_s, allowed):
    asked = Asked(10)
    assert asked.allowed(10, 2160) == 10
    assert asked.allowed(20, at_s) == allowed


@pytest.mark.parametrize("at_s", [7200, 9000, 10_764, 32_400])
def test_after_a_pause_a_caller_may_ask_as_often_as_a_new_one_and_no_oftener(at_s):
    asked = Asked(10)
    assert asked.allowed(20, 2160) == 10
    assert asked.allowed(20, at_s) == 10


def test_who_waits_as_long_as_was_said_is_let_in_and_no_sooner():
    for early in (0.01, -0.01):
        asked = Asked(3)
        assert asked.allowed(3, 2160) == 3
        assert asked.allowed(9, 3960) == 1
        wait_s = asked.wait_s("a", 3960)
        assert wait_s == pytest.approx(36 * 70 / 3)
        assert asked.allowed(1, 3960 + wait_s - early) == (early < 0)


def test_who_used_up_this_hour_waits_for_its_end():
    asked = Asked(3)
    assert asked.allowed(3, 1080) == 3
    assert asked.wait_s("a", 1440) == 2160


def test_the_address_seen_longest_ago_is_forgotten_first():
    asked = Asked(1)
    for address in ("a", "b", "a", *map(str, range(MAX_COUNTERS - 1))):
        asked.wait_s(address, 1)
    assert asked.wait_s("a", 1) > 0
    assert asked.wait_s("b", 1) == 0


@pytest.mark.parametrize(
    ("address", "block"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("1.2.3.4:80", "1.2.3.4"),
        ("[2001:DB8:1:2:9::4]:443", "2001:db8:1:2::/64"),
    ],
)
def test_a_caller_holds_an_address_or_a_block_of_them(address, block):
    assert block_of(address) == block
