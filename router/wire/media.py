"""What is no text in a request: images, video, files and audio, in any dialect's part types.

A part is known by its type, by the names of its members, by the media type it states, or, when
nothing else tells, by what it carries: a long text without spaces is data.  Data is no text and
never counted as such; each part counts for a fixed number of tokens instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

IMAGE_TOKENS: Final = 1600
"""Tokens one image counts for: the most that Anthropic bills for a full-size image
(https://docs.anthropic.com/en/docs/build-with-claude/vision, width × height / 750)."""

FILE_TOKENS: Final = 8000
"""Tokens one attached file, or sound, counts for when its text is not in the request; an assumption."""

VIDEO_TOKENS: Final = 18_000
"""Tokens one video counts for: a minute at the 300 tokens a second that Gemini bills
(https://ai.google.dev/gemini-api/docs/video-understanding); its length is not known."""

MEDIA: Final = (
    ("video", re.compile("video")),
    ("images", re.compile("image|screenshot|photo|picture")),
    ("audio", re.compile("audio|voice|speech")),
    ("files", re.compile("file|document|pdf|attachment|upload")),
)
"""Need → the words by which types, names of members and media types tell it; the first that fits."""

TYPE_KEYS: Final = ("media_type", "mime_type", "mimeType", "mediaType", "format")
"""Members that state a media type."""

NO_MEDIA: Final = frozenset(
    {"tool_use", "tool_reference", "thinking", "redacted_thinking", "server_tool_use"}
)
"""Types of parts that hold words or data of the conversation itself."""

DATA_CHARS: Final = 256
"""A text as long as this without a space is data: the longest words and addresses in prose are
shorter, and the smallest picture that is worth sending is longer."""

OPAQUE: Final = frozenset({"encrypted_content", "signature"})
"""Members whose data is for the vendor's eyes, and no medium."""

MAX_DEPTH: Final = 6
"""How deep data stands in a part: the deepest known, a list of frames in an object, is at three."""


@dataclass(slots=True)
class Media:
    """Counts of what is not text, gathered while the turns are read.

    ``chars`` is how much of the body is data; ``file_ids`` says that some part names a file that
    its vendor keeps.
    """

    images: int = 0
    video: int = 0
    files: int = 0
    audio: int = 0
    chars: int = 0
    file_ids: bool = False

    def note(self, part: Mapping[str, Any], kind: str) -> None:
        """Count one part of a type that is not text."""
        if kind in NO_MEDIA or kind.endswith("_tool_result"):
            return
        chars = sum(_data(part, MAX_DEPTH))
        medium = _medium_of(part, kind) or ("files" if chars else None)
        if medium is None:
            return
        setattr(self, medium, getattr(self, medium) + 1)
        self.chars += chars
        self.file_ids = self.file_ids or _names_file(part)

    @property
    def tokens(self) -> int:
        """Estimated input tokens of everything noted."""
        return (
            self.images * IMAGE_TOKENS
            + self.video * VIDEO_TOKENS
            + (self.files + self.audio) * FILE_TOKENS
        )


def _medium_of(part: Mapping[str, Any], kind: str) -> str | None:
    """Say which need a part is of: a type says it first, a name then, a media type last."""
    return _medium(kind) or _medium(" ".join(part)) or _medium(" ".join(_types(part)))


def _medium(words: str) -> str | None:
    lower = words.lower()
    return next((name for name, found in MEDIA if found.search(lower)), None)


def _types(part: Mapping[str, Any]) -> Iterator[str]:
    """Yield the media types that a part, an object in it or a ``data:`` address states."""
    for value in (part, *part.values()):
        if isinstance(value, str) and value.startswith("data:"):
            yield value[:64].partition(";")[0]
        elif isinstance(value, dict):
            yield from (v[:64] for key in TYPE_KEYS if isinstance(v := value.get(key), str))
            yield from (
                v[:64].partition(";")[0]
                for v in value.values()
                if isinstance(v, str) and v.startswith("data:")
            )


def _data(value: object, depth: int) -> Iterator[int]:
    """Yield the lengths of the texts that are data."""
    if isinstance(value, str):
        if len(value) >= DATA_CHARS and len(value[:DATA_CHARS].split(None, 1)) == 1:
            yield len(value)
    elif depth and isinstance(value, dict):
        for key, inner in value.items():
            if key not in OPAQUE:
                yield from _data(inner, depth - 1)
    elif depth and isinstance(value, list):
        for inner in value:
            yield from _data(inner, depth - 1)


def _names_file(part: Mapping[str, Any]) -> bool:
    """Say whether a part, or an object in it, names a file by its id."""
    held = (part, *part.values())
    return any(isinstance(value, dict) and bool(value.get("file_id")) for value in held)
