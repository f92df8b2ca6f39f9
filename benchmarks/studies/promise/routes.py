"""Who serves what in one split: every rule at every setting, and at the stops that would ship.

Whatever needs a fit is done here, once a split.  What is kept are picks; outcomes are looked up later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from benchmarks.judge.baselines import BASELINES
from benchmarks.judge.measures import Floats, Ints
from benchmarks.judge.ours import calibrated, fit
from benchmarks.judge.pool import Pool, Split, split
from benchmarks.judge.replay import proven_picks
from benchmarks.table.build import Posterior
from benchmarks.table.calibrate import Calibrated
from benchmarks.table.choose import prospect_of
from router.decision.rule import compare, successors_of
from router.evidence.table import Table
from router.values import DIALS

OLD: Final = "old rule"
NEW: Final = "new rule"
RIVALS: Final = ("hull of single models", "prompt length", "kNN", "oracle")

SEEN: Final = (0.3, 0.5, 0.7)
"""How often a failure is seen, as plans of two steps are tried with."""

PLANNED: Final = 0.5
"""What is taken for it where the truth is another of ``SEEN``."""

MARGINS: Final = (0.05, 0.075, 0.1, 0.125, 0.15, 0.2)
"""Of the guard; at each every price is tried."""

OLD_MARGINS: Final = (
    0.003, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.085, 0.1, 0.115, 0.13, 0.145, 0.16, 0.18, 0.2,
    0.25, 0.3, 0.4,
)  # fmt: skip
OLD_CONFIDENCE: Final = 0.8

PRICE_STEPS: Final = np.geomspace(0.01, 30, 41)
"""Prices that are tried, in what models of a pool differ in dollars over what they differ in quality.
The unit is the same in every split, so that a setting means the same."""


@dataclass(frozen=True, slots=True)
class Served:
    """Who serves n items at k settings, int (k, n), and who takes over; None: nobody ever does."""

    first: Ints
    second: Ints | None = None

    def items(self, rows: Ints | slice) -> Served:
        """Return the same of some items."""
        second = None if self.second is None else self.second[:, rows]
        return Served(self.first[:, rows], second)

    def packed(self) -> Served:
        """Return the same in two bytes a pick, to be handed from process to process."""
        small: Any = np.int16
        second = None if self.second is None else self.second.astype(small)
        return Served(self.first.astype(small), second)


@dataclass(frozen=True, slots=True)
class AtStop:
    """A stop of the dial as the training part sets it, on the test items.

    ``expected_gap`` is what the table expects there against the best single model; ``left_out`` the gap
    on training items that were left out of a fit, and ``left_out_expected`` what was expected of it.
    """

    ours: Served
    old: Served
    planned: Served
    price: float
    expected_gap: float
    left_out: float
    left_out_expected: float


@dataclass(frozen=True, slots=True)
class InSplit:
    """One split: its parts, the best single model known before the test, and who serves.

    ``served`` are picks for validation and test items together, the former first; ``stops`` for the
    test items alone.
    """

    parts: Split
    single: int
    served: Mapping[str, Served]
    stops: Mapping[str, AtStop]


def planned(seen: float) -> str:
    """Name the rule that plans two steps for failures seen so often."""
    return f"two steps, {seen:g} seen"


def run_split(pool: Pool, seed: int) -> InSplit:
    """Fit one split, set its dial, and let everybody serve what was not fitted."""
    parts = split(pool.groups, seed, test=0.4, validation=0.2)
    train, validation = pool.take(parts.train), pool.take(parts.validation)
    held = pool.take(np.concatenate((parts.validation, parts.test)))
    known = np.vstack((train.quality, validation.quality)).mean(axis=0)
    posterior = fit(train, seed)
    table, found = calibrated(train, posterior, seed)
    rng = np.random.default_rng(seed)
    rivals = {name: Served(BASELINES[name](train, validation, held, rng).picks) for name in RIVALS}
    prices = price_unit(pool) * PRICE_STEPS
    ours = {**our_sweeps(table, held, prices), OLD: old_sweep(posterior, held)}
    single = int(known.argmax())
    return InSplit(
        parts,
        single,
        {name: served.packed() for name, served in {**ours, **rivals}.items()},
        at_stops(posterior, table, found, pool.take(parts.test), single),
    )


def old_sweep(posterior: Posterior, held: Pool) -> Served:
    """Serve as before: every request within the margin by itself."""
    picks = [
        proven_picks(posterior, held.p_type, held.p_level, margin, OLD_CONFIDENCE)
        for margin in OLD_MARGINS
    ]
    return Served(np.array(picks))


def our_sweeps(table: Table, held: Pool, prices: Floats) -> dict[str, Served]:
    """Serve by the new rule in one step, and in two for failures seen as often as in ``SEEN``.

    Settings are prices within margins.
    """
    reading, at = np.unique(np.hstack((held.p_type, held.p_level)), axis=0, return_inverse=True)
    n_types = held.p_type.shape[1]
    p_type, p_level = reading[:, :n_types], reading[:, n_types:]
    outlooks = [prospect_of(table, p_type, p_level, margin) for margin in MARGINS]
    one = np.array([[o.picks(float(price)) for price in prices] for o in outlooks])
    found = {NEW: Served(one.reshape(-1, len(reading)))}
    may = [[o.may(float(price)) for price in prices] for o in outlooks]
    shape = (len(MARGINS), len(prices), len(reading))
    for seen in SEEN:
        first, second = np.empty(shape, dtype=np.int64), np.empty(shape, dtype=np.int64)
        for m, i in np.ndindex(len(MARGINS), len(reading)):
            expects = outlooks[m].expected[i]
            standing = compare(expects, MARGINS[m])
            successors = successors_of(expects, standing, expects.cost_usd, seen=seen)
            for k, price in enumerate(prices):
                plans = successors.plans(expects.cost_usd, standing.worth, float(price))
                score = np.where(may[m][k][i], plans.score(float(price)), np.inf)
                first[m, k, i] = score.argmin()
                second[m, k, i] = plans.second[first[m, k, i]]
        found[planned(seen)] = Served(
            first.reshape(-1, len(reading)), second.reshape(-1, len(reading))
        )
    return {name: served.items(at.ravel()) for name, served in found.items()}


def price_unit(pool: Pool) -> float:
    """Return what the models of a pool differ in dollars over what they differ in quality."""
    return _spread(pool.cost) / _spread(pool.quality)


def _spread(values: Floats) -> float:
    return float(np.ptp(values.mean(axis=0))) or 1.0


def at_stops(
    posterior: Posterior, table: Table, found: Mapping[str, Calibrated], test: Pool, single: int
) -> dict[str, AtStop]:
    """Serve the test items at every stop of the dial that was set on the training part."""
    rows = np.arange(len(test))
    stops = {}
    for name, dial in DIALS.items():
        outlook = prospect_of(table, test.p_type, test.p_level, dial.margin)
        price = table.price_of(dial.margin)
        picks = outlook.picks(price)
        old = proven_picks(posterior, test.p_type, test.p_level, dial.margin, dial.confidence)
        first, second = outlook.plans(price, PLANNED, table.price_of(0.0)).T
        apart = outlook.quality[rows, single] - outlook.quality[rows, picks]
        left_out = found[name].outcome_gap, found[name].outcome_gap_expected
        stops[name] = AtStop(
            Served(picks[None]),
            Served(old[None]),
            Served(first[None], second[None]),
            price,
            float(apart.mean()),
            *(float("nan") if gap is None else float(gap) for gap in left_out),
        )
    return stops
