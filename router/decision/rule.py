"""The rule: the plan that costs least, what may fail priced in, inside a guard.  Pure, on arrays.

A *plan* is the unit that serves and, where a failure can be seen, the one that takes over when it
is.  What is minimised is

    expected dollars of the plan  -  price x worth of the success that it is expected to bring

*Worth* grows with the human hours of a task (``WORTH``), so that what may be lost is lost where
little hangs on it.  The *price* of a unit of worth comes with the table: it is the least at which the
average of a stated mix of traffic stays within the dial's margin (``benchmarks.table.calibrate``).

An average alone would be kept by paying with the hardest tasks, so no unit serves that is not within
the *guard*: with probability ``GUARD`` its chance of success on this request is within twice the
margin of the best unit's, and on tasks of more than four hours within the margin itself.  This is
arithmetic on what the table believes, prior and spread included, and no proof about the request.

Everything here is a mean or a spread over cells that a reading weighs; nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import erfc, sqrt
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from classifier.model import MAX_FAILURES
from router.evidence.table import Expectation
from router.values import Unit

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

HOURS: Final = (0.13, 0.6, 2.0, 6.0)
"""Human hours of a task by level: the middle of under 15 minutes, to an hour, to four, and more."""

WORTH: Final = np.sqrt(np.array(HOURS, dtype=np.float32))
"""What a success is worth by level.  Hours themselves spend so much on what a reading takes for hard
that recorded outcomes are bought dearer than without weights; without weights the hardest tasks pay.
The root does neither on any recorded pool (benchmarks/LOG.md, 2026-11-30)."""

GUARD: Final = 0.8
"""Probability with which a unit must be within the guard's margin."""

ROOM: Final = np.array((2.0, 2.0, 2.0, 1.0), dtype=np.float32)
"""The guard's margin by level, in margins of the dial."""

VOUCHED: Final = 1.645
"""One-sided 95%: the best unit is the one that evidence vouches most for.  The highest *mean* often
belongs to a unit that nobody measured, and nothing is near a wide guess."""

FEW_ITEMS: Final = 10
"""A unit with fewer items of its own serves only where nobody else does: what is said of it is its
price's and its family's."""

THIN_ITEMS: Final = 30
THIN_GUARD: Final = 0.9
"""With fewer items than ``THIN_ITEMS`` a unit must be within the dial's own margin, and surer."""

FAILED_ODDS: Final = 0.6
STRONGER: Final = 0.44
WEAKER: Final = 0.58
"""What a visible failure leaves of the odds that a model succeeds, and which share of its weight
speaks against models that are expected to do better, and no better.  On the OpenHands runs of nine
models a failure that is final takes 3.2 off a model's own log odds (a second run ends otherwise one
time in ten), 1.4 off a stronger one's and 1.8 off a weaker one's: the item is hard, and half of the
failure was the model's own (benchmarks/LOG.md).  Six visible failures (``MAX_FAILURES``, as the
classifier counts them) weigh as a final one, and leave nothing of the dial's margin."""

SUCCESSOR_ODDS: Final = FAILED_ODDS ** (MAX_FAILURES * (STRONGER + WEAKER) / 2)
"""What the first unit's failure leaves of the odds of the one that takes over."""

FALSE_ALARM: Final = 0.05
"""Share of successes that look like failures: a second run ends otherwise one time in ten, and half
of those are the run's own fault (benchmarks/LOG.md)."""

SHOWN: Final = 1 - 1 / MAX_FAILURES
"""Share of the guard's margin that is left for who takes over, as after one visible failure in a session:
tests that are red again are one (a complaint weighs three).  Half of the margin instead costs 4% more over
the table's cells, for the same success, and 6% more on unlike types; on nine models 2% less (benchmarks/LOG.md)."""

NOBODY: Final = -1
"""In place of a unit's row: nobody takes over."""


