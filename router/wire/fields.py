"""What a body says, parsed for as long as somebody reads it: it takes many times the bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from router.wire.json_text import read
from router.wire.pause import PAUSE


class Fields(Mapping[str, Any]):
    """The top level of a body, which is parsed again when it is read after it was let go."""

    def __init__(self, body: bytes, parsed: dict[str, Any]) -> None:
        """Take a body, and the same parsed."""
        self._body = body
        self._parsed: dict[str, Any] | None = parsed

    def let_go(self) -> None:
        """Keep the bytes only."""
        self._parsed = None

    def _there(self) -> dict[str, Any]:
        parsed = self._parsed
        if parsed is None:
            with PAUSE:
                parsed = self._parsed = read(self._body)
        return parsed

    def __getitem__(self, key: str) -> Any:
        return self._there()[key]

    def __contains__(self, key: object) -> bool:
        return key in self._there()

    def __iter__(self) -> Iterator[str]:
        return iter(self._there())

    def __len__(self) -> int:
        return len(self._there())
