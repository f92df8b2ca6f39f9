"""A stream on its way to the client: look at what matters, pass the rest on as it came.  Pure.

Most events are never parsed: a block of whole events in which none of the format's marks stands
goes out as it came in.  What is looked into: usage, the reason to stop, the terminator, errors.
Marks are plain bytes, because searching for six of them takes a twentieth of the time of one
regular expression (JSON is full of the quotes that begin its alternatives), and that search was
half of what a stream cost.  They know JSON without spaces and with one after a colon; of a
stream that is written in another way every event is looked into.
``close`` writes what the format demands at the end and the upstream did not send, because a
stream without it makes some clients hang and one call the model for ever.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from router.values import Usage
from router.wire import sse
from router.wire.cost import USAGE, events_with_cost
from router.wire.format import Format
from router.wire.loose import dumps, is_strict
from router.wire.parts import Progress, parsed
from router.wire.replies.chat import DONE

NUMBERS: Final = (b"NaN", b"Infinity")
"""What servers in Python write for numbers that are none, and clients cannot read."""

ODD: Final = (*NUMBERS, b"data:\n", b"data: \n", b"event: error", b"event:error")
"""Bytes of events in any format that must be looked into, or that no client can read."""

ODD_SPACES: Final = re.compile(rb'"(?:\s+:|:\s\s|:[\t\r\n])')


Mask = Callable[[bytes], bytes]


def unmasked(data: bytes) -> bytes:
    """Leave an error as it is."""
    return data


Priced = Callable[[Usage], float | None]
"""Usage → dollars; None where no price is known."""


def unpriced(usage: Usage) -> float | None:
    """Price nothing."""
    return None


class Relay:
    """One stream in one format."""

    def __init__(
        self,
        format: Format,
        *,
        wants_usage: bool,
        model: str,
        first: bytes = b"",
        n_answers: int = 1,
        looks_at_all: bool = False,
        mask: Mask = unmasked,
    ) -> None:
        """Begin; ``wants_usage`` is false for a client that did not ask for a usage event.

        ``first`` is the data of the first event, which names the reply and shows how the stream is
        written.  Of several answers side by side every event must be looked at: each has its own end.
        ``mask`` takes out of an error what is not the client's to see.
        """
        self._format = format
        self._mask = mask
        odd = looks_at_all or n_answers > 1 or ODD_SPACES.search(first)
        self._marks: tuple[bytes, ...] = (b"",) if odd else (*format.MARKS, *ODD)
        self._splitter = sse.Splitter()
        self._last = b""
        self.priced: Priced = unpriced
        """Says what the usage so far comes to; may be set until the first bytes are fed."""
        fields = parsed(first)
        self.progress = Progress(
            id=str(fields.get("id") or ""),
            model=str(fields.get("model") or model),
            wants_usage=wants_usage,
            n_answers=n_answers,
        )

    def feed(self, data: bytes) -> bytes:
        """Take bytes as they come from upstream; return those to send on."""
        whole = self._splitter.feed(data)
        self._last = whole or self._last
        return self.look(whole) if self._marked(whole) else whole

    def _marked(self, data: bytes) -> bool:
        for mark in self._marks:  # noqa: SIM110 - half the time of any()
            if mark in data:
                return True
        return False

    def look(self, block: bytes) -> bytes:
        """Look into every event of a block that has a mark."""
        sent: list[bytes] = []
        for raw in sse.split(block):
            if self.progress.ended:
                break
            new = self._told(self._seen(raw)) if self._marked(raw) else raw
            sent.append(self._mask(new) if self.progress.failed else new)
        return b"".join(sent)

    def _told(self, event: bytes) -> bytes:
        """Add to an event that tells the usage what it cost."""
        usage = self.progress.usage
        if usage is None or self.priced is unpriced or USAGE not in event:
            return event
        usd = self.priced(usage)
        return event if usd is None else events_with_cost(event, usd)

    def _seen(self, raw: bytes) -> bytes:
        """Look into one event; return what to send in its place."""
        data = sse.data_of(raw).strip()
        if not data:
            return b"" if sse.holds_data(raw) else raw
        new = self._format.see(data, self.progress)
        self.progress.failed |= sse.name_of(raw) == "error"
        if new is None and any(number in data for number in NUMBERS) and not is_strict(data):
            fields = parsed(data)
            return sse.event(dumps(fields), sse.name_of(raw)) if fields else raw
        return raw if new is None else new

    def close(self, problem: str = "") -> bytes:
        """Return what the client still needs; ``problem`` says how the stream broke, if it did."""
        rest = self._splitter.rest()
        data = sse.data_of(rest)
        whole = not problem and (data == DONE or bool(parsed(data)))  # but for its blank line
        last = self.look(rest.rstrip(b"\r\n") + b"\n\n") if whole else b""
        if not self.progress.ended and self._last:
            *_, (raw, data) = sse.events(self._last)
            if not self._marked(raw):  # nobody looked yet, and the ending continues its numbers
                self._format.see(data, self.progress)
        end = self._format.closing(self.progress, problem)
        return last + (self._mask(end) if self.progress.failed else end)
