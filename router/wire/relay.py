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
from collections.abc import Mapping
from typing import Any, Final

from router.wire import sse
from router.wire.format import Format
from router.wire.parts import Progress, parsed

DONE: Final = b"[DONE]"
"""What ends a stream of chat completions, in place of an event."""

ODD_SPACES: Final = re.compile(rb'"(?:\s+:|:\s\s|:[\t\r\n])')


class Relay:
    """One stream in one format."""

    def __init__(
        self,
        format: Format,
        *,
        wants_usage: bool,
        model: str,
        first: bytes = b"",
        said: Mapping[str, Any] | None = None,
    ) -> None:
        """Begin; ``wants_usage`` is false for a client that did not ask for a usage event.

        ``first`` is the data of the first event, which shows how the stream is written, and
        ``said`` the same parsed, which names the reply.
        """
        self._format = format
        self._marks: tuple[bytes, ...] = (b"",) if ODD_SPACES.search(first) else format.MARKS
        self._splitter = sse.Splitter()
        self._last = b""
        fields = said or {}
        self.progress = Progress(
            id=str(fields.get("id") or ""),
            model=str(fields.get("model") or model),
            wants_usage=wants_usage,
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
            data = sse.data_of(raw) if self._marked(raw) else b""
            new = self._format.see(data, self.progress) if data else None
            sent.append(raw if new is None else new)
        return b"".join(sent)

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
        return last + self._format.closing(self.progress, problem)


class Opening:
    """Wait for a stream's first event, so that an error in it can still be recovered from."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._splitter = sse.Splitter()
        self.seen = b""

    def feed(self, data: bytes) -> bytes:
        """Take bytes; return the data of the first event that is no comment, once it is whole."""
        self.seen += data
        for _, event in sse.events(self._splitter.feed(data)):
            if event:
                return event
        return b""


def error_in(fields: object) -> tuple[int, str] | None:
    """Return the status and text of an error that came with a status of 200; None if it is none."""
    error = fields.get("error") if isinstance(fields, dict) else None
    if not isinstance(error, dict):
        nested = fields.get("response") if isinstance(fields, dict) else None
        return (
            error_in(nested) if isinstance(nested, dict) else (502, str(error)) if error else None
        )
    code = error.get("code")
    named = ERROR_STATUS.get(str(code)) or ERROR_STATUS.get(str(error.get("type")))
    status = code if isinstance(code, int) and 400 <= code < 600 else named or 502
    return status, str(error.get("message") or error)


ERROR_STATUS = {
    "context_length_exceeded": 400,
    "invalid_request_error": 400,
    "invalid_prompt": 400,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "overloaded_error": 529,
    "api_error": 502,
    "server_error": 502,
}
