"""The clients that can be set up: rows of ``clients.toml``, filled in for one gateway."""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from auto_efficient.config_text import SYNTAXES
from auto_efficient.config_text.trees import Keys, leaves
from router.values import Entry

CLIENTS_FILE: Final = Path(__file__).with_name("clients.toml")

NO_KEY: Final = "local"
"""Stands where a client insists on a key: on loopback any will do."""


@dataclass(frozen=True, slots=True)
class Filling:
    """What a client is to be told."""

    url: str
    """Of the gateway, without a path."""
    model: str
    key: str | None = None

    def fill(self, template: object) -> Any:
        """Fill in what a template leaves open, in keys of tables too."""
        if isinstance(template, str):
            filled = template.replace("{url}", self.url).replace("{model}", self.model)
            return filled.replace("{key}", self.key or NO_KEY)
        if isinstance(template, Mapping):
            return {self.fill(key): self.fill(value) for key, value in template.items()}
        return template


class ClientFile(Entry):
    """One file of a client; ``clients.toml`` says what the fields mean."""

    folder: str = ""
    folder_env: str = ""
    names: tuple[str, ...] = ()
    project: str = ""
    syntax: str = Field(pattern=f"^({'|'.join(SYNTAXES)})$")
    set: dict[str, Any] = {}
    unset: dict[str, Any] = {}
    key: dict[str, Any] = {}
    whole: str = ""

    def path(self, environ: Mapping[str, str], project: Path | None) -> Path | None:
        """Return where the file is, of a project or of the user; None where there is none."""
        if project is not None:
            return project / self.project if self.project else None
        if not self.names:
            return None
        variable, _, below = self.folder_env.partition("/")
        moved = environ.get(variable) if variable else None
        home = Path(environ.get("HOME") or Path.home())
        usual = home / self.folder.removeprefix("~").lstrip("/")
        folder = Path(moved, below) if moved else usual
        paths = [folder / name for name in self.names]
        return next((path for path in paths if path.exists()), paths[0])

    def settings(self, filling: Filling, text: str = "") -> dict[Keys, object]:
        """Return the values that go into a file of that text, by their paths."""
        find, asides = SYNTAXES[self.syntax].find, leaves(filling.fill(self.unset))
        found = leaves(filling.fill(self.set))
        if self.unset:
            found |= {path: value for path, value in asides.items() if find(text, path) is None}
        return found | (leaves(filling.fill(self.key)) if filling.key and self.key else {})


class ClientRow(Entry):
    """One client."""

    name: str
    title: str
    docs: str
    checked: datetime.date
    tried: str
    start: str
    files: tuple[ClientFile, ...] = ()
    commands: tuple[str, ...] = ()
    env: dict[str, str] = {}


def load_clients() -> dict[str, ClientRow]:
    """Return the rows by name."""
    rows = tomllib.loads(CLIENTS_FILE.read_text("utf-8"))["clients"]
    return {row.name: row for row in map(ClientRow.model_validate, rows)}
