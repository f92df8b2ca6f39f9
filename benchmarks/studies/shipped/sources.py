"""The shipped table on benchmarks that it was not fitted on, one left out at a time.

For each, quality and costs are fitted without it, the dial is set as the build sets it (on the mix, and
on outcomes of the other benchmarks, decided by tables that were fitted without their fold; those five
are fitted once, so they have seen the benchmark: what leaks is one price a stop), and the rule
decides for its items among the units that ran it, by the shipped reading of an item's text.

The best single unit is twice meant: the one that the refitted table thinks best for these items, which
is what somebody would have taken who did not know the outcomes, and the one that turned out best.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np

from benchmarks.judge.measures import Interval
from benchmarks.studies.shipped.ground import (
    Array32,
    Mask,
    Progress,
    Refit,
    Shipped,
    Slice,
    interval,
    parts_of,
    refit,
    resampled,
    rounded,
)
from benchmarks.table.build import SEED
from benchmarks.table.calibrate import LeftOut, calibrate
from benchmarks.table.choose import prospect_of
from benchmarks.table.item_response import Floats, Ints
from benchmarks.table.traffic import N_FOLDS, traffic_of
from classifier.tasks import TYPES
from router.decision.rule import enough
from router.evidence.table import Table
from router.values import DIALS, Dial

MIN_BILLED: Final = 0.5
"""A cost share is told where both bills are known of so many of the items."""


@dataclass(frozen=True, slots=True)
class SourceGap:
    """What a stop gave up on one benchmark that the table had not seen.

    ``gap`` is to the best single unit as known without it, ``gap_hindsight`` to the one that turned out
    best; ``cost_share`` of the former's dollars.  ``read`` of the ``items`` have a text and were read.
    """

    source: str
    agent: str
    task: str
    items: int
    read: int
    units: int
    dial: str
    margin: float
    single: str
    hindsight: str
    picked: str
    """The unit that serves the most of its items."""
    gap: Interval
    gap_hindsight: Interval
    cost_share: Interval | None
    expected: float
    """The gap that the table expected."""

    @property
    def broken(self) -> bool:
        """Whether the gap is over the margin."""
        return self.gap.value > self.margin

    @property
    def refuted(self) -> bool:
        """Whether all of its interval is."""
        return self.gap.low > self.margin


@dataclass(frozen=True, slots=True)
class StopGap:
    """A stop over all benchmarks, every type weighing the same, within a type its items."""

    dial: str
    margin: float
    sources: int
    broken: int
    refuted: int
    gap: Interval
    gap_hindsight: Interval
    cost_share: Interval
    """Over the benchmarks whose bills are known, dollars of each relative to its single's."""
    expected: float
    prices: tuple[float, float]
    """The least and the largest price of worth that the stop got."""


@dataclass(frozen=True, slots=True)
class _Played:
    """One benchmark at one stop: per item scores and dollars of the pick and of both singles."""

    found: SourceGap
    weight: Floats
    lost: Floats
    lost_hindsight: Floats
    items: Ints
    share: Floats | None
    price: float


def leave_sources_out(
    ground: Shipped, read: tuple[Array32, Array32, Mask], progress: Progress
) -> tuple[tuple[SourceGap, ...], tuple[StopGap, ...]]:
    """Leave out every benchmark with outcomes enough, one at a time."""
    parts = list(parts_of(ground))
    kinds = [ground.cell[0][part.items] for part in parts]
    n_of_kind = np.bincount(np.concatenate(kinds), minlength=len(TYPES))
    held = list(_held(ground, parts, n_of_kind, progress))
    weights = resampled(ground.look_alike)
    played: list[_Played] = []
    names = sorted({part.source for part in parts})
    for k, source in enumerate(names):
        progress(f"left out {source} ({k + 1} of {len(names)})")
        seen = ground.source[ground.problem.item] != source
        refitted = refit(ground, seen, source=source)
        table = _dialled(ground, refitted, [part for name, part in held if name != source])
        for part, kind in zip(parts, kinds, strict=True):
            if part.source == source:
                weight = 1 / n_of_kind[kind]
                played += [
                    _play(table, part, read, kind, weight, weights[:, part.items], dial)
                    for dial in DIALS.values()
                ]
    stops = [_over_all(played, weights, dial) for dial in DIALS.values()]
    return tuple(p.found for p in played), tuple(stops)


def _held(
    ground: Shipped, parts: Sequence[Slice], n_of_kind: Ints, progress: Progress
) -> Iterator[tuple[str, LeftOut]]:
    """Yield the outcomes that the dial is set on, and whose they are, as the build deals them."""
    names, index = np.unique(ground.look_alike, return_inverse=True)
    fold = np.asarray(np.random.default_rng(SEED).permutation(len(names))[index] % N_FOLDS)
    task, level = ground.cell
    for k in range(N_FOLDS):
        progress(f"fitted without fold {k + 1} of {N_FOLDS}")
        inside = np.asarray(fold == k, dtype=bool)
        table = refit(ground, np.logical_not(inside[ground.problem.item])).table
        for part in parts:
            here, known = np.flatnonzero(inside[part.items]), ~inside[part.items]
            if not len(here) or not known.any():
                continue
            items = part.items[here]
            p_type, p_level = ground.mix.drawn(task[items], level[items], SEED)
            own = table.kept(part.units.tolist())
            yield (
                part.source,
                LeftOut(
                    cache(
                        lambda margin, own=own, p_type=p_type, p_level=p_level: prospect_of(
                            own, p_type, p_level, margin
                        )
                    ),
                    part.scores[here],
                    1 / n_of_kind[task[items]],
                    int(np.nanmean(part.scores[known], axis=0).argmax()),
                ),
            )


