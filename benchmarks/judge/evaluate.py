"""Judge the router and every baseline on recorded outcomes, with intervals.

``evaluate`` takes any prompts and outcomes files in the schema of ``benchmarks.outcomes`` and any
pool of models; ``benchmarks.studies`` holds the ready studies on ``../shared/data``.

What keeps the numbers honest:

* groups of look-alike items never straddle a split; tables, thresholds and text models see the
  training part, operating points are chosen on validation, measures are taken on test;
* intervals resample groups of items, jointly over all seeds and policies, so that a difference
  between two policies is a paired one;
* "ours" is read by the classifier as it ships, whose own training may have seen the difficulty
  of these very items; "ours, refitted" reads difficulty from the training part alone, and is
  the number to quote where the two differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.judge import measures
from benchmarks.judge.baselines import BASELINES, Policy, shuffled
from benchmarks.judge.findings import Difference, Evaluation, PolicyStanding
from benchmarks.judge.measures import Curve, Floats
from benchmarks.judge.ours import STOP, our_routings
from benchmarks.judge.pool import Pool, Split, benchmark_of, leave_out, split
from benchmarks.judge.readers import READERS, Assesses, Reader
from benchmarks.judge.recorded import make_pool, read_recorded
from benchmarks.judge.replay import Marks, Trace, mean_trace, trace
from benchmarks.judge.scorecard import measure
from classifier.training.rows import name_of
from router.values import DIALS, Dial

SHUFFLED: Final = "shuffled self"

N_BOOTSTRAP: Final = 500
N_SHUFFLES: Final = 20

Progress = Callable[[str], None]
"""Told what is being done."""


@dataclass(frozen=True, slots=True)
class Lineup:
    """Who takes part: the readers whose routing is ours, at the stops of which dial, and rivals."""

    readers: tuple[Reader, ...] = READERS
    dials: tuple[Dial, ...] = tuple(DIALS.values())
    policies: Mapping[str, Policy] = field(default_factory=lambda: BASELINES)


EVERYBODY: Final = Lineup()


@dataclass(frozen=True, slots=True)
class Seed:
    """One seed's measures per policy, and the mean curves."""

    measures: Mapping[str, Mapping[str, Floats]]
    curves: Mapping[str, Curve]


def run_seed(
    pool: Pool,
    parts: Split,
    seed: int,
    weights: Floats,
    lineup: Lineup = EVERYBODY,
) -> Seed:
    """Fit, route and measure every policy on one split; ``weights`` (b, groups) resample groups."""
    train, validation = pool.take(parts.train), pool.take(parts.validation)
    held = pool.take(np.concatenate((parts.validation, parts.test)))
    test = pool.take(parts.test)
    marks = Marks(train.best, train.cheapest, pool.best)
    rng = np.random.default_rng(seed)
    routings = {
        name: policy(train, validation, held, rng) for name, policy in lineup.policies.items()
    }
    traces: dict[str, Trace] = {}
    for reader in lineup.readers:
        ours = our_routings(reader, train, held, seed, lineup.dials)
        routings |= ours
        for name, routing in ours.items():
            deals = [shuffled(routing, rng) for _ in range(N_SHUFFLES)]
            traces[f"{SHUFFLED} ({name})"] = mean_trace(
                [trace(deal, held, len(validation), marks) for deal in deals]
            )
    for name, routing in routings.items():
        traces[name] = trace(routing, held, len(validation), marks)
    at = weights[:, test.groups]
    taken = {name: measure(found, test, at, marks) for name, found in traces.items()}
    curves = {
        name: Curve(found.cost.mean(axis=1), found.quality.mean(axis=1))
        for name, found in traces.items()
    }
    return Seed(taken, curves)


