"""Our own routing of a pool: a table fitted to its training part, and the rule that serves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from benchmarks.judge.pool import CannotEvaluate, Pool
from benchmarks.judge.readers import Reader
from benchmarks.judge.replay import Routing, adequate_picks, expected, routing_of
from benchmarks.table.build import fit_table
from router.evidence.table import Table
from router.values import Dial, Unit

STOP: Final = ": "
"""Between the name of a reader and that of a dial stop."""


def fit(train: Pool, seed: int) -> Table:
    """Fit a cost-quality table to a training part, units in the order of ``train.models``."""
    units = tuple(Unit(name) for name in train.models)
    table = fit_table(
        train.frame(),
        units=units,
        p_type=train.p_type.astype(np.float64),
        p_level=train.p_level.astype(np.float64),
        seed=seed,
    )
    if table.units != units:
        raise CannotEvaluate("the fitted table orders its units otherwise than the pool")
    return table


def our_routings(
    reader: Reader, train: Pool, target: Pool, seed: int, dials: Sequence[Dial]
) -> dict[str, Routing]:
    """Route with the sweep of expected quality against cost, and with each dial stop."""
    train, target = reader.read(train, target)
    table = fit(train, seed)
    quality, cost = expected(table, target.p_type, target.p_level)
    routings = {reader.name: routing_of(quality, cost, train.best, train.cheapest)}
    for dial in dials:
        picks = adequate_picks(table, target.p_type, target.p_level, dial)
        routings[f"{reader.name}{STOP}{dial.name}"] = Routing(picks[None, :])
    return routings
