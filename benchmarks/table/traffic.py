"""What a shipped table's dial is set on: a mix of asks, and outcomes of tasks it was not fitted on.

The mix is stated and not measured: the asks of writers that the classifier never learned from, every
type of task weighing the same, each read as it is in service.  A gateway's own ledger will say what
its callers really ask.

On outcomes the table's posterior is held to account.  The evidence is dealt into folds by look-alike
groups; for each, the quality model is fitted to the others and its picks among the units that ran a
benchmark are looked up in what these did.  A task of the evidence is read as the classifier reads an
ask of the same type and level, because texts of benchmarks are no asks and many were trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.table.calibrate import LeftOut, Traffic
from benchmarks.table.choose import prospect_of
from benchmarks.table.item_response import Floats, Ints
from benchmarks.table.quality import Problem, draw_cells, fit_quality, summary, with_rows
from classifier.ask import clip
from classifier.model import Classifier
from classifier.tasks import TYPES
from classifier.training.dataset import LabelledRow, agreed, read_corpus
from classifier.training.fit import tokenised
from classifier.turns import Conversation
from router.evidence.table import Table

Array32 = NDArray[np.float32]

MIX_WRITERS: Final = ("wanda", "xavier")
"""Of the four writers kept out of training, those whose asks are the mix; the other two are left for
studies of the dial that was set on these."""

N_FOLDS: Final = 5

MIN_RAN: Final = 0.8
"""A unit ran a benchmark if it did so many of its items."""

MIN_FOLD_ITEMS: Final = 20
"""A benchmark with fewer items is not looked up: its best unit would be a matter of luck."""


@dataclass(frozen=True, slots=True)
class Readings:
    """n asks as the classifier reads them, and what they are.

    ``p_type`` (n, T), ``p_level`` (n, L); ``task``, ``level`` int (n,), the level from 0.
    """

    rows: tuple[LabelledRow, ...]
    p_type: Array32
    p_level: Array32
    task: Ints
    level: Ints

    def uniform(self) -> Floats:
        """Weights (n,) by which every type that occurs counts the same."""
        size = np.bincount(self.task, minlength=len(TYPES))
        return np.asarray(1 / size[self.task] / (size > 0).sum())

    def drawn(self, task: Ints, level: Ints, seed: int) -> tuple[Array32, Array32]:
        """Draw a reading of an ask of the same type and level for each of n tasks.

        Where no ask is both, the nearest level of the type stands in.
        """
        rng = np.random.default_rng(seed)
        apart = 100 * (self.task[None, :] != task[:, None])
        apart = apart + abs(self.level[None, :] - level[:, None])
        at = [int(rng.choice(np.flatnonzero(row == row.min()))) for row in apart]
        return self.p_type[at], self.p_level[at]


def read_writers(classifier: Classifier, writers: Sequence[str]) -> Readings:
    """Let the classifier read these writers' asks, each in its conversation, where readers agree."""
    names = {f"corpus/{writer}" for writer in writers}
    data = tokenised([row for row in agreed(read_corpus()) if row.source in names])
    read = [
        classifier.assess(Conversation(ask=clip(row.text), before=row.before)) for row in data.rows
    ]
    return Readings(
        rows=tuple(data.rows),
        p_type=np.array([r.p_type for r in read], dtype=np.float32),
        p_level=np.array([r.p_level for r in read], dtype=np.float32),
        task=np.asarray(data.task, dtype=np.int64),
        level=np.asarray(data.level.argmax(axis=1), dtype=np.int64),
    )


def traffic_of(table: Table, draws: Array32, readings: Readings, weight: Floats) -> Traffic:
    """Make the traffic of a table: what is chosen by the reading is held to the true cell's draws."""
    return Traffic(
        cache(lambda margin: prospect_of(table, readings.p_type, readings.p_level, margin)),
        weight,
        draws[readings.task, readings.level],
    )


def held_parts(
    problem: Problem,
    groups: pl.DataFrame,
    item_group: Ints,
    table: Table,
    readings: Readings,
    *,
    n_draws: int,
    seed: int,
) -> Iterator[LeftOut]:
    """Yield every fold of every benchmark with outcomes enough.

    ``groups`` says the benchmark and the agent of each group of the problem; ``item_group`` (I,) which
    items look alike; ``table`` gives the costs.  Types weigh the same, within a type its items.
    """
    fold = _deal(item_group, seed)
    bench, _ = _codes(groups, ("benchmark", "agent"))
    judged = np.zeros(len(groups), bool) if problem.judged is None else problem.judged
    suits = (problem.tasks == 1) & ~judged[problem.group]
    of_item = np.where(suits, bench[problem.group], -1)
    sizes = np.bincount(of_item[of_item >= 0], minlength=int(bench.max()) + 1)
    of_item[(of_item < 0) | (sizes[np.maximum(of_item, 0)] < MIN_FOLD_ITEMS)] = -1
    kind = problem.group_type[problem.group]
    n_of_kind = np.bincount(kind[of_item >= 0], minlength=len(TYPES))
    scores = _matrix(problem)
    for k in range(N_FOLDS):
        inside = fold == k
        fitted = fit_quality(with_rows(problem, ~inside[problem.item]), steps=25)
        draws = draw_cells(fitted, n_draws, seed)
        folded = replace(table, **summary(np.minimum.accumulate(draws, axis=1)))
        for name in np.unique(of_item[of_item >= 0]):
            mine = of_item == name
            ran = np.isfinite(scores[mine]).mean(axis=0) >= MIN_RAN
            items = np.flatnonzero(mine & inside)
            if ran.sum() < 2 or not len(items):
                continue
            units = np.flatnonzero(ran)
            known = np.flatnonzero(mine & ~inside)
            if not len(known):
                continue
            single = int(np.nanmean(scores[np.ix_(known, units)], axis=0).argmax())
            level = problem.group_level[problem.group[items]]
            p_type, p_level = readings.drawn(kind[items], level, seed)
            part = folded.kept(units.tolist())
            yield LeftOut(
                cache(
                    lambda margin, part=part, p_type=p_type, p_level=p_level: prospect_of(
                        part, p_type, p_level, margin
                    )
                ),
                scores[np.ix_(items, units)],
                1 / n_of_kind[kind[items]],
                single,
            )


def _deal(item_group: Ints, seed: int) -> Ints:
    names, index = np.unique(item_group, return_inverse=True)
    return np.asarray(np.random.default_rng(seed).permutation(len(names))[index] % N_FOLDS)


def _codes(groups: pl.DataFrame, columns: Sequence[str]) -> tuple[Ints, int]:
    keys = groups.select(pl.concat_str(columns, separator="|")).to_series()
    names, index = np.unique(keys.to_numpy(), return_inverse=True)
    return np.asarray(index, dtype=np.int64), len(names)


def _matrix(problem: Problem) -> Floats:
    """Scores of every unit on every item, (I, U); NaN where it was not run."""
    scores = np.full((len(problem.group), problem.n_units), np.nan)
    scores[problem.item, problem.unit] = problem.score
    return scores
