"""A models folder that holds only what differs from the shipped one: its rows lie over those.  Pure.

A row of an overlay takes the place of the shipped row of the same name, as a whole, or is added; what
an overlay does not speak of stays as it is shipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

ROWS: Final = {"models": "id", "tiers": "id"}
"""Table of a catalogue → the field that names its rows."""


def is_overlay(own: Mapping[str, Any], whole: Iterable[str]) -> bool:
    """Say whether a file leaves out some of the tables of a whole one; raises ValueError if all.

    A file without anything is one that is being written.
    """
    if not own:
        raise ValueError("the file is empty")
    return not own.keys() >= set(whole)


def overlaid(shipped: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a catalogue's tables over the shipped ones; the log of changes grows at its beginning."""
    found = {**shipped, **own}
    for table, name in ROWS.items():
        found[table] = rows_over(shipped[table], own.get(table, ()), name)
    found["changes"] = [*own.get("changes", ()), *shipped["changes"]]
    found["economics"] = {**shipped["economics"], **own.get("economics", {})}
    return found


def rows_over(
    shipped: Iterable[Mapping[str, Any]], own: Iterable[Mapping[str, Any]], name: str
) -> list[Mapping[str, Any]]:
    """Lay rows over others by the field that names them; a file that names all keeps its order.

    What is named twice stays so, for who checks the rows.
    """
    mine: dict[object, list[Mapping[str, Any]]] = {}
    for row in own:
        mine.setdefault(row.get(name), []).append(row)
    theirs = {row[name]: row for row in shipped}
    if not mine.keys() >= theirs.keys():
        mine = {named: mine.get(named, [row]) for named, row in theirs.items()} | mine
    return [row for rows in mine.values() for row in rows]
