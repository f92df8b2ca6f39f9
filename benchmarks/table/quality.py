"""Quality of every unit in every cell: item response over units, then averaged over a cell's items.

A unit's logit on an item of type t, family f and level l is

    price + price x slope (l - 2.5)
    + model + model x slope (l - 2.5) + model x family + model x type + model x level
    + model x cell + unit (the effort's own deviation) + unit x slope (l - 1)
    + model x agent
    - difficulty of the item

with every effect shrunk by a scale estimated from the data (``benchmarks.table.item_response``).  A
model's quality on a kind of task that nobody measured it on is thereby borrowed: from its other
types, and least from those whose effects vary most.

*Price* is the log of what the vendor asked when the model was released: before a model is measured
it says more of its ability than published totals do (R² .68 against .31), and fifty items drown it.
*Model x agent* is what one harness makes of a model; it is no property of the model and is left out
of what is predicted, so that two efforts measured by two harnesses are not told apart by these.

An effort is measured from the easiest level on: what a low one loses on long work must not be a gain on
short work, which a slope about the middle makes of it.

Group means lie about a line in the level, one for all types: what a type's other benchmarks say of
a new one is less than what all benchmarks say.  A cell without items lies on that line, as uncertain
as groups are.

The same code serves the shipped table (items of known type and level) and a table fitted to any
pool, where a classifier's distribution says how much of which cell an item is; its effects are
then the mean over that distribution, which predicts held-out items better than taking the most
probable cell (benchmarks/LOG.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from benchmarks.table.item_response import (
    PROBIT,
    Design,
    Drawn,
    Fit,
    Floats,
    Ints,
    Observations,
    averaged,
    fit,
    sigmoid,
)
from classifier.tasks import FAMILIES, N_LEVELS, TYPES, family_of

FAMILY: Final = np.array([FAMILIES.index(family_of(t)) for t in TYPES])
"""Family of each type."""

TILT: Final = np.arange(N_LEVELS) - (N_LEVELS - 1) / 2
"""Each level's place about the middle."""

LEVEL_LOGITS: Final = 1.0
"""Logits of difficulty that a level is taken to add before anything is measured: SWE-bench Verified's
annotated items give 0.9 to 1.1 under every agent (benchmarks/LOG.md)."""

UNDRAWN: Final = 4.0
"""Items that a cell's unseen tasks count as: a cell of one item is mostly its group's mean and, as
that is shrunk too, the line."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Who did what.  U units, I items, G groups, n observations.

    ``unit``, ``item`` int (n,); ``score``, ``trials`` (n,).  ``model`` int (U,): units of one
    model share its effects.  ``group`` int (I,); ``tasks`` (I,) that an item stands for;
    ``group_type``, ``group_level`` int (G,), the level from 0.
    ``p_type`` (I, T), ``p_level`` (I, L): what an item is a mixture of; None: its group's cell.
    ``log_price`` (U,): log of the list price at release, None where no prices are known.
    ``group_agent`` int (G,), None for one agent.  ``judged`` bool (G,): scores are a judge's grades,
    which tell units apart and say nothing of how often a task succeeds; None: none are.
    """

    unit: Ints
    item: Ints
    score: Floats
    trials: Floats
    model: Ints
    group: Ints
    tasks: Floats
    group_type: Ints
    group_level: Ints
    p_type: Floats | None = None
    p_level: Floats | None = None
    log_price: Floats | None = None
    group_agent: Ints | None = None
    judged: Any = None

    @property
    def n_units(self) -> int:
        """How many units there are."""
        return len(self.model)

    @property
    def n_agents(self) -> int:
        """How many harnesses there are to tell apart."""
        return 0 if self.group_agent is None else int(self.group_agent.max()) + 1

    @property
    def prices(self) -> Floats:
        """``log_price`` about its mean, (U,); zero where none are known."""
        if self.log_price is None:
            return np.zeros(self.n_units)
        return np.asarray(self.log_price - self.log_price.mean())

    @property
    def counts_success(self) -> Any:
        """Which items say how often a task succeeds: bool (I,), single ones that no judge graded."""
        single = (self.tasks == 1) & (np.bincount(self.item, minlength=len(self.group)) > 0)
        return single if self.judged is None else single & ~self.judged[self.group]

    @property
    def one_unit_per_model(self) -> bool:
        """Whether there is no effort to tell from its model."""
        return len(np.unique(self.model)) == self.n_units


def with_rows(problem: Problem, mask: Any) -> Problem:
    """Return the problem with some of its observations, bool (n,); items keep their numbers."""
    return replace(
        problem,
        unit=problem.unit[mask],
        item=problem.item[mask],
        score=problem.score[mask],
        trials=problem.trials[mask],
    )


@dataclass(frozen=True, slots=True)
class Quality:
    """A fit, and what is needed to average it over cells; ``seen`` marks fitted effects."""

    problem: Problem
    fit: Fit
    seen: Any
    scale: Floats


