"""Laws of the item-response fit, on simulated data where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from benchmarks.table.item_response import (
    Design,
    Fit,
    Observations,
    Tie,
    effective_trials,
    fit,
    level_of_minutes,
    place,
    sigmoid,
    tie,
)


def simulate(
    ability: np.ndarray, n_items: int, seed: int, share: float = 1.0, spread: float = 1.5
) -> tuple[Observations, np.ndarray]:
    """Draw outcomes of units with known abilities on items of N(0, spread^2) difficulty."""
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(0, spread, n_items)
    unit, item = (a.ravel() for a in np.indices((len(ability), n_items)))
    keep = rng.random(len(unit)) < share
    unit, item = unit[keep], item[keep]
    score = (rng.random(len(unit)) < sigmoid(ability[unit] - difficulty[item])).astype(float)
    rows = Observations(
        context=unit,
        item=item,
        score=score,
        trials=np.ones(len(unit)),
        item_group=np.zeros(n_items, dtype=np.int64),
        item_tasks=np.ones(n_items),
    )
    return rows, difficulty


def one_ability_each(n_units: int) -> Design:
    return Design(sparse.identity(n_units).tocsr(), np.zeros(n_units, dtype=np.int64), ("ability",))


def fitted(ability: np.ndarray, n_items: int, seed: int, share: float = 1.0) -> Fit:
    rows, _ = simulate(ability, n_items, seed, share)
    return fit(rows, one_ability_each(len(ability)))


def test_known_abilities_are_recovered() -> None:
    ability = np.linspace(-1.5, 1.5, 12)
    found = fitted(ability, 600, seed=0).effects
    assert np.corrcoef(ability, found)[0, 1] > 0.99
    assert abs((found - found.mean()) - ability).max() < 0.3


def test_known_difficulties_are_recovered() -> None:
    rows, difficulty = simulate(np.linspace(-1, 1, 30), 300, seed=1)
    found = fit(rows, one_ability_each(30)).difficulty
    assert np.corrcoef(difficulty, found)[0, 1] > 0.93


def test_item_spread_is_recovered() -> None:
    assert fitted(np.linspace(-1, 1, 20), 500, seed=2).group_spread[0] == pytest.approx(
        1.5, abs=0.2
    )


def test_estimates_are_shrunk_towards_the_parent() -> None:
    """With one component the parent is the mean: spread of estimates below that of the raw."""
    rows, _ = simulate(np.zeros(20), 15, seed=3)
    raw = np.bincount(rows.context, rows.score) / 15
    raw_logit = np.log((raw + 0.5 / 15) / (1 - raw + 0.5 / 15))
    assert fit(rows, one_ability_each(20)).effects.std() < 0.7 * raw_logit.std()


def test_more_evidence_narrows_the_interval() -> None:
    ability = np.linspace(-1, 1, 10)
    draws = [fitted(ability, n, seed=4).draws(400, 0).effects for n in (40, 640)]
    wide, narrow = (np.std(d[:, 0] - d[:, 9]) for d in draws)
    assert narrow < 0.5 * wide


def test_an_effect_without_evidence_keeps_its_prior() -> None:
    rows, _ = simulate(np.linspace(-1, 1, 8), 200, seed=5)
    design = Design(
        sparse.hstack([sparse.identity(8), sparse.csr_matrix((8, 1))]).tocsr(),
        np.zeros(9, dtype=np.int64),
        ("ability",),
    )
    found = fit(rows, design)
    effect = found.draws(2000, 0).effects[:, 8]
    assert found.effects[8] == 0
    assert effect.std() == pytest.approx(found.scales["ability"], rel=0.1)


def test_differences_are_covered_as_often_as_claimed() -> None:
    """90% intervals of the differences between units hold the truth in about 90% of cases."""
    inside = []
    for seed in range(20):
        ability = np.random.default_rng(seed).normal(0, 0.8, 8)
        draws = fitted(ability, 120, seed=500 + seed).draws(400, 0).effects
        gap = draws[:, 1:] - draws[:, :1]
        low, high = np.quantile(gap, [0.05, 0.95], axis=0)
        truth = ability[1:] - ability[0]
        inside.append((truth >= low) & (truth <= high))
    assert 0.83 <= np.mean(inside) <= 0.97


def test_fit_is_deterministic_and_ignores_row_order() -> None:
    rows, _ = simulate(np.linspace(-1, 1, 6), 80, seed=6, share=0.7)
    order = np.random.default_rng(0).permutation(len(rows.item))
    shuffled = Observations(
        rows.context[order], rows.item[order], rows.score[order], rows.trials[order],
        rows.item_group, rows.item_tasks,
    )  # fmt: skip
    once, again, other = (fit(r, one_ability_each(6)) for r in (rows, rows, shuffled))
    assert (once.effects == again.effects).all()
    assert np.allclose(once.effects, other.effects, atol=1e-6)


def test_newton_never_lowers_the_posterior_at_fixed_scales() -> None:
    """The recorded log posterior settles: the last steps change it by less than the first."""
    trace = fitted(np.linspace(-2, 2, 10), 200, seed=7).log_posterior
    assert abs(trace[-1] - trace[-2]) < 0.01 * abs(trace[1] - trace[0])


def test_a_published_total_is_worth_about_its_tasks() -> None:
    """A unit known only by its total over 200 tasks lands where the tasks would put it."""
    ability = np.linspace(-1, 1, 12)
    rows, _ = simulate(ability, 200, seed=8)
    last = rows.context == 11
    total = Observations(
        context=np.append(rows.context[~last], 11),
        item=np.append(rows.item[~last], 200),
        score=np.append(rows.score[~last], rows.score[last].mean()),
        trials=np.ones((~last).sum() + 1),
        item_group=np.zeros(201, dtype=np.int64),
        item_tasks=np.append(np.ones(200), 200.0),
    )
    by_task, by_total = (fit(r, one_ability_each(12)) for r in (rows, total))
    assert by_total.effects[11] == pytest.approx(by_task.effects[11], abs=0.15)
    assert (
        by_total.draws(400, 0).effects[:, 11].std() < 2 * by_task.draws(400, 0).effects[:, 11].std()
    )


def test_a_context_of_two_groups_is_refused() -> None:
    rows = Observations(
        np.array([0, 0]), np.array([0, 1]), np.ones(2), np.ones(2), np.array([0, 1]), np.ones(2)
    )
    with pytest.raises(ValueError, match="more than one group"):
        fit(rows, one_ability_each(1))


@given(st.floats(1, 1000))
def test_repeats_count_for_less_than_independent_trials(trials: float) -> None:
    assert 1 <= effective_trials(np.array([trials]))[0] <= min(trials, 2) + 1e-9


@settings(max_examples=30)
@given(st.floats(-6, 6), st.floats(0, 3), st.floats(-6, 6))
def test_placed_levels_are_a_distribution(b: float, sd: float, centre: float) -> None:
    line = Tie(2.8, 0.5, 0.2, 1.3, 0.4, 500)
    p, minutes = place(np.array([b]), np.array([sd]), np.array([centre]), line)
    assert p.shape == (1, 4)
    assert p.sum() == pytest.approx(1)
    assert (p >= 0).all()
    assert np.isfinite(minutes).all()


def test_harder_items_are_placed_higher() -> None:
    line = Tie(2.8, 0.5, 0.2, 1.3, 0.4, 500)
    b = np.linspace(-4, 4, 9)
    p, minutes = place(b, np.full(9, 0.3), np.zeros(9), line)
    assert (np.diff(minutes) > 0).all()
    assert (np.diff(p @ np.arange(4)) > 0).all()


def test_tie_finds_a_planted_line() -> None:
    rng = np.random.default_rng(0)
    benchmark = np.repeat([0, 1], 200)
    b = rng.normal(0, 1, 400) + 3 * benchmark
    found = tie(b, np.exp(3 + 0.5 * b + rng.normal(0, 0.1, 400)), benchmark)
    assert found.within == pytest.approx(0.5, abs=0.05)
    assert found.between == pytest.approx(0.5, abs=0.05)
    assert found.correlation > 0.97


def test_tie_needs_labelled_items() -> None:
    with pytest.raises(ValueError, match="at least 3"):
        tie(np.zeros(2), np.ones(2), np.zeros(2, dtype=np.int64))


@pytest.mark.parametrize(("minutes", "level"), [(1, 1), (14.9, 1), (15, 2), (60, 3), (240, 4)])
def test_level_edges(minutes: float, level: int) -> None:
    assert level_of_minutes(minutes) == level