def _dialled(ground: Shipped, refitted: Refit, held: Sequence[LeftOut]) -> Table:
    """Set the dial of a refitted table on the mix, and on outcomes."""
    serves, posterior, mix = ground.serves, refitted.posterior, ground.mix
    traffic = traffic_of(
        refitted.table.kept(serves.tolist()), posterior.draws[:, :, serves], mix, mix.uniform()
    )
    return posterior.table([found.stop for found in calibrate(traffic, held).values()])


def _play(
    table: Table,
    part: Slice,
    read: tuple[Array32, Array32, Mask],
    kind: Ints,
    weight: Floats,
    weights: Floats,
    dial: Dial,
) -> _Played:
    """Decide for the items of one benchmark, and look up what came of it."""
    own = table.kept(part.units.tolist())
    outlook = prospect_of(own, read[0][part.items], read[1][part.items], dial.margin)
    ran = np.isfinite(part.scores)
    near = outlook.near & ran
    price = table.price_of(dial.margin)
    none = ~near.any(axis=1, keepdims=True)
    picks = replace(outlook, near=near | (ran & none)).picks(price)
    rows = np.arange(len(part.items))
    may = enough(own.items.sum(axis=(0, 1)))
    single = int(np.where(may, outlook.quality.mean(axis=0), -np.inf).argmax())
    hindsight = int(np.nanmean(part.scores, axis=0).argmax())
    got = part.scores[rows, picks]
    lost, lost_hindsight = (part.scores[:, one] - got for one in (single, hindsight))
    usd, of_single = part.usd[rows, picks], part.usd[:, single]
    billed = np.isfinite(usd) & np.isfinite(of_single)
    share, told = None, None
    if billed.mean() >= MIN_BILLED and of_single[billed].sum() > 0:
        w = weights[:, billed]
        share = w @ usd[billed] / (w @ of_single[billed])
        told = interval(usd[billed].sum() / of_single[billed].sum(), share)
    hoped = outlook.quality[rows, single] - outlook.quality[rows, picks]
    found = SourceGap(
        source=part.source,
        agent=part.agent,
        task=TYPES[int(np.bincount(kind).argmax())],
        items=len(part.items),
        read=int(read[2][part.items].sum()),
        units=len(part.units),
        dial=dial.name,
        margin=dial.margin,
        single=str(own.units[single]),
        hindsight=str(own.units[hindsight]),
        picked=str(own.units[int(np.bincount(picks).argmax())]),
        gap=_mean(lost, weights),
        gap_hindsight=_mean(lost_hindsight, weights),
        cost_share=told,
        expected=rounded(hoped.mean()),
    )
    return _Played(found, weight, lost, lost_hindsight, part.items, share, price)


def _mean(lost: Floats, weights: Floats) -> Interval:
    """Mean over the items where it is known."""
    known = np.isfinite(lost)
    w = weights[:, known]
    return interval(lost[known].mean(), w @ lost[known] / w.sum(axis=1))


def _over_all(played: Sequence[_Played], weights: Floats, dial: Dial) -> StopGap:
    """Sum a stop up."""
    mine = [p for p in played if p.found.dial == dial.name]
    weight = np.concatenate([p.weight for p in mine])
    items = np.concatenate([p.items for p in mine])
    gaps = []
    for lost in ([p.lost for p in mine], [p.lost_hindsight for p in mine]):
        together = np.concatenate(lost)
        known = np.isfinite(together)
        w, of_items = weight[known], weights[:, items[known]]
        drawn = of_items @ (w * together[known]) / (of_items @ w)
        gaps.append(interval(w @ together[known] / w.sum(), drawn))
    billed = [p for p in mine if p.share is not None and p.found.cost_share is not None]
    w = np.array([p.weight.sum() for p in billed])
    shares = np.array([p.found.cost_share.value for p in billed if p.found.cost_share])
    drawn_shares = np.array([p.share for p in billed])
    expected = np.array([p.found.expected for p in mine])
    size = np.array([p.weight.sum() for p in mine])
    prices = [p.price for p in mine]
    return StopGap(
        dial=dial.name,
        margin=dial.margin,
        sources=len(mine),
        broken=sum(p.found.broken for p in mine),
        refuted=sum(p.found.refuted for p in mine),
        gap=gaps[0],
        gap_hindsight=gaps[1],
        cost_share=interval(w @ shares / w.sum(), w @ drawn_shares / w.sum())
        if billed
        else Interval(float("nan"), float("nan"), float("nan")),
        expected=rounded(size @ expected / size.sum()),
        prices=(rounded(min(prices)), rounded(max(prices))),
    )
