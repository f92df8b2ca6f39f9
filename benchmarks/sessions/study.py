"""Compare policies of switching on simulated sessions: `auto-efficient evaluate sessions`.

Every policy plays the same scripts at every setting of the dial, which gives it a curve of dollars
per session against the share of tasks solved.  Ours is judged at the dial's named stops: what would
each rival have paid for the same quality, mixing its own settings as it likes?  Items of the sessions
are never those that the table was fitted on; intervals resample whole sessions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.judge.evaluate import Progress
from benchmarks.judge.measures import Curve, Floats, Interval, Ints, cost_at, interval, resamples
from benchmarks.judge.ours import calibrated, fit
from benchmarks.judge.pool import split
from benchmarks.judge.shared_pools import agent_pool
from benchmarks.output import json_text
from benchmarks.sessions.policies import BLIND_RIVALS, CONTESTS, OURS, POLICIES
from benchmarks.sessions.world import (
    Ground,
    Mix,
    Play,
    Totals,
    World,
    calls_of,
    load_world,
    scripts,
)
from router.decision.engine import Engine
from router.evidence.catalogue import MODELS_DIR, Catalogue
from router.evidence.table import Table
from router.values import DIALS, Decision, Dial, Unit

MARGINS: Final = (0.02, 0.05, 0.06, 0.07, 0.08, 0.10, 0.20)
"""Settings of the dial by which a rival's curve is drawn; the named stops lie among them.  The price of
worth runs between the quality and the balanced stop, so most lie there."""

SHOWN_FROM: Final = 5
"""The first split that results are shown of.  On those before it the constants of sessions were chosen,
and their sessions are made of other items: see ``drawn_from``."""

SESSIONS: Final = 40
"""Sessions of a mix for each split of the items."""

HALVES: Final = 2026
"""Seed of the halves; that of no split."""

A_JOB: Final = 20
"""Of them that one job plays, so that progress is told often."""

N_RESAMPLES: Final = 1000


@dataclass(frozen=True, slots=True)
class SessionStanding:
    """A policy at a setting in a mix, over all sessions."""

    mix: str
    policy: str
    dial: str
    usd: Interval
    quality: Interval
    switches: float
    unsafe: int
    cached: float
    context_at_switch: float
    turns: float


@dataclass(frozen=True, slots=True)
class Saving:
    """What ours saves against a rival that pays for the same quality.

    ``by`` is a share of the rival's dollars, ``usd``.  A rival that does not reach the quality is held
    to the best that it reaches, ``quality``: then ours is better by the difference as well.
    """

    contest: str
    mix: str
    dial: str
    rival: str
    reached: bool
    quality: float
    usd: float
    by: Interval


@dataclass(frozen=True, slots=True)
class SessionStudy:
    """Everything a report shows."""

    n_sessions: int
    seeds: tuple[int, ...]
    models: tuple[str, ...]
    n_items: int
    seen: float
    """How often a run that fails is seen to have failed."""
    planned_for: float
    """How often the plans of the policies count on it."""
    standings: tuple[SessionStanding, ...]
    savings: tuple[Saving, ...]

    def to_json(self) -> str:
        """Write the study as JSON."""
        return json_text(asdict(self), indent=1)


def settings() -> list[Dial]:
    """Return the dial settings that are played: the named stops, and the margins between."""
    stops = list(DIALS.values())
    taken = {stop.margin for stop in stops}
    return stops + [Dial(f"margin {m:.2f}", m, 0.8) for m in MARGINS if m not in taken]


def drawn_from(groups: Ints, tested: Ints, seed: int) -> Ints:
    """Return which of a split's test items its sessions are made of.

    One half of all groups is for splits that constants are chosen on, the other for those that are
    shown, so that the constants of switching were chosen on other items than those that are shown.  How much a
    failure tells (``FAILED_ODDS``) was measured on all.
    """
    halves = split(groups, HALVES, test=0.5, validation=0.0)
    return np.intersect1d(tested, halves.test if seed >= SHOWN_FROM else halves.train)


def lay_ground(
    shared: Path, engine: Engine, world: World, progress: Progress = lambda _: None
) -> Ground:
    """Read the recorded runs of the nine models and name them as the catalogue does."""
    pool, _, recorded = agent_pool(shared, engine.classifier, None, progress)
    named = {n: m for m in engine.catalogue.models for n in (*m.aliases, *m.efforts_as)}
    models = [named[name] for name in pool.models]
    prices = tuple(model.price for model in models if model.price)
    level = dict(recorded.items.select("item", "level").iter_rows())
    return Ground(
        pool=pool,
        asks=pool.texts,
        units=tuple(Unit(model.id) for model in models),
        prices=prices,
        calls=calls_of(pool, prices, world),
        levels=np.array([level[item] or 2 for item in pool.items]),
        tests=np.array(["swt" in family for family in pool.families]),
    )


def study(
    shared: Path,
    *,
    seeds: Sequence[int] = range(5),
    first: int = SHOWN_FROM,
    n: int = SESSIONS,
    workers: int = 2,
    artefacts: Path = MODELS_DIR,
    progress: Progress = lambda _: None,
) -> SessionStudy:
    """Play every policy in every mix; raises BadData when the data are not there.

    Splits are counted from ``first``: 0 plays those that constants are chosen on.
    """
    seeds = [first + seed for seed in seeds]
    world, engine = load_world(), Engine.load(artefacts)
    ground = lay_ground(shared, engine, world, progress)
    played: dict[tuple[str, str, str], list[Totals]] = {}
    jobs = [(seed, mix, part) for seed in seeds for mix in world.mixes for part in parts_of(n)]
    spawned = get_context("spawn")  # a forked onnxruntime waits for threads that are not there
    with ProcessPoolExecutor(workers, spawned, _prepare, (ground, world, artefacts)) as pool:
        for k, found in enumerate(pool.map(_job, jobs, [n] * len(jobs))):
            seed, mix, part = jobs[k]
            progress(f"{k + 1} of {len(jobs)}: split {seed}, {mix.name}, sessions to {part.stop}")
            for key, totals in found.items():
                played.setdefault(key, []).extend(totals)
    standings, savings = summarise(played, world.mixes)
    return SessionStudy(
        n_sessions=n * len(seeds),
        seeds=tuple(seeds),
        models=tuple(str(unit) for unit in ground.units),
        n_items=len(ground.pool),
        seen=world.seen,
        planned_for=engine.catalogue.economics.seen.commands,
        standings=standings,
        savings=savings,
    )


_PREPARED: dict[str, Any] = {}
"""What a worker process holds: the ground, the world, an engine, and a table per split."""


def _prepare(ground: Ground, world: World, artefacts: Path) -> None:
    _PREPARED.update(ground=ground, world=world, engine=Engine.load(artefacts), tables={})


def parts_of(n: int) -> list[range]:
    """Cut ``n`` sessions into what one job plays."""
    return [range(at, min(at + A_JOB, n)) for at in range(0, n, A_JOB)]


def _job(job: tuple[int, Mix, range], n: int) -> dict[tuple[str, str, str], list[Totals]]:
    """Play all policies at all settings in some sessions of one mix on one split.

    Session by session: what a classifier reads for one policy it remembers for the next.
    """
    seed, mix, part = job
    ground: Ground = _PREPARED["ground"]
    world: World = _PREPARED["world"]
    parts = split(ground.pool.groups, seed, test=0.4, validation=0.1)
    engine: Engine = _PREPARED["engine"]
    engine = replace(engine, table=_table(ground, parts.train, seed, engine.catalogue))
    items = drawn_from(ground.pool.groups, parts.test, seed)
    found: dict[tuple[str, str, str], list[Totals]] = {}
    for script in scripts(ground, items, mix, world, n=n, seed=seed)[part.start : part.stop]:
        for dial in settings():
            known: dict[object, Decision] = {}
            for name, make in {**POLICIES, **BLIND_RIVALS}.items():
                if name in OURS and dial.name not in DIALS:
                    continue
                policy = make(engine, dial, known)
                totals = Play(script, policy, ground, world, engine.catalogue).run()
                found.setdefault((mix.name, name, dial.name), []).append(totals)
    return found


def _table(ground: Ground, train: Ints, seed: int, catalogue: Catalogue) -> Table:
    """Fit a table to a split's training part, its dial set on that part too."""
    tables = _PREPARED["tables"]
    if seed not in tables:
        pool = ground.pool.take(train)
        table, _ = calibrated(pool, fit(pool, seed), seed)
        tables[seed] = replace(table, units=ground.units).of(catalogue)
    found: Table = tables[seed]
    return found


