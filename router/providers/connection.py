"""One HTTP/1.1 connection to an upstream, and the exchange that it carries: httptools over asyncio.

Bytes of a body wait in a list until the reader takes them; beyond ``HIGH_WATER`` the socket is
paused, so a slow client slows its upstream and grows no memory.  What is no body (heads, interim
answers, chunk sizes, trailers) is counted and bounded.  Silence and the whole exchange are timed by
one lazy timer, not per read.
"""

from __future__ import annotations

import asyncio
import math
import re
import select
from collections import deque
from typing import Final, cast

import httptools
import httpx

HIGH_WATER: Final = 256 << 10
"""Unread body bytes of one exchange at which its socket is paused."""

FRAMING_BYTES: Final = 256 << 10
"""Most bytes of a reply that are no body, before its body: what Chrome takes of a head; nginx, as a
proxy, takes 4 to 8 KiB."""

FRAMING_PER_BYTE: Final = 8
"""Further ones for every byte of the body: a chunk of a single byte has five."""

KEEP_S: Final = {"https": 20.0, "http": 4.0}
"""How long an idle connection is kept.

Vendors and their balancers keep one for 60 s and longer.  Servers of one's own (uvicorn, Node,
cpp-httplib) close it after 5 s, mostly without saying so, and connecting to them anew is cheap.
"""

KEEP_MARGIN_S: Final = 1.0
"""By how much sooner it is let go than the server's ``Keep-Alive`` header says."""


class Connection(asyncio.Protocol):
    """One connection and the exchange it is carrying, if any."""

    def __init__(self, loop: asyncio.AbstractEventLoop, keep_s: float = KEEP_S["https"]) -> None:
        self._loop = loop
        self._most_keep_s = keep_s
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self.closed = False
        self._kept_until = 0.0
        self._reset()

    def _reset(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.chunks: deque[bytes] = deque()
        self._buffered = 0
        self.ready = False
        self.complete = False
        self.error: httpx.TransportError | None = None
        self._keep = False
        self._framed = False
        self._keep_s = self._most_keep_s
        self._body_bytes = 0
        self._framing_bytes = 0
        self._idle_s = math.inf
        self._total_s = math.inf
        self._sent_at = 0.0
        self._last_heard = 0.0

    # What the reader does.

    def start(
        self, head: bytes, body: bytes, idle_s: float = math.inf, total_s: float = math.inf
    ) -> None:
        """Send a request; its reply is read with ``wait`` and ``take``.

        It may be silent for ``idle_s``, and must be whole in ``total_s``.
        """
        self._reset()
        self._idle_s, self._total_s = idle_s, total_s
        self._sent_at = self._last_heard = self._loop.time()
        if (first_s := min(idle_s, total_s)) < math.inf:
            self._timer = self._loop.call_later(first_s, self._check_time)
        assert self._transport is not None
        self._transport.write(head + body if len(body) < HIGH_WATER else head)
        if len(body) >= HIGH_WATER:
            self._transport.write(body)

    async def wait(self) -> None:
        """Wait until something changed."""
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def take(self) -> bytes:
        """Return the body bytes that came since the last call."""
        data = self.chunks.popleft() if len(self.chunks) == 1 else b"".join(self.chunks)
        self.chunks.clear()
        self._buffered = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._last_heard = self._loop.time()
            self._transport.resume_reading()
        return data

    def allow_silence(self, idle_s: float) -> None:
        """Fail the exchange when nothing comes for ``idle_s`` from now on."""
        self._idle_s, self._last_heard = idle_s, self._loop.time()
        self._stop_timer()
        self._check_time()

    def finish(self) -> bool:
        """End the exchange; say whether the connection can carry another."""
        self._stop_timer()
        if self.complete and self._keep and not self.closed and not self.chunks:
            self._kept_until = self._loop.time() + self._keep_s
            return True
        self.close()
        return False

    def close(self) -> None:
        """Drop the connection at once."""
        self.closed = True
        self._stop_timer()
        if self._transport is not None:
            self._transport.abort()

    @property
    def usable(self) -> bool:
        """Whether an idle connection is still open, its socket asked: the loop may not know yet."""
        return (
            not self.outlived
            and self._transport is not None
            and not self._transport.is_closing()
            and not _readable(self._transport)
        )

    @property
    def outlived(self) -> bool:
        """Whether an idle connection need not be kept any longer."""
        return self.closed or self._loop.time() >= self._kept_until

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: httpx.TransportError) -> None:
        if not self.complete and self.error is None:
            self.error = error
        self.closed = True
        self._wake()

    def _check_time(self) -> None:
        """Fail an exchange that is silent or takes too long, else look again later."""
        now = self._loop.time()
        waits_for_reader = self._paused or bool(self.chunks)
        silent_at = (now if waits_for_reader else self._last_heard) + self._idle_s
        left_s = min(silent_at, self._sent_at + self._total_s) - now
        self._timer = None
        if left_s > 0.001:
            self._timer = self._loop.call_later(left_s, self._check_time)
        elif silent_at - now <= 0.001:
            self._fail(httpx.ReadTimeout(f"the upstream was silent for {self._idle_s:g} s"))
        else:
            self._fail(
                httpx.ReadTimeout(
                    "the answer is not whole in the time of a request (timeouts.total_s)"
                )
            )

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Read, and count what is no body."""
        if self.complete or not self._sent_at:
            self.close()  # bytes that no request asked for
            return
        self._last_heard = self._loop.time()
        before = self._body_bytes
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._refuse(f"the upstream's reply is not HTTP: {error}")
        self._framing_bytes += len(data) - (self._body_bytes - before)
        if self._framing_bytes > FRAMING_BYTES + FRAMING_PER_BYTE * self._body_bytes:
            self._refuse("the head, chunk sizes or trailers of the upstream's reply do not end")

    def connection_lost(self, exc: Exception | None) -> None:
        """End the reply, or say that it broke off."""
        self.closed = True
        if self.ready and not self._framed and exc is None:
            self.complete = True
            self._wake()
        elif not self.complete:
            self._fail(httpx.ReadError(f"the upstream closed the connection{cause(exc)}"))

    def _refuse(self, problem: str) -> None:
        self._fail(httpx.RemoteProtocolError(problem))
        self.close()

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header or a trailer."""
        name = name.lower()
        self._framed |= name in (b"content-length", b"transfer-encoding")
        if name == b"keep-alive" and (said := re.search(rb"timeout=(\d{1,6})", value)):
            self._keep_s = min(self._most_keep_s, int(said[1]) - KEEP_MARGIN_S)
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Let the reader have the head, unless it is interim."""
        self.status = self._parser.get_status_code()
        if self.status < 200:
            return
        self._framed |= self.status in (204, 304)
        self._keep = self._framed and self._parser.should_keep_alive()
        self.ready = True
        self._wake()

    def on_body(self, body: bytes) -> None:
        """Keep some of the body for the reader; pause the socket when it is much."""
        self._body_bytes += len(body)
        self.chunks.append(body)
        self._buffered += len(body)
        if self._buffered > HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        """End the reply, or an interim one."""
        if self.status < 200:
            self.headers, self._framed = [], False
            return
        self.complete = True
        self._wake()


def _readable(transport: asyncio.Transport) -> bool:
    """Say whether bytes or an end wait in an idle connection's socket (as urllib3 and httpcore do)."""
    held = transport.get_extra_info("socket")
    if held is None or not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(held.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def cause(error: BaseException | None) -> str:
    """Return what an error says, after a colon."""
    return f": {error}" if error is not None and str(error) else ""
