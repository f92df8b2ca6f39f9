"""From splits to findings: frontiers, stops, the hardest items, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from benchmarks.judge.measures import Curve, Floats, Ints, hull, interval, resamples
from benchmarks.studies.promise.findings import Apart, Cheapest, Hardest, Kept, OnPool, Part
from benchmarks.studies.promise.outcomes import (
    CONTENDERS,
    GAPS,
    SHUFFLE,
    Came,
    came,
    came_of,
    cheapest_at,
    chosen,
    mixed_at,
    outcomes,
    pooled,
    tested_weights,
)
from benchmarks.studies.promise.pools import Trial
from benchmarks.studies.promise.routes import (
    MARGINS,
    NEW,
    OLD,
    PLANNED,
    RIVALS,
    AtStop,
    InSplit,
    Served,
    planned,
)
from router.values import DIALS, Dial

N_BOOTSTRAP: Final = 500

ENOUGH: Final = 30
"""A level or a type of fewer items is not held to anything."""

HARD_GAPS: Final = (0.03, 0.05)
HARD_LEVEL: Final = 4
HARD_BENCHMARK: Final = "openhands-commit0"
UPPER: Final = 0.8

PAIRS: Final = (
    *((NEW, rival) for rival in (OLD, RIVALS[0], SHUFFLE, *RIVALS[1:3])),
    (planned(PLANNED), NEW),
    (planned(PLANNED), RIVALS[0]),
)


def judge(trial: Trial, runs: Sequence[InSplit], n_bootstrap: int = N_BOOTSTRAP) -> OnPool:
    """Judge a pool by its splits; intervals resample groups, jointly over splits and rules."""
    n_groups = int(trial.pool.groups.max()) + 1
    weights = resamples(n_groups, n_bootstrap, seed=0)
    at_test = list(tested_weights(trial, runs, weights))
    least: dict[str, Floats] = {}
    rules, frontiers = [], {}
    hardest: tuple[Hardest, ...] = ()
    for contender in CONTENDERS:
        tests = [came_of(contender, trial, run, tested=True) for run in runs]
        under = [test.under(w) for test, w in zip(tests, at_test, strict=True)]
        gap, cost = (np.mean(parts, axis=0) for parts in zip(*under, strict=True))
        least[contender.name] = cheapest_at(gap, cost, GAPS)
        edge = hull(Curve(cost[0], -gap[0]))
        points = zip(*(v.round(4).tolist() for v in (-edge.quality, edge.cost)), strict=True)
        frontiers[contender.name] = tuple(points)
        validated = [came_of(contender, trial, run, tested=False) for run in runs]
        for k, most in enumerate(GAPS):
            picked = [chosen(v, most) for v in validated]
            real = [
                np.mean([part[which][:, i] for part, i in zip(under, picked, strict=True)], axis=0)
                for which in (0, 1)
            ]
            rules.append(
                Cheapest(
                    contender.name,
                    most,
                    interval(least[contender.name][:, k]),
                    *map(interval, real),
                )
            )
        if contender.name == NEW:
            hardest = _hardest(trial, runs, tests, at_test, (gap[0], cost[0]))
    return OnPool(
        name=trial.name,
        n_items=len(trial.pool),
        n_groups=n_groups,
        n_models=len(trial.pool.models),
        cost_unit=trial.pool.cost_unit,
        seeds=tuple(range(len(runs))),
        rules=tuple(rules),
        differences=tuple(
            Apart(rule, against, most, interval(least[rule][:, k] - least[against][:, k]))
            for rule, against in PAIRS
            for k, most in enumerate(GAPS)
        ),
        stops=tuple(_kept(trial, runs, dial, at_test) for dial in DIALS.values()),
        hardest=hardest,
        frontiers=frontiers,
        notes=trial.notes,
    )


def _kept(trial: Trial, runs: Sequence[InSplit], dial: Dial, at_test: Sequence[Floats]) -> Kept:
    stops = [run.stops[dial.name] for run in runs]
    ours, old, two = (
        [_at_stop(trial, run, served, seen) for run, served in zip(runs, ways, strict=True)]
        for ways, seen in (
            ([s.ours for s in stops], 0.0),
            ([s.old for s in stops], 0.0),
            ([s.planned for s in stops], PLANNED),
        )
    )
    gaps, costs = _means(ours, at_test)
    old_gaps, old_costs = _means(old, at_test)
    two_gaps, two_costs = _means(two, at_test)
    lost = [each.gap[0] for each in ours]
    return Kept(
        stop=dial.name,
        margin=dial.margin,
        gap=interval(gaps.mean(axis=0)),
        cost=interval(costs.mean(axis=0)),
        broken=_broken(gaps, dial),
        old_gap=interval(old_gaps.mean(axis=0)),
        old_cost=interval(old_costs.mean(axis=0)),
        old_broken=_broken(old_gaps, dial),
        planned_gap=interval(two_gaps.mean(axis=0)),
        planned_cost=interval(two_costs.mean(axis=0)),
        price=float(np.median([s.price for s in stops])),
        **_expectations(stops),
        levels=_parts(trial, runs, lost, at_test, dial, _levels(trial)),
        kinds=_parts(trial, runs, lost, at_test, dial, _kinds(trial)),
    )


def _at_stop(trial: Trial, run: InSplit, served: Served, seen: float) -> Came:
    test = trial.pool.take(run.parts.test)
    return came(*outcomes(served, test, seen), test, run.single)


def _means(found: Sequence[Came], at_test: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Gap and cost share of each split's only setting: (splits, b) each."""
    under = [each.under(w) for each, w in zip(found, at_test, strict=True)]
    return np.array([gap[:, 0] for gap, _ in under]), np.array([cost[:, 0] for _, cost in under])


