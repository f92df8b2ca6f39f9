"""Show a cost-quality table to people, and what changed between two.

Both return rich renderables: the caller owns the console.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from classifier.tasks import LEVELS, N_LEVELS, TYPES
from router.decision.ladder import ladder_among
from router.decision.rule import compare, plans_of
from router.evidence.table import Table
from router.values import DEFAULT_DIAL, DIALS, Dial

MOVED_QUALITY: Final = 0.02
MOVED_COST: Final = 0.10
"""Smallest changes that ``diff`` reports: of quality, and of cost in relation to the old cost."""


@dataclass(frozen=True, slots=True)
class CellRow:
    """One unit in one cell, as the rule sees it there where nobody takes over."""

    unit: str
    quality: float
    lower: float
    upper: float
    cost_usd: float
    """Of an ordinary task."""
    cost_upper_usd: float
    items: int
    p_near: float
    near: bool
    """Within the guard."""
    picked: bool
    best: bool
    """The unit that evidence vouches most for, which the others are held against."""


def cell_rows(table: Table, task: str, level: int, dial: Dial) -> list[CellRow]:
    """Return the units of a cell (``level`` from 1), cheapest first."""
    at = (TYPES.index(task), level - 1)
    p_type, p_level = np.eye(len(TYPES))[at[0]], np.eye(N_LEVELS)[at[1]]
    expected = table.expect(p_type.astype(np.float32), p_level.astype(np.float32))
    price = table.price_of(dial.margin)
    standing = compare(expected, dial.margin)
    may = ladder_among(table, dial.margin).may(standing, expected)
    score = plans_of(expected, standing, expected.cost_usd, price).score(price)
    pick = int(np.where(may, score, np.inf).argmin())
    order = np.argsort(table.cost_usd[at], kind="stable")
    return [
        CellRow(
            unit=str(table.units[u]),
            quality=float(table.quality[at][u]),
            lower=float(table.lower[at][u]),
            upper=float(table.upper[at][u]),
            cost_usd=float(table.cost_usd[at][u]),
            cost_upper_usd=float(table.cost_upper_usd[at][u]),
            items=int(table.items[at][u]),
            p_near=standing.p_near(u),
            near=bool(standing.near[u]),
            picked=int(u) == pick,
            best=int(u) == standing.best,
        )
        for u in order
    ]


def show(
    table: Table,
    *,
    task: str | None = None,
    level: int | None = None,
    dial: Dial = DIALS[DEFAULT_DIAL],
    all_units: bool = False,
) -> RenderableType:
    """Render cells: who is near the best and who is picked, quality, cost, and what both rest on.

    ``task`` may be a family, a type or ``family/type``; without ``all_units`` a cell shows its
    units near the best.
    """
    shown = _cells_named(task, level)
    head = Text(
        f"table {table.version}, evidence to {table.meta.get('newest_evidence', '?')}; near: likely "
        f"near enough to the best at a margin of {dial.margin:.0%} ({dial.name})"
    )
    return Group(head, *(_grid(table, t, k, dial, all_units) for t, k in shown))


def cells(
    table: Table, *, task: str | None = None, level: int | None = None, dial: Dial
) -> Iterator[dict[str, Any]]:
    """Yield cells for programs: task, level, and every unit; ``task`` as for ``show``."""
    for name, k in _cells_named(task, level):
        units = [asdict(row) for row in cell_rows(table, name, k, dial)]
        yield {"task": name, "level": k, "units": units}


def _cells_named(task: str | None, level: int | None) -> list[tuple[str, int]]:
    """Return types and levels, from 1, that are meant; raises ValueError for an unknown task."""
    tasks = [t for t in TYPES if task is None or task in (t, *t.split("/"))]
    if not tasks:
        raise ValueError(f"no such task: {task}; one of {', '.join(TYPES)}")
    levels = range(1, N_LEVELS + 1) if level is None else [level]
    return [(t, k) for t in tasks for k in levels]


def _grid(table: Table, task: str, level: int, dial: Dial, all_units: bool) -> Grid:
    """Render one cell."""
    rows = cell_rows(table, task, level, dial)
    title = f"\n{task}, {LEVELS[level - 1]}"
    grid = Grid(title=title, title_justify="left", box=None, header_style="dim")
    for name in ("", "unit", "quality", "90% interval", "$ / task", "up to", "evidence"):
        right = name in ("quality", "$ / task", "up to")
        grid.add_column(name, justify="right" if right else "left", no_wrap=True)
    for row in rows:
        if not (all_units or row.near):
            continue
        marks = {"picked": row.picked, "best": row.best, "near": row.near}
        mark = ", ".join(
            name
            for name, has in marks.items()
            if has and not (name == "near" and (row.picked or row.best))
        )
        grid.add_row(
            mark,
            row.unit,
            f"{row.quality:.3f}",
            f"{row.lower:.2f} to {row.upper:.2f}",
            f"{row.cost_usd:.3g}",
            f"{row.cost_upper_usd:.3g}",
            f"{row.items} tasks" if row.items else "borrowed",
        )
    return grid


def diff(old: Table, new: Table, *, dial: Dial = DIALS[DEFAULT_DIAL]) -> RenderableType:
    """Say what changed: version, units, cells whose numbers moved, and what they pick."""
    lines = changes(old, new, dial=dial)
    return Text("\n".join(lines) if lines else "no change")


def changes(old: Table, new: Table, *, dial: Dial = DIALS[DEFAULT_DIAL]) -> list[str]:
    """Return what changed between two tables, a line each."""
    lines = []
    if old.version != new.version:
        lines.append(f"version {old.version} -> {new.version}")
    before, after = ({str(u) for u in t.units} for t in (old, new))
    lines += [f"unit gone: {name}" for name in sorted(before - after)]
    lines += [f"unit new: {name}" for name in sorted(after - before)]
    for task in TYPES:
        for level in range(1, N_LEVELS + 1):
            lines += _cell_changes(old, new, task, level, dial)
    return lines


def _cell_changes(old: Table, new: Table, task: str, level: int, dial: Dial) -> list[str]:
    """Changes of one cell, in the units that both tables have."""
    was = {row.unit: row for row in cell_rows(old, task, level, dial)}
    lines = []
    for row in cell_rows(new, task, level, dial):
        if row.unit not in was:
            continue
        before, what = was[row.unit], []
        if abs(row.quality - before.quality) >= MOVED_QUALITY:
            what.append(f"quality {before.quality:.3f} -> {row.quality:.3f}")
        if abs(row.cost_usd - before.cost_usd) > MOVED_COST * before.cost_usd:
            what.append(f"cost ${before.cost_usd:.3g} -> ${row.cost_usd:.3g}")
        if row.picked != before.picked:
            what.append("now picked" if row.picked else "no longer picked")
        if what:
            lines.append(f"{task}, {LEVELS[level - 1]}, {row.unit}: {'; '.join(what)}")
    return lines
