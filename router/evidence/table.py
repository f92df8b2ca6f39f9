"""The cost-quality table: what benchmark evidence says of every model on every kind of task.

A *cell* is a task type at a difficulty level; a *unit* is a model at a reasoning effort, which
is how models are measured and served.  The table is built only by ``benchmarks.table.build``; here
it is read, checked and looked up.  Of the posterior that it is built from a cell keeps what a
decision asks: the mean of a unit's chance of success, and how far that may be off *beside the other
units'*, because "not worse than the best" is a statement about a difference, and what all units
share (how hard the cell is) cancels out of it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from classifier.tasks import N_LEVELS, TYPES, taxonomy_fingerprint
from router.errors import BadArtefact
from router.evidence.catalogue import Catalogue, PriceList, price_list_of
from router.values import Unit

log = logging.getLogger(__name__)

Array = NDArray[np.float32]

TABLE_FILE: Final = "table.json"

FORMAT: Final = 2
"""Of the artefact; a table of another format is refused."""

MEASURED_ITEMS: Final = 30
"""A unit with so many items of its own in a cell is *measured* there: the standard error of a rate
over thirty items is 0.09 at most."""

DEFAULT_EFFORT: Final = "default"
"""How recorded outcomes and the artefact spell the provider's own effort."""


COLUMNS: Final = (
    "quality", "spread", "lower", "upper", "cost_usd", "cost_upper_usd", "items", "successes"
)  # fmt: skip
"""What is kept per cell and unit."""

UNCALIBRATED: Final = 1e6
"""Price of worth of a table that was not calibrated: success is all, and costs break ties."""

CELL_ITEMS: Final = 20
"""Of a unit's items in one cell so many count for what is said of it in other cells: a published total
over a hundred long tasks says little of short ones."""

LEAST_WEIGHT: Final = 1e-3
"""Cells under this share of a reading are left out."""


class Stop(NamedTuple):
    """A setting of the dial that a table was calibrated for."""

    margin: float
    """Probability of success that may be lost on average, in [0, 1]."""
    price: float
    """Dollars at which a unit of worth is bought (``router.decision.rule``)."""


class Expectation(NamedTuple):
    """What the table says of U units on one request: n cells that a reading weighs."""

    weight: Array
    """Of the cells, (n,); adds up to one."""
    cell: NDArray[np.int64]
    """Of the table's types × levels in order, which these are, (n,)."""
    level: NDArray[np.int64]
    """Of the cells, from 0, (n,)."""
    qualities: Array
    """Expected probability of success by cell, (n, U)."""
    costs: Array
    """Expected dollars of an ordinary task by cell, (n, U)."""
    quality: Array
    """The same over all cells, (U,)."""
    cost_usd: Array
    """The same over all cells, (U,)."""
    spread: Array
    """Standard deviation of ``quality`` beside the other units', (U,)."""
    measured: Array
    """Share of the weight in cells with MEASURED_ITEMS items of the unit and more, (U,)."""
    items: Array
    """Items of each unit that bear on the request, (U,): ``CELL_ITEMS`` of every cell of the table at most
    or, if more, its own cells'."""
    models: NDArray[np.int64]
    """Which units are of one model, (U,)."""

    def of(self, rows: Sequence[int] | NDArray[np.int64]) -> Expectation:
        """Return the same of some of the units."""
        return Expectation(
            self.weight,
            self.cell,
            self.level,
            self.qualities[:, rows],
            self.costs[:, rows],
            self.quality[rows],
            self.cost_usd[rows],
            self.spread[rows],
            self.measured[rows],
            self.items[rows],
            self.models[rows],
        )

    def with_qualities(self, qualities: Array) -> Expectation:
        """Return the same with other chances of success."""
        return self._replace(qualities=qualities, quality=self.weight @ qualities)


def unit_of(model: str, effort: str | None) -> Unit:
    """Return a unit whose effort is spelled as in files."""
    return Unit(model, None if effort in (None, DEFAULT_EFFORT) else effort)


class Backing(NamedTuple):
    """What a model was measured on, at whichever of its efforts was measured most."""

    items: int
    """In all cells together."""
    measured_cells: int
    """With MEASURED_ITEMS items and more."""