def _broken(gaps: Floats, dial: Dial) -> int:
    return int((gaps[:, 0] > dial.margin + 1e-12).sum())


def _expectations(stops: Sequence[AtStop]) -> dict[str, float]:
    names = ("expected_gap", "left_out", "left_out_expected")
    return {name: float(np.mean([getattr(s, name) for s in stops])) for name in names}


def _levels(trial: Trial) -> dict[str, Ints]:
    levels = range(1, int(trial.told.max()) + 1)
    return {f"level {level}": np.flatnonzero(trial.told == level) for level in levels}


def _kinds(trial: Trial) -> dict[str, Ints]:
    kinds = np.array(trial.kinds)
    return {str(kind): np.flatnonzero(kinds == kind) for kind in np.unique(kinds)}


def _parts(
    trial: Trial,
    runs: Sequence[InSplit],
    lost: Sequence[Floats],
    at_test: Sequence[Floats],
    dial: Dial,
    named: Mapping[str, Ints],
) -> tuple[Part, ...]:
    parts = []
    for what, members in named.items():
        inside = [np.flatnonzero(np.isin(run.parts.test, members)) for run in runs]
        tested = {i for run, rows in zip(runs, inside, strict=True) for i in run.parts.test[rows]}
        if len(tested) < ENOUGH:
            continue
        large = [
            gap[rows].mean() for gap, rows in zip(lost, inside, strict=True) if len(rows) >= ENOUGH
        ]
        gap = interval(pooled(lost, at_test, inside))
        over = sum(bool(each > 2 * dial.margin) for each in large)
        parts.append(Part(what, len(tested), gap, 2 * dial.margin, over, len(large)))
    return tuple(parts)


def _hardest(
    trial: Trial,
    runs: Sequence[InSplit],
    tests: Sequence[Came],
    at_test: Sequence[Floats],
    means: tuple[Floats, Floats],
) -> tuple[Hardest, ...]:
    """Look at the hardest level where the new rule mixes its settings to a gap over all items."""
    named = np.flatnonzero(np.array(trial.kinds) == HARD_BENCHMARK)
    if not len(named):
        return ()
    hard = np.flatnonzero(trial.told == HARD_LEVEL)
    inside = [np.flatnonzero(np.isin(run.parts.test, hard)) for run in runs]
    found = []
    for guard, settings in _by_guard(len(means[0])).items():
        for at in HARD_GAPS:
            mixed = mixed_at(means[0][settings], means[1][settings], at)
            shares = [(int(settings[k]), share) for k, share in mixed]
            lost = [
                sum((share * test.gap[k] for k, share in shares), 0 * test.gap[0]) for test in tests
            ]
            gap = pooled(lost, at_test, inside)
            picks, single = _picked(trial, runs, shares, named)
            found.append(
                Hardest(
                    at, guard, float(sum(share * means[1][k] for k, share in shares)), interval(gap),
                    float(np.nanquantile(gap[1:], UPPER)), HARD_BENCHMARK, len(named), picks, single,
                )
            )  # fmt: skip
    return tuple(found)


def _by_guard(n: int) -> dict[float | None, Ints]:
    """Return which of the new rule's settings are of each margin of the guard; the last is of all."""
    of = np.arange(n - 1).reshape(len(MARGINS), -1)
    return {None: np.arange(n)} | {
        margin: np.append(row, n - 1) for margin, row in zip(MARGINS, of, strict=True)
    }


def _picked(
    trial: Trial, runs: Sequence[InSplit], shares: Sequence[tuple[int, float]], named: Ints
) -> tuple[dict[str, float], dict[str, float]]:
    """Count who serves some items where settings are mixed, and who the best single model is."""
    picks, single = np.zeros(len(trial.pool.models)), np.zeros(len(trial.pool.models))
    for run in runs:
        rows = np.flatnonzero(np.isin(run.parts.test, named)) + len(run.parts.validation)
        first = run.served[NEW].first
        single[run.single] += len(rows)
        for k, share in shares:
            served = first[k, rows] if k < len(first) else np.full(len(rows), run.single)
            picks += share * np.bincount(served, minlength=len(picks))
    return _shares(trial, picks), _shares(trial, single)


def _shares(trial: Trial, counts: Floats) -> dict[str, float]:
    order = np.argsort(-counts)
    shares = {trial.pool.models[i]: round(float(counts[i] / counts.sum()), 4) for i in order}
    return {name: share for name, share in shares.items() if share > 0}
