"""The pools on which a promise is tried, and what is known of their items from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from benchmarks.judge.evaluate import Progress
from benchmarks.judge.measures import Ints
from benchmarks.judge.pool import Array32, Pool
from benchmarks.judge.shared_pools import (
    CATALOGUED,
    NINE,
    UNLIKE,
    UNLIKE_LEVELS,
    question_pool,
    read_agents,
    runs_pool,
)
from benchmarks.studies.study import Options
from benchmarks.table.traffic import read_writers
from classifier.model import Classifier
from classifier.tasks import N_LEVELS, TYPES
from classifier.training.dataset import HELD_OUT_WRITERS

CONFUSION_SEED: Final = 7

TWO_MODEL_SEEDS: Final = 3
"""Thirteen thousand questions need no ten splits, and take long to fit."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A pool, and what people or benchmarks say of its n items.

    ``told`` int (n,): the level from 1, 0 where nobody says it.  ``kinds`` (n,): task type, else
    benchmark.  ``most_seeds`` is how many splits at most are made.
    """

    name: str
    pool: Pool
    told: Ints
    kinds: tuple[str, ...]
    notes: tuple[str, ...]
    most_seeds: int | None = None


def trials(options: Options, progress: Progress) -> list[Callable[[], list[Trial]]]:
    """Return what makes the pools, one after the other; raises BadData, BadClassifier, CannotEvaluate."""
    classifier = options.classifier()

    def issues(name: str, models: tuple[str, ...]) -> list[Trial]:
        recorded = read_agents(options.shared)
        pool, notes = runs_pool(recorded, classifier, models, progress)
        return [Trial(name, pool, *_known(pool, recorded.items), notes)]

    def questions(name: str, source: str, most: int | None) -> list[Trial]:
        pool, notes = question_pool(options.shared, classifier, source, progress)
        nobody = np.zeros(len(pool), dtype=np.int64)
        kinds = tuple(family.split("/")[0] for family in pool.families)
        if most is not None:
            notes = (*notes, f"{most} splits at most.")
        return [Trial(name, pool, nobody, kinds, notes, most)]

    return [
        lambda: issues("nine", NINE),
        lambda: issues("catalogue", CATALOGUED),
        lambda: unlike_trials(options, classifier, progress),
        lambda: questions("eleven", "routerbench_mirror", None),
        lambda: questions("two models", "routellm", TWO_MODEL_SEEDS),
    ]


def unlike_trials(options: Options, classifier: Classifier, progress: Progress) -> list[Trial]:
    """Return the pool of unlike types twice: told everything, and with levels as the reader errs."""
    recorded = read_agents(options.shared, tuple(UNLIKE_LEVELS))
    pool, notes = runs_pool(recorded, classifier, UNLIKE, progress)
    said, kinds = _known(pool, recorded.items)
    benchmark = dict(recorded.items.select("item", "benchmark").iter_rows())
    whole = [UNLIKE_LEVELS[benchmark[item]] for item in pool.items]
    told = np.array([w or int(s) for w, s in zip(whole, said, strict=True)], dtype=np.int64)
    types = np.array([TYPES.index(kind) for kind in kinds])
    p_type = np.eye(len(TYPES), dtype=np.float32)[types]
    known = replace(pool, p_type=p_type, p_level=np.eye(N_LEVELS, dtype=np.float32)[told - 1])
    progress("reading asks of writers never seen")
    readings = read_writers(classifier, HELD_OUT_WRITERS)
    confused = replace(known, p_level=confused_levels(readings.p_level, readings.level, told - 1))
    drawn = f"Levels are drawn from readings of {len(readings.level)} asks of the same level."
    where = tuple(benchmark[item] for item in pool.items)
    return [
        Trial("mixed, told", known, told, where, notes),
        Trial("mixed, confused", confused, told, where, (*notes, drawn)),
    ]


def confused_levels(p_level: Array32, level: Ints, wanted: Ints) -> Array32:
    """Draw for each of n wanted levels, from 0, a reading of an ask of that level: (n, 4)."""
    rng = np.random.default_rng(CONFUSION_SEED)
    return p_level[[rng.choice(np.flatnonzero(level == each)) for each in wanted]]


def _known(pool: Pool, items: pl.DataFrame) -> tuple[Ints, tuple[str, ...]]:
    """Return the levels that people said of a pool's items, and their task types."""
    rows = items.select("item", "level", "timed", "task").iter_rows()
    known = {item: (level if timed else 0, task) for item, level, timed, task in rows}
    levels = np.array([known[item][0] or 0 for item in pool.items], dtype=np.int64)
    return levels, tuple(known[item][1] for item in pool.items)
