"""Pictures of the cost-quality table and of sessions, as numbers that templates draw.  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor, log10
from typing import Any, Final, NamedTuple

import numpy as np

from classifier.tasks import N_LEVELS, TYPES
from router.decision.picks import picks
from router.decision.rule import FEW_ITEMS
from router.evidence.table import MEASURED_ITEMS, Table
from router.values import DIALS, Support, Unit

WIDTH: Final = 760
HEIGHT: Final = 440
LEFT, RIGHT, TOP, BOTTOM = 48, 16, 62, 40
"""Margins of a picture, in its own units, which are pixels at full size; above stand the picks."""

SIGN: Final = 17
"""Height of a line above a picture, which names a pick."""

SHADES: Final = 8
"""Of the map: a step of quality each, from the least to the highest that is picked."""


class Dot(NamedTuple):
    """A unit in a picture of a cell."""

    unit: Unit
    x: float
    y: float
    support: Support
    quality: float
    lower: float
    upper: float
    cost_usd: float
    items: int
    stops: tuple[str, ...]
    """Stops of the dial that pick it."""
    best: bool
    """No other is both cheaper and better."""


class Tick(NamedTuple):
    """A mark on an axis."""

    at: float
    label: str


class Sign(NamedTuple):
    """What names a pick, above a picture, with a line down to it."""

    x: float
    y: float
    down: float
    ends: bool
    """It stands left of its line."""
    label: str


class Cell(NamedTuple):
    """A picture of a cell of the table."""

    task: str
    level: int
    dots: list[Dot]
    """The best first."""
    frontier: str
    """Points of the line through the units that no other beats."""
    signs: list[Sign]
    xs: list[Tick]
    ys: list[Tick]


class Square(NamedTuple):
    """A cell of the map."""

    level: int
    pick: Unit
    quality: float
    cost_usd: float
    support: Support
    shade: int
    """From 0 to ``SHADES`` - 1."""


def heat(table: Table, stop: str) -> dict[str, list[Square]]:
    """Return task type → its levels: who is picked there at a stop of the dial, and how good it is."""
    chosen = picks(table, DIALS[stop].margin)
    rows = [table.units.index(unit) for unit in chosen]
    at = [divmod(i, N_LEVELS) for i in range(len(rows))]
    qualities = [float(table.quality[t, v, u]) for (t, v), u in zip(at, rows, strict=True)]
    low, wide = min(qualities), (max(qualities) - min(qualities)) or 1.0
    made: dict[str, list[Square]] = {}
    for (task, level), unit, quality in zip(at, rows, qualities, strict=True):
        shade = min(SHADES - 1, int((quality - low) / wide * SHADES))
        cost = float(table.cost_usd[task, level, unit])
        support = support_of(table, task, level, unit)
        made.setdefault(TYPES[task], []).append(
            Square(level, table.units[unit], quality, cost, support, shade)
        )
    return made


def support_of(table: Table, task: int, level: int, unit: int) -> Support:
    """Return what a cell's word on a unit rests on."""
    if table.items[task, level, unit] >= MEASURED_ITEMS:
        return Support.MEASURED
    bear = max(float(table.spread_out[unit]), float(table.items[task, level, unit]))
    return Support.RELATED if bear >= FEW_ITEMS else Support.PRIOR


def cell(table: Table, task: int, level: int) -> Cell:
    """Draw a cell: cost on a logarithmic axis against quality."""
    quality, cost = table.quality[task, level], table.cost_usd[task, level]
    paid = cost[cost > 0]
    low, high = (float(paid.min()), float(paid.max())) if paid.size else (0.01, 1.0)
    low, high = log10(low * 0.8), log10(high * 1.25)
    bottom = floor(float(quality.min()) * 10) / 10
    place = task * N_LEVELS + level
    by_stop = {name: picks(table, dial.margin)[place] for name, dial in DIALS.items()}

    def x(usd: float) -> float:
        share = (log10(max(usd, 10**low)) - low) / (high - low)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(q: float) -> float:
        share = (q - bottom) / (1 - bottom)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    best = _unbeaten(quality, cost)
    dots = [
        Dot(
            unit,
            x(float(cost[i])),
            y(float(quality[i])),
            support_of(table, task, level, i),
            float(quality[i]),
            float(table.lower[task, level, i]),
            float(table.upper[task, level, i]),
            float(cost[i]),
            round(float(table.items[task, level, i])),
            tuple(name for name, pick in by_stop.items() if pick == unit),
            i in best,
        )
        for i, unit in enumerate(table.units)
    ]
    dots.sort(key=lambda dot: -dot.quality)
    line = sorted((dot for dot in dots if dot.best), key=lambda dot: dot.x)
    return Cell(
        TYPES[task],
        level,
        dots,
        " ".join(f"{dot.x},{dot.y}" for dot in line),
        _signs(dots),
        [Tick(x(usd), f"${usd:g}") for usd in _decades(low, high)],
        [Tick(y(q / 10), f"{q * 10}%") for q in range(round(bottom * 10), 11)],
    )


def _signs(dots: Sequence[Dot]) -> list[Sign]:
    """Return a line of text for each pick, the rightmost lowest so that no line crosses a text."""
    picked = sorted((dot for dot in dots if dot.stops), key=lambda dot: dot.x)
    return [
        Sign(
            dot.x,
            SIGN * (i + 1) - 4,
            dot.y - 9,
            dot.x > WIDTH * 0.6,
            f"{', '.join(dot.stops)}: {dot.unit}",
        )
        for i, dot in enumerate(picked)
    ]


def _unbeaten(quality: Any, cost: Any) -> set[int]:
    """Return the units that no cheaper one is as good as."""
    found, highest = set(), -1.0
    for i in np.lexsort((-quality, cost)):
        if quality[i] > highest:
            found.add(int(i))
            highest = float(quality[i])
    return found


def _decades(low: float, high: float) -> list[float]:
    """Return round sums between two powers of ten, one to three a decade."""
    steps = (1, 2, 5) if high - low < 2.5 else (1,)
    sums = (step * 10.0**power for power in range(floor(low), floor(high) + 1) for step in steps)
    return [usd for usd in sums if low <= log10(usd) <= high]


# Sessions.

LANE: Final = 26
BEAT: Final = 14
"""Height of a model's lane, width of a request, in pixels."""


class Beat(NamedTuple):
    """A request of a session in its picture."""

    x: float
    y: float
    end: str
    moved: bool
    told: str


class Lanes(NamedTuple):
    """A picture of a session: a lane for each model, a mark for each request."""

    models: list[Tick]
    beats: list[Beat]
    line: str
    width: int
    height: int


MOVED: Final = frozenset({"switch", "escalate", "replace"})
NOBODY: Final = "no model"


def lanes(rows: Sequence[Mapping[str, Any]]) -> Lanes:
    """Draw the models of a session, one request after the other."""
    models = list(dict.fromkeys(row["model"] or NOBODY for row in rows))
    ys = {model: LANE * i + LANE / 2 for i, model in enumerate(models)}
    beats = [
        Beat(
            BEAT * i + BEAT / 2,
            ys[row["model"] or NOBODY],
            row["end"],
            row["move"] in MOVED,
            f"{i + 1}: {row['model'] or NOBODY}, {row['move'] or 'no decision'}, {row['end']}",
        )
        for i, row in enumerate(rows)
    ]
    return Lanes(
        [Tick(ys[model], model) for model in models],
        beats,
        " ".join(f"{beat.x},{beat.y}" for beat in beats),
        BEAT * len(rows),
        LANE * len(models),
    )
