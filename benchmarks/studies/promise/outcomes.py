"""What recorded outcomes say of who served: gaps, costs, and the least cost at an equal gap.

A *gap* is the quality of the best single model, known from training and validation, less that of who
served; costs are shares of what that model costs on the same items.  Whoever can choose a model can also
always take that one, so it is a setting of every rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.judge.measures import Curve, Floats, Ints, hull
from benchmarks.judge.pool import Pool
from benchmarks.judge.replay import outcomes_of
from benchmarks.studies.promise.pools import Trial
from benchmarks.studies.promise.routes import (
    NEW,
    OLD,
    PLANNED,
    RIVALS,
    SEEN,
    InSplit,
    Served,
    planned,
)
from router.decision.rule import FALSE_ALARM, NOBODY

GAPS: Final = (0.0, 0.02, 0.03, 0.05)
"""At which rules are compared."""

SHUFFLE: Final = "shuffle of the new rule"


@dataclass(frozen=True, slots=True)
class Contender:
    """A rule by name: whose picks it takes, and how often a failure is really seen.

    ``shuffled``: the picks of each setting are dealt to the items anew; what that gives on average is
    known without dealing.
    """

    name: str
    picks: str
    seen: float = 0.0
    shuffled: bool = False


CONTENDERS: Final = (
    Contender(OLD, OLD),
    Contender(NEW, NEW),
    *(Contender(planned(seen), planned(seen), seen) for seen in SEEN),
    *(
        Contender(f"two steps, {seen:g} seen, {PLANNED:g} planned", planned(PLANNED), seen)
        for seen in SEEN
        if seen != PLANNED
    ),
    Contender(SHUFFLE, NEW, shuffled=True),
    *(Contender(name, name) for name in RIVALS),
)


def outcomes(served: Served, pool: Pool, seen: float) -> tuple[Floats, Floats]:
    """Look up what came of it: quality and cost, (k, n) each.

    A failure is seen with probability ``seen``, a success taken for one with ``FALSE_ALARM``; then the
    second is run and paid in full, and after a failure its recorded outcome counts.
    """
    quality, cost = outcomes_of(served.first, pool)
    if served.second is None:
        return quality, cost
    follows = served.second != NOBODY
    then, also = outcomes_of(np.where(follows, served.second, 0), pool)
    shown = follows * (seen * (1 - quality) + FALSE_ALARM * quality)
    return quality + follows * seen * (1 - quality) * then, cost + shown * also


def shuffled_outcomes(served: Served, pool: Pool) -> tuple[Floats, Floats]:
    """Return what each setting's shares of models give where they are dealt without looking."""
    m = len(pool.models)
    share = np.array([np.bincount(row, minlength=m) for row in served.first]) / len(pool)
    return share @ pool.quality.T, share @ pool.cost.T


@dataclass(frozen=True, slots=True)
class Came:
    """What came of one rule in one part of a split, against the best single model.

    ``gap`` (k, n): its quality less theirs; ``cost`` (k, n); ``single_cost`` (n,).  The last setting
    is the best single model itself.
    """

    gap: Floats
    cost: Floats
    single_cost: Floats

    def under(self, weights: Floats) -> tuple[Floats, Floats]:
        """Mean gap and cost share under rows of item weights (b, n): (b, k) each."""
        total = weights.sum(axis=1, keepdims=True)
        share = (weights @ self.cost.T) / (weights @ self.single_cost)[:, None]
        return (weights @ self.gap.T) / total, share


def came_of(contender: Contender, trial: Trial, run: InSplit, *, tested: bool) -> Came:
    """Look up what came of a rule on the test items, or on those for validation."""
    n = len(run.parts.validation)
    rows = slice(n, None) if tested else slice(0, n)
    pool = trial.pool.take(run.parts.test if tested else run.parts.validation)
    served = run.served[contender.picks].items(rows)
    if contender.shuffled:
        quality, cost = shuffled_outcomes(served, pool)
    else:
        quality, cost = outcomes(served, pool, contender.seen)
    return came(quality, cost, pool, run.single)


def came(quality: Floats, cost: Floats, pool: Pool, single: int) -> Came:
    """Set outcomes (k, n) against the best single model's, and add those."""
    own, paid = pool.quality[:, single], pool.cost[:, single]
    return Came(np.vstack((own - quality, 0 * own)), np.vstack((cost, paid)), paid)


def chosen(validated: Came, most: float) -> int:
    """Choose the cheapest setting that was within a gap on validation; the best single one always is."""
    gap, cost = validated.under(np.ones((1, validated.gap.shape[1])))
    return int(np.where(gap[0] <= most + 1e-12, cost[0], np.inf).argmin())


def cheapest_at(gap: Floats, cost: Floats, at: Sequence[float]) -> Floats:
    """Return the least cost (b, len(at)) of mixing settings (b, k) to a gap."""
    found = np.empty((len(gap), len(at)))
    for row, (g, c) in enumerate(zip(gap, cost, strict=True)):
        edge = hull(Curve(c, -g))
        found[row] = np.interp(-np.array(at), edge.quality, edge.cost, right=np.inf)
    return found


def mixed_at(gap: Floats, cost: Floats, at: float) -> list[tuple[int, float]]:
    """Return the settings (k,) that ``cheapest_at`` mixes to a gap, with their shares."""
    edge = hull(Curve(cost, -gap))
    above = int(np.searchsorted(edge.quality, -at))
    corners = range(max(above - 1, 0), above + 1)
    settings = [
        int(np.flatnonzero((cost == edge.cost[k]) & (-gap == edge.quality[k]))[0]) for k in corners
    ]
    if above == 0:
        return [(settings[0], 1.0)]
    low, high = edge.quality[above - 1], edge.quality[above]
    share = float((-at - low) / (high - low))
    return [(settings[0], 1 - share), (settings[1], share)]


def tested_weights(trial: Trial, runs: Sequence[InSplit], weights: Floats) -> Iterator[Floats]:
    """Yield for each split the weights (b, n) of its test items, of those (b, groups) of groups."""
    for run in runs:
        yield weights[:, trial.pool.groups[run.parts.test]]


def pooled(gaps: Sequence[Floats], weights: Sequence[Floats], inside: Sequence[Ints]) -> Floats:
    """Mean gap (b,) of some items over all splits: of gaps (n,) and weights (b, n), those at ``inside``."""
    total = sum(w[:, rows] @ gap[rows] for gap, w, rows in zip(gaps, weights, inside, strict=True))
    count = sum(w[:, rows].sum(axis=1) for w, rows in zip(weights, inside, strict=True))
    return np.asarray(np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0))
