"""A pool: every model's score and cost on every item, and how it is split.

A *pool* is a complete matrix of outcomes: every item has a score and a cost from every model.
Groups of look-alike items are never torn apart by a split.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.judge.measures import Floats, Ints

Array32 = NDArray[np.float32]


class CannotEvaluate(ValueError):
    """The data do not allow the evaluation that was asked for; the message says what would."""


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
        raise CannotEvaluate(
            f"the items fall into {len(sizes)} groups of look-alikes: too few, or too unlike in size, "
            "to split into training and test"
        )
    return Split(train, held if len(held) else train, tested)


def leave_out(pool: Pool, benchmark: str, seed: int, *, validation: float = 0.15) -> Split:
    """Test on one benchmark and train on the others; a group that is in both is tested."""
    inside = np.array([benchmark_of(family) == benchmark for family in pool.families])
    inside |= np.isin(pool.groups, pool.groups[inside])
    rest = np.flatnonzero(~inside)
    if not (inside.any() and len(rest)):
        raise CannotEvaluate(f"leaving {benchmark} out leaves nothing to test or to train on")
    parts = split(pool.groups[rest], seed, test=validation, validation=0.0)
    return Split(rest[parts.train], rest[parts.test], np.flatnonzero(inside))


def benchmark_of(family: str) -> str:
    """Return the benchmark of a ``benchmark/category`` family."""
    return family.split("/")[0]
