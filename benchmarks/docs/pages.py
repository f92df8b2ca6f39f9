"""What every block is made with: its sources, tables and marks in Markdown."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import typer

from router.evidence.catalogue import CATALOGUE_FILE, Catalogue, load_catalogue
from router.evidence.table import TABLE_FILE, Table, load_table


@dataclass(frozen=True, slots=True)
class Sources:
    """What blocks are written from."""

    root: Path
    """Of the checkout."""
    app: typer.Typer
    """The console command."""
    package: ModuleType
    """What embedders import."""

    @property
    def results(self) -> Path:
        """Where the studies lie."""
        return self.root / "benchmarks" / "results"

    @property
    def models(self) -> Path:
        """Where the artefacts lie."""
        return self.root / "models"

    def result(self, name: str) -> Any:
        """Return a study's results."""
        return json.loads((self.results / f"{name}.json").read_text("utf-8"))

    def card(self) -> dict[str, Any]:
        """Return the classifier's card."""
        found: dict[str, Any] = json.loads((self.models / "classifier.json").read_text("utf-8"))
        return found

    def table(self) -> Table:
        """Return the shipped table."""
        return load_table(self.models / TABLE_FILE)

    def catalogue(self) -> Catalogue:
        """Return the shipped catalogue."""
        return load_catalogue(self.models / CATALOGUE_FILE)


Block = Callable[[Sources], str]

_BLOCK: Final = re.compile(r"(<!-- begin ([\w-]+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)


def blocks_named(text: str) -> list[str]:
    """Return the names of a page's blocks."""
    return [found[2] for found in _BLOCK.finditer(text)]


def filled(text: str, written: Mapping[str, str]) -> str:
    """Return a page with its blocks written anew."""
    return _BLOCK.sub(lambda found: f"{found[1]}{written[found[2]].rstrip()}\n{found[3]}", text)


# Markdown.


def grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table whose cells are Markdown already."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def code(value: object) -> str:
    """Return a value as code; nothing for nothing."""
    text = str(value).replace("|", "\\|")
    return f"`{text}`" if text else ""


def prose(text: str) -> str:
    """Return a text of ours as one line of Markdown that may stand in a table's cell."""
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|").replace("<", "\\<")


def listed(values: Iterable[object]) -> str:
    """Return values as code, separated by commas."""
    return ", ".join(code(value) for value in values)


def fenced(text: str, language: str) -> str:
    """Return a block of code."""
    return f"```{language}\n{text.rstrip()}\n```"


def first_line(found: object) -> str:
    """Return the first line of a docstring: what a thing is."""
    return prose((inspect.getdoc(found) or "").partition("\n")[0])


# Numbers.


def number(value: Any) -> str:
    """Return a count as such, anything else with three decimals."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def interval(found: Mapping[str, float | None] | None, form: str = ".3f") -> str:
    """Return a measure with its interval."""
    if not found or None in found.values():
        return "–"
    value, low, high = (format(found[key], form) for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
