"""The price of worth at each stop of the dial: the least that keeps the promise.

A stop promises an average: over all requests the chance of success is not below the best single
model's by more than the margin, with the stop's confidence.  The price is the least of a grid at which

* the average gap *on outcomes* of tasks that the table was not fitted on is at most ``ROOM`` of the
  margin (folds: every task is decided by a table fitted without its group), and
* by the posterior the expected gap is at most that too, and the gap is within the margin itself with
  the stop's confidence.

From there on the price rises as long as that costs next to nothing (``NEARLY_AS_CHEAP``): where the guard
alone keeps the promise the least price is none, and success that costs a tenth of a cent would be left lying.

Neither gap alone would do.  A posterior's gaps are compressed by shrinkage, so what is calibrated on it is
broken on new data; outcomes alone are a few hundred tasks, whose luck is chosen with the price.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.table.choose import Prospect
from benchmarks.table.item_response import Floats, Ints
from router.evidence.table import Stop
from router.values import DIALS, Dial

PRICES: Final = np.geomspace(1e-4, 1e4, 65)
"""Dollars for a unit of worth that are tried: a third apart."""

ROOM: Final = 0.75
"""Share of the margin that may be spent, on outcomes and by the posterior."""

NEARLY_AS_CHEAP: Final = 1.05
"""What the traffic may cost over what it costs at the least price that keeps the promise.  On unlike types
3% more dollars brought the gap at ``balanced`` from .066 to .051 (benchmarks/LOG.md, 2026-11-30)."""

COMPRESSED: Final = 1.25
"""A gap on outcomes may be so many times the expected one; more, and the posterior's word is not good."""


SURE: Final = 1.645
"""Standard errors by which a gap on outcomes must be beyond that, lest a build be refused for bad luck:
one-sided 95%."""


ENOUGH_TASKS: Final = 200
"""With fewer tasks on outcomes nothing is refused: units told apart by one benchmark's tasks only are
pulled together harder than these tasks say."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests that a promise is made over, and what is believed of them.

    ``outlooks``: margin → how the table that is calibrated sees them, n requests.  ``weight`` (n,) adds
    up to one.  ``draws`` (n, U, K): the posterior of each unit's chance of success on each.
    """

    outlooks: Callable[[float], Prospect]
    weight: Floats
    draws: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Tasks with outcomes, seen by a table that was not fitted on them.

    ``outcomes`` (n, U): scores, NaN where a unit was not run; ``weight`` (n,).  ``single`` is the best
    single unit, known from the tasks that the table was fitted on.
    """

    outlooks: Callable[[float], Prospect]
    outcomes: Floats
    weight: Floats
    single: int


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A stop, and the gaps at it: expected over the traffic, and on outcomes beside their expectation."""

    stop: Stop
    expected_gap: float
    upper_gap: float
    """With the stop's confidence the gap is at most this."""
    outcome_gap: float | None
    outcome_gap_expected: float | None
    """What the same tables had expected of the same tasks; None without outcomes."""
    outcome_error: float | None
    """Standard error of the difference of the two."""
    tasks: int
    """With outcomes."""
    kept: bool
    """Whether the promise is kept at this price; else no price keeps it, and this comes nearest."""

    @property
    def belied(self) -> bool:
        """Whether tasks with outcomes fail surely more often than ``COMPRESSED`` times what was expected."""
        real, foreseen, error = self.outcome_gap, self.outcome_gap_expected, self.outcome_error
        if real is None or foreseen is None or error is None or self.tasks < ENOUGH_TASKS:
            return False
        return real - COMPRESSED * max(foreseen, 0.0) > SURE * error

    def as_json(self, name: str) -> dict[str, Any]:
        """Write it for the artefact."""
        return {
            "name": name,
            "margin": self.stop.margin,
            "price": self.stop.price,
            "kept": self.kept,
            "expected_gap": self.expected_gap,
            "upper_gap": self.upper_gap,
            "outcome_gap": self.outcome_gap,
            "outcome_gap_expected": self.outcome_gap_expected,
            "outcome_error": self.outcome_error,
        }


