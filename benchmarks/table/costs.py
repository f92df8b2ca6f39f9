"""Cost of every unit in every cell: realised dollars per task, shrunk where evidence is thin.

The unknown is the log of the *mean* cost of a unit on a benchmark at a level, so that nothing has
to be transformed back.  It is

    log list price x (1 + tilt) + benchmark + level + model + effort + unit x benchmark
    + model x level + cell

with every term after the first three shrunk by a scale estimated from the data.  A cell with many
priced tasks keeps its own mean to within a few per cent; a unit that nobody priced borrows its
list price, and a kind of task without priced evidence borrows the scale of its family.

Levels cost little more within a benchmark (about 1.3 times each), whose agent, prompt and repositories
stay the same, and more between benchmarks (about 2.2 times).  So where a benchmark stands in for a
level that it has no tasks of, it does so along the line between benchmarks: four hours of its work
say little of a quarter of an hour.  And what is harder never costs less.

Where one answer is the whole job there is no agent's bill to borrow.  There the cost is

    (input tokens x input price + output tokens x output price) x the unit's realised-over-list
    factor x the level's share

with tokens from single-turn benchmarks that recorded them: stated in the artefact as borrowed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.table.item_response import Floats, Ints
from classifier.tasks import N_LEVELS, TYPES, family_of
from classifier.training.rows import BadData

Z95: Final = 1.645
"""One-sided 95%."""

NAMES: Final = ("model", "effort", "unit x benchmark", "model x level", "cell")


FLAT: Final = np.array([0.5, 5.0, 1.0])
"""Prior scales of price tilt, benchmark and level: as good as unshrunk."""


@dataclass(frozen=True, slots=True)
class Priced:
    """Mean costs, one row per unit, benchmark and level: m rows.

    ``unit``, ``benchmark``, ``level`` (from 0) int (m,); ``mean_usd``, ``n``, ``cv`` (m,): mean,
    tasks and coefficient of variation.  ``model`` int (U,), ``list_usd`` (U,): a blended list
    price per million tokens, positive.  ``n_benchmarks`` may exceed those priced.
    """

    unit: Ints
    benchmark: Ints
    level: Ints
    mean_usd: Floats
    n: Floats
    cv: Floats
    model: Ints
    list_usd: Floats
    n_benchmarks: int


@dataclass(frozen=True, slots=True)
class Costs:
    """Log mean cost and its standard deviation, each (benchmarks, L, U).

    ``factor`` (U,): realised over list, relative to the mean unit; ``factor_sd`` of its log.
    ``level`` (L,): a level's share of log cost, relative to the second.
    """

    log_usd: Floats
    sd: Floats
    factor: Floats
    factor_sd: Floats
    level: Floats
    scales: dict[str, float]


def fit_costs(priced: Priced, *, steps: int = 60) -> Costs:
    """Fit the additive model by EM; linear and Gaussian, so each step is one solve."""
    n_units = len(priced.model)
    full, component = _design(
        priced.model[priced.unit], priced.unit, priced.benchmark, priced.level, n_units,
        priced.n_benchmarks, priced.list_usd,
    )  # fmt: skip
    seen = abs(full).sum(axis=0) > 0
    design = full[:, seen]
    y = np.log(priced.mean_usd) - np.log(priced.list_usd)[priced.unit]
    noise = np.maximum(priced.cv, 0.3) ** 2 / priced.n + 1e-4
    scale = np.full(len(NAMES), 0.5)
    for _ in range(steps):
        prior = np.concatenate([FLAT, scale])[component] ** 2
        precision = (design.T / noise) @ design + np.diag(1 / prior[seen])
        covariance = np.asarray(np.linalg.inv(precision), dtype=np.float64)
        beta = covariance @ (design.T @ (y / noise))
        second = beta**2 + np.diag(covariance)
        for k in range(len(NAMES)):
            of = component[seen] == k + len(FLAT)
            scale[k] = np.sqrt((second[of].sum() + 0.1) / (of.sum() + 2))
    every = np.zeros(len(component))
    every[seen] = beta
    variance = prior.copy()
    variance[seen] = np.diag(covariance)
    scales = dict(zip(NAMES, scale.tolist(), strict=True))
    return _predict(priced, _Posterior(every, variance, seen, covariance), scales)


@dataclass(frozen=True, slots=True)
class _Posterior:
    """Means and variances of every effect (P,); ``covariance`` of those ``seen``."""

    mean: Floats
    variance: Floats
    seen: NDArray[np.bool_]
    covariance: Floats

    def variance_of(self, x: Floats) -> Floats:
        """Variance of each row of a design (n, P)."""
        fitted = x[:, self.seen]
        known = np.einsum("ij,ij->i", fitted @ self.covariance, fitted)
        return np.asarray(known + x[:, ~self.seen] ** 2 @ self.variance[~self.seen])


def _design(
    model: Ints, unit: Ints, benchmark: Ints, level: Ints, n_units: int, n_benchmarks: int,
    list_usd: Floats,
) -> tuple[Floats, Ints]:  # fmt: skip
    """Return the dense design (n, effects) and each effect's component."""
    n = len(unit)
    log_price = np.log(list_usd)
    tilt = (log_price - log_price.mean())[unit]
    cell = (unit * n_benchmarks + benchmark) * N_LEVELS + level
    blocks = [
        (np.zeros(n, dtype=int), 1, tilt),
        (benchmark, n_benchmarks, np.ones(n)),
        (level, N_LEVELS, np.ones(n)),
        (model, n_units, np.ones(n)),
        (unit, n_units, np.ones(n)),
        (unit * n_benchmarks + benchmark, n_units * n_benchmarks, np.ones(n)),
        (model * N_LEVELS + level, n_units * N_LEVELS, np.ones(n)),
        (cell, n_units * n_benchmarks * N_LEVELS, np.ones(n)),
    ]
    parts, component = [], []
    for k, (column, width, value) in enumerate(blocks):
        part = np.zeros((n, width))
        part[np.arange(n), column] = value
        parts.append(part)
        component += [k] * width
    return np.concatenate(parts, axis=1), np.array(component)


