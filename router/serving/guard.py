"""uvicorn's httptools protocol, with what it lacks: every connection ends, and every client is served.

**Ends.**  A head has its time and its length.  What frames a body (chunk sizes, trailers) has a length;
the body's own time and length are kept where it is read, in ``router.serving.asgi``.  The rest of a
body that was answered early, a client that stops reading its answer, and blank lines in place of a
request have their time too.

**Served.**  A client that wishes for another protocol beside its request (``Upgrade: h2c`` of Java and
curl) is answered in HTTP/1.1.  One that speaks HTTP/1.0 gets no chunks.  One that ends its side once
it has asked (``nc``) gets its answer, though one that left looks the same at first.
"""

from __future__ import annotations

import asyncio
import socket
from http import HTTPStatus
from typing import Any, Final

import httptools
import orjson
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from router.errors import BadRequest, TooLarge, TooSlow
from router.serving.asgi import Message, Send
from router.settings import RequestLimits
from router.wire.format import FORMATS, Format, spoken_in

KEEP_S: Final = 20
"""How long an idle connection is kept: longer than httpx (5 s) and aiohttp (15 s) keep theirs, so that
they do not send a request on one that is being closed."""

LINGERING: Final = 1 / 3
"""Part of a body's time in which what is left of one that is answered already is read away, so that
its sender reads the answer: closing at once would reset the connection.  By default 10 s; nginx
lingers for 5 to 30 s."""

FRAMING_PER_BYTE: Final = 8
"""Bytes that may frame one byte of a body, beside those of a head: a chunk of a single one has five."""

PROBE_S: Final = 0.25
"""After which a client that ended its side is asked whether it still reads, and how often its answer
is looked at."""

PROBE_GROWTH: Final = 4
"""By how much longer it is left alone each time: it sees four such questions in a minute."""

UPGRADES: Final = frozenset({b"upgrade", b"http2-settings"})
"""Headers, and words of ``Connection``, that wish for another protocol."""


class GuardedConfig(Config):
    """uvicorn's configuration, with the limits that ``GuardedProtocol`` keeps.

    It travels to worker processes whole, which a protocol made to measure could not.
    """

    def __init__(self, app: Any, *, limits: RequestLimits, **options: Any) -> None:
        super().__init__(
            app,
            http=GuardedProtocol,
            ws="none",
            proxy_headers=False,
            timeout_keep_alive=KEEP_S,
            **options,
        )
        self.request_limits = limits


