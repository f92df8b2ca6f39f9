"""Units of which little is known: all but a few of a model's outcomes are hidden, and looked up.

A model keeps none of its outcomes, ten at random, ten of the group of items that most solve or of the
one that fewest do, or fifty at random; those of its other efforts go too.  Several models are thinned at a time, and the whole
table is fitted again: effects, scales and difficulties know nothing of what is hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from benchmarks.studies.shipped.ground import (
    Mask,
    Progress,
    Refit,
    Shipped,
    matrix,
    one_hot,
    refit,
    rounded,
)
from benchmarks.studies.shipped.hidden import MIN_SAMPLE, covering
from benchmarks.table.build import N_DRAWS, SEED
from benchmarks.table.item_response import (
    PROBIT,
    Drawn,
    Floats,
    Ints,
    brier,
    log_loss,
    sigmoid,
)
from benchmarks.table.quality import Quality, components, effects, features
from classifier.tasks import N_LEVELS, TYPES
from router.decision.rule import compare, plans_of
from router.evidence.table import Table
from router.values import DEFAULT_DIAL, DIALS

MIN_OUTCOMES: Final = 250
"""A model is thinned of which one unit has so many."""

MAX_MODELS: Final = 32

ROUNDS: Final = 3
"""In which the models are thinned, so many at a time as that makes."""

EASIEST: Final = "10 of its easiest"
HARDEST: Final = "10 of its hardest"
KEPT: Final = {"none": 0, "10 at random": 10, EASIEST: 10, HARDEST: 10, "50 at random": 50}


@dataclass(frozen=True, slots=True)
class Thinned:
    """What was said of thinned units, and what they did on the outcomes that were hidden.

    ``covered``: share of their means in cells inside the 90% interval over the same items; ``wrong`` and
    ``picked``: shares of cells in which the rule at the default dial would take the unit though it falls
    short of the best by more than twice the margin, and in which it would take it at all; ``wrong_unguarded``
    likewise if nobody minded how few items it has.
    """

    kept: str
    priced: bool
    models: int
    outcomes: int
    cells: int
    log_loss: float
    brier: float
    covered: float
    width: float
    error: float
    picked: float
    wrong: float
    wrong_unguarded: float


def thin_units(
    ground: Shipped, price: float, progress: Progress, ways: Sequence[str] = tuple(KEPT)
) -> tuple[Thinned, ...]:
    """Thin every model with outcomes enough in all ``ways``; ``price`` is that of the default dial."""
    chosen = _chosen(ground)
    rounds = [chosen[k::ROUNDS] for k in range(ROUNDS) if len(chosen[k::ROUNDS])]
    found = []
    for priced in (True, False):
        for kept in ways:
            parts: list[_Looked] = []
            for k, units in enumerate(rounds):
                prior = "with" if priced else "without"
                progress(
                    f"thinned to {kept}, {prior} the prior from prices ({k + 1} of {len(rounds)})"
                )
                hidden = _hidden(ground, units, kept)
                refitted = refit(ground, np.asarray(~hidden.any(axis=0)), priced=priced)
                parts += [
                    _look(ground, refitted, unit, rows, units, price)
                    for unit, rows in zip(units, hidden, strict=True)
                ]
            found.append(_summed(kept, priced, parts))
    return tuple(found)


def _chosen(ground: Shipped) -> Ints:
    """Return the best measured unit of every model with outcomes enough, the most outcomes first."""
    problem = ground.problem
    n = np.bincount(problem.unit, ground.success[problem.item], problem.n_units)
    best: dict[int, int] = {}
    for unit in np.argsort(-n, kind="stable"):
        if n[unit] >= MIN_OUTCOMES:
            best.setdefault(int(problem.model[unit]), int(unit))
    return np.array(list(best.values())[:MAX_MODELS], dtype=np.int64)


def _hidden(ground: Shipped, units: Ints, kept: str) -> Mask:
    """Say which observations are hidden for each of the units, (m, n): all of its model's but a few."""
    problem = ground.problem
    scores = matrix(problem)
    model = problem.model[problem.unit]
    hidden = []
    for unit in units:
        rng = np.random.default_rng([SEED, int(unit)])
        own = np.flatnonzero((problem.unit == unit) & ground.success[problem.item])
        if kept in (EASIEST, HARDEST):
            group = problem.group[problem.item[own]]
            large = [g for g in np.unique(group) if (group == g).sum() >= KEPT[kept]]
            eased = [np.nanmean(scores[problem.group == g]) for g in large]
            at = np.argmax(eased) if kept == EASIEST else np.argmin(eased)
            own = own[group == large[int(at)]]
        mask = model == problem.model[unit]
        mask[rng.permutation(own)[: KEPT[kept]]] = False
        hidden.append(mask)
    return np.array(hidden)


