"""A fast HTTP/1.1 transport for httpx: one connection per request, kept alive, no pool locks.

Why not httpx's own: under a gateway's load its pool is quadratic in connections (measured on
two cores: 640 req/s at 32 connections, 3 req/s at 512, against thousands here), and a gateway
adds to every request what its client costs.  So httpx's ``Request`` and ``Response`` stay, as
the vocabulary that ``httpx.MockTransport`` and the tests share, over an asyncio protocol that
feeds httptools.  It is called directly, without ``AsyncClient``, whose cookie jar, redirects,
authentication and event hooks a gateway must not have.

One ``_Connection`` carries one exchange at a time.  Bytes of a body wait in a list until the
reader takes them; beyond ``HIGH_WATER`` the socket is paused, so a slow client slows its
upstream and grows no memory.  Silence is timed by one lazy timer per exchange, not per read.
An exchange that is left before its end closes its connection, which is how a client that goes
away cancels its upstream call.  A kept connection that its server closed meanwhile is replaced by a
fresh one; once a request was written it is never sent again from here, since nobody can tell whether
it was served (Go's ``net/http`` holds a POST so, too): that would be a call that nobody counts.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final, cast

import httptools
import httpx

HIGH_WATER: Final = 256 << 10
"""Unread body bytes of one exchange at which its socket is paused."""

KEEP_S: Final = 20.0
"""How long an idle connection is kept; below the 60 to 75 s of common servers and balancers."""

MAX_IDLE: Final = 1024
"""Idle connections kept per origin."""

Origin = tuple[str, str, int]


class _Connection(asyncio.Protocol):
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
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
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
        self.closed = True
        if self.ready and not self._framed and exc is None:
            self.complete = True
            self._wake()
        elif not self.complete:
            self._fail(httpx.ReadError(f"the upstream closed the connection{_of(exc)}"))

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self._framed |= name in (b"content-length", b"transfer-encoding")
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status < 200:
            return
        self._framed |= self.status in (204, 304)
        self._keep = self._framed and self._parser.should_keep_alive()
        self.ready = True
        self._wake()

    def on_body(self, body: bytes) -> None:
        self.chunks.append(body)
        self._buffered += len(body)
        if self._buffered > HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        if self.status < 200:
            self.headers, self._framed = [], False
            return
        self.complete = True
        self._wake()


class _Body(httpx.AsyncByteStream):
    """The body of a reply as it comes; leaving it early closes the connection."""

    def __init__(self, connection: _Connection, transport: FastTransport, origin: Origin) -> None:
        self._connection: _Connection | None = connection
        self._transport = transport
        self._origin = origin

    async def __aiter__(self) -> AsyncIterator[bytes]:
        connection = self._connection
        while connection is not None:
            if connection.chunks:
                yield connection.take()
            elif connection.complete:
                return
            elif connection.error is not None:
                raise connection.error
            else:
                await connection.wait()

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._transport.release(connection, self._origin)


class FastTransport(httpx.AsyncBaseTransport):
    """Send requests over kept-alive HTTP/1.1 connections; see the module's text."""

    def __init__(self, *, verify: ssl.SSLContext | None = None) -> None:
        """Begin without connections; ``verify`` replaces the default trust store."""
        self._tls = verify
        self._idle: dict[Origin, deque[_Connection]] = {}
        self._open: set[_Connection] = set()

    @property
    def open_connections(self) -> int:
        """How many exchanges are in progress."""
        return len(self._open)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; return when the reply's head is here."""
        url = request.url
        origin = (url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80))
        timeout = request.extensions.get("timeout", {})
        head, body = _head(request), await request.aread()
        connection = self._kept(origin) or await self._connect(origin, timeout.get("connect"))
        return await self._exchange(connection, origin, head, body, timeout.get("read"))

    async def _exchange(
        self,
        connection: _Connection,
        origin: Origin,
        head: bytes,
        body: bytes,
        idle_s: float | None,
    ) -> httpx.Response:
        self._open.add(connection)
        try:
            connection.start(head, body, idle_s or 0.0)
            while not connection.ready:
                if connection.error is not None:
                    raise connection.error
                await connection.wait()
        except BaseException:
            self._open.discard(connection)
            connection.close()
            raise
        stream = _Body(connection, self, origin)
        return httpx.Response(connection.status, headers=connection.headers, stream=stream)

    def _kept(self, origin: Origin) -> _Connection | None:
        """Return the most recently used idle connection that is still good."""
        idle = self._idle.get(origin)
        now = asyncio.get_running_loop().time()
        while idle:
            connection = idle.pop()
            if connection.usable and now - connection.idle_since < KEEP_S:
                return connection
            connection.close()
        return None

    async def _connect(self, origin: Origin, connect_s: float | None) -> _Connection:
        scheme, host, port = origin
        loop = asyncio.get_running_loop()
        if scheme == "https" and self._tls is None:
            self._tls = httpx.create_ssl_context()
        try:
            async with asyncio.timeout(connect_s):
                _, connection = await loop.create_connection(
                    lambda: _Connection(loop),
                    host,
                    port,
                    ssl=self._tls if scheme == "https" else None,
                )
        except TimeoutError as error:
            raise httpx.ConnectTimeout(f"no connection to {host} in {connect_s:g} s") from error
        except OSError as error:
            raise httpx.ConnectError(f"cannot connect to {host}:{port}{_of(error)}") from error
        return connection

    def release(self, connection: _Connection, origin: Origin) -> None:
        """Take a connection back after its exchange."""
        self._open.discard(connection)
        if connection.finish():
            idle = self._idle.setdefault(origin, deque())
            idle.append(connection)
            if len(idle) > MAX_IDLE:
                idle.popleft().close()

    async def aclose(self) -> None:
        """Close every connection."""
        for connection in [*self._open, *(c for idle in self._idle.values() for c in idle)]:
            connection.close()
        self._open.clear()
        self._idle.clear()


def _readable(socket: Any) -> bool:
    """Say whether bytes or the end of a connection wait, without reading them."""
    if not hasattr(select, "poll"):
        return bool(select.select([socket], [], [], 0)[0])
    waiting = select.poll()
    waiting.register(socket, select.POLLIN)
    return bool(waiting.poll(0))


def _head(request: httpx.Request) -> bytes:
    """Write the request line and headers; a header cannot smuggle in another."""
    lines = [b"%s %s HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
    lines += [b"%s: %s" % pair for pair in request.headers.raw]
    head = b"\r\n".join(lines)
    if head.count(b"\n") != len(lines) - 1 or head.count(b"\r") != len(lines) - 1:
        raise httpx.LocalProtocolError("a header holds a line break")
    return head + b"\r\n\r\n"


def _of(error: BaseException | None) -> str:
    return f": {error}" if error is not None and str(error) else ""