class GuardedProtocol(HttpToolsProtocol):
    """One client's connection: its requests one after the other, and a clock for whatever it waits for."""

    config: GuardedConfig
    _clock: asyncio.TimerHandle | None = None
    """Runs while a head is awaited, or the rest of a body that was answered."""
    _stalled: asyncio.TimerHandle | None = None
    """Runs while the client does not take what was sent."""
    _probe: asyncio.TimerHandle | None = None
    """Runs while the client has ended its side."""
    url = b""
    _in_head = True
    _in_message = False
    _framing_bytes = 0
    _body_bytes = 0
    _read_body_bytes = 0
    """Of the piece that is being read."""
    _ended = False
    """A message ended in the piece that is being read: what follows in it is counted with the next."""
    _refused = False
    _wishes: tuple[tuple[bytes, bytes], ...] = ()
    """Headers of the request that wish for another protocol: for who answers, not for the parser."""

    # What the event loop calls.

    def connection_made(self, transport: Any) -> None:
        """Start the clock for the first head."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        for clock in (self._clock, self._stalled, self._probe):
            if clock is not None:
                clock.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read, count what is no body, and let nothing that idles be without a clock."""
        if self._refused:
            return
        self._unset_keepalive_if_required()
        self._ended, self._read_body_bytes = False, 0
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._read_again(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(400, BadRequest("this is not an HTTP/1.1 request; send one"))
        if not self._ended:
            self._framing_bytes += len(data) - self._read_body_bytes
        most = self.config.request_limits.header_bytes + FRAMING_PER_BYTE * self._body_bytes
        if self._framing_bytes > most:
            self._refuse(431, TooLarge("the head or the trailers are too long; shorten them"))
        if self._idle and self.timeout_keep_alive_task is None:
            self._await_head()

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn's says None: the transport's own is bool
        """Keep the connection for an answer that is due; without one close it."""
        if self._refused or self._in_message or self._idle:
            return False
        self.cycle.keep_alive = False
        self._probe = self.loop.call_later(PROBE_S, self._ask_whether_read, PROBE_S, PROBE_S)
        return True

    def pause_writing(self) -> None:
        """Start the clock for a client whose buffers are full."""
        super().pause_writing()
        self._stalled = self.loop.call_later(self._reader_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop it, unless the rest of the connection's last answer is awaited."""
        super().resume_writing()
        if self._stalled is not None and not self.transport.is_closing():
            self._stalled.cancel()

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Start the clock for the next head on a kept connection."""
        super().on_message_begin()
        self._in_message = self._in_head = True
        self._framing_bytes = self._body_bytes = self._read_body_bytes = 0
        self._await_head()

    def on_headers_complete(self) -> None:
        """Stop the clock; refuse a head that is too long; fit the answer to the client's HTTP."""
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.config.request_limits.header_bytes:
            self._refuse(431, TooLarge("the head is too long; shorten its headers"))
        if self._refused or self.parser.should_upgrade():
            return
        self._stop_clock()
        self.headers += self._wishes
        self._wishes = ()
        old = self.parser.get_http_version() == "1.0"
        self.expect_100_continue &= not old
        super().on_headers_complete()
        self._in_head = False
        if old:
            self.cycle.send = until_closed(self.cycle)  # type: ignore[assignment, method-assign]  # uvicorn has no seam for it

    def on_body(self, body: bytes) -> None:
        """Take no body of a request that was refused."""
        self._body_bytes += len(body)
        self._read_body_bytes += len(body)
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End no request that was refused, or is read again."""
        if self._refused or self.parser.should_upgrade():
            return
        self._in_message, self._ended = False, True
        self._stop_clock()
        super().on_message_complete()

    # What the answer calls.

    def on_response_complete(self) -> None:
        """Close what was refused meanwhile, and read away what is left of the request, for a while."""
        super().on_response_complete()
        if self._refused:
            self.transport.close()
        if self.transport.is_closing():
            self._hang_up()
        elif self._in_message and not self._in_head and self.cycle.response_complete:
            self._stop_clock()
            linger_s = LINGERING * self.config.request_limits.body_s
            self._clock = self.loop.call_later(linger_s, self._hang_up)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection."""
        self._hang_up()

    # Clocks.

    @property
    def _idle(self) -> bool:
        """Whether no request is being read or answered."""
        return not self._in_message and (self.cycle is None or self.cycle.response_complete)

    @property
    def _reader_s(self) -> float:
        return self.config.request_limits.reader_s

    def _await_head(self) -> None:
        if self._clock is None and not self._refused:
            limit_s = self.config.request_limits.header_s
            self._clock = self.loop.call_later(limit_s, self._head_is_late)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _head_is_late(self) -> None:
        """Refuse a head that does not end; while an earlier request is answered, look again later."""
        self._clock = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._await_head()
        elif self._in_message or self.cycle is None:
            self._refuse(
                408, TooSlow("the head of the request did not arrive in time; send it again")
            )
        else:
            self._hang_up()

    def _hang_up(self) -> None:
        """Close once the client took what was sent, or takes no more."""
        self._stop_clock()
        self.transport.close()
        if self._stalled is not None:
            self._stalled.cancel()
        self._stalled = self.loop.call_later(self._reader_s, self.transport.abort)

    def _refuse(self, status: int, error: BadRequest) -> None:
        """Read no more of a client, and tell it why unless it is in the middle of an answer."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._stop_clock()
        cycle = self.cycle
        answering = cycle is not None and not cycle.response_complete
        if answering and (cycle.response_started or self._in_head or self.pipeline):
            return  # `on_response_complete` closes
        body = orjson.dumps(self._format.error_body(status, error.code, str(error)))
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
        )
        head += f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode("ascii") + body)
        self._hang_up()

    @property
    def _format(self) -> Format:
        """What the client speaks, by as much of its request's head as is known."""
        path = self.url.partition(b"?")[0].decode("latin-1")
        return FORMATS[
            spoken_in(path, {name.decode("latin-1"): "" for name, _ in self.headers or ()})
        ]

    # Other protocols, and clients that end their side.

    def _read_again(self, rest: bytes) -> None:
        """Read a request that wishes for another protocol as if it did not (RFC 9110, 7.8)."""
        if self._refused:
            return
        method, version = self.parser.get_method(), self.parser.get_http_version()
        if method == b"CONNECT":
            self._refuse(405, BadRequest("this is no proxy: it serves its own paths only"))
            return
        lines = [b"%s %s HTTP/%s" % (method, self.url, version.encode("ascii"))]
        for name, value in self.headers:
            if name == b"connection":
                kept = [t for t in value.split(b",") if t.strip().lower() not in UPGRADES]
                value = b",".join(kept)
            if name not in UPGRADES:
                lines.append(name + b": " + value)
        self._wishes = tuple(header for header in self.headers if header[0] in UPGRADES)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        try:
            self.parser.feed_data(b"\r\n".join(lines) + b"\r\n\r\n" + rest)
        except httptools.HttpParserError:
            self._refuse(400, BadRequest("this is not an HTTP/1.1 request; send one"))

    def _ask_whether_read(self, waited_s: float, due_s: float) -> None:
        """Find out whether a client that ended its side still reads: one that is gone resets.

        It is asked with what every client must skip: an interim answer before the answer, and in a
        chunked body a leading zero of the next chunk's size (RFC 9112, 7.1).
        """
        if self.transport.is_closing():
            return
        held = self.transport.get_extra_info("socket")
        if held.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.transport.abort()
            return
        if waited_s >= due_s and not self.pipeline and not self.flow.write_paused:
            due_s *= PROBE_GROWTH
            if self.cycle.chunked_encoding:
                self.transport.write(b"0")
            elif not self.cycle.response_started and self.scope["http_version"] != "1.0":
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        waited_s += PROBE_S
        self._probe = self.loop.call_later(PROBE_S, self._ask_whether_read, waited_s, due_s)


def until_closed(cycle: RequestResponseCycle) -> Send:
    """Return how to send to a client that knows no chunks: the end of the connection ends the body."""
    send, framed = cycle.send, True

    async def unframed(message: Message) -> None:
        nonlocal framed
        if message["type"] == "http.response.start":
            names = {name.lower() for name, _ in message.get("headers", ())}
            framed = b"content-length" in names
            cycle.chunked_encoding = None if framed else False
        elif not framed:
            cycle.expected_content_length = len(message.get("body", b""))
        await send(message)  # type: ignore[arg-type]  # uvicorn types each message, ASGI a mapping

    return unframed
