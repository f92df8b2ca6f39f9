"""The beginning of a stream, held back until it is one: bytes → whether an answer has begun.  Pure.

Before its first word a stream says much that is no answer: comments, a role, ``message_start``,
``response.created``, pings, empty pieces.  As long as nothing else came, an error, a reset or an
end can still be another model's turn; what was held back is relayed then, in order, byte for byte.
Only events that no client could read are left out: those with empty data, or with broken JSON.
"""

from __future__ import annotations

from typing import Final

from router.wire import sse
from router.wire.faults import cut, error_in
from router.wire.format import Format
from router.wire.parts import CUT_SHORT, Progress, parsed
from router.wire.replies.chat import DONE

MAX_HELD_BYTES: Final = 2 << 20
"""Bytes held back before an answer counts as begun, or as none where no event came.  ``response.created`` and ``in_progress``
each repeat the request's instructions and tools; clients' largest first requests have 88 kB."""

BOM: Final = b"\xef\xbb\xbf"
SPACE: Final = b" \t\r\n"

PINGS: Final = frozenset({"ping", "keepalive", "response.in_progress"})
"""Kinds of events that say that work goes on."""

NOTHING: Final = "an answer of nothing"


class Opening:
    """Wait for the first word of a stream."""

    def __init__(self, format: Format) -> None:
        """Begin with nothing held back."""
        self._format = format
        self._splitter = sse.Splitter()
        self._held: list[bytes] = []
        self._n_bytes = 0
        self._scratch = Progress()
        self._tokens = 0
        self.first = b""
        """The data of the first event with any."""
        self.last = b""
        """The data of the newest."""
        self.begun = False
        self.idles = False
        """The newest event says no more than that the upstream works on."""
        self.error: tuple[int, str] | None = None
        """Its status and text, where one came before any word."""

    def feed(self, data: bytes) -> bool:
        """Take bytes; say whether no more are needed to tell what this is."""
        self._n_bytes += len(data)
        for raw in sse.split(self._splitter.feed(data)):
            if self.begun or self._look(raw):
                self._held.append(raw)
        full = self._n_bytes > MAX_HELD_BYTES
        self.begun |= full and bool(self.first) and self.error is None
        return self.begun or full or self.error is not None or self._scratch.ended

    def close(self) -> str:
        """Say what is wrong with a stream that has not begun and ended; empty if it is an answer."""
        rest = self._splitter.rest()
        if not self.begun and sse.data_of(rest) and self._look(rest):
            self._held.append(rest.rstrip(SPACE) + b"\n\n")
        if self.begun or self.error or (self._scratch.finished and self._tokens):
            return ""
        if not self.first:
            return "a stream without an event"
        return NOTHING if self._scratch.ended or self._scratch.finished else CUT_SHORT

    @property
    def held(self) -> bytes:
        """All that was held back, and the beginning of an event that is not whole yet."""
        return b"".join(self._held) + self._splitter.rest()

    def _look(self, raw: bytes) -> bool:
        """Look at one event; say whether a client can read it."""
        data = sse.data_of(raw).strip()
        self.idles = not data
        if not data:
            return not sse.holds_data(raw)
        fields = parsed(data)
        self.idles = str(fields.get("type")) in PINGS
        if not fields and data != DONE:
            return False
        self.first, self.last = self.first or data, data
        self._format.see(data, self._scratch)
        self.error = self.error or error_in(fields)
        if self.error is None and sse.name_of(raw) == "error":
            self.error = 502, cut(str(fields.get("message") or fields))
        if self.error is None:
            self.begun = self._format.answers(fields)
        if self._scratch.finished and (usage := self._format.usage_of(fields)):
            self._tokens = max(self._tokens, usage.output_tokens)
        return True


def is_events(start: bytes) -> bool:
    """Say by its first bytes whether a body is a stream of events, and no JSON and no page."""
    return start.lstrip(BOM).lstrip(SPACE)[:1] not in (b"", b"{", b"[", b"<", b'"')
