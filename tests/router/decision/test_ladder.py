"""Choices are monotone in level: harder work of a kind goes to nobody who would do worse on it."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.table.choose import prospect_of
from classifier.tasks import N_LEVELS, TYPES
from router.decision.eligible import Eligibility
from router.decision.ladder import ladder_among, rungs_of
from router.decision.policy import decide
from router.decision.rule import compare
from router.sessions.session import NEW
from router.values import DIALS, NO_LIMITS, Limits, Needs
from tests.evidence import assessment, catalogue, model, table

KIND = TYPES.index("debugging/bug_fixing")
CELLS = np.eye(N_LEVELS, dtype=np.float32)
BALANCED = DIALS["balanced"]


def falling(rng, units):
    """Qualities that fall with the level, each unit in its own way, so that some cross."""
    steps = rng.uniform(0, 0.25, (N_LEVELS, units))
    return np.clip(0.98 - np.cumsum(steps, axis=0), 0.02, 0.98)


def picks(of, dial, levels=CELLS):
    kinds = np.eye(len(TYPES), dtype=np.float32)[np.full(len(levels), KIND)]
    return prospect_of(of, kinds, levels, dial.margin).picks(of.price_of(dial.margin))


tables = st.builds(
    lambda seed, units, price, spread: table(
        falling(rng := np.random.default_rng(seed), units),
        np.exp(rng.normal(0, 1.5, units)),
        spread=rng.uniform(0, spread, (N_LEVELS, units)),
        items=rng.choice([5, 15, 50], units),
        price=price,
    ),
    st.integers(0, 2**32),
    st.integers(2, 9),
    st.floats(1e-4, 100),
    st.floats(1e-3, 0.2),
)


@settings(deadline=None)
@given(tables, st.sampled_from(sorted(DIALS)))
def test_who_serves_harder_work_does_at_least_as_well_on_it_as_who_serves_easier_work(of, stop):
    found = picks(of, DIALS[stop])
    quality = of.quality[KIND]
    for easier, level in combinations(range(N_LEVELS), 2):
        assert quality[level, found[level]] >= quality[level, found[easier]]


@settings(deadline=None)
@given(tables, st.sampled_from(sorted(DIALS)), st.data())
def test_cells_are_compared_as_requests_are(of, stop, data):
    chosen = st.lists(st.sampled_from(range(len(of.units))), min_size=1, unique=True)
    rows = sorted(data.draw(chosen))
    rungs = rungs_of(of, DIALS[stop].margin, np.array(rows))
    for level, read in enumerate(CELLS):
        expected = of.expect(np.eye(len(TYPES), dtype=np.float32)[KIND], read).of(rows)
        standing = compare(expected, DIALS[stop].margin)
        at = (KIND, level)
        np.testing.assert_array_equal(rungs.near[at], standing.near)
        np.testing.assert_array_equal(rungs.quality[at], standing.quality)
        np.testing.assert_allclose(rungs.worth[at], standing.worth, rtol=1e-6)


@settings(deadline=None)
@given(tables, st.sampled_from(sorted(DIALS)))
def test_a_decision_takes_whom_the_build_had_looked_at(of, stop):
    models = [model(unit.model) for unit in of.units]
    eligible = Eligibility(catalogue(*models), Needs(), NO_LIMITS, None)
    for level, pick in enumerate(picks(of, DIALS[stop]), start=1):
        made = decide(assessment(level=level), eligible, NEW, of, DIALS[stop])
        assert made.unit == of.units[pick]


CROSSING = table([[0.90, 0.95], [0.80, 0.90], [0.70, 0.80], [0.66, 0.67]], [0.01, 1.0], price=30.0)


def test_where_all_shrinks_together_who_served_easier_work_serves_on():
    assert picks(CROSSING, BALANCED).tolist() == [0, 1, 1, 1]
    alone = compare(CROSSING.expect(np.eye(len(TYPES), dtype=np.float32)[KIND], CELLS[3]), 0.1)
    assert alone.near.all()  # by itself the cheap one would do


def test_who_is_as_good_and_cheaper_may_take_harder_work():
    of = table([[0.80, 0.90], [0.70, 0.85], [0.60, 0.80], [0.70, 0.70]], [0.01, 1.0], price=30.0)
    assert picks(of, BALANCED).tolist() == [1, 1, 1, 0]


def test_who_is_within_no_guard_serves_on_where_the_guard_knows_only_worse():
    of = table([[0.80, 0.90], [0.80, 0.90], [0.70, 0.80], [0.60, 0.62]], [0.1, 1.0], price=30.0)
    wide = replace(of, spread=of.spread.copy())
    wide.spread[:, 3] = [0.001, 0.2]
    assert not compare(wide.expect(np.eye(len(TYPES), dtype=np.float32)[KIND], CELLS[3]), 0.1).near[
        1
    ]
    assert picks(wide, BALANCED).tolist() == [1, 1, 1, 1]
    models = [model(unit.model) for unit in wide.units]
    eligible = Eligibility(catalogue(*models), Needs(), NO_LIMITS, None)
    made = decide(assessment(level=4), eligible, NEW, wide, BALANCED)
    assert made.unit == wide.units[1]
    assert not made.adequate, "outside the guard nobody is called adequate"
    assert "serves easier work of the kind and serves on" in made.why


DEAR_EASY = table(
    [[0.90, 0.70, 0.70], [0.80, 0.78, 0.775], [0.7, 0.7, 0.7], [0.6, 0.6, 0.6]],
    [9.0, 5.0, 1.0], price=30.0,
)  # fmt: skip


def test_who_a_limit_keeps_out_holds_nobody_to_what_it_would_have_served():
    models = [model(unit.model) for unit in DEAR_EASY.units]
    for limits in (Limits(max_cost_usd=6.0), Limits(deny=frozenset({"m0"}))):
        eligible = Eligibility(catalogue(*models), Needs(), limits, None)
        made = [
            decide(assessment(level=level), eligible, NEW, DEAR_EASY, BALANCED) for level in (1, 2)
        ]
        assert [str(one.unit) for one in made] == ["m2", "m2"]


def test_a_reading_that_is_not_sure_of_the_harder_level_is_not_bound_by_it():
    torn = np.array([[0.3, 0, 0, 0.7], [0.1, 0, 0, 0.9]], dtype=np.float32)
    of = table([[0.90, 0.95], [0.90, 0.95], [0.60, 0.90], [0.60, 0.61]], [0.01, 1.0], price=0.5)
    assert picks(of, BALANCED, torn).tolist() == [0, 1]


readings = st.lists(st.floats(0, 1), min_size=N_LEVELS, max_size=N_LEVELS).filter(
    lambda weights: sum(weights) > 0.1
)


@settings(deadline=None)
@given(tables, st.sampled_from(sorted(DIALS)), readings)
def test_who_serves_outside_the_guard_is_expected_to_do_as_well_as_all_within_it(of, stop, weights):
    dial, p_level = DIALS[stop], np.array(weights, dtype=np.float32) / np.float32(sum(weights))
    expected = of.expect(np.eye(len(TYPES), dtype=np.float32)[KIND], p_level)
    standing = compare(expected, dial.margin)
    may = ladder_among(of, dial.margin).may(standing, expected)
    assert may.any()
    for unit in np.flatnonzero(may & ~standing.near):
        assert standing.quality[unit] >= standing.quality[standing.near].max()


def test_who_serves_on_does_so_only_where_nobody_near_is_better_on_all_that_a_reading_may_be():
    of = table(
        [[0.74, 0.76], [0.53, 0.67], [0.46, 0.66], [0.45, 0.44]], [2.82, 3.33],
        spread=np.array([[0.14, 0.18], [0.17, 0.08], [0.11, 0.08], [0.16, 0.11]]), price=30.0,
    )  # fmt: skip
    surely, nearly = np.array([[0, 0, 0, 1], [0, 0, 0.15, 0.85]], dtype=np.float32)
    assert picks(of, BALANCED, np.array([surely])).tolist() == [0]
    assert picks(of, BALANCED, np.array([nearly])).tolist() == [1]


def test_a_ladder_is_of_the_candidates_and_known_the_second_time():
    of = table([[0.90, 0.95, 0.99]] * N_LEVELS, [0.01, 1.0, 2.0], price=30.0)
    some = ladder_among(of, 0.1, (0, 1))
    assert some is ladder_among(of, 0.1, (0, 1))
    assert some.as_good.shape == (len(TYPES) * N_LEVELS, 2)
    assert ladder_among(of, 0.1).as_good.shape == (len(TYPES) * N_LEVELS, 3)
