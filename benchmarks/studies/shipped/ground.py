"""Everything that the shipped table is built from, and how it is fitted again without some of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.frames import read_csv
from benchmarks.judge.measures import Interval
from benchmarks.outcomes import OutcomeSet, load_evidence
from benchmarks.schema import PRICE_COLUMNS, TOTAL_COLUMNS
from benchmarks.studies.study import Options
from benchmarks.table.build import N_DRAWS, SEED, Posterior
from benchmarks.table.evidence import Selected, aliases_of, item_groups, select, to_problem
from benchmarks.table.item_response import Floats, Ints
from benchmarks.table.pricing import STATED_BY, price_cells, price_ratios
from benchmarks.table.quality import (
    Problem,
    Quality,
    direct_counts,
    draw_cells,
    fit_quality,
    with_rows,
)
from benchmarks.table.time_scale import place_evidence
from benchmarks.table.traffic import MIN_FOLD_ITEMS, MIN_RAN, MIX_WRITERS, Readings, read_writers
from classifier.ask import clip
from classifier.model import Classifier
from classifier.tasks import N_LEVELS, TYPES
from classifier.turns import Conversation
from router.decision.engine import classifier_folder
from router.evidence.catalogue import CATALOGUE_FILE, Catalogue, load_catalogue
from router.evidence.table import Table
from router.values import Unit

Array32 = NDArray[np.float32]
Mask = NDArray[np.bool_]
Progress = Callable[[str], None]

STEPS: Final = 25
"""Of a fit: as many as the build gives the folds that it sets the dial on."""

N_RESAMPLES: Final = 1000

FREE: Final = ":free"
"""How the id of an offer ends that costs nothing and may log prompts."""


@dataclass(frozen=True, slots=True)
class Shipped:
    """The evidence numbered for the fits.  I items, G groups, U units.

    ``source`` (I,) is each item's benchmark, ``agent`` (I,) whose harness, ``text`` what it asks, None
    where no text is known, ``look_alike`` (I,) the group that it must not leave.  ``usd`` (I, U) are
    recorded dollars at today's list prices, NaN where nobody recorded any.
    """

    catalogue: Catalogue
    units: tuple[Unit, ...]
    problem: Problem
    groups: pl.DataFrame
    source: NDArray[np.str_]
    agent: NDArray[np.str_]
    text: tuple[str | None, ...]
    look_alike: Ints
    usd: Floats
    mix: Readings
    serves: Ints
    """Units that serve by default."""
    costs_without: Callable[[str], tuple[Floats, Floats]]
    """A benchmark → mean and upper cost (T, L, U) fitted without it; "" leaves nothing out."""

    @property
    def success(self) -> Mask:
        """Items that say how often a task succeeds, (I,)."""
        return np.asarray(self.problem.counts_success, dtype=bool)

    @property
    def cell(self) -> tuple[Ints, Ints]:
        """Type and level, from 0, of each item, (I,) each."""
        problem = self.problem
        return problem.group_type[problem.group], problem.group_level[problem.group]


def read_ground(options: Options, progress: Progress) -> Shipped:
    """Read what the build reads, and number it as the build does."""
    progress("reading the evidence")
    catalogue = load_catalogue(options.artefacts / CATALOGUE_FILE)
    evidence = load_evidence(options.shared)
    coding = options.shared / "coding"
    totals = read_csv(coding / "aggregates.csv", TOTAL_COLUMNS).frame
    prices = read_csv(coding / "prices.csv", PRICE_COLUMNS).frame
    mix = read_writers(Classifier.load(classifier_folder(options.artefacts)), MIX_WRITERS)
    return ground_of(evidence, catalogue, totals, prices, mix, progress)


def ground_of(
    evidence: OutcomeSet,
    catalogue: Catalogue,
    totals: pl.DataFrame,
    prices: pl.DataFrame,
    mix: Readings,
    progress: Progress,
) -> Shipped:
    """Number any evidence."""
    progress("placing items in human time")
    placement = place_evidence(evidence)
    selected = select(evidence, placement, catalogue, totals)
    problem, groups = to_problem(selected, catalogue)
    texts = dict(placement.items.select("item", "text").iter_rows())
    names = _item_names(selected)

    @cache
    def costs_without(source: str) -> tuple[Floats, Floats]:
        rows = selected.rows.filter(pl.col("benchmark") != source)
        found = price_cells(replace(selected, rows=rows), catalogue, prices, evidence)
        return found.mean, found.upper

    return Shipped(
        catalogue=catalogue,
        units=selected.units,
        problem=problem,
        groups=groups,
        source=groups["benchmark"].to_numpy()[problem.group],
        agent=groups["agent"].to_numpy()[problem.group],
        text=tuple(texts.get(name) or None for name in names),
        look_alike=item_groups(selected, placement),
        usd=_usd(selected, catalogue, prices),
        mix=mix,
        serves=serving(selected.units, catalogue),
        costs_without=costs_without,
    )


def serving(units: tuple[Unit, ...], catalogue: Catalogue) -> Ints:
    """Return the units that serve by default: sold today, by providers that do not log prompts."""
    found = []
    for i, unit in enumerate(units):
        model = catalogue.model(unit.model)
        if model is None or model.retired is not None or model.data_policy == "may_log":
            continue
        if not (model.data_policy == "unknown" and model.id.endswith(FREE)):
            found.append(i)
    return np.array(found, dtype=np.int64)


def _scored(selected: Selected) -> pl.DataFrame:
    """Number scored rows as ``to_problem`` does: items are pairs of item and agent, in order."""
    key = pl.concat_str("item", "agent", separator="|")
    return selected.rows.filter(pl.col("score").is_not_null()).with_columns(
        key=key, number=key.rank("dense") - 1
    )


def _item_names(selected: Selected) -> list[str]:
    keys = _scored(selected).unique("key").sort("key")
    return keys["item"].to_list()


def _usd(selected: Selected, catalogue: Catalogue, prices: pl.DataFrame) -> Floats:
    """Recorded dollars of every unit on every item, (I, U)."""
    ratio = price_ratios({m.id: m for m in catalogue.models}, aliases_of(catalogue), prices)
    factor = pl.col("catalogue").replace_strict(ratio, default=1.0, return_dtype=pl.Float64)
    rows = _scored(selected).with_columns(
        usd=pl.col("cost_usd") * pl.when(pl.col("agent") == STATED_BY).then(factor).otherwise(1.0)
    )
    column = {str(unit): i for i, unit in enumerate(selected.units)}
    usd = np.full((rows["key"].n_unique(), len(column)), np.nan)
    at = rows["number"].to_numpy().astype(np.int64)
    usd[at, [column[name] for name in rows["unit"]]] = rows["usd"].to_numpy().astype(float)
    return usd


def matrix(problem: Problem) -> Floats:
    """Scores of every unit on every item, (I, U); NaN where it was not run."""
    scores = np.full((len(problem.group), problem.n_units), np.nan)
    scores[problem.item, problem.unit] = problem.score
    return scores


@dataclass(frozen=True, slots=True)
class Refit:
    """A table fitted to some of the outcomes, with what it was summed up from."""

    quality: Quality
    posterior: Posterior

    @property
    def table(self) -> Table:
        """The table, its dial not set."""
        return self.posterior.table()


def refit(ground: Shipped, kept: Mask, *, source: str = "", priced: bool = True) -> Refit:
    """Fit the outcomes ``kept`` (n,); costs without a ``source``; ``priced``: with the prior from prices."""
    problem = with_rows(ground.problem, kept)
    if not priced:
        problem = replace(problem, log_price=None)
    quality = fit_quality(problem, steps=STEPS)
    draws = np.minimum.accumulate(draw_cells(quality, N_DRAWS, SEED), axis=1)
    items, successes = direct_counts(problem)
    mean, upper = ground.costs_without(source)
    posterior = Posterior(
        ground.units, draws.astype(np.float32), mean, upper, items, successes, quality.fit.scales
    )
    return Refit(quality, posterior)


@dataclass(frozen=True, slots=True)
class Slice:
    """A benchmark under one agent: n items that m units ran, by their numbers.

    ``scores`` and ``usd`` (n, m); NaN where a unit was not run, or nobody recorded dollars.
    """

    source: str
    agent: str
    items: Ints
    units: Ints
    scores: Floats
    usd: Floats


def parts_of(ground: Shipped) -> Iterator[Slice]:
    """Yield benchmarks with outcomes of several units on items enough, each under each agent.

    A unit counts that ran ``MIN_RAN`` of them; where only one did, all that ran MIN_FOLD_ITEMS count, on
    the items that each of them ran.
    """
    scores = matrix(ground.problem)
    for source, agent in ground.groups.select("benchmark", "agent").unique().sort(pl.all()).rows():
        mine = (ground.source == source) & (ground.agent == agent) & ground.success
        items = np.flatnonzero(mine)
        if len(items) < MIN_FOLD_ITEMS:
            continue
        ran = np.isfinite(scores[items])
        units = np.flatnonzero(ran.mean(axis=0) >= MIN_RAN)
        if len(units) < 2:
            units = np.flatnonzero(ran.sum(axis=0) >= MIN_FOLD_ITEMS)
            items = items[ran[:, units].all(axis=1)]
        if len(units) < 2 or len(items) < MIN_FOLD_ITEMS:
            continue
        at = np.ix_(items, units)
        yield Slice(source, agent, items, units, scores[at], ground.usd[at])


def read_items(ground: Shipped, classifier: Classifier) -> tuple[Array32, Array32, Mask]:
    """Read every item as it is asked: p_type (I, T), p_level (I, L), and which were read, (I,).

    An item without a text is given the reading of an ask of the same type and level.
    """
    p_type, p_level = ground.mix.drawn(*ground.cell, SEED)
    p_type, p_level = p_type.copy(), p_level.copy()
    known = np.array([text is not None for text in ground.text])
    for i in np.flatnonzero(known & ground.success):
        read = classifier.assess(Conversation(ask=clip(str(ground.text[i]))))
        p_type[i], p_level[i] = read.p_type, read.p_level
    return p_type, p_level, known


def one_hot(kind: Ints, level: Ints) -> tuple[Array32, Array32]:
    """Return sure readings of cells: (n, T) and (n, L)."""
    return (
        np.eye(len(TYPES), dtype=np.float32)[kind],
        np.eye(N_LEVELS, dtype=np.float32)[level],
    )


def resampled(groups: Ints, seed: int = 0) -> Floats:
    """Weigh items anew, N_RESAMPLES times, (r, n): those of a group alike (a Bayesian bootstrap)."""
    rng = np.random.default_rng(seed)
    weight = rng.standard_exponential((N_RESAMPLES, int(groups.max()) + 1))
    return np.asarray(weight[:, groups])


def interval(value: float, draws: Any) -> Interval:
    """Return a value with the 95% interval of its resamples."""
    low, high = np.quantile(draws, (0.025, 0.975))
    return Interval(rounded(value), rounded(low), rounded(high))


def rounded(value: Any) -> float:
    """Round for reports."""
    return round(float(value), 4)
