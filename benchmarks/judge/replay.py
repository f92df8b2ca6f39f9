"""Replay routing policies on recorded outcomes: which model each item would have got.  No network.

A *pool* is a complete matrix of outcomes: every item has a score and a cost from every model.
A policy turns a training part of a pool into a *routing* of the items of another part: the
model each item gets at every setting of the policy's dial.  Replaying a routing looks the picks
up in the matrix.

Ours is the product itself: the classifier's reading of the prompt, a cost-quality table fitted
on the training part alone, and the rule of ``router.decision.policy``.  ``adequate_picks`` is that rule
over many items at once; a test holds it to ``decide`` item by item.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.judge.measures import Curve, Floats, Ints, weighted_means
from classifier.conversation import Conversation
from classifier.model import Assessment
from router.decision.adequacy import adequacy
from router.evidence.table import Table
from router.values import Dial

Array32 = NDArray[np.float32]

N_SETTINGS: Final = 120
"""Settings of the continuous dial."""

CHUNK: Final = 256
"""Items compared at a time: 256 × 34 units × 200 draws of float32 are 7 MB."""

CELL_WEIGHT: Final = 1e-3
"""Cells under this weight are left out, as in ``Table.expect``."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Outcomes of m models on n items, complete.

    ``quality`` float64 (n, m) in [0, 1]; ``cost`` float64 (n, m), dollars, or the share of
    strong calls where ``cost_unit`` is "calls".  ``groups`` int64 (n,): items that must not be
    torn apart.  ``p_type`` (n, 23) and ``p_level`` (n, 4) are the classifier's reading.
    """

    items: tuple[str, ...]
    texts: tuple[str, ...]
    families: tuple[str, ...]
    groups: Ints
    models: tuple[str, ...]
    quality: Floats
    cost: Floats
    p_type: Array32
    p_level: Array32
    cost_unit: str = "usd"

    def __len__(self) -> int:
        """Count the items."""
        return len(self.items)

    def take(self, index: Ints) -> Pool:
        """Return the pool of some of the items."""
        return replace(
            self,
            items=tuple(self.items[i] for i in index),
            texts=tuple(self.texts[i] for i in index),
            families=tuple(self.families[i] for i in index),
            groups=self.groups[index],
            quality=self.quality[index],
            cost=self.cost[index],
            p_type=self.p_type[index],
            p_level=self.p_level[index],
        )

    @property
    def best(self) -> int:
        """The model of the highest mean quality; the cheaper one of equals."""
        return int(np.lexsort((self.cost.mean(axis=0), -self.quality.mean(axis=0)))[0])

    @property
    def cheapest(self) -> int:
        """The model of the lowest mean cost; the better one of equals."""
        return int(np.lexsort((-self.quality.mean(axis=0), self.cost.mean(axis=0)))[0])

    def frame(self) -> pl.DataFrame:
        """Write the outcomes in long form, as ``benchmarks.table.build.fit_table`` takes them."""
        n, m = self.quality.shape
        return pl.DataFrame(
            {
                "item": np.repeat(np.arange(n), m),
                "unit": list(self.models) * n,
                "score": self.quality.ravel(),
                "cost_usd": self.cost.ravel(),
            }
        )


@dataclass(frozen=True, slots=True)
class Split:
    """Indices of the training, validation and test items; groups never straddle."""

    train: Ints
    validation: Ints
    test: Ints


@dataclass(frozen=True, slots=True)
class Routing:
    """What a policy does with n items: int64 picks (k, n) at k settings of its dial.

    ``rank`` (n,), where there is one, orders items by how much they need a stronger model;
    two-model measures cut it at their own thresholds.
    """

    picks: Ints
    rank: Floats | None = None


class Assesses(Protocol):
    """What the replay asks of a classifier."""

    def assess(self, conversation: Conversation) -> Assessment:
        """Read one conversation."""
        ...


def read_texts(classifier: Assesses, texts: Sequence[str]) -> tuple[Array32, Array32]:
    """Read prompts as a client's only turn.  Returns p_type (n, 23) and p_level (n, 4).

    An item without text gets the mean reading of the others: it is known to be of this pool
    and nothing else is.
    """
    read = [classifier.assess(Conversation(ask=t)) if t else None for t in texts]
    known = [a for a in read if a is not None] or [classifier.assess(Conversation(ask=""))]
    unread_type = np.mean([a.p_type for a in known], axis=0)
    unread_level = np.mean([a.p_level for a in known], axis=0)
    return (
        np.array([unread_type if a is None else a.p_type for a in read], dtype=np.float32),
        np.array([unread_level if a is None else a.p_level for a in read], dtype=np.float32),
    )


def split(groups: Ints, seed: int, *, test: float = 0.3, validation: float = 0.1) -> Split:
    """Deal whole groups into three parts; ``test`` and ``validation`` are shares of the items."""
    rng = np.random.default_rng(seed)
    _, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = rng.permutation(len(sizes))
    reached = np.cumsum(sizes[order]) / sizes.sum()
    part = np.empty(len(sizes), dtype=np.int64)
    part[order] = np.where(reached <= test, 2, np.where(reached <= test + validation, 1, 0))
    train, held, tested = (np.flatnonzero(part[index] == k) for k in range(3))
    if not (len(train) and len(tested)):
        raise ValueError(f"{len(sizes)} groups of items are too few to split")
    return Split(train, held if len(held) else train, tested)


def leave_out(pool: Pool, benchmark: str, seed: int, *, validation: float = 0.15) -> Split:
    """Test on one benchmark and train on the others; a group that is in both is tested."""
    inside = np.array([benchmark_of(family) == benchmark for family in pool.families])
    inside |= np.isin(pool.groups, pool.groups[inside])
    rest = np.flatnonzero(~inside)
    if not (inside.any() and len(rest)):
        raise ValueError(f"leaving {benchmark} out leaves nothing to test or to train on")
    parts = split(pool.groups[rest], seed, test=validation, validation=0.0)
    return Split(rest[parts.train], rest[parts.test], np.flatnonzero(inside))


def benchmark_of(family: str) -> str:
    """Return the benchmark of a ``benchmark/category`` family."""
    return family.split("/")[0]


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
    means = table.draws.mean(axis=3).reshape(weight.shape[1], -1)
    cost = table.cost_usd.reshape(weight.shape[1], -1)
    return (weight @ means).astype(np.float64), (weight @ cost).astype(np.float64)


def adequate_picks(table: Table, p_type: Array32, p_level: Array32, dial: Dial) -> Ints:
    """Pick the cheapest adequate unit of every item: ``router.decision.policy`` in bulk; int64 (n,)."""
    n_cells = table.draws.shape[0] * table.draws.shape[1]
    n_units = len(table.units)
    draws = np.ascontiguousarray(table.draws.reshape(n_cells, -1))
    costs = table.cost_usd.reshape(n_cells, n_units)
    weight = cell_weights(p_type, p_level)
    picks = np.empty(len(weight), dtype=np.int64)
    for start in range(0, len(weight), CHUNK):
        part = weight[start : start + CHUNK]
        drawn = (part @ draws).reshape(len(part), n_units, -1)
        picks[start : start + CHUNK] = _cheapest_adequate(drawn, part @ costs, dial)
    return picks


def _cheapest_adequate(draws: Array32, cost: Array32, dial: Dial) -> Ints:
    """Apply the policy's rule to draws (n, U, K) and cost (n, U)."""
    _, p_adequate = adequacy(draws, dial.margin)
    adequate = p_adequate >= dial.confidence
    return np.asarray(np.where(adequate, cost, np.inf).argmin(axis=1), dtype=np.int64)


def outcomes_of(picks: Ints, pool: Pool) -> tuple[Floats, Floats]:
    """Look picks (k, n) up in the matrix.  Returns quality and cost, float64 (k, n) each."""
    rows = np.arange(len(pool))
    return pool.quality[rows, picks], pool.cost[rows, picks]


def curve_of(picks: Ints, pool: Pool, weights: Floats | None = None) -> Curve:
    """Mean cost and quality of a routing's picks, one point per setting."""
    quality, cost = outcomes_of(picks, pool)
    weight = np.ones((1, len(pool))) if weights is None else weights[None, :]
    return Curve(weighted_means(weight, cost)[0], weighted_means(weight, quality)[0])