class Comparison(NamedTuple):
    """How U units stand on one request."""

    quality: Array
    """Expected probability of success, (U,)."""
    worth: Array
    """Expected worth of success, (U,)."""
    spread: Array
    """Standard deviation of ``quality``, what is common to all units left out, (U,)."""
    best: int
    """The unit that evidence vouches most for."""
    margin: float
    """The dial's, in [0, 1]."""
    room: float
    """The guard's margin on this request."""
    gap: Array
    """How far below the best a unit is expected, (U,)."""
    apart: Array
    """Standard deviation of the gap, (U,)."""
    near: Mask
    """Within the guard, (U,)."""

    def p_near(self, unit: int) -> float:
        """Return the probability that a unit is within the guard's margin."""
        if unit == self.best:
            return 1.0
        z = (self.room - float(self.gap[unit])) / float(self.apart[unit])
        return 0.5 * erfc(-z / sqrt(2))


def compare(expected: Expectation, margin: float) -> Comparison:
    """Say how units stand against the best of them at a dial's margin."""
    quality, spread, may = expected.quality, expected.spread, enough(expected.items)
    best = int(best_vouched(quality, spread, expected.cost_usd, may))
    room = margin * float(expected.weight @ ROOM[expected.level])
    gap, apart = quality[best] - quality, apart_of(spread, spread[best])
    worth = (expected.weight * WORTH[expected.level]) @ expected.qualities
    standing = Comparison(quality, worth, spread, best, margin, room, gap, apart, may)
    return standing._replace(near=within(standing, expected))


def within(standing: Comparison, expected: Expectation, share: float = 1.0) -> Mask:
    """Say who is within a share of the guard's margin, (U,): the best always is."""
    room, margin = share * standing.room, share * standing.margin
    near = likely_within(standing.gap, standing.apart, room, margin, expected.items)
    near &= standing.near
    near[standing.best] = True
    return near


def best_vouched(quality: Array, spread: Array, cost_usd: Array, may: Mask) -> NDArray[np.int64]:
    """Return the rows of who is vouched most for among those that may serve: (..., U) to (...)."""
    vouched = quality - VOUCHED * spread + np.float32(1e-4) * quality
    ranked = np.where(may, vouched, -np.inf)
    first = ranked == ranked.max(axis=-1, keepdims=True)
    cheapest = np.where(first, cost_usd, np.inf).argmin(axis=-1)  # of equals
    return np.asarray(cheapest, dtype=np.int64)


def apart_of(spread: Array, best: Array) -> Array:
    """Return the standard deviation of gaps to the best, (..., U)."""
    return np.asarray(np.sqrt(spread**2 + best**2) + np.float32(1e-9))


def likely_within(
    gap: Array, apart: Array, room: float | Array, margin: float, items: Array
) -> Mask:
    """Say whose gap is likely within the room, (..., U).

    Who was measured thinly must be within the dial's margin, and surer.
    """
    near = room - gap >= _quantile(GUARD) * apart
    thin = items < THIN_ITEMS
    if thin.any():
        near &= ~thin | (margin - gap >= _quantile(THIN_GUARD) * apart)
    return near


def enough(items: Array) -> Mask:
    """Say which units were measured enough to serve, (..., U); where none was, all are."""
    may = items >= FEW_ITEMS
    return may | ~may.any(axis=-1, keepdims=True)


@cache
def _quantile(p: float) -> float:
    return NormalDist().inv_cdf(p)


class Plans(NamedTuple):
    """The best plan of each unit that may begin, (U,) each."""

    second: NDArray[np.int64]
    """Row of the unit that takes over when a failure shows; ``NOBODY``."""
    cost_usd: Array
    """Expected dollars of the plan."""
    worth: Array
    """Expected worth of what it brings."""

    def score(self, price: float) -> Array:
        """Return what is minimised: dollars less the worth brought, at ``price`` dollars a unit of it."""
        return self.cost_usd - np.float32(price) * self.worth


class Successors(NamedTuple):
    """Who may take over from whom: of U units H may."""

    heirs: NDArray[np.int64]
    """Rows of units, (H,)."""
    dearer: Array
    """Expected dollars that a successor adds to a plan; infinite where it may not be part of it, (U, H)."""
    mended: Array
    """Expected worth that it adds, (U, H)."""

    def plans(self, cost_usd: Array, worth: Array, price: float) -> Plans:
        """Choose everybody's successor at a price of worth."""
        if not len(self.heirs):
            return Plans(np.full(len(cost_usd), NOBODY), cost_usd, worth)
        at = (self.dearer - np.float32(price) * self.mended).argmin(axis=1)
        rows = np.arange(len(cost_usd))
        dearer = self.dearer[rows, at]
        has = np.isfinite(dearer)
        return Plans(
            np.where(has, self.heirs[at], NOBODY),
            cost_usd + np.where(has, dearer, np.float32(0)),
            worth + np.where(has, self.mended[rows, at], np.float32(0)),
        )


