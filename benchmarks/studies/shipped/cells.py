"""What is picked in every cell, and whether that makes sense beside its neighbours.

Readings are sure, and nobody takes over.  A *breach* is what a person would call absurd: a harder task
of the same type goes to a unit that costs less, or that is expected to do worse on it, than the one
that serves the easier; a stricter stop takes a cheaper unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.studies.shipped.before import picks_before
from benchmarks.studies.shipped.ground import Array32, one_hot, rounded
from benchmarks.table.build import Posterior
from benchmarks.table.choose import Prospect, prospect_of
from benchmarks.table.item_response import Floats, Ints
from benchmarks.table.quality import EVERY_CELL
from classifier.tasks import LEVELS, N_LEVELS, TYPES
from router.decision.ladder import rungs_of
from router.decision.rule import FEW_ITEMS, GUARD, THIN_ITEMS, compare
from router.evidence.table import Table
from router.values import DIALS

ALIKE: Final = 1e-3
"""Costs within this share of each other, and chances of success within as much, are the same."""


@dataclass(frozen=True, slots=True)
class Pick:
    """Who serves a cell at a stop, as its own table sees it."""

    task: str
    level: int
    dial: str
    unit: str
    quality: float
    cost_usd: float
    items: int
    """Of the unit, in all cells."""
    p_within: float
    """Probability that it is within the margin of the best."""
    best: str


@dataclass(frozen=True, slots=True)
class Passed:
    """A unit that is at least as good as the pick, and cheaper, and does not serve: why, and where.

    ``cells`` counts cells and stops; the example is the one in which most dollars go lost.
    """

    unit: str
    why: str
    items: int
    cells: int
    example: str


@dataclass(frozen=True, slots=True)
class Sense:
    """Counts over all cells and stops."""

    table: str
    picks: int
    cheaper_when_harder: int
    weaker_when_harder: int
    cheaper_when_stricter: int
    few_items: int
    """Picks of units with fewer than ten items where another could serve."""
    thin: int
    """Picks of units with ten to twenty-nine."""
    thin_p_within: float
    """The least probability of being within the margin among those."""
    outside: int
    """Picks outside today's guard: today only who serves on from an easier level."""
    costs_fall: int
    """Units and types whose cost falls from a level to the next."""
    passed_over: int


def picks_after(table: Table) -> dict[str, Ints]:
    """Pick in every cell, (T × L,), by stop."""
    reading = one_hot(*EVERY_CELL)
    return {
        name: prospect_of(table, *reading, dial.margin).picks(table.price_of(dial.margin))
        for name, dial in DIALS.items()
    }


def picks_as_before(posterior: Posterior) -> dict[str, Ints]:
    """Pick in every cell as the old rule did."""
    reading = one_hot(*EVERY_CELL)
    return {name: picks_before(posterior, *reading, dial) for name, dial in DIALS.items()}