def _predict(priced: Priced, posterior: _Posterior, scales: dict[str, float]) -> Costs:
    """Evaluate every benchmark, level and unit."""
    n_units, n_benchmarks = len(priced.model), priced.n_benchmarks
    shape = (n_benchmarks, N_LEVELS, n_units)
    log_usd, sd = np.empty(shape), np.empty(shape)
    unit = np.arange(n_units)
    for benchmark, level in np.ndindex(n_benchmarks, N_LEVELS):
        x, _ = _design(
            priced.model, unit, np.full(n_units, benchmark), np.full(n_units, level), n_units,
            n_benchmarks, priced.list_usd,
        )  # fmt: skip
        log_usd[benchmark, level] = x @ posterior.mean + np.log(priced.list_usd)
        sd[benchmark, level] = np.sqrt(posterior.variance_of(x))
    first = 1 + n_benchmarks
    level_share = posterior.mean[first : first + N_LEVELS] - posterior.mean[first + 1]
    start = first + N_LEVELS
    of_model, of_unit = start + priced.model, start + n_units + unit
    return Costs(
        log_usd=log_usd,
        sd=sd,
        factor=np.exp(posterior.mean[of_model] + posterior.mean[of_unit]),
        factor_sd=np.sqrt(posterior.variance[of_model] + posterior.variance[of_unit]),
        level=level_share,
        scales=scales,
    )


SINGLE_TURN: Final[dict[str, tuple[str, ...]]] = {
    "implementation/code_generation": ("humaneval", "livecodebench-codegeneration"),
    "implementation/small_edit": ("humaneval", "livecodebench-codegeneration"),
    "planning/architecture": ("livecodebench-codegeneration",),
    "planning/technical_plan": ("livecodebench-codegeneration",),
    "investigation/code_understanding": ("humaneval", "gsm8k"),
    "agentic/tool_use": ("bfcl-v2",),
    "general/knowledge": ("gsm8k", "bbh"),
    "general/math_reasoning": ("gsm8k", "bbh"),
    "general/writing": ("gsm8k", "humaneval"),
    "general/conversation": ("gsm8k",),
    "background/title": ("bfcl-v2",),
    "background/commit_message": ("bfcl-v2",),
    "background/summary": ("humaneval",),
}
"""Types whose job is one answer → the benchmarks whose recorded tokens stand in for it.  Of
current models only OmnisBench (gsm8k, humaneval, livecodebench) recorded any; BFCL's replies are
as short as a title."""

SINGLE_TURN_SD: Final = 0.7
"""Of log cost, for the stand-in itself: a factor of two either way."""