def plans_of(
    expected: Expectation,
    standing: Comparison,
    cost_usd: Array,
    price: float,
    *,
    seen: float = 0.0,
    after_usd: Array | None = None,
    after_price: float | None = None,
    cap_usd: float | None = None,
) -> Plans:
    """Plan for every unit what follows its failure.

    ``after_price`` is the price at which a successor is chosen, if not ``price``: a failure that shows
    tells more of a request than any reading, so more may be paid for success there.
    """
    successors = successors_of(
        expected, standing, cost_usd, seen=seen, after_usd=after_usd, cap_usd=cap_usd
    )
    return successors.plans(cost_usd, standing.worth, price if after_price is None else after_price)


def successors_of(
    expected: Expectation,
    standing: Comparison,
    cost_usd: Array,
    *,
    seen: float,
    after_usd: Array | None = None,
    cap_usd: float | None = None,
) -> Successors:
    """Say for every unit what it costs and brings that another takes over.

    ``cost_usd`` (U,) is what a unit costs that begins, ``after_usd`` what it costs where it takes over;
    ``seen`` is how often a failure is seen, in [0, 1].  A failure that is seen is mended: whoever sees
    it goes on, so there is a successor wherever there may be one.  It is of another model, within a
    guard of ``SHOWN`` of the margin, and no part of a plan that would cost more than ``cap_usd``.
    """
    if seen <= 0 or len(cost_usd) < 2:
        none: Array = np.empty((len(cost_usd), 0), dtype=np.float32)
        return Successors(np.empty(0, dtype=np.int64), none, none)
    fails, q = 1 - expected.qualities, expected.qualities
    shown = expected.weight[:, None] * (np.float32(seen) * fails + np.float32(FALSE_ALARM) * q)
    lost = (expected.weight * WORTH[expected.level] * np.float32(seen))[:, None] * fails
    heirs = np.flatnonzero(within(standing, expected, SHOWN))
    relative = expected.costs[:, heirs] / np.maximum(expected.cost_usd[heirs], np.float32(1e-12))
    later = cost_usd if after_usd is None else after_usd
    dearer = np.asarray((shown.T @ relative) * later[heirs], dtype=np.float32)
    mended = np.asarray(lost.T @ with_odds(q[:, heirs], SUCCESSOR_ODDS), dtype=np.float32)
    barred = expected.models[:, None] == expected.models[None, heirs]
    if cap_usd is not None:
        barred |= cost_usd[:, None] + dearer > cap_usd
    dearer[barred] = np.inf
    return Successors(heirs, dearer, mended)


def with_odds(quality: Array, odds: float | Array) -> Array:
    """Return chances of success whose odds are multiplied."""
    return np.asarray(quality * odds / (1 - quality * (1 - odds)), dtype=np.float32)


def after_failures(
    expected: Expectation, units: Sequence[Unit], troubles: Sequence[tuple[Unit, int]]
) -> Expectation:
    """Lower the odds of who failed in a task, and by a share of that those of all others.

    ``units`` are those of the expectation; ``troubles`` say how often whom.
    """
    quality = expected.quality
    power = np.zeros(len(units), dtype=np.float32)
    for unit, failures in troubles:
        if unit not in units:
            continue
        i = units.index(unit)
        share = np.where(quality > quality[i], np.float32(STRONGER), np.float32(WEAKER))
        share[i] = 1.0
        power += min(failures, MAX_FAILURES) * share
    odds = np.float32(FAILED_ODDS) ** power
    return expected.with_qualities(with_odds(expected.qualities, odds))


def margin_left(margin: float, failures: int) -> float:
    """Return what visible failures leave of a margin: with six, only the best will do."""
    return margin * max(0.0, 1 - failures / MAX_FAILURES)
