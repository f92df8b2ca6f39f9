"""Our own routing of a pool: a table fitted to its training part, and the rule that serves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

import numpy as np

from benchmarks.judge.measures import Ints
from benchmarks.judge.pool import Array32, Pool
from benchmarks.judge.readers import Reader
from benchmarks.judge.replay import Routing, cell_weights, expected, routing_of, rule_picks
from benchmarks.table.build import Posterior, fit_pool
from benchmarks.table.calibrate import Calibrated, LeftOut, Traffic, calibrate
from benchmarks.table.choose import Prospect, prospect_of
from router.evidence.table import Table
from router.values import Dial, Unit

STOP: Final = ": "
"""Between the name of a reader and that of a dial stop."""

N_FOLDS: Final = 3
"""Parts of the training items that the dial is set on, each by a table fitted to the others."""


def fit(train: Pool, seed: int) -> Posterior:
    """Fit a training part, units in the order of ``train.models``."""
    return fit_pool(
        train.frame(),
        units=tuple(Unit(name) for name in train.models),
        p_type=train.p_type.astype(np.float64),
        p_level=train.p_level.astype(np.float64),
        seed=seed,
    )


def calibrated(train: Pool, posterior: Posterior, seed: int) -> tuple[Table, dict[str, Calibrated]]:
    """Set the dial of a training part's table: the part itself is the traffic, and its folds the outcomes."""
    table = posterior.table()
    draws = weighed(posterior.draws, train.p_type, train.p_level)
    traffic = Traffic(_seeing(table, train), np.full(len(train), 1 / len(train)), draws)
    found = calibrate(traffic, [_held(train, fold, seed) for fold in folds(train.groups, seed)])
    return posterior.table([c.stop for c in found.values()]), found


def folds(groups: Ints, seed: int) -> list[Ints]:
    """Deal whole groups into ``N_FOLDS`` parts: the items of each."""
    names, index = np.unique(groups, return_inverse=True)
    part = np.random.default_rng(seed).permutation(len(names)) % N_FOLDS
    return [rows for k in range(N_FOLDS) if len(rows := np.flatnonzero(part[index] == k))]


def _held(train: Pool, fold: Ints, seed: int) -> LeftOut:
    """Let a table that was fitted without a fold see it."""
    rest = train.take(np.setdiff1d(np.arange(len(train)), fold))
    part = train.take(fold)
    outlooks = _seeing(fit(rest, seed).table(), part)
    return LeftOut(outlooks, part.quality, np.ones(len(part)), rest.best)


def _seeing(table: Table, pool: Pool) -> Callable[[float], Prospect]:
    return cache(lambda margin: prospect_of(table, pool.p_type, pool.p_level, margin))


def weighed(draws: Array32, p_type: Array32, p_level: Array32) -> Array32:
    """Average draws (T, L, U, K) over n readings: (n, U, K)."""
    weight = cell_weights(p_type, p_level)
    flat = draws.reshape(weight.shape[1], -1)
    return (weight @ flat).reshape(len(weight), *draws.shape[2:])


def our_routings(
    reader: Reader, train: Pool, target: Pool, seed: int, dials: Sequence[Dial]
) -> dict[str, Routing]:
    """Route with the sweep of expected quality against cost, and with each dial stop."""
    train, target = reader.read(train, target)
    table, _ = calibrated(train, fit(train, seed), seed)
    quality, cost = expected(table, target.p_type, target.p_level)
    routings = {reader.name: routing_of(quality, cost, train.best, train.cheapest)}
    for dial in dials:
        picks = rule_picks(table, target.p_type, target.p_level, dial)
        routings[f"{reader.name}{STOP}{dial.name}"] = Routing(picks[None, :])
    return routings
