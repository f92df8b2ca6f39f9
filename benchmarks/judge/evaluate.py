"""Judge the router and every baseline on recorded outcomes, with intervals.

``evaluate`` takes any prompts and outcomes files in the schema of ``benchmarks.outcomes`` and any
pool of models; ``benchmarks.judge.studies`` holds the ready studies on ``../shared/data``.

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

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from benchmarks.judge import measures
from benchmarks.judge.baselines import BASELINES, Policy, shuffled
from benchmarks.judge.measures import KEPT_QUALITY, Curve, Floats, Interval
from benchmarks.judge.pool import CannotEvaluate, Pool, Split, benchmark_of, leave_out, split
from benchmarks.judge.readers import READERS, Assesses, Reader
from benchmarks.judge.recorded import make_pool, read_recorded
from benchmarks.judge.replay import Routing, adequate_picks, expected, outcomes_of, routing_of
from benchmarks.table.build import fit_table
from router.evidence.table import Table
from router.values import DIALS, Dial, Unit

SHUFFLED: Final = "shuffled self"
STOP: Final = ": "
"""Between the name of a reader and that of a dial stop."""

N_BOOTSTRAP: Final = 500
N_SHUFFLES: Final = 20

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PolicyStanding:
    """How one policy did: measures by name, and its curve of mean (cost, quality) points.

    Of a policy with a dial, read off its test curve: ``aiq``, ``saved`` (share of the best model's
    cost saved at 95% of its quality), and with two models ``apgr``, ``cpt50``, ``cpt80``.  Of
    every policy, at the setting chosen on validation: ``quality``, ``cost``, both as a share of
    the best model's, ``over_hull`` (quality above what mixing single models buys at the same
    cost), and ``arena`` where costs are within its range.
    """

    policy: str
    measures: Mapping[str, Interval]
    curve: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference of two policies in one measure."""

    policy: str
    against: str
    measure: str
    by: Interval


@dataclass(frozen=True, slots=True)
class Promise:
    """How often "not worse than the best single model by more than the margin" was broken.

    ``quality_gap`` is the mean held-out quality of the best single model less that of the picks;
    ``cost_share`` the picks' cost over its cost.
    """

    policy: str
    margin: float
    confidence: float
    broken: int
    n_seeds: int
    quality_gap: float
    cost_share: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything one evaluation found; ``notes`` say what was dropped, filled or assumed."""

    name: str
    models: tuple[str, ...]
    n_items: int
    n_groups: int
    seeds: tuple[int, ...]
    cost_unit: str
    standings: tuple[PolicyStanding, ...]
    differences: tuple[Difference, ...]
    promises: tuple[Promise, ...]
    notes: tuple[str, ...]

    def to_json(self) -> str:
        """Write as indented JSON."""
        return json.dumps(asdict(self), indent=2)

    def standing(self, policy: str) -> PolicyStanding:
        """Return a policy's standing by name; raises KeyError."""
        found = {s.policy: s for s in self.standings}
        return found[policy]


# --- routings of ours -----------------------------------------------------------------------------


def fit(train: Pool, seed: int) -> Table:
    """Fit a cost-quality table to a training part, units in the order of ``train.models``."""
    units = tuple(Unit(name) for name in train.models)
    table = fit_table(
        train.frame(),
        units=units,
        p_type=train.p_type.astype(np.float64),
        p_level=train.p_level.astype(np.float64),
        seed=seed,
    )
    if table.units != units:
        raise CannotEvaluate("the fitted table orders its units otherwise than the pool")
    return table


def our_routings(
    reader: Reader, train: Pool, target: Pool, seed: int, dials: Sequence[Dial]
) -> dict[str, Routing]:
    """Route with the sweep of expected quality against cost, and with each dial stop."""
    train, target = reader.read(train, target)
    table = fit(train, seed)
    quality, cost = expected(table, target.p_type, target.p_level)
    routings = {reader.name: routing_of(quality, cost, train.best, train.cheapest)}
    for dial in dials:
        picks = adequate_picks(table, target.p_type, target.p_level, dial)
        routings[f"{reader.name}{STOP}{dial.name}"] = Routing(picks[None, :])
    return routings


# --- measuring ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Marks:
    """The models that measures refer to.

    ``strong`` and ``weak`` are the best and the cheapest of the training part, ``best`` is the
    best of the whole pool, so that shares mean the same in every resample.
    """

    strong: int
    weak: int
    best: int


@dataclass(frozen=True, slots=True)
class Trace:
    """A routing's outcomes on the test items: quality and cost (k, n), the validated setting.

    ``share`` and ``share_quality`` (11, n) are the two-model outcomes at RouteLLM's thresholds.
    """

    quality: Floats
    cost: Floats
    chosen: int
    share: Floats | None = None
    share_quality: Floats | None = None


def trace(routing: Routing, held: Pool, n_validation: int, marks: Marks) -> Trace:
    """Replay a routing made for validation and test items together; the former come first."""
    quality, cost = outcomes_of(routing.picks, held)
    target = KEPT_QUALITY * held.quality[:n_validation].mean(axis=0).max()
    chosen = _validated(quality[:, :n_validation], cost[:, :n_validation], target)
    share = share_quality = None
    if routing.rank is not None and len(held.models) == 2:
        to_strong = measures.decile_picks(routing.rank[n_validation:])
        tested = held.quality[n_validation:]
        share = to_strong.astype(np.float64)
        share_quality = np.where(to_strong, tested[:, marks.strong], tested[:, marks.weak])
    return Trace(quality[:, n_validation:], cost[:, n_validation:], chosen, share, share_quality)