# What the sessions come to.


def summarise(
    played: dict[tuple[str, str, str], list[Totals]], mixes: Sequence[Mix]
) -> tuple[tuple[SessionStanding, ...], tuple[Saving, ...]]:
    """Reduce sessions to standings and to what ours saves, with intervals."""
    standings: list[SessionStanding] = []
    savings: list[Saving] = []
    for mix in mixes:
        of_mix = {(p, d): totals for (m, p, d), totals in played.items() if m == mix.name}
        n = len(next(iter(of_mix.values())))
        weights = resamples(n, N_RESAMPLES, seed=0)
        points = {key: _point(totals, weights) for key, totals in of_mix.items()}
        standings += [
            _standing(mix.name, policy, dial, of_mix[policy, dial], points[policy, dial])
            for policy, dial in of_mix
        ]
        savings += _savings(mix.name, points)
    return tuple(standings), tuple(savings)


def _point(totals: Sequence[Totals], weights: Floats) -> tuple[Floats, Floats]:
    """Dollars per session and share of tasks solved under each row of weights (b, n)."""
    usd, solved, tasks = np.array([(t.usd, t.solved, t.tasks) for t in totals], dtype=float).T
    return weights @ usd / weights.sum(axis=1), weights @ solved / (weights @ tasks)


def _standing(
    mix: str, policy: str, dial: str, totals: Sequence[Totals], point: tuple[Floats, Floats]
) -> SessionStanding:
    calls = sum(t.calls for t in totals)
    sizes = [size for t in totals for size in t.sizes]
    return SessionStanding(
        mix=mix,
        policy=policy,
        dial=dial,
        usd=interval(point[0]),
        quality=interval(point[1]),
        switches=100 * sum(t.switches for t in totals) / calls,
        unsafe=sum(t.unsafe for t in totals),
        cached=sum(t.cached_tokens for t in totals) / sum(t.input_tokens for t in totals),
        context_at_switch=float(np.median(sizes)) if sizes else 0.0,
        turns=calls / len(totals),
    )


