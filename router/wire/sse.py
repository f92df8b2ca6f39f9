"""Server-sent events: bytes → whole events, incrementally.  Pure.

A gateway relays an event stream as it comes and looks into few of its events, so the unit here
is a *block* of bytes that holds whole events, and not the event.  Events end with a blank line;
a line ends with LF, CR or CRLF (https://html.spec.whatwg.org/multipage/server-sent-events.html).
Bytes arrive cut anywhere, between CR and LF too: then the CR has ended the event already, and
the LF stands in front of the next one as an empty line, which is no event.  The nearly universal
case, a chunk that ends with a blank line, costs one comparison.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

MAX_EVENT_BYTES: Final = 1 << 24
"""An event that grows beyond this is passed on in pieces and no longer looked into; the largest
legitimate one is the whole answer in ``response.completed``."""

_BLANK_LINE = re.compile(rb"(?>\r\n|\r|\n){2}")
_LINE_END = re.compile(rb"\r\n|\r|\n")


class Splitter:
    """Hold back what is not yet a whole event."""

    def __init__(self) -> None:
        """Begin with nothing held back."""
        self._held = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Take bytes as they come; return those that complete whole events."""
        if not self._held and data.endswith(b"\n\n"):
            return data
        searched_from = max(0, len(self._held) - 3)
        self._held += data
        end = max((m.end() for m in _BLANK_LINE.finditer(self._held, searched_from)), default=0)
        if not end and len(self._held) > MAX_EVENT_BYTES:
            end = len(self._held)
        whole = bytes(self._held[:end])
        del self._held[:end]
        return whole

    def rest(self) -> bytes:
        """Return what is held back, when no more will come."""
        held = bytes(self._held)
        self._held.clear()
        return held


def split(block: bytes) -> list[bytes]:
    """Split a block into its events; joined they are the block."""
    if b"\r" not in block:
        *whole, last = block.split(b"\n\n")
        return [raw + b"\n\n" for raw in whole] + ([last] if last else [])
    ends = [0, *(blank.end() for blank in _BLANK_LINE.finditer(block)), len(block)]
    return [block[a:b] for a, b in pairwise(ends) if a < b]


def events(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield each event of a block as its own bytes and its data; comments have empty data."""
    return ((raw, data_of(raw)) for raw in split(block))


def data_of(raw: bytes) -> bytes:
    """Return an event's data: its data lines, joined."""
    lines = [
        line[6:] if line.startswith(b"data: ") else line[5:]
        for line in (_LINE_END.split(raw) if b"\r" in raw else raw.split(b"\n"))
        if line.startswith(b"data:")
    ]
    return b"\n".join(lines)


def name_of(raw: bytes) -> str:
    """Return an event's name; empty where it has none."""
    for line in _LINE_END.split(raw):
        if line.startswith(b"event:"):
            return line[6:].strip().decode("utf-8", "replace")
    return ""


def holds_data(raw: bytes) -> bool:
    """Say whether an event has a data line, be it empty; comments have none."""
    return raw.startswith(b"data") or b"\ndata" in raw or b"\rdata" in raw


def event(data: bytes, name: str = "") -> bytes:
    """Write one event."""
    head = b"event: " + name.encode() + b"\n" if name else b""
    return head + b"data: " + data + b"\n\n"
