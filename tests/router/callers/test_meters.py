"""The arithmetic of meters: windows, claims and what settles them."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.callers.meters import (
    HOLD_S,
    Charge,
    Counter,
    Meter,
    Period,
    Resource,
    corrected,
    corrections,
    counted,
    current,
    expires_s,
    hour_of,
    used_of,
    window_of,
)

times = st.floats(0, 4e9)
periods = st.sampled_from(Period)
meters = st.builds(Meter, st.sampled_from(Resource), periods, st.floats(0, 100))
charges = st.builds(Charge, st.sampled_from("ab"), meters, st.floats(0, 50))

DAY = Meter(Resource.USD, Period.DAY, 10.0)
MINUTE = Meter(Resource.TOKENS, Period.MINUTE, 100.0)
NOON = 43_200.0


def claim(charges, counters, now_s):
    """Claim with nothing spent before; return the claim and all counters."""
    found = counted(charges, counters, now_s, {c.key: 0.0 for c in charges})
    return found.claim, counters | found.counters


def settle(made, actuals, counters):
    """Settle a claim; return all counters."""
    for correction in corrections(made, actuals):
        key = correction.charge.key
        if (counter := corrected(counters.get(key), correction)) is not None:
            counters = counters | {key: counter}
    return counters


@given(periods, times)
def test_windows_follow_each_other_without_a_gap(period, now_s):
    window = window_of(period, now_s)
    assert window.begins_s <= now_s < window.ends_s
    assert window_of(period, window.begins_s) == window
    after = window_of(period, window.ends_s)
    assert (after.number, after.begins_s) == (window.number + 1, window.ends_s)


@given(times)
def test_calendar_periods_are_those_of_the_calendar_in_utc(now_s):
    date = datetime.fromtimestamp(int(now_s), UTC)
    midnight = date.replace(hour=0, minute=0, second=0)
    begins = {
        Period.DAY: midnight,
        Period.WEEK: midnight - timedelta(days=date.weekday()),
        Period.MONTH: midnight.replace(day=1),
    }
    for period, begun in begins.items():
        assert window_of(period, int(now_s)).begins_s == begun.timestamp()


@given(meters, times)
def test_a_counter_matters_as_long_as_somebody_could_read_it(meter, now_s):
    counter = Counter(window_of(meter.period, now_s).number, spent=5.0)
    until_s = expires_s(meter, counter.window)
    after = current(counter, meter, until_s, 0.0)
    assert used_of(meter, after, until_s) == 0
    if meter.slides:
        before_s = until_s - 0.5
        assert used_of(meter, current(counter, meter, before_s, 0.0), before_s) > 0


@given(st.lists(st.tuples(st.lists(charges, max_size=3), st.floats(0, 50)), max_size=30), times)
def test_nothing_is_admitted_where_nothing_is_left_and_all_or_none_is_charged(steps, now_s):
    counters = {}
    for wanted, later_s in steps:
        now_s += later_s
        bases = {c.key: 0.0 for c in wanted}
        shown = counted(wanted, counters, now_s, bases, takes=False)
        full = any(r.used >= r.charge.meter.limit for r in shown.claim.readings)
        assert not any(r.refused for r in shown.claim.readings) or full
        made, after = claim(wanted, counters, now_s)
        assert made.admitted == (not full)
        if full:
            assert {key: after[key] for key in bases} == shown.counters
            assert made.retry_s > 0
        else:
            assert not any(reading.refused for reading in made.readings)
        counters = after


@given(
    st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5), st.booleans()), max_size=30),
    st.sampled_from(Resource),
)
def test_what_is_settled_is_spent_and_what_is_not_is_held(steps, resource):
    charged = Meter(resource, Period.DAY, 20.0)
    counters, spent, held = {}, 0.0, 0.0
    for amount, actual, settles in steps:
        made, counters = claim([Charge("a", charged, amount)], counters, NOON)
        if made.admitted:
            if settles:
                counters = settle(made, [actual], counters)
            spent += actual if settles else amount * (resource is Resource.REQUESTS)
            held += 0.0 if settles else amount * (resource is not Resource.REQUESTS)
        [reading] = counted([Charge("a", charged)], counters, NOON, {}, takes=False).claim.readings
        assert reading.spent == pytest.approx(spent)
        assert reading.held == pytest.approx(held)
        assert reading.remaining == pytest.approx(max(0, 20 - spent - held))


def test_the_last_one_admitted_may_overshoot_and_no_further_one_is():
    counters = {}
    admitted = 0
    for _ in range(100):
        made, counters = claim([Charge("a", DAY, 0.99)], counters, NOON)
        admitted += made.admitted
    assert admitted == 11
    [reading] = made.readings
    assert (reading.refused, reading.remaining, reading.reset_s) == (True, 0, NOON)


def test_what_refused_is_named_and_the_rest_is_not():
    made, _ = claim([Charge("a", DAY), Charge("b", Meter(Resource.USD, Period.DAY, 0))], {}, NOON)
    assert [reading.refused for reading in made.readings] == [False, True]
    assert not made.admitted


def test_a_budget_begins_where_the_ledger_says_and_not_before_it_was_asked():
    charge = Charge("a", DAY)
    asked = counted([charge], {}, NOON, {})
    assert (asked.claim, asked.unknown) == (None, (charge,))
    told = counted([charge], {}, NOON, {charge.key: 9.5})
    assert told.claim.readings[0].used == 10.5
    anew = counted([charge], told.counters, NOON + 86_400, {})
    assert anew.unknown == (charge,)


def test_what_was_claimed_in_the_minute_before_is_settled_in_what_that_still_counts():
    made, counters = claim([Charge("a", MINUTE, 80)], {}, 59.0)
    _, counters = claim([Charge("a", MINUTE, 0)], counters, 75.0)
    counters = settle(made, [40.0], counters)
    [reading] = counted([Charge("a", MINUTE)], counters, 75.0, {}, takes=False).claim.readings
    assert reading.used == pytest.approx(40 * 0.75)


def test_what_was_claimed_yesterday_is_no_matter_of_today():
    made, counters = claim([Charge("a", DAY, 3)], {}, NOON)
    _, counters = claim([Charge("a", DAY, 1)], counters, NOON + 86_400)
    assert settle(made, [5.0], counters) == counters


def test_what_nobody_settles_is_forgotten_and_counts_in_full_if_it_is_settled_later():
    charge = Charge("a", DAY, 3.0)
    made, counters = claim([charge], {}, NOON)

    def used(at_s):
        shown = counted([charge], counters, at_s, {}, takes=False)
        return shown.claim.readings[0].used, shown.counters

    assert used(NOON + HOLD_S)[0] == 3
    assert used(NOON + 2 * HOLD_S)[0] == 0
    counters = used(NOON + 2 * HOLD_S)[1]
    counters = settle(made, [4.0], counters)
    assert used(NOON + 2 * HOLD_S)[0] == 4


@given(meters, times, st.floats(0, 1))
def test_a_clock_that_is_a_second_behind_another_forgets_nothing(meter, now_s, behind_s):
    window, hour = window_of(meter.period, now_s).number, hour_of(now_s)
    ahead = Counter(window, spent=5.0, held=2.0, hour=hour)
    assert current(ahead, meter, max(0, now_s - behind_s), None)[:3] == ahead[:3]


@pytest.mark.parametrize("actual", [math.nan, math.inf, -5.0])
def test_what_is_no_amount_never_lowers_what_was_used(actual):
    made, counters = claim([Charge("a", DAY, 3.0)], {}, NOON)
    [counter] = settle(made, [actual], counters).values()
    assert (counter.spent, counter.held) == (3, 0)
    with pytest.raises(ValueError, match="is no amount"):
        Charge("a", DAY, actual)
