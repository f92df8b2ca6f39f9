"""Published measures of routing, by their exact formulas, and the intervals we put on them.

A policy with a dial is a *curve*: the mean cost and mean quality of its picks at each setting.
Every measure below is a function of such a curve and of the single models' means, so that one
bootstrap serves them all: resample the groups of items, recompute the means, measure again.

* **APGR, CPT** (RouteLLM, https://arxiv.org/abs/2406.18665).  As ``routellm/evals/evaluate.py``
  at 0aa24fd computes them: the ranking score is cut at its deciles, the eleven points are
  sorted by the share of strong calls, the area under quality is taken by trapezoids, and the
  gap that the area recovers is divided by the gap between strong and weak over the same span.
* **AIQ** (RouterBench, https://arxiv.org/abs/2403.12031, section 3).  The area under the
  non-decreasing convex hull of (cost, quality) points, over costs from the cheapest to the
  dearest single model, divided by that span: a mean quality.  That is the paper's form; their
  ``evaluation/AIQ.py`` at 30e0925 starts at a curve's own first point and divides by the
  dearest cost, which is up to 0.015 lower here.  The numbers in our notes are of this form.
* **Arena score** (RouterArena, https://arxiv.org/abs/2510.00202), as its
  ``compute_arena_score``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

N_BINS: Final = 10
"""RouteLLM cuts the ranking score into this many equally filled bins (``--num-results``)."""

ARENA_BETA: Final = 0.1
ARENA_MAX_USD: Final = 200.0
ARENA_MIN_USD: Final = 0.0044
"""RouterArena's constants; dollars per 1,000 queries."""

KEPT_QUALITY: Final = 0.95
"""The share of the best model's quality at which savings are quoted, as in our notes."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Mean cost and quality of a policy's picks at k settings of its dial; float64 (k,) each."""

    cost: Floats
    quality: Floats


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its two-sided 95% bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Write ``0.664 [0.650, 0.678]``."""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference with this interval is told apart from none."""
        return self.low > 0 or self.high < 0


def decile_picks(rank: Floats) -> NDArray[np.bool_]:
    """Say who goes to the strong model at each of RouteLLM's thresholds.

    ``rank`` is (n,), higher meaning the strong model is needed more.  Returns bool
    (N_BINS + 1, n), from everybody to nobody: the last threshold alone is strict.
    """
    thresholds = np.quantile(rank, np.linspace(0, 1, N_BINS + 1))
    strong = rank[None, :] >= thresholds[:, None]
    strong[-1] = rank > thresholds[-1]
    return strong


def apgr(curve: Curve, weak: float, strong: float) -> float:
    """Average performance gap recovered; ``curve.cost`` is the share of strong calls in [0, 1].

    Above 1 is possible: an oracle beats the strong model.  NaN when the curve has no span.
    """
    order = np.argsort(curve.cost, kind="stable")
    share, quality = curve.cost[order], curve.quality[order]
    span = share[-1] - share[0]
    if span <= 0 or strong == weak:
        return float("nan")
    area = float(np.trapezoid(quality, share))
    return float((area - weak * span) / ((strong - weak) * span))


def cpt(curve: Curve, weak: float, strong: float, recovered: float) -> float:
    """Call-performance threshold: the share of strong calls that recovers this part of the gap.

    Interpolated over quality as RouteLLM does (``np.interp``), after sorting by share; where
    quality is not monotone the running maximum stands in, which np.interp needs.
    """
    order = np.argsort(curve.cost, kind="stable")
    quality = np.maximum.accumulate(curve.quality[order])
    return float(np.interp(weak + recovered * (strong - weak), quality, curve.cost[order]))


def hull(curve: Curve) -> Curve:
    """Return the non-decreasing convex hull: the best quality that mixing settings buys.

    Costs and qualities of the result rise strictly, slopes fall strictly.
    """
    points: list[tuple[float, float]] = []
    for i in np.lexsort((-curve.quality, curve.cost)):
        x, y = float(curve.cost[i]), float(curve.quality[i])
        if points and y <= points[-1][1]:
            continue
        while len(points) > 1 and _below(points[-2], points[-1], (x, y)):
            points.pop()
        points.append((x, y))
    cost, quality = np.array(points).T
    return Curve(cost, quality)


def _below(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    """Whether ``b`` lies on or under the line from ``a`` to ``c``."""
    return (b[1] - a[1]) * (c[0] - a[0]) <= (c[1] - a[1]) * (b[0] - a[0])


def aiq(curve: Curve, low: float, high: float) -> float:
    """Average quality of the hull over costs from ``low`` to ``high``; see the module's text."""
    if high <= low:
        return float(hull(curve).quality[-1])
    edge = hull(curve)
    inside = edge.cost[(edge.cost > low) & (edge.cost < high)]
    cost = np.concatenate(([low], inside, [high]))
    return float(np.trapezoid(np.interp(cost, edge.cost, edge.quality), cost)) / (high - low)


def cost_at(curve: Curve, quality: float) -> float:
    """Least cost at which the hull reaches a quality; infinite when it never does."""
    edge = hull(curve)
    if quality > edge.quality[-1]:
        return float("inf")
    return float(np.interp(quality, edge.quality, edge.cost))


def saved_at(
    curve: Curve, best_quality: float, best_cost: float, kept: float = KEPT_QUALITY
) -> float:
    """Share of the best model's cost that is saved while keeping this share of its quality.

    Zero when the curve never gets there: the best model must then serve.
    """
    cost = cost_at(curve, kept * best_quality)
    return 1.0 - cost / best_cost if np.isfinite(cost) and best_cost > 0 else 0.0


def arena_score(quality: float, usd_per_query: float) -> float:
    """RouterArena's score of an accuracy and a mean cost; costs are cut to its range."""
    cost = float(np.clip(1000 * usd_per_query, ARENA_MIN_USD, ARENA_MAX_USD))
    cheap = np.log2(ARENA_MAX_USD / cost) / np.log2(ARENA_MAX_USD / ARENA_MIN_USD)
    down = ARENA_BETA * quality + cheap
    return float((1 + ARENA_BETA) * quality * cheap / down) if down > 0 else 0.0


def resamples(n_groups: int, n_samples: int, seed: int) -> Floats:
    """Draw bootstrap weights of groups, float64 (n_samples + 1, n_groups).

    The first row is all ones, the sample itself.  Weights are those of drawing as many groups
    as there are, with replacement; items of a group come and go together.
    """
    rng = np.random.default_rng(seed)
    p = np.full(n_groups, 1.0 / n_groups)
    drawn = rng.multinomial(n_groups, p, size=n_samples).astype(np.float64)
    return np.vstack((np.ones(n_groups), drawn))


def weighted_means(weights: Floats, values: Floats) -> Floats:
    """Mean of each row of ``values`` (k, n) under each row of ``weights`` (b, n); (b, k)."""
    return np.asarray((weights @ values.T) / weights.sum(axis=1, keepdims=True))


def interval(values: Floats) -> Interval:
    """Turn a statistic over ``resamples`` (the sample first) into a value and its interval."""
    drawn = values[1:][np.isfinite(values[1:])]
    low, high = np.quantile(drawn, (0.025, 0.975)) if len(drawn) else (np.nan, np.nan)
    return Interval(float(values[0]), float(low), float(high))
