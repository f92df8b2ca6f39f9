"""Four ready studies on the shared outcomes: routellm, eleven, agents and adequacy.

Each answers a question of the design with numbers that others have published or that can be
recomputed: routing on questions between two models and among eleven, routing coding agents with
real dollars, and how often the promise of the dial is broken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import beta

from benchmarks.judge.evaluate import Lineup, Progress, evaluate_pool
from benchmarks.judge.findings import Evaluation, Promise
from benchmarks.judge.measures import Floats, Ints
from benchmarks.judge.ours import fit
from benchmarks.judge.pool import Array32, Pool, split
from benchmarks.judge.readers import READERS, Assesses, Reader, as_shipped, refitted
from benchmarks.judge.recorded import Recorded, covering, make_pool, read_recorded
from benchmarks.judge.replay import adequate_picks, curve_of, expected, outcomes_of, routing_of
from benchmarks.kinds import BENCHMARKS
from classifier.tasks import N_LEVELS, TYPES
from router.evidence.catalogue import Catalogue
from router.values import DIALS, Dial

NINE: Final = (
    "claude-opus-4-7", "claude-sonnet-4-6", "GPT-5.5", "GPT-5.4", "Gemini-3.1-Pro",
    "DeepSeek-V3.2-Reasoner", "Kimi-K2.5", "MiniMax-M2.7", "Qwen3.6-Plus",
)  # fmt: skip
"""The nine models of notes/data-findings.md, as the OpenHands Index names them."""

AGENT_BENCHMARKS: Final = ("openhands-swe-bench", "openhands-swt-bench")

ASKS: Final = {
    "openhands-swe-bench": "Fix this issue in the repository.\n\n{}",
    "openhands-swt-bench": "Write a test that reproduces this issue.\n\n{}",
}
"""Both benchmarks hand the same issue to an agent; what differs is what its user asks for."""


def routellm(
    shared: Path,
    classifier: Assesses,
    *,
    seeds: Sequence[int] = range(5),
    leave_out_benchmarks: bool = False,
    progress: Progress = lambda _: None,
) -> Evaluation:
    """RouteLLM's outcomes: Mixtral-8x7B against GPT-4 on MMLU, GSM8K and MT-bench."""
    pool, notes = question_pool(shared, classifier, "routellm", progress)
    return evaluate_pool(
        pool,
        name="routellm",
        seeds=seeds,
        notes=notes,
        leave_out_benchmarks=leave_out_benchmarks,
        progress=progress,
    )


def eleven(
    shared: Path,
    classifier: Assesses,
    *,
    seeds: Sequence[int] = range(5),
    leave_out_benchmarks: bool = False,
    progress: Progress = lambda _: None,
) -> Evaluation:
    """RouterBench's eleven models with their 2024 costs on ARC, MBPP and Winogrande."""
    pool, notes = question_pool(shared, classifier, "routerbench_mirror", progress)
    return evaluate_pool(
        pool,
        name="eleven",
        seeds=seeds,
        notes=notes,
        leave_out_benchmarks=leave_out_benchmarks,
        progress=progress,
    )


def question_pool(
    shared: Path, classifier: Assesses, source: str, progress: Progress = lambda _: None
) -> tuple[Pool, tuple[str, ...]]:
    """Build the pool of all models of one source of the general set."""
    recorded = read_recorded(
        shared / "prompts.parquet", shared / "outcomes.parquet", where=pl.col("origin") == source
    )
    progress("reading prompts with the classifier")
    units = recorded.outcomes["unit"].unique().sort().to_list()
    return make_pool(recorded, classifier, models=units)


def agents(
    shared: Path,
    classifier: Assesses,
    *,
    seeds: Sequence[int] = range(5),
    catalogue: Catalogue | None = None,
    progress: Progress = lambda _: None,
) -> Evaluation:
    """OpenHands agents on SWE-bench Verified and SWT-bench, dollars per task.

    The pool is the nine models of our notes, or, with a catalogue, each of its models that ran
    on both.  Beside our two readers stand readers that are told the truth in part: what is
    lost between "told type and level" and ours is lost by reading the text.
    """
    pool, notes, recorded = agent_pool(shared, classifier, catalogue, progress)
    return evaluate_pool(
        pool,
        name=f"agents, {_pool_name(catalogue)}",
        seeds=seeds,
        notes=notes,
        lineup=Lineup(readers=(*READERS, *told_readers(pool, recorded.items))),
        progress=progress,
    )


def _pool_name(catalogue: Catalogue | None) -> str:
    return "nine models" if catalogue is None else "whole catalogue"


