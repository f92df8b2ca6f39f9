"""How often the promise of each dial stop is broken, beside three naive thresholds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from benchmarks.judge.evaluate import Progress
from benchmarks.judge.findings import Evaluation, Promise
from benchmarks.judge.measures import Floats, Ints
from benchmarks.judge.ours import calibrated, fit
from benchmarks.judge.pool import Array32, Pool, split
from benchmarks.judge.readers import READERS, Reader, told_readers
from benchmarks.judge.replay import (
    curve_of,
    expected,
    outcomes_of,
    proven_picks,
    routing_of,
    rule_picks,
)
from benchmarks.judge.report import markdown, write_report
from benchmarks.judge.shared_pools import agent_pool, name_of_pool
from benchmarks.studies.study import Options, Study
from classifier.tasks import N_LEVELS
from router.values import DIALS, Dial


def run(options: Options, progress: Progress) -> Evaluation:
    """Count the broken promises of our readers, and of one that is told everything."""
    catalogue = options.catalogue()
    pool, notes, recorded = agent_pool(options.shared, options.classifier(), catalogue, progress)
    told = told_readers(pool, recorded.items)[0]
    seeds = range(options.seeds)
    promises = [
        promise
        for reader in (*READERS, told)
        for promise in promises_kept(pool, reader, seeds, progress)
    ]
    return Evaluation(
        name=f"adequacy, {name_of_pool(catalogue)}",
        models=pool.models,
        n_items=len(pool),
        n_groups=len(np.unique(pool.groups)),
        seeds=tuple(seeds),
        cost_unit=pool.cost_unit,
        standings=(),
        differences=(),
        promises=tuple(promises),
        notes=notes,
    )


def promises_kept(
    pool: Pool, reader: Reader, seeds: Sequence[int], progress: Progress = lambda _: None
) -> list[Promise]:
    """Count broken promises of one reader, by dial stop and by way of setting a threshold.

    The promise: on items of a test part of half the pool, our picks' mean quality is not below
    that of the best single model (chosen on training and validation) by more than the margin.
    """
    found: dict[tuple[str, Dial], list[tuple[float, float]]] = {}
    for seed in seeds:
        progress(f"adequacy, {reader.name}: seed {seed}")
        parts = split(pool.groups, seed, test=0.4, validation=0.2)
        train, validation = pool.take(parts.train), pool.take(parts.validation)
        test = pool.take(parts.test)
        held = pool.take(np.concatenate((parts.validation, parts.test)))
        known_train, known = reader.read(train, held)
        posterior = fit(known_train, seed)
        table, _ = calibrated(known_train, posterior, seed)
        sweep = routing_of(
            *expected(table, known.p_type, known.p_level), train.best, train.cheapest
        ).picks
        n_held = len(validation)
        known_test = known.take(np.arange(n_held, len(known)))
        single = _best_known(train, validation)
        for dial in DIALS.values():
            ruled = rule_picks(table, known.p_type, known.p_level, dial)
            proven = proven_picks(
                posterior, known.p_type, known.p_level, dial.margin, dial.confidence
            )
            ways = {
                "the rule": ruled[n_held:],
                "every request within the margin": proven[n_held:],
                "threshold tuned on validation": _tuned(sweep, validation, single, dial, n_held),
                "Clopper-Pearson gate": _gated(sweep, validation, single, dial, n_held),
                "raw means of cells": _raw_cells(known_train, known_test, dial),
            }
            for way, picks in ways.items():
                key = (f"{way} ({reader.name})", dial)
                found.setdefault(key, []).append(_gap_and_cost(picks, test, single))
    return [_promise(way, dial, pairs) for (way, dial), pairs in found.items()]


def _promise(way: str, dial: Dial, pairs: Sequence[tuple[float, float]]) -> Promise:
    gaps, shares = np.array(pairs).T
    return Promise(
        policy=way,
        margin=dial.margin,
        confidence=dial.confidence,
        broken=int((gaps > dial.margin + 1e-12).sum()),
        n_seeds=len(pairs),
        quality_gap=float(gaps.mean()),
        cost_share=float(shares.mean()),
    )


def _best_known(train: Pool, validation: Pool) -> int:
    quality = np.vstack((train.quality, validation.quality)).mean(axis=0)
    return int(quality.argmax())


def _gap_and_cost(picks: Ints, test: Pool, single: int) -> tuple[float, float]:
    quality, cost = outcomes_of(picks[None, :], test)
    gap = test.quality[:, single].mean() - quality.mean()
    return float(gap), float(cost.mean() / test.cost[:, single].mean())


def _tuned(sweep: Ints, validation: Pool, single: int, dial: Dial, n_held: int) -> Ints:
    """Take the cheapest setting that was within the margin on validation."""
    at = curve_of(sweep[:, :n_held], validation)
    good = at.quality >= validation.quality[:, single].mean() - dial.margin
    return _setting(sweep, good, at.cost, single, n_held)


def _gated(sweep: Ints, validation: Pool, single: int, dial: Dial, n_held: int) -> Ints:
    """Take the cheapest setting whose rate of losses is surely within the margin.

    A loss is an item that the best single model solves and the pick does not; the rate's
    one-sided Clopper-Pearson upper bound at the dial's confidence must not exceed the margin.
    """
    quality, cost = outcomes_of(sweep[:, :n_held], validation)
    losses = (quality < validation.quality[:, single]).sum(axis=1)
    upper = beta.ppf(dial.confidence, losses + 1, np.maximum(n_held - losses, 1e-9))
    return _setting(sweep, upper <= dial.margin, cost.mean(axis=1), single, n_held)


def _setting(sweep: Ints, good: NDArray[np.bool_], cost: Floats, single: int, n_held: int) -> Ints:
    if not good.any():
        return np.full(sweep.shape[1] - n_held, single, dtype=np.int64)
    return sweep[int(np.where(good, cost, np.inf).argmin()), n_held:]


def _raw_cells(train: Pool, test: Pool, dial: Dial) -> Ints:
    """Take, per hard cell, the cheapest model whose raw mean is within the margin of the best."""
    cells, tested = (_cell(p.p_type, p.p_level) for p in (train, test))
    picks = np.full(len(test), train.best, dtype=np.int64)
    for cell in np.unique(tested):
        seen = cells == cell
        if seen.any():
            quality, cost = train.quality[seen].mean(axis=0), train.cost[seen].mean(axis=0)
            good = quality >= quality.max() - dial.margin
            picks[tested == cell] = int(np.where(good, cost, np.inf).argmin())
    return picks


def _cell(p_type: Array32, p_level: Array32) -> Ints:
    return np.asarray(p_type.argmax(axis=1) * N_LEVELS + p_level.argmax(axis=1), dtype=np.int64)


STUDY = Study(
    "adequacy",
    "How often the promise of each dial stop is broken, beside three naive thresholds.",
    run,
    write_report,
    markdown,
    heeds=frozenset({"whole_catalogue"}),
)