def cell_costs(
    costs: Costs,
    weight: Floats,
    per_token: Floats,
    tokens: Mapping[str, tuple[float, float]],
    names: Sequence[str],
) -> tuple[Floats, Floats]:
    """Return mean and upper cost, (T, L, U), at the prices of the evidence.

    ``weight`` (benchmarks, T, L): items of a benchmark in a cell; the same for every unit, so
    that units are compared on the same tasks.  ``per_token`` (U, 2): list price of an input and
    an output token in dollars; ``tokens`` a benchmark's median input and output tokens; ``names``
    those of the priced benchmarks.
    """
    answers = {name for listed in SINGLE_TURN.values() for name in listed}
    agents = np.array([name not in answers for name in names])
    shape = (len(TYPES), N_LEVELS, costs.log_usd.shape[2])
    mean, upper = np.empty(shape), np.empty(shape)
    at_level, _ = stand_ins(costs, weight, agents)
    for t, task in enumerate(TYPES):
        for level in range(N_LEVELS):
            if task in SINGLE_TURN:
                log_usd, sd = _single_turn(costs, task, level, per_token, tokens)
            else:
                share = _shares(weight, t, level)
                log_usd = np.log(share @ np.exp(at_level[:, level]))
                sd = share @ costs.sd[:, level]
            mean[t, level], upper[t, level] = np.exp(log_usd), np.exp(log_usd + Z95 * sd)
    return np.maximum.accumulate(mean, axis=1), np.maximum.accumulate(upper, axis=1)


BETWEEN: Final = 0.79
"""Log cost that a level adds between benchmarks before these are looked at: 2.2 times, on the six
priced ones of 2026-11-29 (benchmarks/LOG.md)."""

BETWEEN_COUNT: Final = 4.0
"""Benchmarks a level off the mean that this counts as."""


def stand_ins(costs: Costs, weight: Floats, agents: Any) -> tuple[Floats, float]:
    """Return log cost (benchmarks, L, U) with levels that a benchmark lacks put on the line between them.

    The line goes through the nearest level that it has.  Also the line's slope: least squares of the
    mean log cost on the mean level of the benchmarks whose tasks an agent works on (``agents``, bool
    (benchmarks,): an answer's bill is no task's), pulled to ``BETWEEN``.
    """
    of_level = weight.sum(axis=1)
    size = of_level.sum(axis=1)
    counts = (size > 0) & agents
    has = of_level > 0
    slope = BETWEEN
    if counts.any():
        level = of_level[counts] @ np.arange(N_LEVELS) / size[counts]
        usual = np.einsum("bl,blu->bu", of_level[counts], costs.log_usd[counts])
        height = (usual / size[counts][:, None]).mean(axis=1)
        off = level - level.mean()
        pulled = off @ (height - height.mean()) + BETWEEN_COUNT * BETWEEN
        slope = max(float(pulled / (off @ off + BETWEEN_COUNT)), 0.0)
    levels = np.arange(N_LEVELS)
    apart = abs(levels[None, :, None] - levels[None, None, :])
    nearest = np.where(has[:, None, :], apart, N_LEVELS).argmin(axis=2)
    steps = slope * (levels[None, :] - nearest)
    line = costs.log_usd[np.arange(len(weight))[:, None], nearest] + steps[:, :, None]
    return np.where(has[:, :, None], costs.log_usd, line), slope


def _shares(weight: Floats, kind: int, level: int) -> Floats:
    """Return how much each benchmark stands for a cell: its items, its type's, family's, or all."""
    related = np.array([family_of(t) == family_of(TYPES[kind]) for t in TYPES])
    of_type = weight.sum(axis=2)
    of_family = of_type[:, related].sum(axis=1)
    for candidate in (weight[:, kind, level], of_type[:, kind], of_family, of_type.sum(axis=1)):
        if candidate.sum() > 0:
            return np.asarray(candidate / candidate.sum())
    raise BadData("no benchmark of the evidence has a cost")


def _single_turn(
    costs: Costs,
    task: str,
    level: int,
    per_token: Floats,
    tokens: Mapping[str, tuple[float, float]],
) -> tuple[Floats, Floats]:
    """Log cost and its standard deviation, (U,), of a job that is one answer."""
    counts = np.array([tokens[name] for name in SINGLE_TURN[task] if name in tokens])
    log_usd = np.log(per_token @ counts.mean(axis=0) * costs.factor) + costs.level[level]
    return log_usd, np.sqrt(costs.factor_sd**2 + SINGLE_TURN_SD**2)