@dataclass(frozen=True, slots=True)
class _Looked:
    score: Floats
    p: Floats
    inside: Mask
    width: Floats
    error: Floats
    picked: Mask
    wrong: Mask
    unguarded: Mask


def _look(
    ground: Shipped, refitted: Refit, unit: int, rows: Mask, thinned: Ints, price: float
) -> _Looked:
    """Look up what one unit did on what was hidden."""
    problem = ground.problem
    rows = rows & (problem.unit == unit) & ground.success[problem.item]
    item, score = problem.item[rows], problem.score[rows]
    drawn = row_draws(refitted.quality, unit, item)
    kind, level = ground.cell
    cells, index = np.unique(kind[item] * N_LEVELS + level[item], return_inverse=True)
    n = np.bincount(index)
    large = np.flatnonzero(n >= MIN_SAMPLE)
    means = [(drawn[:, index == c].mean(axis=1), score[index == c].mean()) for c in large]
    draws = np.array([draw for draw, _ in means]).reshape(len(large), N_DRAWS)
    inside, _, width, error, _ = covering(draws, n[large], np.array([mean for _, mean in means]))
    table = refitted.table
    others = np.setdiff1d(np.arange(problem.n_units), thinned)
    chosen = [
        _choose(
            ground, table, unit, item[index == c], others, divmod(int(cells[c]), N_LEVELS), price
        )
        for c in large
    ]
    picked, wrong, unguarded = np.array(chosen, dtype=bool).reshape(len(large), 3).T
    return _Looked(score, drawn.mean(axis=0), inside, width, error, picked, wrong, unguarded)


def row_draws(quality: Quality, unit: int, item: Ints) -> Floats:
    """Draw a unit's chance of success on items, (K, n), by the fit; agents are left out."""
    problem, fitted = quality.problem, quality.fit
    drawn: Drawn = fitted.draws(N_DRAWS, SEED)
    groups, of_item = np.unique(problem.group[item], return_inverse=True)
    mixtures = features(
        np.eye(len(TYPES))[problem.group_type[groups]],
        np.eye(N_LEVELS)[problem.group_level[groups]],
    )
    design = effects(mixtures, np.arange(len(groups)), np.full(len(groups), unit), problem)
    component = components(problem)
    noise = np.random.default_rng(SEED + 2).standard_normal((N_DRAWS, len(component)))
    every = noise * quality.scale[component]
    every[:, quality.seen] = drawn.effects
    logits = np.asarray((design @ every.T).T)
    flat = 1 / np.sqrt(1 + PROBIT * fitted.difficulty_sd[item] ** 2)
    return sigmoid((logits[:, of_item] - drawn.difficulty[:, item]) * flat)


def _choose(
    ground: Shipped,
    table: Table,
    unit: int,
    items: Ints,
    others: Ints,
    cell: tuple[int, int],
    price: float,
) -> tuple[bool, bool, bool]:
    """Say whether the guard lets the rule take the unit in a cell, wrongly so, and so by means alone.

    It competes with units that did enough of the same items and were not thinned.
    """
    scores = matrix(ground.problem)[items]
    common = np.isfinite(scores).sum(axis=0)
    rivals = np.array([u for u in others if common[u] >= MIN_SAMPLE], dtype=np.int64)
    if not len(rivals):
        return False, False, False
    margin = DIALS[DEFAULT_DIAL].margin
    best = int(rivals[np.nanmean(scores[:, rivals], axis=0).argmax()])
    short = bool(np.nanmean(scores[:, best] - scores[:, unit]) > 2 * margin)
    p_type, p_level = one_hot(np.array([cell[0]]), np.array([cell[1]]))
    expected = table.expect(p_type[0], p_level[0]).of(np.append(rivals, unit))
    own = len(rivals)
    took = []
    for many in (False, True):
        seen = expected._replace(items=np.full_like(expected.items, 1e6)) if many else expected
        standing = compare(seen, margin)
        score = plans_of(seen, standing, seen.cost_usd, price).score(price)
        took.append(int(np.where(standing.near, score, np.inf).argmin()) == own)
    return took[0], took[0] and short, took[1] and short


def _summed(kept: str, priced: bool, parts: Sequence[_Looked]) -> Thinned:
    def mean(values: list[Any]) -> float:
        return rounded(np.concatenate(values).mean())

    score = np.concatenate([part.score for part in parts])
    p = np.concatenate([part.p for part in parts])
    return Thinned(
        kept=kept,
        priced=priced,
        models=len(parts),
        outcomes=len(score),
        cells=sum(len(part.inside) for part in parts),
        log_loss=rounded(log_loss(score, p)),
        brier=rounded(brier(score, p)),
        covered=mean([part.inside for part in parts]),
        width=mean([part.width for part in parts]),
        error=mean([part.error for part in parts]),
        picked=mean([part.picked for part in parts]),
        wrong=mean([part.wrong for part in parts]),
        wrong_unguarded=mean([part.unguarded for part in parts]),
    )