def _validated(quality: Floats, cost: Floats, target: float) -> int:
    """Choose the cheapest setting that keeps the target, or else the best."""
    means, costs = quality.mean(axis=1), cost.mean(axis=1)
    good = means >= target
    return int(np.where(good, costs, np.inf).argmin()) if good.any() else int(means.argmax())


def mean_trace(traces: Sequence[Trace]) -> Trace:
    """Average several deals of a shuffle, point by point."""
    pairs = [(t.share, t.share_quality) for t in traces]
    shares = [(s, q) for s, q in pairs if s is not None and q is not None]
    return Trace(
        quality=np.mean([t.quality for t in traces], axis=0),
        cost=np.mean([t.cost for t in traces], axis=0),
        chosen=traces[0].chosen,
        share=np.mean([s for s, _ in shares], axis=0) if shares else None,
        share_quality=np.mean([q for _, q in shares], axis=0) if shares else None,
    )


def measure(found: Trace, test: Pool, weights: Floats, marks: Marks) -> dict[str, Floats]:
    """Take every measure under every row of item weights (b, n); float64 (b,) each.

    Curves may mix with the cheapest model, as anybody could: a policy that cannot be cheap is
    not given its own quality at prices it never pays.
    """
    means = measures.weighted_means
    quality, cost = means(weights, found.quality), means(weights, found.cost)
    model_quality, model_cost = means(weights, test.quality.T), means(weights, test.cost.T)
    rows = range(len(weights))
    curves = [
        Curve(
            np.append(cost[b], model_cost[b, marks.weak]),
            np.append(quality[b], model_quality[b, marks.weak]),
        )
        for b in rows
    ]
    best_quality, best_cost = model_quality[:, marks.best], model_cost[:, marks.best]
    chosen_quality, chosen_cost = quality[:, found.chosen], cost[:, found.chosen]
    edges = [measures.hull(Curve(model_cost[b], model_quality[b])) for b in rows]
    mixed = [np.interp(chosen_cost[b], edges[b].cost, edges[b].quality) for b in rows]
    found_as: dict[str, Sequence[float] | Floats] = {
        "quality": chosen_quality,
        "cost": chosen_cost,
        "cost_share": chosen_cost / best_cost,
        "quality_share": chosen_quality / best_quality,
        "over_hull": chosen_quality - np.array(mixed),
    }
    if quality.shape[1] > 1:
        spans = [(curves[b], model_cost[b].min(), model_cost[b].max()) for b in rows]
        tops = [(curves[b], best_quality[b], best_cost[b]) for b in rows]
        found_as["aiq"] = [measures.aiq(*span) for span in spans]
        found_as["saved"] = [measures.saved_at(*top) for top in tops]
    if test.cost_unit == "usd" and test.cost.mean(axis=0).max() < measures.ARENA_MAX_USD / 1000:
        found_as["arena"] = [
            measures.arena_score(q, c) for q, c in zip(chosen_quality, chosen_cost, strict=True)
        ]
    if found.share is not None and found.share_quality is not None:
        shares, at = means(weights, found.share), means(weights, found.share_quality)
        ends = (model_quality[:, marks.weak], model_quality[:, marks.strong])
        two = [(Curve(shares[b], at[b]), ends[0][b], ends[1][b]) for b in rows]
        found_as["apgr"] = [measures.apgr(*t) for t in two]
        found_as["cpt50"] = [measures.cpt(*t, 0.5) for t in two]
        found_as["cpt80"] = [measures.cpt(*t, 0.8) for t in two]
    return {name: np.asarray(values, dtype=np.float64) for name, values in found_as.items()}


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
    *,
    readers: Sequence[Reader] = READERS,
    policies: Mapping[str, Policy] = BASELINES,
    dials: Sequence[Dial] = tuple(DIALS.values()),
) -> Seed:
    """Fit, route and measure every policy on one split; ``weights`` (b, groups) resample groups."""
    train, validation = pool.take(parts.train), pool.take(parts.validation)
    held = pool.take(np.concatenate((parts.validation, parts.test)))
    test = pool.take(parts.test)
    marks = Marks(train.best, train.cheapest, pool.best)
    rng = np.random.default_rng(seed)
    routings = {name: policy(train, validation, held, rng) for name, policy in policies.items()}
    traces: dict[str, Trace] = {}
    for reader in readers:
        ours = our_routings(reader, train, held, seed, dials)
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
    readers: Sequence[Reader] = READERS,
    policies: Mapping[str, Policy] = BASELINES,
    dials: Sequence[Dial] = tuple(DIALS.values()),
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
        runs.append(
            run_seed(pool, parts, seed, weights, readers=readers, policies=policies, dials=dials)
        )
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
        differences=tuple(_differences(means, [r.name for r in readers])),
        promises=(),
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
    dials: Sequence[Dial] = tuple(DIALS.values()),
    usd_per_item: Mapping[str, float] | None = None,
    where: pl.Expr | None = None,
    name: str = "",
    progress: Progress = lambda _: None,
) -> Evaluation:
    """Evaluate on any recorded outcomes; raises CannotEvaluate or BadOutcomes with the reason."""
    progress("reading outcomes")
    recorded = read_recorded(prompts, outcomes, where=where)
    progress("reading prompts with the classifier")
    pool, notes = make_pool(recorded, classifier, models=models, usd_per_item=usd_per_item)
    return evaluate_pool(
        pool,
        name=name or outcomes.stem,
        seeds=seeds,
        notes=notes,
        dials=dials,
        progress=progress,
    )
