"""The rule on many requests at once: what ``router.decision.rule`` chooses, for studies and builds.

Nothing is decided here.  Every request's expectation, standing and plan are those that the server
makes; what is added is that prices can be tried one after the other without making them again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.table.item_response import Floats, Ints
from classifier.tasks import N_LEVELS, TYPES
from router.decision.ladder import Ladder, Rungs, ladder_of, may_serve, rungs_of
from router.decision.rule import NOBODY, compare, plans_of
from router.evidence.table import Expectation, Table

Array32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Prospect:
    """What a rule sees of n requests and U units at one margin.

    ``cost_usd``, ``worth``, ``quality`` float (n, U); ``near`` bool (n, U), within the guard; ``best`` int
    (n,).  ``expected`` holds the expectations themselves, for plans of two steps; ``cells`` (n, C) what
    each request weighs of every cell, ``rungs`` how units stand in each.
    """

    cost_usd: Floats
    worth: Floats
    quality: Floats
    near: NDArray[np.bool_]
    best: Ints
    margin: float
    expected: tuple[Expectation, ...]
    cells: Array32
    rungs: Rungs

    def may(self, price: float) -> NDArray[np.bool_]:
        """Return who may serve each request, (n, U): within the guard, and on the ladder."""
        ladder = self.ladder(price)
        as_good, carried = self.cells @ ladder.as_good, self.cells @ ladder.carried
        may = may_serve(self.near, self.quality, as_good, carried)
        none = ~may.any(axis=1)
        may[none, self.best[none]] = True
        return may

    def ladder(self, price: float) -> Ladder:
        """Return what binds harder work to who serves easier work."""
        return ladder_of(self.rungs, price)

    def picks(self, price: float) -> Ints:
        """Return the unit that serves each request where nobody takes over, (n,)."""
        score = np.where(self.may(price), self.cost_usd - price * self.worth, np.inf)
        return np.asarray(score.argmin(axis=1), dtype=np.int64)

    def plans(self, price: float, seen: float, after_price: float | None = None) -> Ints:
        """Return who serves and who takes over, (n, 2); ``NOBODY`` where nobody does.

        ``seen`` is how often a failure is seen, ``after_price`` the price at which a successor is chosen.  What costs and outcomes depend on besides a reading is
        not known here, so a successor costs what a first unit does.
        """
        found, ladder = [], self.ladder(price)
        for expected in self.expected:
            standing = compare(expected, self.margin)
            plans = plans_of(
                expected, standing, expected.cost_usd, price, seen=seen, after_price=after_price
            )
            score = np.where(ladder.may(standing, expected), plans.score(price), np.inf)
            first = int(score.argmin())
            found.append((first, int(plans.second[first])))
        return np.array(found, dtype=np.int64)


def prospect_of(table: Table, p_type: Array32, p_level: Array32, margin: float) -> Prospect:
    """Look at n requests, read as (n, T) and (n, L)."""
    expected = tuple(table.expect(*read) for read in zip(p_type, p_level, strict=True))
    standings = [compare(e, margin) for e in expected]
    cells = np.zeros((len(expected), len(TYPES) * N_LEVELS), dtype=np.float32)
    for row, e in zip(cells, expected, strict=True):
        row[e.cell] = e.weight
    return Prospect(
        cost_usd=np.array([e.cost_usd for e in expected], dtype=float),
        worth=np.array([s.worth for s in standings], dtype=float),
        quality=np.array([e.quality for e in expected], dtype=float),
        near=np.array([s.near for s in standings]),
        best=np.array([s.best for s in standings], dtype=np.int64),
        margin=margin,
        expected=expected,
        cells=cells,
        rungs=rungs_of(table, margin),
    )


__all__ = ["NOBODY", "Prospect", "prospect_of"]
