"""Harder work of a kind never goes to who would do worse on it than who serves easier work of it.  Pure.

Every cell is compared by itself, and what is known of units shrinks where work gets hard: there the guard
may leave nobody but units that are expected to do worse than the one that serves the level below.  A
person would call that absurd, and by the table's own means it is.  So the levels of a type are a
ladder that is climbed from the easiest: whoever serves a level must be expected to do at least as well on it
as who serves the one below, and where the guard knows nobody who does, that one serves on.

A request is read as several cells, and a ladder binds only where the reading is as sure as the guard is:
half of the weight instead of eight tenths cost a tenth more at an equal loss on the issues of nine models
(benchmarks/LOG.md).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from classifier.tasks import N_LEVELS, TYPES
from router.decision.rule import GUARD, Array, Comparison, Mask, compare
from router.evidence.table import Expectation, Table

SURE: Final = GUARD
"""Weight of a reading with which a ladder binds."""

KNOWN: Final = 256
"""Ladders that are kept: one for every set of candidates and margin."""


class Rungs(NamedTuple):
    """How U units stand in every cell by itself: C cells, the levels of a type after each other."""

    cost_usd: Array
    worth: Array
    quality: Array
    near: Mask
    """Each (C, U)."""


class Ladder(NamedTuple):
    """Who may serve which cell, beside what its guard says; (C, U) each."""

    holds: Array
    """One where a unit does at least as well as who serves the level below, else zero."""
    carried: Array
    """One where it serves only as it serves the level below, else zero."""

    def of(self, rows: NDArray[np.int64]) -> Ladder:
        """Return the same of some of the units."""
        return Ladder(self.holds[:, rows], self.carried[:, rows])

    def on(self, standing: Comparison, expected: Expectation) -> Comparison:
        """Keep to the ladder on a request; with nobody left the best serves."""
        holds, carried = (expected.weight @ votes[expected.cell] for votes in self)
        near = self.kept(standing.near, holds, carried)
        if not near.any():
            near[standing.best] = True
        return standing._replace(near=near)

    @staticmethod
    def kept(near: Mask, holds: Array, carried: Array) -> Mask:
        """Return who is near and holds, or is carried, by shares of a request's weight."""
        return (near & (holds > 1 - SURE)) | (carried >= SURE)


def rungs_of(table: Table, margin: float) -> Rungs:
    """Compare every cell by itself."""
    cells = np.arange(len(TYPES) * N_LEVELS)
    kinds, levels = np.eye(len(TYPES), dtype=np.float32), np.eye(N_LEVELS, dtype=np.float32)
    expected = [table.expect(kinds[c // N_LEVELS], levels[c % N_LEVELS]) for c in cells]
    standings = [compare(e, margin) for e in expected]
    return Rungs(
        np.array([e.cost_usd for e in expected]),
        np.array([s.worth for s in standings]),
        np.array([e.quality for e in expected]),
        np.array([s.near for s in standings]),
    )


def ladder_of(rungs: Rungs, price: float) -> Ladder:
    """Climb all types at once; whoever serves a level costs least for what it brings."""
    shape = (len(TYPES), N_LEVELS, -1)
    quality, near = rungs.quality.reshape(shape), rungs.near.reshape(shape)
    score = (rungs.cost_usd - np.float32(price) * rungs.worth).reshape(shape)
    holds = np.ones(quality.shape, dtype=np.float32)
    carried = np.zeros_like(holds)
    kinds = np.arange(len(TYPES))
    serves = np.where(near[:, 0], score[:, 0], np.inf).argmin(axis=1)
    for level in range(1, N_LEVELS):
        own = quality[:, level]
        as_good = own >= own[kinds, serves][:, None]
        may = near[:, level] & as_good
        stuck = ~may.any(axis=1)
        holds[:, level] = as_good
        carried[kinds[stuck], level, serves[stuck]] = 1.0
        found = np.where(may, score[:, level], np.inf).argmin(axis=1)
        serves = np.where(stuck, serves, found)
    flat = (len(TYPES) * N_LEVELS, -1)
    return Ladder(holds.reshape(flat), carried.reshape(flat))


@lru_cache(KNOWN)
def ladder_among(table: Table, rows: tuple[int, ...], margin: float) -> Ladder:
    """Return the ladder of some of a table's units at a margin of the dial."""
    return ladder_of(rungs_of(table.kept(list(rows)), margin), table.price_of(margin))
