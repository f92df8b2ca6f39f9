"""Who is adequate: statistics on the table's joint posterior draws.  Pure.

A unit is *adequate* when it is proven non-inferior: with at least the dial's confidence its chance of
success is not worse than the best candidate's by more than the dial's margin.  A bar on quality
itself would not do: ten successes of ten have a lower bound of 0.79, and a 0.95 bar at 95%
confidence takes 59 of 59.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from classifier.model import MAX_FAILURES
from router.evidence.table import DRAW_SCALE
from router.values import Unit

Array = NDArray[np.float32]

FAILED_ODDS: Final = 0.6
STRONGER: Final = 0.44
WEAKER: Final = 0.58
"""What a visible failure leaves of the odds that a model succeeds, and which share of its weight
speaks against models that are expected to do better, and no better.  On the OpenHands runs of nine
models a failure that is final takes 3.2 off a model's own log odds (a second run ends otherwise one
time in ten), 1.4 off a stronger one's and 1.8 off a weaker one's: the item is hard, and half of the
failure was the model's own (benchmarks/LOG.md).  Six visible failures (``MAX_FAILURES``, as the
classifier counts them) weigh as a final one, and leave nothing of the dial's margin."""


def adequacy(draws: Array, margin: float) -> tuple[Array, Array]:
    """Compare units by their joint draws, (…, U, K).

    Returns their lower bounds (one-sided 95%) and the probability that each is not worse than
    the best by more than ``margin``, (…, U) each.  The best is the unit with the highest lower
    bound: what evidence can vouch for.  The highest *mean* often belongs to a unit that nobody
    measured, and nothing can be proven to be near a wide guess.
    """
    lower, best = best_of(draws)
    return lower, p_near(draws, best, margin)


def best_of(draws: Array) -> tuple[Array, Array]:
    """Return lower bounds (…, U), and the draws (…, 1, K) of the unit with the highest."""
    fifth = draws.shape[-1] // 20
    lower = np.partition(draws, fifth, axis=-1)[..., fifth]
    ranked = lower + np.float32(1e-4) * draws.mean(axis=-1)  # the mean only breaks ties
    best = np.take_along_axis(draws, ranked.argmax(axis=-1)[..., None, None], axis=-2)
    return lower, best


def p_near(draws: Array, best: Array, margin: float) -> Array:
    """Return the probability of not being worse than ``best`` by more than a margin, (…, U)."""
    near = draws >= best - np.float32(margin + 1 / DRAW_SCALE)
    return np.asarray(near.mean(axis=-1), dtype=np.float32)


def after_failures(
    draws: Array, quality: Array, units: list[Unit], troubles: Sequence[tuple[Unit, int]]
) -> Array:
    """Lower the odds of who failed in a task, and by a share of that those of all others.

    ``draws`` (U, K) and ``quality`` (U,) are those of ``units``; ``troubles`` say how often whom.
    """
    power = np.zeros(len(units), dtype=np.float32)
    for unit, failures in troubles:
        if unit not in units:
            continue
        i = units.index(unit)
        share = np.where(quality > quality[i], STRONGER, WEAKER)
        share[i] = 1.0
        power += min(failures, MAX_FAILURES) * share
    odds = np.float32(FAILED_ODDS) ** power[:, None]
    return np.asarray(draws * odds / (1 - draws * (1 - odds)), dtype=np.float32)


def margin_left(margin: float, failures: int) -> float:
    """Return what visible failures leave of a margin: with six, only the best will do."""
    return margin * max(0.0, 1 - failures / MAX_FAILURES)