BEST: Final = "the best of them"
"""Of the rivals that reach the quality the cheapest; if none does, the one that comes nearest."""


def _savings(mix: str, points: dict[tuple[str, str], tuple[Floats, Floats]]) -> Iterator[Saving]:
    """Compare ours, at each stop, with what each rival pays for the same quality."""
    for contest, (policy, rivals) in CONTESTS.items():
        for stop in DIALS:
            if (policy, stop) not in points:
                continue
            usd, wanted = points[policy, stop]
            paid = [_paid(points, rival, wanted) for rival in rivals]
            cost, quality = np.array(paid).swapaxes(0, 1)
            best = np.lexsort((cost, -quality), axis=0)[0]
            ways = zip((*rivals, BEST), (*range(len(rivals)), best), strict=True)
            for rival, i in ways:
                spent, got = cost[i, np.arange(len(usd))], quality[i, np.arange(len(usd))]
                yield Saving(
                    contest=contest,
                    mix=mix,
                    dial=stop,
                    rival=rival,
                    reached=bool(got[0] >= wanted[0] - 1e-12),
                    quality=float(got[0]),
                    usd=float(spent[0]),
                    by=interval(1 - usd / spent),
                )


def _paid(
    points: dict[tuple[str, str], tuple[Floats, Floats]], rival: str, wanted: Floats
) -> tuple[Floats, Floats]:
    """Least dollars at which a rival's curve reaches a quality, or the best it reaches.

    Returns dollars and the quality they buy, under each row of weights.
    """
    usd = np.array([cost for (name, _), (cost, _) in points.items() if name == rival])
    reached = np.array([q for (name, _), (_, q) in points.items() if name == rival])
    got = np.minimum(wanted, reached.max(axis=0))
    cost = [cost_at(Curve(usd[:, b], reached[:, b]), float(got[b])) for b in range(len(got))]
    return np.array(cost), got
