"""How often a caller without a key may ask."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.callers.rates import Window, block_of


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
