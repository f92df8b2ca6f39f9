"""Whom a table picks in each of its cells, to tell two tables apart and to draw one.  Pure.

A pick is what a stop of the dial buys on a task that is surely of the cell, when no failure is seen
and no session runs: what else bears on a decision is of its request.
"""

from __future__ import annotations

from datetime import date

import numpy as np

from router.decision.ladder import ladder_of, may_serve, rungs_of
from router.evidence.changelog import TABLE, Remapping
from router.evidence.table import Table
from router.values import DEFAULT_DIAL, DIALS, Unit


def picks(table: Table, margin: float = DIALS[DEFAULT_DIAL].margin) -> tuple[Unit, ...]:
    """Return the unit that is picked in each cell at a margin of the dial, types × levels in order."""
    price, rungs = table.price_of(margin), rungs_of(table, margin)
    ladder = ladder_of(rungs, price)
    shape = rungs.quality.shape
    as_good, carried = ladder.as_good.reshape(shape), ladder.carried.reshape(shape)
    may = may_serve(rungs.near, rungs.quality, as_good, carried)
    score = rungs.cost_usd - np.float32(price) * rungs.worth
    return tuple(table.units[i] for i in np.where(may, score, np.inf).argmin(axis=-1).flat)


def table_change(old: Table, new: Table, tier: str, on: date) -> list[Remapping]:
    """Say that a table took another's place, and in how many cells it picks another; nothing if none did."""
    if old.version == new.version:
        return []
    cells = list(zip(picks(old), picks(new), strict=True))
    moved = sum(before != after for before, after in cells)
    return [
        Remapping(
            date=on,
            tier=tier,
            under=(TABLE,),
            was=old.version,
            now=new.version,
            why=f"{moved} of {len(cells)} cells changed pick.",
        )
    ]