@dataclass(frozen=True, eq=False)
class Table:
    """Evidence per cell and unit; T types, L levels, U units.

    ``quality``, ``lower``, ``upper`` float32 (T, L, U): probability of success, its mean and one-sided
    95% bounds.  ``spread`` (T, L, U): its standard deviation beside the other units'.
    ``cost_usd``, ``cost_upper_usd`` float32 (T, L, U): realised dollars per task.
    ``items``, ``successes`` (T, L, U): direct evidence; zero items means borrowed.
    ``stops`` are what it was calibrated for, the smallest margin first; none: success is all.
    """

    units: tuple[Unit, ...]
    quality: Array
    spread: Array
    lower: Array
    upper: Array
    cost_usd: Array
    cost_upper_usd: Array
    items: Array
    successes: Array
    version: str
    meta: dict[str, Any]
    stops: tuple[Stop, ...] = ()
    rates: PriceList | None = None
    """What a token costs with each unit, by the catalogue that the table goes with."""

    def expect(self, p_type: Array, p_level: Array) -> Expectation:
        """Average the table over a classifier's distribution."""
        weight = np.outer(p_type, p_level).astype(np.float32)
        types, levels = np.nonzero(weight > LEAST_WEIGHT)
        w = weight[types, levels]
        w /= w.sum()
        qualities, costs = self.quality[types, levels], self.cost_usd[types, levels]
        counts = self.items[types, levels]
        return Expectation(
            weight=w,
            cell=types * N_LEVELS + levels,
            level=levels,
            qualities=qualities,
            costs=costs,
            quality=w @ qualities,
            cost_usd=w @ costs,
            spread=np.sqrt(w**2 @ self.spread[types, levels] ** 2),
            measured=w @ (counts >= MEASURED_ITEMS).astype(np.float32),
            items=np.maximum(self.spread_out, w @ counts),
            models=self._models,
        )

    @cached_property
    def spread_out(self) -> Array:
        """Items of each unit, ``CELL_ITEMS`` of a cell at most, (U,)."""
        return np.asarray(np.minimum(self.items, CELL_ITEMS).sum(axis=(0, 1)))

    @cached_property
    def backing(self) -> dict[str, Backing]:
        """Model → what it was measured on."""
        counts = self.items.reshape(-1, len(self.units))
        items, measured = counts.sum(axis=0), (counts >= MEASURED_ITEMS).sum(axis=0)
        found: dict[str, Backing] = {}
        for unit, n, cells in zip(self.units, items, measured, strict=True):
            found[unit.model] = max(
                Backing(round(float(n)), int(cells)), found.get(unit.model, Backing(0, 0))
            )
        return found

    @cached_property
    def _models(self) -> NDArray[np.int64]:
        """Number of each unit's model, (U,)."""
        return np.unique([unit.model for unit in self.units], return_inverse=True)[1]

    def price_of(self, margin: float) -> float:
        """Return the price of a unit of worth at a margin: between two stops it runs geometrically."""
        if not self.stops:
            return UNCALIBRATED
        margins, prices = zip(*self.stops, strict=True)
        return float(np.exp(np.interp(margin, margins, np.log(prices))))

    def of(self, catalogue: Catalogue, *, name: str = TABLE_FILE) -> Table:
        """Return the table as far as it goes with a catalogue; raises BadArtefact where nothing does.

        Units that the catalogue lacks are left out, which is said.  What costs nothing by the
        catalogue is expected to cost nothing, whatever it cost where it was measured.
        """
        known = [catalogue.model(unit.model) for unit in self.units]
        lacking = sorted({u.model for u, m in zip(self.units, known, strict=True) if m is None})
        if lacking and not any(known):
            raise BadArtefact(
                f"{name}: none of its models is in the catalogue ({', '.join(lacking[:3])}, ...): "
                "the two do not go together; rebuild it with `auto-efficient table build`"
            )
        table = self
        if lacking:
            log.warning(
                "%s: the catalogue lacks %s: what is known of them is ignored",
                name,
                ", ".join(lacking),
            )
            table = self.kept([i for i, model in enumerate(known) if model])
        there = [model for model in known if model]
        rates = price_list_of(model.price for model in there)
        zero, priced = (
            np.array([m.costs_nothing for m in there]),
            (table.cost_usd, table.cost_upper_usd),
        )
        usd, upper = (np.where(zero, np.float32(0), column) for column in priced)
        return replace(table, cost_usd=usd, cost_upper_usd=upper, rates=rates)

    def kept(self, rows: list[int]) -> Table:
        """Return some units only."""
        kept = {name: getattr(self, name)[:, :, rows] for name in COLUMNS}
        return replace(self, units=tuple(self.units[i] for i in rows), rates=None, **kept)


def load_table(path: Path) -> Table:
    """Read and check an artefact; raises BadArtefact with what to do about it."""
    try:
        raw = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        message = (
            f"cannot read the cost-quality table {path}: {error}; run `auto-efficient table build`"
        )
        raise BadArtefact(message) from error
    return table_from_json(raw, name=str(path))


def table_from_json(raw: dict[str, Any], *, name: str = "table") -> Table:
    """Turn the artefact's JSON into arrays; raises BadArtefact."""
    if not isinstance(raw, dict) or not isinstance(raw.get("version"), str):
        raise BadArtefact(f"{name}: not a cost-quality table; rebuild it")
    if raw.get("format") != FORMAT:
        raise BadArtefact(f"{name}: format {raw.get('format')!r}, this version reads {FORMAT}")
    if raw.get("taxonomy") != taxonomy_fingerprint():
        raise BadArtefact(
            f"{name}: built for taxonomy {raw.get('taxonomy')!r}, the classifier has "
            f"{taxonomy_fingerprint()!r}; rebuild it with `auto-efficient table build`"
        )
    try:
        units = tuple(unit_of(u["model"], u["effort"]) for u in raw["units"])
        shape = (len(TYPES), N_LEVELS, len(units))
        columns: dict[str, Any] = {
            key: np.array(raw["cells"][key], dtype=np.float32).reshape(shape) for key in COLUMNS
        }
        stops = tuple(
            sorted(Stop(float(s["margin"]), float(s["price"])) for s in raw["dial"]["stops"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadArtefact(f"{name}: malformed: {error!r}; rebuild it") from error
    if not all(np.isfinite(a).all() for a in columns.values()):
        raise BadArtefact(f"{name}: holds a number that is not finite; rebuild it")
    prices = [stop.price for stop in stops]
    if not all(0 < price < UNCALIBRATED for price in prices) or prices != sorted(prices)[::-1]:
        raise BadArtefact(f"{name}: its dial's prices must be above zero, and fall as margins rise")
    return Table(
        units=units,
        stops=stops,
        version=raw["version"],
        meta={k: v for k, v in raw.items() if k != "cells"},
        **columns,
    )
