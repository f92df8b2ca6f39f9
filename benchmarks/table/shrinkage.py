"""Does shrinkage pay?  Held-out comparison of ways to turn outcomes into cell qualities.

Every method sees the same training rows and gives one probability per unit and cell, which is
scored on rows it did not see.  Scenarios differ in what is hidden:

    half      half of the items, for all units
    tenth     nine tenths of the items, for all units
    patchy    half of the items for all; of the rest each unit keeps its own tenth
    unseen    a fifth of the (unit, benchmark) pairs, whole: what remains is borrowed
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.table.item_response import Floats, brier, log_loss
from benchmarks.table.quality import FAMILY, Problem, draw_cells, fit_quality, with_rows
from classifier.tasks import FAMILIES, N_LEVELS, TYPES

SCENARIOS: Final = ("half", "tenth", "patchy", "unseen")
METHODS: Final = ("raw cell mean", "family mean", "beta-binomial", "item response")

Mask = NDArray[np.bool_]


def compare(problem: Problem, *, seeds: int = 5, n_draws: int = 160) -> pl.DataFrame:
    """Return scenario, method, log_loss, brier, covered: means over ``seeds`` splits.

    ``covered``: share of held-out (unit, cell) means inside the item response's 90% interval,
    widened by the binomial noise of the held-out rows.
    """
    single = problem.tasks[problem.item] == 1
    problem = with_rows(problem, single)
    rows = []
    for seed in range(seeds):
        for scenario in SCENARIOS:
            train, test = split(problem, scenario, seed)
            for method, q, covered in _methods(problem, train, test, seed, n_draws):
                p = _look_up(problem, test, q)
                score = problem.score[test]
                rows.append((scenario, method, log_loss(score, p), brier(score, p), covered))
    frame = pl.DataFrame(
        rows, schema=["scenario", "method", "log_loss", "brier", "covered"], orient="row"
    )
    return frame.group_by("scenario", "method", maintain_order=True).agg(pl.all().mean())


def split(problem: Problem, scenario: str, seed: int) -> tuple[Mask, Mask]:
    """Return masks of training and test rows."""
    rng = np.random.default_rng(seed)
    draw = rng.random(len(problem.group))[problem.item]
    if scenario == "half":
        return draw < 0.5, draw >= 0.5
    if scenario == "tenth":
        return draw < 0.1, draw >= 0.1
    if scenario == "patchy":
        own = rng.random(len(problem.item)) < 0.1
        return (draw < 0.5) & own, draw >= 0.5
    pair = problem.unit * len(TYPES) + problem.group_type[problem.group[problem.item]]
    hidden = rng.random(problem.n_units * len(TYPES))[pair] < 0.2
    return ~hidden, hidden


def _cell(problem: Problem, rows: Mask) -> tuple[NDArray[np.int64], ...]:
    group = problem.group[problem.item[rows]]
    return problem.group_type[group], problem.group_level[group], problem.unit[rows]


def _look_up(problem: Problem, rows: Mask, q: Floats) -> Floats:
    """Quality of each row's cell and unit."""
    return np.asarray(q[_cell(problem, rows)])


def _methods(
    problem: Problem, train: Mask, test: Mask, seed: int, n_draws: int
) -> list[tuple[str, Floats, float | None]]:
    """Each method's quality (T, L, U) from the training rows."""
    n, s = _counts(problem, train)
    raw, family, shrunk = count_methods(n, s)
    draws = draw_cells(fit_quality(with_rows(problem, train), steps=25), n_draws, seed)
    covered = _coverage(problem, test, draws)
    estimates = (raw, family, shrunk, draws.mean(axis=-1))
    coverage = (None, None, None, covered)
    return list(zip(METHODS, estimates, coverage, strict=True))


def _counts(problem: Problem, rows: Mask) -> tuple[Floats, Floats]:
    """Rows and summed scores per cell and unit, (T, L, U)."""
    shape = (len(TYPES), N_LEVELS, problem.n_units)
    n, s = np.zeros(shape), np.zeros(shape)
    np.add.at(n, _cell(problem, rows), 1)
    np.add.at(s, _cell(problem, rows), problem.score[rows])
    return n, s


def count_methods(n: Floats, s: Floats) -> tuple[Floats, Floats, Floats]:
    """Raw cell means, family means, and cell means shrunk to the family's (beta-binomial).

    Where a unit has no row the next wider mean stands in: the family's, the unit's, a half.
    The weight of the family mean maximises the beta-binomial likelihood over all cells.
    """
    from scipy.special import betaln

    unit = (s.sum(axis=(0, 1)) + 1) / (n.sum(axis=(0, 1)) + 2)
    of_family = np.eye(len(FAMILIES))[FAMILY]
    n_family = np.einsum("tf,tlu->fu", of_family, n)[FAMILY][:, None, :]
    s_family = np.einsum("tf,tlu->fu", of_family, s)[FAMILY][:, None, :]
    family = np.where(n_family > 0, (s_family + unit) / (n_family + 1), unit)
    family = np.broadcast_to(family, n.shape)
    raw = np.where(n > 0, s / np.maximum(n, 1), family)
    seen = n > 0
    grid = np.geomspace(0.5, 500, 30)
    a, b = family[seen], 1 - family[seen]
    likelihood = [
        (betaln(s[seen] + m * a, (n - s)[seen] + m * b) - betaln(m * a, m * b)).sum() for m in grid
    ]
    m = grid[int(np.argmax(likelihood))]
    return raw, family, (s + m * family) / (n + m)


def _coverage(problem: Problem, test: Mask, draws: Floats) -> float:
    """Share of held-out (unit, cell) means of 10 rows or more inside the 90% interval."""
    n, s = _counts(problem, test)
    rng = np.random.default_rng(0)
    many = n >= 10
    sampled = draws[many]
    noisy = rng.binomial(n[many].astype(int)[:, None], sampled) / n[many][:, None]
    low, high = np.quantile(noisy, [0.05, 0.95], axis=1)
    mean = s[many] / n[many]
    return float(((mean >= low - 1e-9) & (mean <= high + 1e-9)).mean())
