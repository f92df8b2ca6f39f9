"""One HTTP/1.1 connection to an upstream, and the exchange that it carries: httptools over asyncio.

Bytes of a body wait in a list until the reader takes them; beyond ``HIGH_WATER`` the socket is
paused, so a slow client slows its upstream and grows no memory.  Silence is timed by one lazy timer
per exchange, not per read.
"""

from __future__ import annotations

import asyncio
import select
from collections import deque
from typing import Any, Final, cast

import httptools
import httpx

HIGH_WATER: Final = 256 << 10
"""Unread body bytes of one exchange at which its socket is paused."""


class Connection(asyncio.Protocol):
    """One connection and the exchange it is carrying, if any."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self.closed = False
        self.idle_since = 0.0
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
        self._idle_s = 0.0
        self._last_heard = 0.0

    # What the reader does.

    def start(self, head: bytes, body: bytes, idle_s: float) -> None:
        """Send a request; its reply is read with ``wait`` and ``take``."""
        self._reset()
        self._idle_s = idle_s
        self._last_heard = self._loop.time()
        if idle_s and self._timer is None:
            self._timer = self._loop.call_later(idle_s, self._check_silence)
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

    def finish(self) -> bool:
        """End the exchange; say whether the connection can carry another."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.complete and self._keep and not self.closed and not self.chunks:
            self.idle_since = self._loop.time()
            return True
        self.close()
        return False

    def close(self) -> None:
        """Drop the connection at once."""
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()

    @property
    def usable(self) -> bool:
        """Whether an idle connection is still open; its end may wait to be read."""
        if self.closed or self._transport is None or self._transport.is_closing():
            return False
        return not _readable(self._transport.get_extra_info("socket"))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: httpx.TransportError) -> None:
        if not self.complete and self.error is None:
            self.error = error
        self.closed = True
        self._wake()

    def _check_silence(self) -> None:
        """Fail the exchange if the upstream was silent too long, else look again later."""
        now = self._loop.time()
        left = self._last_heard + self._idle_s - now
        if self._paused or self.chunks:
            left = self._idle_s
        if left <= 0.001:
            self._timer = None
            self._fail(httpx.ReadTimeout(f"the upstream was silent for {self._idle_s:g} s"))
        else:
            self._timer = self._loop.call_later(left, self._check_silence)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Read."""
        if self.complete or not self._last_heard:
            self.close()  # bytes that no request asked for
            return
        self._last_heard = self._loop.time()
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(httpx.RemoteProtocolError(f"the upstream's reply is not HTTP: {error}"))
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the reply, or say that it broke off."""
        self.closed = True
        if self.ready and not self._framed and exc is None:
            self.complete = True
            self._wake()
        elif not self.complete:
            self._fail(httpx.ReadError(f"the upstream closed the connection{cause(exc)}"))

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header or a trailer."""
        name = name.lower()
        self._framed |= name in (b"content-length", b"transfer-encoding")
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


def _readable(socket: Any) -> bool:
    """Say whether bytes or the end of a connection wait, without reading them."""
    if not hasattr(select, "poll"):
        return bool(select.select([socket], [], [], 0)[0])
    waiting = select.poll()
    waiting.register(socket, select.POLLIN)
    return bool(waiting.poll(0))


def cause(error: BaseException | None) -> str:
    """Return what an error says, after a colon."""
    return f": {error}" if error is not None and str(error) else ""
