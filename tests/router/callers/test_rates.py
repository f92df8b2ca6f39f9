"""How often a caller without a key may ask."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.callers.rates import MAX_ADDRESSES, Window, block_of


def test_the_window_allows_exactly_its_number_and_then_says_how_long_to_wait():
    window = Window(200)
    assert [window.wait_s("a", 0.0) for _ in range(200)] == [0.0] * 200
    assert 0 < window.wait_s("a", 10.0) <= 3600
    assert window.wait_s("b", 10.0) == 0.0
    assert window.wait_s("a", 2 * 3600.0) == 0.0


@given(st.lists(st.floats(0, 20_000), max_size=300))
def test_no_window_ever_lets_much_more_through(times):
    window = Window(20)
    allowed = [t for t in sorted(times) if window.wait_s("a", t) == 0.0]
    for start in allowed:
        assert sum(start <= t < start + 3600 for t in allowed) <= 40


def test_addresses_are_counted_by_what_one_caller_holds():
    assert block_of("2001:db8:1:2:3::4") == block_of("2001:db8:1:2:ffff::1")
    assert block_of("::ffff:1.2.3.4") == "1.2.3.4"
    assert block_of("nonsense") == "nonsense"


def asked(window, n, at):
    """Ask ``n`` times at once; return how often that was allowed."""
    return sum(window.wait_s("a", at) == 0.0 for _ in range(n))


@pytest.mark.parametrize(("at", "allowed"), [(100, 0), (150, 5), (180, 8), (199.9, 10)])
def test_what_was_asked_in_the_window_before_counts_as_far_as_that_still_reaches(at, allowed):
    window = Window(10, window_s=100)
    assert asked(window, 10, at=60) == 10
    assert asked(window, 20, at=at) == allowed


@pytest.mark.parametrize("at", [200, 250, 299, 900])
def test_after_a_pause_a_caller_may_ask_as_often_as_a_new_one_and_no_oftener(at):
    window = Window(10, window_s=100)
    assert asked(window, 20, at=60) == 10
    assert asked(window, 20, at=at) == 10


def test_who_waits_as_long_as_was_said_is_let_in_and_no_sooner():
    for early in (0.01, -0.01):
        window = Window(3, window_s=100)
        assert asked(window, 3, at=60) == 3
        assert asked(window, 9, at=110) == 1
        wait_s = window.wait_s("a", 110)
        assert wait_s == pytest.approx(70 / 3)
        assert asked(window, 1, at=110 + wait_s - early) == (early < 0)


def test_who_used_up_this_window_waits_for_its_end():
    window = Window(3, window_s=100)
    assert asked(window, 3, at=30) == 3
    assert window.wait_s("a", 40) == 60


def test_the_address_seen_longest_ago_is_forgotten_first():
    window = Window(1)
    for address in ("a", "b", "a", *map(str, range(MAX_ADDRESSES - 1))):
        window.wait_s(address, 1)
    assert window.wait_s("a", 1) > 0
    assert window.wait_s("b", 1) == 0


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
