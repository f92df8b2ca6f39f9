"""A fast HTTP/1.1 transport for httpx: one connection per request, kept alive, no pool locks.

Why not httpx's own: under a gateway's load its pool is quadratic in connections (measured on
two cores: 640 req/s at 32 connections, 3 req/s at 512, against thousands here), and a gateway
adds to every request what its client costs.  So httpx's ``Request`` and ``Response`` stay, as
the vocabulary that ``httpx.MockTransport`` and the tests share, over an asyncio protocol that
feeds httptools.  It is called directly, without ``AsyncClient``, whose cookie jar, redirects,
authentication and event hooks a gateway must not have.

One ``Connection`` carries one exchange at a time.  An exchange that is left before its end closes its
connection, which is how a client that goes away cancels its upstream call.

A kept connection that its server closed meanwhile is replaced by a fresh one; once a request was
written it is never sent again from here, since nobody can tell whether it was served (Go's
``net/http`` holds a POST so, too): that would be a call that nobody counts.  So that this seldom
costs an answer, connections are not kept as long as servers keep them.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

import httpx

from router.providers.connection import KEEP_S, Connection, cause
from router.providers.dialing import Origin, basic, dial
from router.providers.proxies import Proxies, Proxy

PROXY_WANTS_LOGIN: Final = 407

MAX_IDLE: Final = 1024
"""Idle connections kept per origin."""


class Body(httpx.AsyncByteStream):
    """The body of a reply as it comes; leaving it early closes the connection."""

    def __init__(self, connection: Connection, transport: FastTransport, origin: Origin) -> None:
        self._connection: Connection | None = connection
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

    def allow_silence(self, idle_s: float) -> None:
        """Fail when nothing comes for ``idle_s`` from now on."""
        if self._connection is not None:
            self._connection.allow_silence(idle_s)

    @property
    def is_whole(self) -> bool:
        """Whether all of it was read."""
        held = self._connection
        return held is None or (held.complete and not held.chunks)

    async def aclose(self) -> None:
        """Give the connection back; before the end of the body it is closed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._transport.release(connection, self._origin)


class FastTransport(httpx.AsyncBaseTransport):
    """Send requests over kept-alive HTTP/1.1 connections; see the module's text."""

    def __init__(
        self, *, verify: ssl.SSLContext | None = None, proxies: Proxies | None = None
    ) -> None:
        """Begin without connections; ``verify`` replaces the default trust store."""
        self._tls = verify
        self._proxies = proxies or Proxies()
        self._idle: dict[Origin, deque[Connection]] = {}
        self._open: set[Connection] = set()

    @property
    def open_connections(self) -> int:
        """How many exchanges are in progress."""
        return len(self._open)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; return when the reply's head is here.

        ``extensions["timeout"]`` has seconds to ``connect``, to ``read`` (between two pieces) and, in
        ``total``, for the whole exchange; what it lacks has no limit.
        """
        url = request.url
        origin = (url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80))
        proxy = self._proxies.to(*origin) if self._proxies.by_scheme else None
        timeout = request.extensions.get("timeout", {})
        head, body = _head(request, proxy), await request.aread()
        sent = (head, body, timeout.get("read") or math.inf, timeout.get("total") or math.inf)
        connect_s = timeout.get("connect")
        connection = self._kept(origin) or await self._connect(origin, proxy, connect_s)
        response = await self._exchange(connection, origin, *sent)
        if proxy is not None and response.status_code == PROXY_WANTS_LOGIN:
            await response.aclose()
            raise proxy.failed("wants a login: http://USER:PASSWORD@HOST:PORT")
        return response

    async def _exchange(
        self,
        connection: Connection,
        origin: Origin,
        head: bytes,
        body: bytes,
        idle_s: float,
        total_s: float,
    ) -> httpx.Response:
        self._open.add(connection)
        try:
            connection.start(head, body, idle_s, total_s)
            while not connection.ready:
                if connection.error is not None:
                    raise connection.error
                await connection.wait()
        except BaseException:
            self._open.discard(connection)
            connection.close()
            raise
        stream = Body(connection, self, origin)
        return httpx.Response(connection.status, headers=connection.headers, stream=stream)

    def _kept(self, origin: Origin) -> Connection | None:
        """Return the most recently used idle connection that is still good."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.usable:
                return connection
            connection.close()
        return None

    async def _connect(
        self, origin: Origin, proxy: Proxy | None, connect_s: float | None
    ) -> Connection:
        scheme, host, port = origin
        loop = asyncio.get_running_loop()
        tls = self._trusted() if scheme == "https" else None
        try:
            async with asyncio.timeout(connect_s):
                held = await dial(origin, proxy)
                _, connection = await loop.create_connection(
                    lambda: Connection(loop, KEEP_S[scheme]),
                    sock=held,
                    ssl=tls,
                    server_hostname=host if tls else None,
                )
        except TimeoutError as error:
            problem = f"no connection to {host} in {f'{connect_s:g} s' if connect_s else 'time'}"
            if proxy is not None:
                raise proxy.failed(problem) from error
            raise httpx.ConnectTimeout(problem) from error
        except OSError as error:
            raise httpx.ConnectError(f"cannot connect to {host}:{port}{cause(error)}") from error
        return connection

    def _trusted(self) -> ssl.SSLContext:
        """Return the trust store; reading it takes a while, so it is read when it is needed."""
        if self._tls is None:
            self._tls = httpx.create_ssl_context()
        return self._tls

    def release(self, connection: Connection, origin: Origin) -> None:
        """Take a connection back after its exchange."""
        self._open.discard(connection)
        if connection.finish():
            idle = self._idle.setdefault(origin, deque())
            idle.append(connection)
            while idle and (len(idle) > MAX_IDLE or idle[0].outlived):
                idle.popleft().close()

    async def aclose(self) -> None:
        """Close every connection."""
        for connection in [*self._open, *(c for idle in self._idle.values() for c in idle)]:
            connection.close()
        self._open.clear()
        self._idle.clear()


def _head(request: httpx.Request, proxy: Proxy | None) -> bytes:
    """Write the request line and headers; a header cannot smuggle in another."""
    url, login, target = request.url, b"", request.url.raw_path
    if proxy is not None and proxy.asked_in_full(url.scheme):
        target, login = b"http://" + url.netloc + target, basic(proxy)
    lines = [b"%s %s HTTP/1.1" % (request.method.encode("ascii"), target)]
    lines += [b"proxy-authorization: " + login] if login else []
    lines += [b"%s: %s" % pair for pair in request.headers.raw]
    head = b"\r\n".join(lines)
    if head.count(b"\n") != len(lines) - 1 or head.count(b"\r") != len(lines) - 1:
        raise httpx.LocalProtocolError("a header holds a line break")
    return head + b"\r\n\r\n"
