"""What the table says of kinds of task that it has no outcomes of: every type hidden, one at a time.

A *sample* is what one unit did on at least ten items: of a cell, or of a cell in one benchmark.  The
latter compares units on the same items; in a cell of several benchmarks a unit may have run the
harder half.  The intervals are those of the table's draws, widened by the luck of the items.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from benchmarks.studies.shipped.ground import (
    Array32,
    Mask,
    Progress,
    Shipped,
    matrix,
    one_hot,
    refit,
    rounded,
)
from benchmarks.table.item_response import Floats, Ints
from classifier.tasks import TYPES
from classifier.training.evaluate import spearman
from router.decision.rule import ROOM, compare
from router.evidence.table import Table
from router.values import DEFAULT_DIAL, DIALS

MIN_SAMPLE: Final = 10
"""Items that a mean takes."""

MIN_RANKED: Final = 3
"""Units that a rank takes."""

OVERALL: Final = "all"


@dataclass(frozen=True, slots=True)
class Sample:
    """Units on one kind of task: ``units`` (m,), ``n`` items and ``mean`` score of each, (m,)."""

    kind: int
    level: int
    units: Ints
    n: Ints
    mean: Floats


@dataclass(frozen=True, slots=True)
class HiddenType:
    """How samples of a hidden type compare with what the table says of it.

    ``covered``: share of samples inside the 90% interval; ``covered_beside``: of their differences to
    the mean of all units of the sample.  ``near`` samples are within the rule's guard at the default
    dial, of which ``near_wrongly`` fell short of the best by more than the guard's margin.
    """

    task: str
    by: str
    samples: int
    covered: float
    covered_beside: float
    width: float
    error: float
    error_beside: float
    rank: float
    near: int
    near_wrongly: int


def hide_types(ground: Shipped, progress: Progress) -> tuple[HiddenType, ...]:
    """Hide each type that some units have samples of."""
    by_cell, by_source = list(samples_of(ground, False)), list(samples_of(ground, True))
    compared: dict[str, list[tuple[int, _OnSample]]] = {"cell": [], "benchmark": []}
    kinds = sorted({sample.kind for sample in by_cell})
    for k, kind in enumerate(kinds):
        progress(f"hidden {TYPES[kind]} ({k + 1} of {len(kinds)})")
        seen = ground.cell[0][ground.problem.item] != kind
        found = refit(ground, seen)
        table, draws = found.table, found.posterior.draws
        for by, samples in (("cell", by_cell), ("benchmark", by_source)):
            mine = [sample for sample in samples if sample.kind == kind]
            compared[by] += [(kind, _compare(table, draws, sample)) for sample in mine]
    told = []
    for by, pairs in compared.items():
        for kind in kinds:
            told.append(_told(TYPES[kind], by, [c for k, c in pairs if k == kind]))
        told.append(_told(OVERALL, by, [c for _, c in pairs]))
    return tuple(told)


def samples_of(ground: Shipped, by_source: bool) -> Iterator[Sample]:
    """Yield what at least two units did on items of one cell, or of one benchmark in a cell."""
    scores = matrix(ground.problem)
    kind, level = ground.cell
    key = [kind, level] + [ground.problem.group] * by_source
    for at in np.unique(np.stack(key)[:, ground.success], axis=1).T:
        mine = ground.success.copy()
        for column, value in zip(key, at, strict=True):
            mine &= column == value
        ran = np.isfinite(scores[mine])
        n = ran.sum(axis=0)
        units = np.flatnonzero(n >= MIN_SAMPLE)
        if len(units) > 1:
            mean = np.nansum(scores[np.ix_(mine, units)], axis=0) / n[units]
            yield Sample(int(at[0]), int(at[1]), units, n[units], mean)


@dataclass(frozen=True, slots=True)
class _OnSample:
    inside: Mask
    inside_beside: Mask
    width: Floats
    error: Floats
    error_beside: Floats
    rank: float
    near: int
    wrongly: int


def covering(
    draws: Floats, n: Ints, mean: Floats, seed: int = 0
) -> tuple[Mask, Mask, Floats, Floats, Floats]:
    """Compare draws (m, K) with means over n items: inside the 90% intervals, alone and beside the others.

    Also the width of the intervals without the items' luck, and the absolute errors, alone and beside.
    """
    noisy = np.random.default_rng(seed).binomial(n[:, None], draws) / n[:, None]
    beside, real = noisy - noisy.mean(axis=0), mean - mean.mean()
    expected = draws.mean(axis=1)
    low, high = np.quantile(draws, (0.05, 0.95), axis=1)
    return (
        _within(noisy, mean),
        _within(beside, real),
        high - low,
        abs(expected - mean),
        abs(expected - expected.mean() - real),
    )


def _within(draws: Floats, value: Floats) -> Mask:
    low, high = np.quantile(draws, (0.05, 0.95), axis=1)
    return np.asarray((value >= low - 1e-9) & (value <= high + 1e-9))


def _compare(table: Table, draws: Array32, sample: Sample) -> _OnSample:
    of_units = draws[sample.kind, sample.level, sample.units].astype(float)
    found = covering(of_units, sample.n, sample.mean)
    rank = float("nan")
    if len(sample.units) >= MIN_RANKED and np.ptp(sample.mean) > 0:
        rank = spearman(of_units.mean(axis=1), sample.mean)
    p_type, p_level = one_hot(np.array([sample.kind]), np.array([sample.level]))
    expected = table.expect(p_type[0], p_level[0]).of(sample.units)
    margin = DIALS[DEFAULT_DIAL].margin
    standing = compare(expected, margin)
    near = standing.near.copy()
    near[standing.best] = False
    short = sample.mean.max() - sample.mean > margin * float(ROOM[sample.level])
    return _OnSample(*found, rank, int(near.sum()), int((near & short).sum()))


def _told(task: str, by: str, compared: Sequence[_OnSample]) -> HiddenType:
    def mean(values: list[Any]) -> float:
        return rounded(np.concatenate(values).mean()) if values else float("nan")

    ranked = [(len(c.inside), c.rank) for c in compared if np.isfinite(c.rank)]
    sizes = sum(n for n, _ in ranked)
    return HiddenType(
        task=task,
        by=by,
        samples=sum(len(c.inside) for c in compared),
        covered=mean([c.inside for c in compared]),
        covered_beside=mean([c.inside_beside for c in compared]),
        width=mean([c.width for c in compared]),
        error=mean([c.error for c in compared]),
        error_beside=mean([c.error_beside for c in compared]),
        rank=rounded(sum(n * rho for n, rho in ranked) / sizes) if sizes else float("nan"),
        near=sum(c.near for c in compared),
        near_wrongly=sum(c.wrongly for c in compared),
    )
