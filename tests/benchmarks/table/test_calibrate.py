"""The dial's prices keep their promise on what they were set on, and a build that outcomes belie is refused."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from benchmarks.table.calibrate import (
    ENOUGH_TASKS,
    NEARLY_AS_CHEAP,
    PRICES,
    ROOM,
    LeftOut,
    Traffic,
    best_single,
    calibrate,
    posterior_gaps,
)
from benchmarks.table.choose import prospect_of
from benchmarks.table.costs import BETWEEN, Costs, stand_ins
from benchmarks.table.evidence import release_prices
from benchmarks.table.traffic import Readings
from classifier.tasks import N_LEVELS, TYPES
from router.evidence.catalogue import load_catalogue
from router.values import DIALS, Unit
from tests.evidence import table

FIX = TYPES.index("debugging/bug_fixing")
QUALITY = [[0.90, 0.95, 0.97], [0.70, 0.80, 0.90], [0.40, 0.60, 0.80], [0.20, 0.40, 0.70]]
SHIPPED = table(QUALITY, [0.02, 0.10, 1.00], spread=0.01)
LEVELS = np.arange(4 * 60) % 4


def reading(levels):
    p_type = np.eye(len(TYPES), dtype=np.float32)[np.full(len(levels), FIX)]
    return p_type, np.eye(N_LEVELS, dtype=np.float32)[levels]


def seen(of=SHIPPED, levels=LEVELS):
    return cache(lambda margin: prospect_of(of, *reading(levels), margin))


def traffic(spread=0.005):
    rng = np.random.default_rng(0)
    mean = np.array(QUALITY, dtype=np.float32)[LEVELS]
    draws = mean[..., None] + rng.normal(0, spread, (1, 3, 200)).astype(np.float32)
    return Traffic(seen(), np.full(len(LEVELS), 1 / len(LEVELS)), draws)


def outcomes(quality=QUALITY, seed=0):
    """Tasks of the same levels, each done by every unit."""
    chance = np.array(quality)[LEVELS]
    scores = (np.random.default_rng(seed).random((len(LEVELS), 1)) < chance).astype(float)
    return LeftOut(seen(), scores, np.ones(len(LEVELS)), 2)


def test_every_stop_keeps_to_its_share_of_the_margin_on_draws_and_on_outcomes():
    found = calibrate(traffic(), [outcomes()])
    for name, stop in found.items():
        assert stop.kept
        assert stop.expected_gap <= ROOM * DIALS[name].margin
        assert stop.outcome_gap <= ROOM * DIALS[name].margin
        assert stop.upper_gap <= DIALS[name].margin


def test_a_stricter_stop_never_pays_less_for_success():
    found = calibrate(traffic(), [outcomes()])
    prices = [found[name].stop.price for name in ("quality", "balanced", "economy")]
    assert prices == sorted(prices, reverse=True)
    assert prices[0] > prices[-1]


def test_the_price_rises_only_where_that_is_nearly_as_cheap():
    """Of the prices that keep the promise none costs much more than the least of them."""
    mix = traffic()
    found = calibrate(mix)
    for name, stop in found.items():
        outlook, single = mix.outlooks(DIALS[name].margin), best_single(mix)
        kept = [
            price for price in PRICES
            if posterior_gaps(mix, outlook.picks(price), single).mean() <= ROOM * DIALS[name].margin
        ]  # fmt: skip
        usd = [
            outlook.cost_usd[np.arange(len(LEVELS)), outlook.picks(price)].mean()
            for price in (kept[0], stop.stop.price)
        ]
        least = min(s.stop.price for s in found.values())
        if stop.stop.price > least:  # the loosest stop is no floor of its own
            continue
        assert usd[1] <= NEARLY_AS_CHEAP * usd[0]


def test_where_no_price_keeps_the_promise_that_is_said():
    """Outcomes in which the best by the table is the worst: nothing within the guard will do."""
    upside_down = outcomes([row[::-1] for row in QUALITY])
    found = calibrate(traffic(), [LeftOut(seen(), upside_down.outcomes, upside_down.weight, 0)])
    assert not found["quality"].kept


@pytest.mark.parametrize(("fails_more", "belied"), [(0.0, False), (0.35, True)])
def test_outcomes_that_surely_contradict_the_table_are_told(fails_more, belied):
    worse = [[max(0.0, q - fails_more) for q in row[:2]] + row[2:] for row in QUALITY]
    assert len(LEVELS) >= ENOUGH_TASKS
    found = calibrate(traffic(), [outcomes(worse)])
    assert found["economy"].belied is belied


def test_a_drawn_reading_is_of_an_ask_of_the_same_type_and_the_nearest_level():
    asks = Readings(
        rows=(), p_type=reading([0, 2])[0], p_level=reading([0, 2])[1],
        task=np.array([FIX, FIX]), level=np.array([0, 2]),
    )  # fmt: skip
    _, p_level = asks.drawn(np.array([FIX, FIX]), np.array([0, 3]), seed=0)
    assert p_level.argmax(axis=1).tolist() == [0, 2]


def test_types_weigh_the_same_however_many_asks_they_have():
    asks = Readings(
        rows=(), p_type=reading([0] * 4)[0], p_level=reading([0] * 4)[1],
        task=np.array([FIX, FIX, FIX, 0]), level=np.zeros(4, dtype=int),
    )  # fmt: skip
    assert asks.uniform().tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])


def test_a_benchmark_stands_in_for_other_levels_along_the_line_of_agents():
    """One agents' benchmark of four-hour tasks: a level down costs as much less as between benchmarks."""
    log_usd = np.log(np.array([[[1.0], [1.3], [1.7], [2.2]], [[0.01], [0.01], [0.01], [0.01]]]))
    costs = Costs(log_usd, 0 * log_usd, np.ones(1), np.ones(1), np.zeros(4), {})
    weight = np.zeros((2, len(TYPES), N_LEVELS))
    weight[0, FIX, 3], weight[1, 0, 0] = 10, 10
    line, slope = stand_ins(costs, weight, np.array([True, False]))
    assert slope == pytest.approx(BETWEEN)
    assert line[0, :, 0].tolist() == pytest.approx(
        [np.log(2.2) - k * BETWEEN for k in (3, 2, 1, 0)]
    )


def test_nothing_is_free_to_make():
    """A free offer is taken for what its model costs elsewhere, or its vendor's others; never for nothing."""
    catalogue = load_catalogue()
    free = next(m for m in catalogue.models if m.free and m.launch is None)
    paid = next(m for m in catalogue.models if m.price and m.price.input > 1)
    logs = release_prices([Unit(free.id), Unit(paid.id)], catalogue)
    assert np.isfinite(logs).all()
    assert np.exp(logs[0]) > 0.01
