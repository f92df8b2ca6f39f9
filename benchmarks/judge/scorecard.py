"""Every measure of a routing in one table, and what each needs to be taken.

A routing is replayed once.  A resample weighs the same outcomes anew, so that a measure is a
function of weighted means under b rows of weights, and gives b numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.judge import measures
from benchmarks.judge.measures import Curve, Floats, weighted_means
from benchmarks.judge.pool import Pool
from benchmarks.judge.replay import Marks, Trace


@dataclass(frozen=True, slots=True)
class Resampled:
    """What a routing and the single models come to under each of b rows of item weights.

    ``cost`` and ``quality`` (b, k) at the k settings of the routing, ``model_cost`` and
    ``model_quality`` (b, m) of the m models; ``chosen`` is the validated setting.  ``share`` and
    ``share_quality`` (b, 11) are those of ``Trace``.  ``in_arena``: dollars in its range.
    """

    cost: Floats
    quality: Floats
    model_cost: Floats
    model_quality: Floats
    chosen: int
    marks: Marks
    in_arena: bool
    share: Floats | None
    share_quality: Floats | None

    @property
    def chosen_cost(self) -> Floats:
        """Mean cost at the validated setting, (b,)."""
        return self.cost[:, self.chosen]

    @property
    def chosen_quality(self) -> Floats:
        """Mean quality at the validated setting, (b,)."""
        return self.quality[:, self.chosen]

    @property
    def best_cost(self) -> Floats:
        """Mean cost of the best model, (b,)."""
        return self.model_cost[:, self.marks.best]

    @property
    def best_quality(self) -> Floats:
        """Mean quality of the best model, (b,)."""
        return self.model_quality[:, self.marks.best]

    def curves(self) -> list[Curve]:
        """Curves that may mix with the cheapest model, as anybody could.

        A policy that cannot be cheap is not given its own quality at prices it never pays.
        """
        weak = self.marks.weak
        return [
            Curve(np.append(cost, model_cost[weak]), np.append(quality, model_quality[weak]))
            for cost, quality, model_cost, model_quality in zip(
                self.cost, self.quality, self.model_cost, self.model_quality, strict=True
            )
        ]

    def shares(self) -> list[tuple[Curve, float, float]]:
        """Quality over the share of strong calls, and the quality of weak and of strong."""
        assert self.share is not None
        assert self.share_quality is not None
        weak, strong = (self.model_quality[:, m] for m in (self.marks.weak, self.marks.strong))
        pairs = zip(self.share, self.share_quality, weak, strong, strict=True)
        return [(Curve(share, quality), low, high) for share, quality, low, high in pairs]


def resample(found: Trace, test: Pool, weights: Floats, marks: Marks) -> Resampled:
    """Weigh a routing's and the models' outcomes by every row of item weights (b, n)."""
    dearest = test.cost.mean(axis=0).max()
    return Resampled(
        cost=weighted_means(weights, found.cost),
        quality=weighted_means(weights, found.quality),
        model_cost=weighted_means(weights, test.cost.T),
        model_quality=weighted_means(weights, test.quality.T),
        chosen=found.chosen,
        marks=marks,
        in_arena=test.cost_unit == "usd" and bool(dearest < measures.ARENA_MAX_USD / 1000),
        share=None if found.share is None else weighted_means(weights, found.share),
        share_quality=(
            None if found.share_quality is None else weighted_means(weights, found.share_quality)
        ),
    )


# What a measure needs.


def no_more(_: Resampled) -> bool:
    """Any routing will do."""
    return True


def a_dial(sample: Resampled) -> bool:
    """Several settings: a constant or a named stop has no curve."""
    return len(sample.quality.T) > 1


def arena_dollars(sample: Resampled) -> bool:
    """Dollars within the arena's range."""
    return sample.in_arena


def two_ranked_models(sample: Resampled) -> bool:
    """A pool of two, and a rank of the items by their need of the stronger."""
    return sample.share is not None


# How it is taken; float64 (b,) each.


def share_of(part: Floats, whole: Floats) -> Floats:
    """Divide; NaN where the whole is nothing, as when the best model is free."""
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)


def quality_over_hull(sample: Resampled) -> Floats:
    """Quality above what mixing single models buys at the same cost."""
    edges = [
        measures.hull(Curve(cost, quality))
        for cost, quality in zip(sample.model_cost, sample.model_quality, strict=True)
    ]
    mixed = [
        np.interp(cost, edge.cost, edge.quality)
        for cost, edge in zip(sample.chosen_cost, edges, strict=True)
    ]
    return np.asarray(sample.chosen_quality - np.array(mixed))


def mean_quality_of_hull(sample: Resampled) -> Floats:
    """AIQ over the costs from the cheapest to the dearest model."""
    low, high = sample.model_cost.min(axis=1), sample.model_cost.max(axis=1)
    spans = zip(sample.curves(), low, high, strict=True)
    return np.array([measures.aiq(curve, a, b) for curve, a, b in spans])


def share_saved(sample: Resampled) -> Floats:
    """Share of the best model's cost saved at 95% of its quality."""
    tops = zip(sample.curves(), sample.best_quality, sample.best_cost, strict=True)
    return np.array([measures.saved_at(curve, quality, cost) for curve, quality, cost in tops])


def arena(sample: Resampled) -> Floats:
    """Arena score at the validated setting."""
    pairs = zip(sample.chosen_quality, sample.chosen_cost, strict=True)
    return np.array([measures.arena_score(quality, cost) for quality, cost in pairs])


def gap_recovered(sample: Resampled) -> Floats:
    """APGR at RouteLLM's thresholds."""
    return np.array([measures.apgr(*two) for two in sample.shares()])


def calls_to_recover(part: float) -> Callable[[Resampled], Floats]:
    """CPT: the share of strong calls that recovers this part of the gap."""
    return lambda sample: np.array([measures.cpt(*two, part) for two in sample.shares()])


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure by name: what it needs of a routing, and how it is taken; float64 (b,)."""

    name: str
    needs: Callable[[Resampled], bool]
    of: Callable[[Resampled], Floats]


MEASURES: Final = (
    Measure("quality", no_more, lambda sample: sample.chosen_quality),
    Measure("cost", no_more, lambda sample: sample.chosen_cost),
    Measure("cost_share", no_more, lambda sample: share_of(sample.chosen_cost, sample.best_cost)),
    Measure(
        "quality_share",
        no_more,
        lambda sample: share_of(sample.chosen_quality, sample.best_quality),
    ),
    Measure("over_hull", no_more, quality_over_hull),
    Measure("aiq", a_dial, mean_quality_of_hull),
    Measure("saved", a_dial, share_saved),
    Measure("arena", arena_dollars, arena),
    Measure("apgr", two_ranked_models, gap_recovered),
    Measure("cpt50", two_ranked_models, calls_to_recover(0.5)),
    Measure("cpt80", two_ranked_models, calls_to_recover(0.8)),
)
"""Every measure, in the order in which an evaluation lists them."""


def measure(found: Trace, test: Pool, weights: Floats, marks: Marks) -> dict[str, Floats]:
    """Take every measure that can be under every row of item weights (b, n); float64 (b,) each."""
    sample = resample(found, test, weights, marks)
    return {each.name: each.of(sample) for each in MEASURES if each.needs(sample)}
