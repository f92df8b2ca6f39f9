"""Choices are monotone in level: harder work of a kind does not go to who would do worse on it.  Pure.

Every cell is compared by itself, and what is known of units shrinks where work gets hard: there the guard
may leave nobody but units that are expected to do worse than the one that serves an easier level.  A
person would call that absurd, and by the table's own means it is.  So the levels of a type are a
ladder that is climbed from the easiest: whoever serves a level must be expected to do at least as well on it
as everybody who serves a level below.  Where the guard knows nobody who does, the best of those serves on:
it is outside the guard then, and no decision calls it adequate.

What is climbed is who would serve where nobody takes over, at what an ordinary task costs, among those that
the caller's limits leave.  A plan of two steps, or a session with its context, may begin with another.

A request is read as several cells, and a ladder binds only where the reading is as sure as the guard is.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from classifier.tasks import N_LEVELS, TYPES
from router.decision.rule import (
    GUARD,
    ROOM,
    WORTH,
    Array,
    Comparison,
    Mask,
    apart_of,
    best_vouched,
    enough,
    likely_within,
)
from router.evidence.table import Expectation, Table

SURE: Final = GUARD
"""Weight of a reading with which a ladder binds."""

KNOWN: Final = 256
"""Ladders that are kept: one for every table, margin and set of candidates."""


class Rungs(NamedTuple):
    """How U units stand in every cell by itself, (T, L, U) each."""

    cost_usd: Array
    worth: Array
    quality: Array
    near: Mask
    """Within the guard."""


class Ladder(NamedTuple):
    """What a ladder says of U units in C cells, the levels of a type after each other, (C, U) each."""

    as_good: Array
    """One where a unit does at least as well as all who serve the levels below, else zero."""
    carried: Array
    """One where it serves only as it serves a level below, else zero."""

    def may(self, standing: Comparison, expected: Expectation) -> Mask:
        """Say who may serve a request, (U,); with nobody left the best does."""
        weight, cell = expected.weight, expected.cell
        as_good, carried = weight @ self.as_good[cell], weight @ self.carried[cell]
        may = may_serve(standing.near, standing.quality, as_good, carried)
        if not may.any():
            may[standing.best] = True
        return may


def may_serve(near: Mask, quality: NDArray[np.floating], as_good: Array, carried: Array) -> Mask:
    """Say who may serve, by the shares of a request's weight for which a ladder says each, (..., U).

    Over all that a request may be, who is carried must still be expected to do as well as all near ones.
    """
    best_near = np.where(near, quality, -np.inf).max(axis=-1, keepdims=True)
    return np.asarray((near & (as_good > 1 - SURE)) | ((carried >= SURE) & (quality >= best_near)))


def rungs_of(table: Table, margin: float, rows: NDArray[np.int64] | None = None) -> Rungs:
    """Compare every cell by itself, among some of the table's units."""
    among = np.arange(len(table.units)) if rows is None else rows
    quality, spread, cost_usd, items = (
        np.take(column, among, axis=2)
        for column in (table.quality, table.spread, table.cost_usd, table.items)
    )
    bear = np.maximum(table.spread_out[among], items)
    may = enough(bear)
    best = best_vouched(quality, spread, cost_usd, may)[..., None]
    gap = np.take_along_axis(quality, best, axis=2) - quality
    apart = apart_of(spread, np.take_along_axis(spread, best, axis=2))
    near = likely_within(gap, apart, margin * ROOM[:, None], margin, bear) & may
    np.put_along_axis(near, best, values=True, axis=2)
    return Rungs(cost_usd, WORTH[:, None] * quality, quality, near)


def ladder_of(rungs: Rungs, price: float) -> Ladder:
    """Climb all types at once; whoever serves a level costs least for what it brings."""
    quality, near = rungs.quality, rungs.near
    score = rungs.cost_usd - np.float32(price) * rungs.worth
    as_good, carried = np.ones_like(quality), np.zeros_like(quality)
    kinds = np.arange(len(TYPES))
    below = [np.where(near[:, 0], score[:, 0], np.inf).argmin(axis=1)]
    for level in range(1, N_LEVELS):
        own = quality[:, level]
        served = np.stack(below, axis=1)  # (T, levels below)
        bar = np.take_along_axis(own, served, axis=1)
        as_good[:, level] = own >= bar.max(axis=1, keepdims=True)
        may = near[:, level] & (as_good[:, level] > 0)
        stuck = ~may.any(axis=1)
        carrier = served[kinds, bar.argmax(axis=1)]
        carried[kinds[stuck], level, carrier[stuck]] = 1.0
        found = np.where(may, score[:, level], np.inf).argmin(axis=1)
        below.append(np.where(stuck, carrier, found))
    flat = (len(TYPES) * N_LEVELS, -1)
    return Ladder(as_good.reshape(flat), carried.reshape(flat))


@lru_cache(KNOWN)
def ladder_among(table: Table, margin: float, rows: tuple[int, ...] | None = None) -> Ladder:
    """Return the ladder of a table, or of some of its units, at a margin of the dial."""
    among = None if rows is None else np.array(rows)
    return ladder_of(rungs_of(table, margin, among), table.price_of(margin))
