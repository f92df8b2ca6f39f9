"""Edit people's configuration files as text: what is not ours stays as it was, byte for byte.

Each syntax is a module that finds, puts and cuts one value by its path, and reads a whole file so
that an edit can be checked: whatever does not read as what was meant is not written.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, Protocol

from auto_efficient.config_text import env, jsonc, toml, yaml
from auto_efficient.config_text.trees import Keys


class Syntax(Protocol):
    """How files of a kind are edited; a value in the file is ``raw``, as it is written there."""

    def written(self, value: object) -> str:
        """Write a value."""
        ...

    def find(self, text: str, path: Keys) -> str | None:
        """Return what stands at a path; None where nothing does."""
        ...

    def put(self, text: str, path: Keys, raw: str) -> str:
        """Return the text with a value at a path, instead of what was there; raises ValueError."""
        ...

    def cut(self, text: str, path: Keys) -> str:
        """Return the text without what stands at a path."""
        ...

    def values(self, text: str) -> dict[Keys, object]:
        """Read every value of a file; raises ValueError for what cannot be read."""
        ...


SYNTAXES: Final = MappingProxyType[str, Syntax](
    {"jsonc": jsonc, "toml": toml, "yaml": yaml, "env": env}
)