COMPONENTS: Final = (
    "model", "slope", "family", "type", "level", "cell", "effort", "effort slope", "price",
    "price slope", "agent",
)  # fmt: skip
WIDTHS: Final = (1, 1, len(FAMILIES), len(TYPES), N_LEVELS, len(TYPES) * N_LEVELS, 1, 1)
"""How many effects of each of the first components a unit has."""

EFFORT_COMPONENTS: Final = (COMPONENTS.index("effort"), COMPONENTS.index("effort slope"))
"""What there is not where every model has one unit."""

SMALLEST_SHARE: Final = 0.02
"""Smaller shares of a mixture are dropped: they cost time and say nothing."""

EVERY_CELL: Final = tuple(a.ravel() for a in np.indices((len(TYPES), N_LEVELS)))
"""Type and level of each cell, in order."""


def features(p_type: Floats, p_level: Floats) -> list[Any]:
    """Return what n mixtures of cells are made of: sparse (n, width) for each of ``WIDTHS``."""
    from scipy import sparse

    p_type, p_level = _pruned(p_type), _pruned(p_level)
    family = p_type @ np.eye(len(FAMILIES))[FAMILY]
    tilt = p_level @ TILT
    cell = (p_type[:, :, None] * p_level[:, None, :]).reshape(len(p_type), -1)
    one = np.ones((len(p_type), 1))
    steps = p_level @ np.arange(N_LEVELS)
    blocks = (one, tilt[:, None], family, p_type, p_level, cell, one, steps[:, None])
    return [sparse.csr_matrix(block) for block in blocks]


def _pruned(p: Floats) -> Floats:
    kept = np.where(p < SMALLEST_SHARE, 0.0, p)
    return np.asarray(kept / kept.sum(axis=1, keepdims=True))


def effects(
    mixtures: list[Any], row: Ints, unit: Ints, problem: Problem, agent: Ints | None = None
) -> Any:
    """Return the design, sparse (n, all effects): mixture ``row[i]`` met by ``unit[i]``.

    ``agent`` (n,) is whose harness it was; without it nobody's, which is what is predicted.
    """
    from scipy import sparse

    parts, n_units = [], problem.n_units
    for name, width, block in zip(COMPONENTS, WIDTHS, mixtures, strict=False):
        owner = unit if name.startswith("effort") else problem.model[unit]
        rows = block[row].tocoo()
        column = owner[rows.row] * width + rows.col
        shape = (len(row), n_units * width)
        parts.append(sparse.csr_matrix((rows.data, (rows.row, column)), shape=shape))
    price = problem.prices[unit]
    tilt = mixtures[COMPONENTS.index("slope")].toarray()[row, 0]
    parts += [sparse.csr_matrix(column[:, None]) for column in (price, tilt * price)]
    shape = (len(row), n_units * problem.n_agents)
    if agent is None:
        parts.append(sparse.csr_matrix(shape))
    else:
        column = problem.model[unit] * problem.n_agents + agent
        ones = np.ones(len(row))
        parts.append(sparse.csr_matrix((ones, (np.arange(len(row)), column)), shape=shape))
    return sparse.hstack(parts).tocsr()


def components(problem: Problem) -> Ints:
    """Return the component of every effect."""
    of_units = np.array(WIDTHS) * problem.n_units
    return np.repeat(
        np.arange(len(COMPONENTS)), [*of_units, 1, 1, problem.n_units * problem.n_agents]
    )


def line_of(level: Ints) -> tuple[Floats, Floats]:
    """Return what is known of a group of this level (from 0) beforehand: columns (n, 2), logits (n,)."""
    steps = level.astype(np.float64)
    return np.stack([np.ones(len(steps)), steps], axis=1), LEVEL_LOGITS * steps


def fit_quality(problem: Problem, *, steps: int = 40) -> Quality:
    """Fit unit effects and item difficulties."""
    mixtures, of_item = _mixtures(problem)
    pair = problem.unit * len(of_item) + of_item[problem.item]
    pairs, context = np.unique(pair, return_inverse=True)
    unit, row = np.divmod(pairs, len(of_item))
    agent = None if problem.group_agent is None else problem.group_agent[row]
    design = effects(mixtures, row, unit, problem, agent)
    component = components(problem)
    seen = np.asarray(abs(design).sum(axis=0)).ravel() > 0
    if problem.one_unit_per_model:
        seen &= ~np.isin(component, EFFORT_COMPONENTS)
    line, known = line_of(problem.group_level)
    fitted = fit(
        Observations(
            context=context,
            item=problem.item,
            score=problem.score,
            trials=problem.trials,
            item_group=problem.group,
            item_tasks=problem.tasks,
            line=line,
            known=known,
        ),
        Design(design[:, seen], component[seen], COMPONENTS),
        steps=steps,
    )
    scale = np.array([fitted.scales[name] for name in COMPONENTS])
    return Quality(problem, fitted, seen, scale)