def evaluate_pool(
    pool: Pool,
    *,
    name: str,
    seeds: Sequence[int],
    notes: Sequence[str] = (),
    lineup: Lineup = EVERYBODY,
    n_bootstrap: int = N_BOOTSTRAP,
    leave_out_benchmarks: bool = False,
    progress: Progress = lambda _: None,
) -> Evaluation:
    """Evaluate every policy on one pool over several splits.

    With ``leave_out_benchmarks`` there is one split per benchmark, tested on it and trained on
    the others, and a measure is the mean over benchmarks.
    """
    n_groups = int(pool.groups.max()) + 1
    weights = measures.resamples(n_groups, n_bootstrap, seed=0)
    splits = {f"split {seed}": (split(pool.groups, seed), seed) for seed in seeds}
    if leave_out_benchmarks:
        held = sorted({benchmark_of(family) for family in pool.families})
        splits = {f"without {b}": (leave_out(pool, b, seeds[0]), seeds[0]) for b in held}
        name, notes = f"{name}, leave one benchmark out", (*notes, f"Left out: {', '.join(held)}.")
    runs = []
    for label, (parts, seed) in splits.items():
        progress(f"{name}: {label}")
        runs.append(run_seed(pool, parts, seed, weights, lineup))
    means = _over_seeds(runs)
    standings = tuple(
        PolicyStanding(
            policy=policy,
            measures={m: measures.interval(v) for m, v in measured.items()},
            curve=_mean_curve([run.curves[policy] for run in runs]),
        )
        for policy, measured in means.items()
        if not (policy.startswith(SHUFFLED) and STOP in policy)
    )
    return Evaluation(
        name=name,
        models=pool.models,
        n_items=len(pool),
        n_groups=n_groups,
        seeds=tuple(seeds),
        cost_unit=pool.cost_unit,
        standings=standings,
        differences=tuple(_differences(means, [r.name for r in lineup.readers])),
        notes=tuple(notes),
    )


def _over_seeds(runs: Sequence[Seed]) -> dict[str, dict[str, Floats]]:
    return {
        policy: {
            name: np.mean([run.measures[policy][name] for run in runs], axis=0) for name in measured
        }
        for policy, measured in runs[0].measures.items()
    }


def _mean_curve(curves: Sequence[Curve]) -> tuple[tuple[float, float], ...]:
    """Average over seeds, setting by setting; the hull of it is drawn, not this."""
    cost = np.mean([c.cost for c in curves], axis=0)
    quality = np.mean([c.quality for c in curves], axis=0)
    return tuple((float(c), float(q)) for c, q in zip(cost, quality, strict=True))


RIVALS: Final = (
    "hull of single models", "random", "prompt length", "complexity rules", "kNN", "true family",
)  # fmt: skip

CURVE_MEASURES: Final = ("apgr", "aiq", "saved")
STOP_MEASURES: Final = ("quality", "cost_share")


def _differences(
    means: Mapping[str, Mapping[str, Floats]], readers: Sequence[str]
) -> Iterator[Difference]:
    """Pair each reader with its rivals, the other readers and its own shuffle.

    A dial stop is paired with the best single model and with its own shuffle.
    """
    stops = [n for n in means if STOP in n and not n.startswith(SHUFFLED)]
    pairs: list[tuple[str, str, tuple[str, ...]]] = [
        (name, rival, CURVE_MEASURES)
        for name in readers
        for rival in (*RIVALS, *(r for r in readers if r != name), f"{SHUFFLED} ({name})")
    ]
    pairs += [
        (name, rival, STOP_MEASURES)
        for name in stops
        for rival in ("always best", f"{SHUFFLED} ({name})")
    ]
    for name, rival, names in pairs:
        for measured in names:
            if rival in means and measured in means[name] and measured in means[rival]:
                by = measures.interval(means[name][measured] - means[rival][measured])
                yield Difference(name, rival, measured, by)


def evaluate(
    prompts: Path,
    outcomes: Path,
    classifier: Assesses,
    *,
    models: Sequence[str] | None = None,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    lineup: Lineup = EVERYBODY,
    usd_per_item: Mapping[str, float] | None = None,
    progress: Progress = lambda _: None,
) -> Evaluation:
    """Evaluate on any recorded outcomes; raises CannotEvaluate or BadData with the reason."""
    progress("reading outcomes")
    recorded = read_recorded(prompts, outcomes)
    progress("reading prompts with the classifier")
    pool, notes = make_pool(recorded, classifier, models=models, usd_per_item=usd_per_item)
    return evaluate_pool(
        pool,
        name=name_of(outcomes),
        seeds=seeds,
        notes=notes,
        lineup=lineup,
        progress=progress,
    )
