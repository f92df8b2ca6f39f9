"""Quality of every unit in every cell: item response over units, then averaged over a cell's items.

A unit's logit on an item of type t, family f and level l is

    model + model x slope (l - 2.5) + model x family + model x type + model x level
    + model x cell + unit (the effort's own deviation) + unit x slope (l - 2.5)
    - difficulty of the item

with every effect shrunk by a scale estimated from the data (``benchmarks.table.item_response``).  A
model's quality on a kind of task that nobody measured it on is thereby borrowed: from its other
types, and least from those whose effects vary most.

The same code serves the shipped table (items of known type and level) and a table fitted to any
pool, where a classifier's distribution says how much of which cell an item is; its effects are
then the mean over that distribution, which predicts held-out items better than taking the most
probable cell (benchmarks/LOG.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from benchmarks.table.item_response import (
    PROBIT,
    Design,
    Fit,
    Floats,
    Ints,
    Observations,
    averaged,
    fit,
    sigmoid,
)
from classifier.tasks import FAMILIES, N_LEVELS, TYPES, family_of

FAMILY: Final = np.array([FAMILIES.index(family_of(t)) for t in TYPES])
"""Family of each type."""

STEEPEST: Final = 2.0
"""Most logits of difficulty that one level may add, where little is known."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Who did what.  U units, I items, G groups, n observations.

    ``unit``, ``item`` int (n,); ``score``, ``trials`` (n,).  ``model`` int (U,): units of one
    model share its effects.  ``group`` int (I,); ``tasks`` (I,) that an item stands for;
    ``group_type``, ``group_level`` int (G,), the level from 0; ``group_family`` int (G,): groups
    that differ in level only, which is what the steepness of difficulty is read from; -1: not.
    ``p_type`` (I, T), ``p_level`` (I, L): what an item is a mixture of; None: its group's cell.
    """

    unit: Ints
    item: Ints
    score: Floats
    trials: Floats
    model: Ints
    group: Ints
    tasks: Floats
    group_type: Ints
    group_level: Ints
    group_family: Ints
    p_type: Floats | None = None
    p_level: Floats | None = None

    @property
    def n_units(self) -> int:
        """How many units there are."""
        return len(self.model)

    @property
    def one_unit_per_model(self) -> bool:
        """Whether there is no effort to tell from its model."""
        return len(np.unique(self.model)) == self.n_units


@dataclass(frozen=True, slots=True)
class Quality:
    """A fit, and what is needed to average it over cells; ``seen`` marks fitted effects."""

    problem: Problem
    fit: Fit
    seen: Any
    scale: Floats


COMPONENTS: Final = (
    "model", "slope", "family", "type", "level", "cell", "effort", "effort slope",
)  # fmt: skip
WIDTHS: Final = (1, 1, len(FAMILIES), len(TYPES), N_LEVELS, len(TYPES) * N_LEVELS, 1, 1)
"""Effects per unit, and how many of each component."""

SMALLEST_SHARE: Final = 0.02
"""Smaller shares of a mixture are dropped: they cost time and say nothing."""

EVERY_CELL: Final = tuple(a.ravel() for a in np.indices((len(TYPES), N_LEVELS)))
"""Type and level of each cell, in order."""


def features(p_type: Floats, p_level: Floats) -> list[Any]:
    """Return what n mixtures of cells are made of: sparse (n, width) for each of ``WIDTHS``."""
    from scipy import sparse

    p_type, p_level = _pruned(p_type), _pruned(p_level)
    family = p_type @ np.eye(len(FAMILIES))[FAMILY]
    tilt = p_level @ (np.arange(N_LEVELS) - (N_LEVELS - 1) / 2)
    cell = (p_type[:, :, None] * p_level[:, None, :]).reshape(len(p_type), -1)
    one = np.ones((len(p_type), 1))
    blocks = (one, tilt[:, None], family, p_type, p_level, cell, one, tilt[:, None])
    return [sparse.csr_matrix(block) for block in blocks]


def _pruned(p: Floats) -> Floats:
    kept = np.where(p < SMALLEST_SHARE, 0.0, p)
    return np.asarray(kept / kept.sum(axis=1, keepdims=True))


def effects(mixtures: list[Any], row: Ints, unit: Ints, model: Ints, n_units: int) -> Any:
    """Return the design, sparse (n, all effects): mixture ``row[i]`` met by ``unit[i]``."""
    from scipy import sparse

    parts = []
    for name, width, block in zip(COMPONENTS, WIDTHS, mixtures, strict=True):
        owner = unit if name.startswith("effort") else model[unit]
        rows = block[row].tocoo()
        column = owner[rows.row] * width + rows.col
        shape = (len(row), n_units * width)
        parts.append(sparse.csr_matrix((rows.data, (rows.row, column)), shape=shape))
    return sparse.hstack(parts).tocsr()


def components(n_units: int) -> Ints:
    """Return the component of every effect."""
    return np.repeat(np.arange(len(WIDTHS)), np.array(WIDTHS) * n_units)


def fit_quality(problem: Problem, *, steps: int = 40) -> Quality:
    """Fit unit effects and item difficulties."""
    mixtures, of_item = _mixtures(problem)
    pair = problem.unit * len(of_item) + of_item[problem.item]
    pairs, context = np.unique(pair, return_inverse=True)
    unit, row = np.divmod(pairs, len(of_item))
    design = effects(mixtures, row, unit, problem.model, problem.n_units)
    component = components(problem.n_units)
    seen = np.asarray(abs(design).sum(axis=0)).ravel() > 0
    if problem.one_unit_per_model:
        seen &= component < COMPONENTS.index("effort")
    fitted = fit(
        Observations(
            context=context,
            item=problem.item,
            score=problem.score,
            trials=problem.trials,
            item_group=problem.group,
            item_tasks=problem.tasks,
        ),
        Design(design[:, seen], component[seen], COMPONENTS),
        steps=steps,
    )
    scale = np.array([fitted.scales[name] for name in COMPONENTS])
    return Quality(problem, fitted, seen, scale)


def _mixtures(problem: Problem) -> tuple[list[Any], Ints]:
    """Features of the distinct mixtures, and which one each item is."""
    if problem.p_type is not None and problem.p_level is not None:
        return features(problem.p_type, problem.p_level), np.arange(len(problem.group))
    kinds, levels = np.eye(len(TYPES)), np.eye(N_LEVELS)
    return features(kinds[problem.group_type], levels[problem.group_level]), problem.group


def draw_cells(quality: Quality, n_draws: int, seed: int, centre: Floats | None = None) -> Floats:
    """Draw P(success) jointly: float64 (T, L, U, K).

    A cell with items is averaged over them, each draw weighing the items anew (a Bayesian
    bootstrap), because the promise is about tasks *like* these.  A cell without items borrows
    its difficulty: ``centre`` (T,) where given and not NaN, else the type's, the family's or the
    overall mean, plus the level's share.
    """
    logits, difficulty, common = _joint_draws(quality, n_draws, seed)
    rng = np.random.default_rng(seed + 1)
    fitted, problem = quality.fit, quality.problem
    flat = 1 / np.sqrt(1 + PROBIT * fitted.difficulty_sd**2)
    spread = float(np.sqrt((fitted.group_spread**2).mean()))
    borrowed = borrowed_difficulty(quality, centre)
    out = np.empty(logits.shape)
    single = problem.tasks == 1
    for kind, level in np.ndindex(len(TYPES), N_LEVELS):
        cell = (problem.group_type == kind) & (problem.group_level == level)
        items = np.flatnonzero(cell[problem.group] & single)
        if not len(items):
            shift = borrowed[kind, level] + common
            out[kind, level] = averaged(logits[kind, level] - shift, spread)
            continue
        weight = rng.standard_exponential((n_draws, len(items)))
        weight /= weight.sum(axis=1, keepdims=True)
        b = difficulty[:, items]
        for unit in range(logits.shape[2]):
            eta = (logits[kind, level, unit][:, None] - b) * flat[items]
            out[kind, level, unit] = (weight * sigmoid(eta)).sum(axis=1)
    return out


def _joint_draws(quality: Quality, n_draws: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """Draw logits (T, L, U, K), item difficulties (K, I) and their common shift (K,).

    Effects that nothing was measured for are drawn from their prior.
    """
    problem = quality.problem
    fitted, difficulty = quality.fit.draws(n_draws, seed)
    component = components(problem.n_units)
    rng = np.random.default_rng(seed + 2)
    half = rng.standard_normal((n_draws // 2, len(component))) * quality.scale[component]
    if problem.one_unit_per_model:
        half[:, component >= COMPONENTS.index("effort")] = 0.0
    full = np.concatenate([half, -half])
    full[:, quality.seen] = fitted
    kind, level = EVERY_CELL
    mixtures = features(np.eye(len(TYPES))[kind], np.eye(N_LEVELS)[level])
    row, unit = (a.ravel() for a in np.indices((len(kind), problem.n_units)))
    design = effects(mixtures, row, unit, problem.model, problem.n_units)
    logits = (design @ full.T).reshape(len(TYPES), N_LEVELS, problem.n_units, n_draws)
    common = (difficulty - quality.fit.difficulty).mean(axis=1)
    return logits, difficulty, common


def level_slope(quality: Quality) -> float:
    """Return how many logits of difficulty a level adds, within groups that differ in level only.

    Weighted least squares of group means on level with a mean per family of groups; pulled to one
    logit per level by the weight of ten items, and kept within 0 and ``STEEPEST``.
    """
    problem = quality.problem
    size = np.bincount(problem.group, problem.tasks == 1, len(problem.group_type))
    covariance, variance = 10.0, 10.0
    for family in np.unique(problem.group_family[problem.group_family >= 0]):
        of = problem.group_family == family
        if size[of].sum() == 0:
            continue
        level = problem.group_level[of] - np.average(problem.group_level[of], weights=size[of])
        covariance += (size[of] * level * quality.fit.group_mean[of]).sum()
        variance += (size[of] * level**2).sum()
    return float(np.clip(covariance / variance, 0.0, STEEPEST))


def borrowed_difficulty(quality: Quality, centre: Floats | None) -> Floats:
    """Return the mean difficulty (T, L) that a cell without items is given."""
    problem = quality.problem
    size = np.bincount(problem.group, problem.tasks == 1, len(problem.group_type)).astype(float)
    steps = level_slope(quality) * np.arange(N_LEVELS)
    level_free = quality.fit.group_mean - steps[problem.group_level]
    own = _weighted_mean(level_free, size, problem.group_type, len(TYPES))
    family = _weighted_mean(level_free, size, FAMILY[problem.group_type], len(FAMILIES))[FAMILY]
    overall = float((size * level_free).sum() / size.sum())
    given = np.full(len(TYPES), np.nan) if centre is None else centre
    chosen = np.where(np.isnan(own), given, own)
    chosen = np.where(np.isnan(chosen), family, chosen)
    chosen = np.where(np.isnan(chosen), overall, chosen)
    return np.asarray(chosen[:, None] + steps[None, :])


def _weighted_mean(value: Floats, weight: Floats, where: Ints, size: int) -> Floats:
    """Mean of ``value`` per place; NaN where there is no weight."""
    total = np.bincount(where, weight, size)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.bincount(where, weight * value, size) / total)


def direct_counts(problem: Problem) -> tuple[Ints, Floats]:
    """Return items and successes, (T, L, U), that were measured; a total counts its tasks."""
    shape = (len(TYPES), N_LEVELS, problem.n_units)
    group = problem.group[problem.item]
    where = (problem.group_type[group], problem.group_level[group], problem.unit)
    items, successes = np.zeros(shape), np.zeros(shape)
    np.add.at(items, where, problem.tasks[problem.item])
    np.add.at(successes, where, problem.tasks[problem.item] * problem.score)
    return items.astype(np.int64), successes