def calibrate(
    traffic: Traffic, held: Sequence[LeftOut] = (), dials: Sequence[Dial] = tuple(DIALS.values())
) -> dict[str, Calibrated]:
    """Find the price of each stop; a stricter stop never pays less."""
    found: dict[str, Calibrated] = {}
    floor = 0
    for dial in sorted(dials, key=lambda d: -d.margin):
        at, calibrated = _price(traffic, held, dial, floor)
        found[dial.name], floor = calibrated, at
    return found


def _price(
    traffic: Traffic, held: Sequence[LeftOut], dial: Dial, floor: int
) -> tuple[int, Calibrated]:
    """Return the place in PRICES, from ``floor`` on, that keeps the promise and costs least, nearly."""
    outlook = traffic.outlooks(dial.margin)
    single = best_single(traffic)
    outcome = _outcome_gaps(held, dial.margin)
    kept: list[tuple[int, Calibrated]] = []
    usd = _usd_at_prices(traffic, outlook)
    best: tuple[float, int, Calibrated] | None = None
    for at in range(floor, len(PRICES)):
        gaps = posterior_gaps(traffic, outlook.picks(float(PRICES[at])), single)
        expected, upper = float(gaps.mean()), float(np.quantile(gaps, dial.confidence))
        real, foreseen, error = (None,) * 3 if outcome is None else outcome[at]
        stop = Stop(dial.margin, float(PRICES[at]))
        tasks = sum(len(part.outcomes) for part in held)
        spent = expected if real is None else max(expected, real)
        over = max(spent - ROOM * dial.margin, upper - dial.margin)
        calibrated = Calibrated(stop, expected, upper, real, foreseen, error, tasks, over <= 0)
        if kept and usd[at] > NEARLY_AS_CHEAP * usd[kept[0][0]]:
            break
        if over <= 0:
            kept.append((at, calibrated))
        if best is None or over < best[0] - 1e-9:
            best = (over, at, calibrated)
    if kept:
        return kept[-1]
    assert best is not None
    return best[1], best[2]


def _usd_at_prices(traffic: Traffic, outlook: Prospect) -> Floats:
    """Mean dollars of the traffic at every price, (prices,)."""
    rows = np.arange(len(traffic.weight))
    return np.array(
        [traffic.weight @ outlook.cost_usd[rows, outlook.picks(float(p))] for p in PRICES]
    )


def best_single(traffic: Traffic) -> int:
    """Return the unit that serves all the traffic best, by its mean."""
    mean = np.einsum("n,nuk->u", traffic.weight, traffic.draws) / traffic.draws.shape[2]
    return int(mean.argmax())


def posterior_gaps(traffic: Traffic, picks: Ints, single: int) -> Floats:
    """Draw the mean gap to the best single unit, (K,)."""
    rows = np.arange(len(picks))
    apart = traffic.draws[rows, single] - traffic.draws[rows, picks]
    return np.asarray(traffic.weight @ apart, dtype=np.float64)


def _outcome_gaps(
    held: Sequence[LeftOut], margin: float
) -> list[tuple[float, float, float]] | None:
    """Mean gap on outcomes, what was expected of it, and their difference's error, at every price."""
    if not held:
        return None
    apart: list[list[Floats]] = [[] for _ in PRICES]
    hoped: list[list[Floats]] = [[] for _ in PRICES]
    weights = []
    for part in held:
        outlook, rows = part.outlooks(margin), np.arange(len(part.outcomes))
        best, foreseen = part.outcomes[:, part.single], outlook.quality[:, part.single]
        for at, price in enumerate(PRICES):
            picks = outlook.picks(float(price))
            apart[at].append(best - part.outcomes[rows, picks])
            hoped[at].append(foreseen - outlook.quality[rows, picks])
        weights.append(part.weight)
    weight = np.concatenate(weights)
    return [
        _gap_of(weight, np.concatenate(a), np.concatenate(h))
        for a, h in zip(apart, hoped, strict=True)
    ]


def _gap_of(weight: Floats, apart: Floats, hoped: Floats) -> tuple[float, float, float]:
    """Weigh the tasks that both units ran."""
    known = np.isfinite(apart)
    w = weight[known] / weight[known].sum()
    real, foreseen = float(w @ apart[known]), float(w @ hoped[known])
    off = apart[known] - hoped[known] - (real - foreseen)
    return real, foreseen, float(np.sqrt(w**2 @ off**2))
