"""Efforts of one model beside each other: what is a fact, and what is a harness.

More effort costs more and does no worse.  A default effort that is dearer and worse than the same model's
``medium`` was mostly measured by another agent, on other tasks, or before a fix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.studies.shipped.ground import rounded
from router.evidence.table import Table

ORDER: Final = ("none", "low", "medium", "high", "xhigh", "max")
DOMINATING: Final = ("medium", "high")

OUT_OF_ORDER: Final = 0.01
"""Chances of success that more effort may lose on average over all cells."""

MOST: Final = 0.5


@dataclass(frozen=True, slots=True)
class Effort:
    """A unit that is out of order beside another of its model: over all cells, the mean differences.

    ``what`` is "dominated", "worse with more effort" or "cheaper with more effort"; ``cells`` is the share
    of cells in which it is so; ``quality`` and ``cost`` are its mean quality less the other's, and the
    geometric mean of its cost over the other's.
    """

    what: str
    unit: str
    beside: str
    cells: float
    quality: float
    cost: float
    items: int
    items_beside: int


def efforts_of(table: Table) -> tuple[Effort, ...]:
    """Compare the efforts of every model that has several."""
    by_model: dict[str, dict[str | None, int]] = {}
    for i, unit in enumerate(table.units):
        by_model.setdefault(unit.model, {})[unit.effort] = i
    found: list[Effort] = []
    for units in by_model.values():
        default = units.get(None)
        for name in DOMINATING:
            if default is not None and name in units:
                other = units[name]
                both = _dearer(table, default, other) & _worse(table, default, other)
                if both.mean() > MOST:
                    found.append(_written(table, "dominated", default, other, both))
        ordered = [units[name] for name in ORDER if name in units]
        found += _out_of_order(table, ordered)
    return tuple(found)


def _out_of_order(table: Table, ordered: Sequence[int]) -> list[Effort]:
    """Compare each effort with the next one."""
    found = []
    for less, more in zip(ordered, ordered[1:], strict=False):
        if (table.quality[..., less] - table.quality[..., more]).mean() > OUT_OF_ORDER:
            worse = _worse(table, more, less)
            found.append(_written(table, "worse with more effort", more, less, worse))
        if _ratio(table, more, less) < 1:
            cheaper = _dearer(table, less, more)
            found.append(_written(table, "cheaper with more effort", more, less, cheaper))
    return found


def _worse(table: Table, one: int, other: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.asarray(table.quality[..., one] < table.quality[..., other])


def _dearer(table: Table, one: int, other: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.asarray(table.cost_usd[..., one] > table.cost_usd[..., other])


def _ratio(table: Table, one: int, other: int) -> float:
    usd = np.maximum(table.cost_usd, 1e-12)
    return float(np.exp(np.log(usd[..., one] / usd[..., other]).mean()))


def _written(
    table: Table,
    what: str,
    one: int,
    other: int,
    cells: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
) -> Effort:
    items = table.items.sum(axis=(0, 1))
    return Effort(
        what=what,
        unit=str(table.units[one]),
        beside=str(table.units[other]),
        cells=rounded(cells.mean()),
        quality=rounded((table.quality[..., one] - table.quality[..., other]).mean()),
        cost=rounded(_ratio(table, one, other)),
        items=int(items[one]),
        items_beside=int(items[other]),
    )