def _mixtures(problem: Problem) -> tuple[list[Any], Ints]:
    """Features of the distinct mixtures, and which one each item is; without readings one per group."""
    if problem.p_type is not None and problem.p_level is not None:
        return features(problem.p_type, problem.p_level), np.arange(len(problem.group))
    kinds, levels = np.eye(len(TYPES)), np.eye(N_LEVELS)
    return features(kinds[problem.group_type], levels[problem.group_level]), problem.group


def draw_cells(quality: Quality, n_draws: int, seed: int) -> Floats:
    """Draw P(success) jointly: float64 (T, L, U, K).

    A cell with items is averaged over them, each draw weighing the items anew (a Bayesian
    bootstrap), because the promise is about tasks *like* these; tasks that were not drawn count as
    ``UNDRAWN`` further items about their groups' mean.  A cell without items lies on the line, off
    it by as much as groups are: the same for all units, and for all such cells of a type.
    """
    logits, drawn = _joint_draws(quality, n_draws, seed)
    rng = np.random.default_rng(seed + 1)
    fitted, problem = quality.fit, quality.problem
    flat = 1 / np.sqrt(1 + PROBIT * fitted.difficulty_sd**2)
    spread = float(np.sqrt((fitted.group_spread**2).mean()))
    columns, known = line_of(np.arange(N_LEVELS))
    on_line = (drawn.line @ columns.T + known).T
    off = fitted.group_scale * rng.standard_normal((len(TYPES), n_draws))
    out = np.empty(logits.shape)
    counts = problem.counts_success
    for kind, level in np.ndindex(len(TYPES), N_LEVELS):
        cell = (problem.group_type == kind) & (problem.group_level == level)
        items = np.flatnonzero(cell[problem.group] & counts)
        if not len(items):
            out[kind, level] = averaged(logits[kind, level] - on_line[level] - off[kind], spread)
            continue
        size = np.bincount(problem.group[items], minlength=len(problem.group_type))
        about = averaged(logits[kind, level] - drawn.groups @ (size / size.sum()), spread)
        undrawn = rng.beta(UNDRAWN, len(items), n_draws)
        weight = rng.standard_exponential((n_draws, len(items)))
        weight *= ((1 - undrawn) / weight.sum(axis=1))[:, None]
        b = drawn.difficulty[:, items]
        for unit in range(logits.shape[2]):
            eta = (logits[kind, level, unit][:, None] - b) * flat[items]
            out[kind, level, unit] = (weight * sigmoid(eta)).sum(axis=1) + undrawn * about[unit]
    return out


def _joint_draws(quality: Quality, n_draws: int, seed: int) -> tuple[Floats, Drawn]:
    """Draw logits (T, L, U, K), and what the fit says of difficulties.

    Effects that nothing was measured for are drawn from their prior.
    """
    problem = quality.problem
    drawn = quality.fit.draws(n_draws, seed)
    component = components(problem)
    rng = np.random.default_rng(seed + 2)
    half = rng.standard_normal((n_draws // 2, len(component))) * quality.scale[component]
    if problem.one_unit_per_model:
        half[:, np.isin(component, EFFORT_COMPONENTS)] = 0.0
    full = np.concatenate([half, -half])
    full[:, quality.seen] = drawn.effects
    kind, level = EVERY_CELL
    mixtures = features(np.eye(len(TYPES))[kind], np.eye(N_LEVELS)[level])
    row, unit = (a.ravel() for a in np.indices((len(kind), problem.n_units)))
    design = effects(mixtures, row, unit, problem)
    logits = (design @ full.T).reshape(len(TYPES), N_LEVELS, problem.n_units, n_draws)
    return logits, drawn


def summary(draws: Any) -> dict[str, Any]:
    """Mean, bounds and spread, float32 (T, L, U), of joint draws (T, L, U, K).

    The spread is of what a unit's draws do beside the mean of all units'.
    """
    beside = draws - draws.mean(axis=2, keepdims=True)
    found = {
        "quality": draws.mean(axis=-1),
        "spread": beside.std(axis=-1),
        "lower": np.quantile(draws, 0.05, axis=-1),
        "upper": np.quantile(draws, 0.95, axis=-1),
    }
    return {name: values.astype(np.float32) for name, values in found.items()}


def direct_counts(problem: Problem) -> tuple[Ints, Floats]:
    """Return items and successes, (T, L, U), that were measured; a total counts its tasks.

    A judge's grade is no success, and counts nothing.
    """
    shape = (len(TYPES), N_LEVELS, problem.n_units)
    group = problem.group[problem.item]
    where = (problem.group_type[group], problem.group_level[group], problem.unit)
    graded = np.zeros(len(group), bool) if problem.judged is None else problem.judged[group]
    tasks = np.where(graded, 0.0, problem.tasks[problem.item])
    items, successes = np.zeros(shape), np.zeros(shape)
    np.add.at(items, where, tasks)
    np.add.at(successes, where, tasks * problem.score)
    return items.astype(np.int64), successes