def written(table: Table, picks: Mapping[str, Ints]) -> list[Pick]:
    """Write the picks out, by stop, type and level."""
    quality, cost = _cells(table.quality), _cells(table.cost_usd)
    spread = _cells(table.spread)
    items = table.items.sum(axis=(0, 1))
    best = _vouched(table)
    found = []
    for name, row in picks.items():
        for at, pick in enumerate(row.tolist()):
            lead = best[at]
            gap = quality[at, lead] - quality[at, pick]
            apart = np.hypot(spread[at, lead], spread[at, pick]) + 1e-9
            within = 1.0 if pick == lead else _phi((DIALS[name].margin - gap) / apart)
            found.append(
                Pick(
                    task=TYPES[at // N_LEVELS],
                    level=at % N_LEVELS + 1,
                    dial=name,
                    unit=str(table.units[pick]),
                    quality=rounded(quality[at, pick]),
                    cost_usd=float(f"{cost[at, pick]:.4g}"),
                    items=int(items[pick]),
                    p_within=rounded(within),
                    best=str(table.units[lead]),
                )
            )
    return found


def _phi(z: float) -> float:
    from math import erfc, sqrt

    return 0.5 * erfc(-z / sqrt(2))


def _vouched(table: Table) -> list[int]:
    """Return the unit that each cell's others are held against."""
    reading = one_hot(*EVERY_CELL)
    expected = [table.expect(*read) for read in zip(*reading, strict=True)]
    return [compare(e, DIALS["balanced"].margin).best for e in expected]


def _cells(column: Array32) -> Floats:
    return np.asarray(column.reshape(len(TYPES) * N_LEVELS, -1), dtype=float)


def passed_over(table: Table, picks: Mapping[str, Ints]) -> list[Passed]:
    """List units that are at least as good as a pick and cheaper, with what keeps them out."""
    quality, cost = _cells(table.quality), _cells(table.cost_usd)
    items = table.items.sum(axis=(0, 1))
    found: dict[tuple[int, str], list[tuple[float, str]]] = {}
    for name, row in picks.items():
        outlook = prospect_of(table, *one_hot(*EVERY_CELL), DIALS[name].margin)
        for at, pick in enumerate(row.tolist()):
            better = (quality[at] >= quality[at, pick]) & (cost[at] < cost[at, pick] * (1 - ALIKE))
            for unit in np.flatnonzero(better):
                why = _guard(outlook, at, int(unit))
                saves = cost[at, pick] - cost[at, unit]
                where = (
                    f"{TYPES[at // N_LEVELS]}, {LEVELS[at % N_LEVELS]}, {name}: {quality[at, unit]:.2f} for "
                    f"${cost[at, unit]:.3g}; {table.units[pick]} {quality[at, pick]:.2f} for ${cost[at, pick]:.3g}"
                )
                found.setdefault((int(unit), why), []).append((saves, where))
    return sorted(
        (
            Passed(str(table.units[unit]), why, int(items[unit]), len(cases), max(cases)[1])
            for (unit, why), cases in found.items()
        ),
        key=lambda passed: -passed.cells,
    )


def _guard(outlook: Prospect, at: int, unit: int) -> str:
    """Say what keeps a unit out of a cell."""
    expected = outlook.expected[at]
    standing = compare(expected, outlook.margin)
    items = expected.items[unit]
    if items < FEW_ITEMS:
        return "fewer than ten items"
    if standing.near[unit]:
        return "none"
    if items < THIN_ITEMS and standing.p_near(unit) >= GUARD:
        return "ten to 29 items, and not surely within the margin"
    return "not likely enough within the guard"


def _outside(table: Table, picks: Mapping[str, Ints]) -> int:
    cells = np.arange(len(TYPES) * N_LEVELS)
    near = {
        name: rungs_of(table, DIALS[name].margin).near.reshape(len(cells), -1) for name in picks
    }
    return sum(int((~near[name][cells, row]).sum()) for name, row in picks.items())


def sense(name: str, table: Table, picks: Mapping[str, Ints], passed: Sequence[Passed]) -> Sense:
    """Count breaches."""
    quality = table.quality.astype(float)
    cost = table.cost_usd.astype(float)
    items = table.items.sum(axis=(0, 1))
    grids = {
        dial: row.reshape(len(TYPES), N_LEVELS)
        for dial, row in sorted(picks.items(), key=lambda pair: DIALS[pair[0]].margin)
    }
    kinds, levels = np.indices((len(TYPES), N_LEVELS))
    cheaper = weaker = stricter = 0
    for grid in grids.values():
        easy, hard = grid[:, :-1], grid[:, 1:]
        k, harder = kinds[:, 1:], levels[:, 1:]
        cheaper += int(
            (cost[k, harder, hard] < cost[k, harder - 1, easy] * (1 - ALIKE) - 1e-12).sum()
        )
        weaker += int((quality[k, harder, hard] < quality[k, harder, easy] - ALIKE).sum())
    rows = list(grids.values())
    for strict, loose in zip(rows, rows[1:], strict=False):
        stricter += int(
            (cost[kinds, levels, strict] < cost[kinds, levels, loose] * (1 - ALIKE)).sum()
        )
    told = written(table, picks)
    thin = [p for p in told if FEW_ITEMS <= p.items < THIN_ITEMS]
    several = int((items >= FEW_ITEMS).sum()) > 0
    return Sense(
        table=name,
        picks=len(told),
        cheaper_when_harder=cheaper,
        weaker_when_harder=weaker,
        cheaper_when_stricter=stricter,
        few_items=sum(p.items < FEW_ITEMS for p in told) if several else 0,
        thin=len(thin),
        thin_p_within=min((p.p_within for p in thin), default=float("nan")),
        outside=_outside(table, picks),
        costs_fall=int((np.diff(cost, axis=1) < -ALIKE * cost[:, :-1]).any(axis=1).sum()),
        passed_over=sum(p.cells for p in passed),
    )
