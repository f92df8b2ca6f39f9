"""What a body says, parsed for as long as somebody reads it: it takes many times the bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

from router.wire.json_text import read
from router.wire.pause import PAUSE

OUTLINED: Final = 256
"""How many members of a top level are kept in its outline; a request has some thirty."""

OUTLINED_INSIDE: Final = 16
"""The same of an object or a list below it: those that routing reads have up to six."""


SMALL_BYTES: Final = 64 << 10
"""A body up to this size has no outline before somebody asks for it: reading it again takes less than a
tenth of a millisecond, and hardly anybody asks."""

NAME_CHARS: Final = 80
"""The longest name of a field, and of what can be chosen for one; refusals name shorter ones."""


def outline(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a top level without the weight of its values: what is set, and what in brief to.

    Short objects and lists are whole to a depth of two, and of a text stands only that there is one
    where it is long.
    """
    if isinstance(fields, Fields):
        return fields.outline
    members = islice(fields.items(), OUTLINED)
    return {key: _brief(value) for key, value in members if len(key) <= NAME_CHARS}


def _brief(value: Any, depth: int = 2) -> Any:
    if isinstance(value, str):
        return value[:NAME_CHARS]
    if isinstance(value, dict):
        held = islice(value.items(), OUTLINED_INSIDE) if depth else ()
        return {key: _brief(inner, depth - 1) for key, inner in held}
    if isinstance(value, list):
        return [_brief(inner, depth - 1) for inner in value[:OUTLINED_INSIDE]] if depth else []
    return value


class Fields(Mapping[str, Any]):
    """The top level of a body, which is parsed again when it is read after it was let go."""

    def __init__(self, body: bytes, parsed: dict[str, Any]) -> None:
        """Take a body, and the same parsed."""
        self.body = body
        self._parsed: dict[str, Any] | None = parsed
        self._outline: dict[str, Any] | None = None

    @property
    def outline(self) -> dict[str, Any]:
        """As ``outline`` returns it; that of a large body is there when the rest was let go."""
        if self._outline is None:
            self._outline = outline(self._there())
        return self._outline

    def let_go(self) -> None:
        """Keep the bytes, and of many of them the outline."""
        if self._parsed is not None and len(self.body) > SMALL_BYTES:
            self._outline = self.outline
        self._parsed = None

    def spend(self) -> None:
        """Keep nothing."""
        self.body, self._parsed, self._outline = b"", {}, None

    def _there(self) -> dict[str, Any]:
        parsed = self._parsed
        if parsed is None:
            with PAUSE:
                parsed = self._parsed = read(self.body)
        return parsed

    def __getitem__(self, key: str) -> Any:
        return self._there()[key]

    def __contains__(self, key: object) -> bool:
        return key in self._there()

    def __iter__(self) -> Iterator[str]:
        return iter(self._there())

    def __len__(self) -> int:
        return len(self._there())
