"""Published measures: values worked out by hand, and laws that must hold for any curve."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.judge import measures
from benchmarks.judge.measures import Curve

unit = st.floats(0, 1, allow_nan=False, width=32)
points = st.lists(st.tuples(unit, unit), min_size=1, max_size=12)


def curve(*pairs: tuple[float, float]) -> Curve:
    cost, quality = np.array(pairs, dtype=np.float64).T
    return Curve(cost, quality)


def two_models(n: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    need = rng.random(n)
    weak = (rng.random(n) < 1 - 0.6 * need).astype(float)
    strong = (rng.random(n) < 1 - 0.2 * need).astype(float)
    return weak, strong


def bootstrap(statistic, groups, n_samples=1000) -> measures.Interval:
    """Bootstrap a statistic of item weights, resampling whole groups of items."""
    weights = measures.resamples(int(groups.max()) + 1, n_samples, seed=0)[:, groups]
    return measures.interval(np.array([statistic(row) for row in weights]))


def apgr_of(rank: np.ndarray, weak: np.ndarray, strong: np.ndarray) -> float:
    picks = measures.decile_picks(rank)
    found = Curve(picks.mean(axis=1), np.where(picks, strong, weak).mean(axis=1))
    return measures.apgr(found, weak.mean(), strong.mean())


def test_apgr_of_the_straight_line_is_a_half() -> None:
    assert measures.apgr(curve((0, 0.4), (0.5, 0.6), (1, 0.8)), 0.4, 0.8) == pytest.approx(0.5)


def test_apgr_by_hand() -> None:
    """Area .5 x (.4+.8)/2 + .5 x .8 = .7, less .4, over a gap of .4."""
    assert measures.apgr(curve((1, 0.8), (0, 0.4), (0.5, 0.8)), 0.4, 0.8) == pytest.approx(0.75)


def test_apgr_of_a_random_ranking_is_about_a_half() -> None:
    weak, strong = two_models()
    rng = np.random.default_rng(1)
    scores = [apgr_of(rng.random(len(weak)), weak, strong) for _ in range(20)]
    assert np.mean(scores) == pytest.approx(0.5, abs=0.03)


def test_no_ranking_beats_the_oracle() -> None:
    weak, strong = two_models()
    best = apgr_of(strong - weak, weak, strong)
    rng = np.random.default_rng(2)
    assert best > 1
    assert all(apgr_of(rng.random(len(weak)), weak, strong) < best for _ in range(10))


def test_thresholds_run_from_everybody_to_nobody() -> None:
    picks = measures.decile_picks(np.arange(100.0))
    assert picks.sum(axis=1).tolist() == [100, 90, 80, 70, 60, 50, 40, 30, 20, 10, 0]


def test_cpt_by_hand() -> None:
    found = curve((0, 0.4), (0.2, 0.7), (1, 0.8))
    assert measures.cpt(found, 0.4, 0.8, 0.5) == pytest.approx(0.2 * 2 / 3)
    assert measures.cpt(found, 0.4, 0.8, 0.8) == pytest.approx(0.2 + 0.8 * 0.2)


def test_hull_by_hand() -> None:
    """A dominated point, one under the chord and a dearer worse one all go."""
    edge = measures.hull(curve((1, 0.5), (2, 0.6), (3, 0.9), (2, 0.4), (5, 0.8)))
    assert edge.cost.tolist() == [1, 3]
    assert edge.quality.tolist() == [0.5, 0.9]


def test_aiq_by_hand() -> None:
    """A triangle of gain over half the span, then flat: (.6 + .8) / 2."""
    found = curve((0, 0.4), (5, 0.8), (10, 0.8))
    assert measures.aiq(found, 0, 10) == pytest.approx(0.7)
    assert measures.aiq(found, 5, 10) == pytest.approx(0.8)


def test_saved_by_hand() -> None:
    found = curve((0, 0.0), (10, 1.0))
    assert measures.saved_at(found, 1.0, 10.0, kept=0.95) == pytest.approx(0.05)


def test_a_curve_that_never_gets_there_saves_nothing() -> None:
    assert measures.saved_at(curve((0, 0.5)), 1.0, 10.0) == 0.0


def test_arena_score_by_hand() -> None:
    """At its cheapest C is 1, at its dearest 0: S = 1.1 A / (0.1 A + 1), and 0."""
    assert measures.arena_score(0.8, 0.0044 / 1000) == pytest.approx(1.1 * 0.8 / 1.08)
    assert measures.arena_score(0.8, 0.2) == 0.0
    middle = np.sqrt(200 * 0.0044) / 1000
    assert measures.arena_score(0.6, middle) == pytest.approx(1.1 * 0.6 * 0.5 / (0.06 + 0.5))


@given(points)
def test_hull_is_non_decreasing_concave_and_above_its_points(
    pairs: list[tuple[float, float]],
) -> None:
    found = curve(*pairs)
    edge = measures.hull(found)
    assert (np.diff(edge.cost) > 0).all()
    assert (np.diff(edge.quality) > 0).all()
    slopes = np.diff(edge.quality) / np.diff(edge.cost)
    assert (np.diff(slopes) <= 1e-6 * np.abs(slopes[:-1]) + 1e-9).all()
    assert (np.interp(found.cost, edge.cost, edge.quality) >= found.quality - 1e-6).all()


@given(points)
def test_aiq_lies_between_the_least_and_greatest_quality(pairs: list[tuple[float, float]]) -> None:
    found = curve(*pairs)
    area = measures.aiq(found, float(found.cost.min()), float(found.cost.max()))
    assert found.quality.min() - 1e-6 <= area <= found.quality.max() + 1e-6


@given(points, st.tuples(unit, unit))
def test_one_more_setting_never_lowers_aiq(
    pairs: list[tuple[float, float]], more: tuple[float, float]
) -> None:
    pairs = [(0.0, 0.0), *pairs]
    assert measures.aiq(curve(*pairs, more), 0, 1) >= measures.aiq(curve(*pairs), 0, 1) - 1e-6


@given(unit, unit, st.floats(1e-5, 0.2), st.floats(1e-5, 0.2))
def test_arena_score_rewards_quality_and_thrift(a: float, b: float, c: float, d: float) -> None:
    low, high = sorted((a, b))
    cheap, dear = sorted((c, d))
    assert measures.arena_score(low, c) <= measures.arena_score(high, c) + 1e-9
    assert measures.arena_score(a, dear) <= measures.arena_score(a, cheap) + 1e-9


def test_bootstrap_covers_the_mean_at_about_its_level() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(60):
        values = rng.random(80)
        found = bootstrap(lambda w, v=values: float(w @ v / w.sum()), np.arange(80), n_samples=200)
        hits += found.low <= 0.5 <= found.high
    assert hits >= 50


def test_items_of_a_group_are_resampled_together() -> None:
    """Copies of an item add no certainty."""
    values = np.random.default_rng(4).random(50)
    groups = np.repeat(np.arange(50), 4)
    once = bootstrap(lambda w: float(w @ values / w.sum()), np.arange(50))
    many = np.repeat(values, 4)
    again = bootstrap(lambda w: float(w @ many / w.sum()), groups)
    assert (again.low, again.high) == pytest.approx((once.low, once.high))


@settings(max_examples=20)
@given(st.integers(1, 30), st.integers(0, 5))
def test_resamples_draw_as_many_groups_as_there_are(n: int, seed: int) -> None:
    weights = measures.resamples(n, 10, seed)
    assert weights.shape == (11, n)
    assert (weights.sum(axis=1) == n).all()
    assert (weights[0] == 1).all()
