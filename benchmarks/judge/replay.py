"""Replay routing policies on recorded outcomes: which model each item would have got.  No network.

A policy turns a training part of a pool into a *routing* of the items of another part: the
model each item gets at every setting of the policy's dial.  Replaying a routing looks the picks
up in the pool.

Ours is the product itself: the classifier's reading of the prompt, a cost-quality table fitted
on the training part alone, and the rule of ``router.decision.rule``.  ``rule_picks`` is that rule
over many items; a test holds it to ``decide`` item by item.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.judge.measures import (
    KEPT_QUALITY,
    Floats,
    Ints,
    decile_picks,
)
from benchmarks.judge.pool import Array32, Pool
from benchmarks.table.build import Posterior
from benchmarks.table.choose import prospect_of
from classifier.tasks import N_LEVELS
from router.evidence.table import Table
from router.values import Dial

N_SETTINGS: Final = 120
"""Settings of the continuous dial."""

CHUNK: Final = 256
"""Items compared at a time: 256 × 34 units × 200 draws of float32 are 7 MB."""

CELL_WEIGHT: Final = 1e-3
"""Cells under this weight are left out, as in ``Table.expect``."""


@dataclass(frozen=True, slots=True)
class Routing:
    """What a policy does with n items: int64 picks (k, n) at k settings of its dial.

    ``rank`` (n,), where there is one, orders items by how much they need a stronger model;
    two-model measures cut it at their own thresholds.
    """

    picks: Ints
    rank: Floats | None = None


def sweep(quality: Floats, cost: Floats, n_settings: int = N_SETTINGS) -> Ints:
    """Turn expected quality and cost (n, m) into picks (k, n) along a continuous dial.

    Each setting picks the highest quality − λ·cost; λ runs from "quality alone" (ties go to
    the cheaper model) to "cost alone", geometrically between, in units of the models' spread.
    """
    spread = float(np.ptp(cost.mean(axis=0))) or 1.0
    gap = float(np.ptp(quality.mean(axis=0))) or 1.0
    weights = gap / spread * np.geomspace(1e-3, 1e3, n_settings - 2)
    picks = [np.argmax(quality - 1e-9 * cost / spread, axis=1)]
    picks += [np.argmax(quality - weight * cost, axis=1) for weight in weights]
    picks.append(np.argmin(cost - 1e-9 * quality * spread, axis=1))
    return np.array(picks, dtype=np.int64)


def routing_of(quality: Floats, cost: Floats, strong: int, weak: int) -> Routing:
    """Make a routing from expected quality and cost; ranks by the expected gain of strong over weak."""
    return Routing(sweep(quality, cost), quality[:, strong] - quality[:, weak])


def cell_weights(p_type: Array32, p_level: Array32) -> Array32:
    """Weights of the table's cells per item, (n, T × L), as ``Table.expect`` takes them."""
    weight = (p_type[:, :, None] * p_level[:, None, :]).reshape(len(p_type), -1)
    weight = np.where(weight > CELL_WEIGHT, weight, np.float32(0))
    return np.asarray(weight / weight.sum(axis=1, keepdims=True), dtype=np.float32)


def expected(table: Table, p_type: Array32, p_level: Array32) -> tuple[Floats, Floats]:
    """Expected quality and cost of every unit for every item, float64 (n, U) each."""
    weight = cell_weights(p_type, p_level)
    means = table.quality.reshape(weight.shape[1], -1)
    cost = table.cost_usd.reshape(weight.shape[1], -1)
    return (weight @ means).astype(np.float64), (weight @ cost).astype(np.float64)


def rule_picks(table: Table, p_type: Array32, p_level: Array32, dial: Dial) -> Ints:
    """Pick a unit for every item as the product does where no failure is seen; int64 (n,)."""
    outlook = prospect_of(table, p_type, p_level, dial.margin)
    return outlook.picks(table.price_of(dial.margin))


def proven_picks(
    posterior: Posterior, p_type: Array32, p_level: Array32, margin: float, confidence: float
) -> Ints:
    """Pick the cheapest unit of every item that is within ``margin`` with ``confidence``; int64 (n,).

    The rule of this router until December 2026: every request is held to the margin by itself, by
    joint draws, against the unit whose lower bound (95%, one-sided) is the highest.
    """
    n_cells, n_units = posterior.cost_usd.shape[0] * N_LEVELS, len(posterior.units)
    draws = np.ascontiguousarray(posterior.draws.reshape(n_cells, -1))
    costs = posterior.cost_usd.reshape(n_cells, n_units)
    weight = cell_weights(p_type, p_level)
    picks = np.empty(len(weight), dtype=np.int64)
    for start in range(0, len(weight), CHUNK):
        part = weight[start : start + CHUNK]
        drawn = (part @ draws).reshape(len(part), n_units, -1)
        lower = np.quantile(drawn, 0.05, axis=-1)
        best = drawn[np.arange(len(part)), lower.argmax(axis=1)][:, None]
        adequate = (drawn >= best - margin - 1e-5).mean(axis=-1) >= confidence
        cost = np.where(adequate, part @ costs, np.inf)
        picks[start : start + CHUNK] = cost.argmin(axis=1)
    return picks


def outcomes_of(picks: Ints, pool: Pool) -> tuple[Floats, Floats]:
    """Look picks (k, n) up in the matrix.  Returns quality and cost, float64 (k, n) each."""
    rows = np.arange(len(pool))
    return pool.quality[rows, picks], pool.cost[rows, picks]


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
        to_strong = decile_picks(routing.rank[n_validation:])
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