def agent_pool(
    shared: Path, classifier: Assesses, catalogue: Catalogue | None, progress: Progress
) -> tuple[Pool, tuple[str, ...], Recorded]:
    """Build the pool of the nine models, or of all that ``catalogue`` knows, with its notes."""
    recorded = read_agents(shared)
    models = NINE if catalogue is None else _in_catalogue(recorded, catalogue)
    progress("reading issues with the classifier")
    pool, notes = make_pool(recorded, classifier, models=models, ask=_ask)
    return pool, notes, recorded


def read_agents(shared: Path) -> Recorded:
    """Read the OpenHands runs on SWE-bench Verified and SWT-bench."""
    runs = (pl.col("agent") == "OpenHands") & pl.col("benchmark").is_in(AGENT_BENCHMARKS)
    folder = shared / "coding"
    return read_recorded(folder / "prompts.parquet", folder / "outcomes.parquet", where=runs)


def _ask(benchmark: str, text: str) -> str:
    return ASKS.get(benchmark, "{}").format(text)


def _in_catalogue(recorded: Recorded, catalogue: Catalogue) -> tuple[str, ...]:
    named = {name for m in catalogue.models for name in (*m.aliases, *m.efforts_as)}
    return tuple(unit for unit in covering(recorded.outcomes) if unit in named)


def told_readers(pool: Pool, items: pl.DataFrame) -> tuple[Reader, ...]:
    """Readers of items whose type and human level are known, told in part or in full."""
    known = dict(items.select("item", "level").iter_rows())
    kinds = dict(items.select("item", "benchmark").iter_rows())
    types = {i: np.eye(len(TYPES))[TYPES.index(BENCHMARKS[kinds[i]].task)] for i in pool.items}
    levels = {i: np.eye(N_LEVELS)[(known[i] or 2) - 1] for i in pool.items}

    def told(read_level: Callable[[Pool, Pool], tuple[Pool, Pool]] | None) -> _Read:
        def read(train: Pool, target: Pool) -> tuple[Pool, Pool]:
            if read_level:
                train, target = read_level(train, target)
            return (
                _told(train, types, None if read_level else levels),
                _told(target, types, None if read_level else levels),
            )

        return read

    return (
        Reader("told type and level", told(None)),
        Reader("told type, level as shipped", told(as_shipped)),
        Reader("told type, level refitted", told(refitted)),
        Reader("told type only", told(_without_level)),
    )


_Read = Callable[[Pool, Pool], tuple[Pool, Pool]]


def _told(pool: Pool, types: Mapping[str, Floats], levels: Mapping[str, Floats] | None) -> Pool:
    p_type = np.array([types[i] for i in pool.items], dtype=np.float32)
    if levels is None:
        return replace(pool, p_type=p_type)
    p_level = np.array([levels[i] for i in pool.items], dtype=np.float32)
    return replace(pool, p_type=p_type, p_level=p_level)


def _without_level(train: Pool, target: Pool) -> tuple[Pool, Pool]:
    """Know nothing of the level but how common each is: all items in the same cell."""
    flat = np.eye(N_LEVELS, dtype=np.float32)[1]
    return (
        replace(train, p_level=np.tile(flat, (len(train), 1))),
        replace(target, p_level=np.tile(flat, (len(target), 1))),
    )


def adequacy(
    shared: Path,
    classifier: Assesses,
    *,
    seeds: Sequence[int] = range(10),
    catalogue: Catalogue | None = None,
    progress: Progress = lambda _: None,
) -> Evaluation:
    """How often the promise of each dial stop is broken, beside three naive thresholds."""
    pool, notes, recorded = agent_pool(shared, classifier, catalogue, progress)
    told = told_readers(pool, recorded.items)[0]
    promises = [
        promise
        for reader in (*READERS, told)
        for promise in promises_kept(pool, reader, seeds, progress)
    ]
    return Evaluation(
        name=f"adequacy, {_pool_name(catalogue)}",
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
        table = fit(known_train, seed)
        sweep = routing_of(
            *expected(table, known.p_type, known.p_level), train.best, train.cheapest
        ).picks
        n_held = len(validation)
        known_test = known.take(np.arange(n_held, len(known)))
        single = _best_known(train, validation)
        for dial in DIALS.values():
            adequate = adequate_picks(table, known.p_type, known.p_level, dial)
            ways = {
                "adequate by the table": adequate[n_held:],
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


STUDIES: Final[dict[str, Callable[..., Evaluation]]] = {
    "routellm": routellm, "eleven": eleven, "agents": agents, "adequacy": adequacy,
}  # fmt: skip
"""Name → study, as the command line offers them."""
