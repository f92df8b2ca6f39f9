"""The outermost layer, around every path: one spelling inward, and outward what a client can read.

An error is told in the format of who asks, and a page of this machine may read the answer.
Clients join a base URL and a path in every way (``/v1/`` + ``/messages``, a base that lacks ``/v1``
or has it twice, a slash at the end), so a path of ours is brought to the one spelling that is
served instead of redirected: a redirect loses bodies, and behind a proxy names the wrong scheme.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from starlette.types import ASGIApp

from router.callers.local import seen
from router.errors import ForeignOrigin, NotOffered, RouterError
from router.providers.upstream import PASSED_BACK
from router.serving.asgi import Disconnected, Headers, Message, Receive, Scope, Send, read_headers
from router.serving.headers import TOLD, error_headers
from router.wire.format import FORMATS, spoken_in
from router.wire.loose import dumps

log = logging.getLogger("router.requests")

VERSION: Final = "/v1"

PREFLIGHT_S: Final = b"7200"
"""How long a browser may keep the answer to a preflight; Chromium keeps none for longer."""

METHODS: Final = b"GET, HEAD, POST, OPTIONS"

EXPOSED: Final = b", ".join(
    [*(told.name.encode() for told in TOLD), *PASSED_BACK, b"x-should-retry"]
)
"""Headers of an answer that a page may read."""

_HEADER_NAMES = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,8192}")

INTERNAL: Final = "the gateway failed; retry, and report it if it lasts"


class Paths(NamedTuple):
    """What paths are ours."""

    roots: frozenset[str]
    """Their first parts."""
    endings: frozenset[str]
    """What follows a prefix; by it a path is known that lacks one."""
    pages: frozenset[str]
    """What is a page for who reads HTML, whatever it is for others."""

    def spelled(self, path: str, *, html: bool = False) -> str:
        """Return the one spelling of a path; one that is not ours is left as it is."""
        found = re.sub("/{2,}", "/", path) if "//" in path else path
        if found.endswith("/") and len(found) > 1:
            found = found[:-1]
        if html and found in self.pages:
            return found
        while found.startswith(VERSION + VERSION + "/"):
            found = found.removeprefix(VERSION)
        if found in self.endings or found.startswith("/models/"):
            return VERSION + found
        return found if not self.roots.isdisjoint(found.split("/", 2)[1:2]) else path


class Front:
    """Pure ASGI middleware; see the module's text."""

    def __init__(self, app: ASGIApp, *, admits: Callable[[str], bool], paths: Paths) -> None:
        """Take which origins may read, and which paths are ours."""
        self._app = app
        self._admits = admits
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what needs no route, and pass on the rest."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if origin := b", ".join(value for name, value in scope["headers"] if name == b"origin"):
            if _is_preflight(scope):
                await self._preflight(scope, origin, send)
                return
            if self._admits(origin.decode("latin-1")):
                send = _readable(send, origin)
        await self._answer(scope, receive, send)

    def _inward(self, scope: Scope) -> Scope:
        """Return the request in its one spelling; HEAD is a GET, whose body the server leaves out."""
        html = any(n == b"accept" and b"text/html" in value for n, value in scope["headers"])
        path = self._paths.spelled(scope["path"], html=html)
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        if path == scope["path"] and method == scope["method"]:
            return scope
        return {
            **scope,
            "path": path,
            "raw_path": path.encode("utf-8", "replace"),
            "method": method,
        }

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            if _wants_websocket(scope):
                raise NotOffered("WebSockets are not offered; POST the request over HTTP")
            await self._app(self._inward(scope), receive, noted)
        except Disconnected:
            pass
        except Exception as error:
            if begun:
                raise
            if isinstance(error, RouterError):
                await _refuse(scope, send, error)
                return
            log.exception("%s %s failed inside the gateway", scope["method"], scope["path"])
            await _refuse(scope, send, RouterError(INTERNAL))

    async def _preflight(self, scope: Scope, origin: bytes, send: Send) -> None:
        """Tell a browser what a page may send; a foreign one nothing."""
        page = origin.decode("latin-1")
        if not self._admits(page):
            told = f"pages of Origin {seen(page)} may not ask; if they should, add it to allowed_origins"
            await _refuse(scope, send, ForeignOrigin(told))
            return
        headers = [
            *_names(origin),
            (b"access-control-allow-methods", METHODS),
            (b"access-control-max-age", PREFLIGHT_S),
        ]
        for name, value in scope["headers"]:
            if name == b"access-control-request-headers" and _HEADER_NAMES.fullmatch(value):
                headers.append((b"access-control-allow-headers", value))
            elif name == b"access-control-request-private-network" and value == b"true":
                headers.append((b"access-control-allow-private-network", b"true"))
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def _is_preflight(scope: Scope) -> bool:
    return scope["method"] == "OPTIONS" and any(
        name == b"access-control-request-method" for name, _ in scope["headers"]
    )


def _wants_websocket(scope: Scope) -> bool:
    return scope["method"] == "GET" and any(
        name == b"upgrade" and value.lower() == b"websocket" for name, value in scope["headers"]
    )


def _names(origin: bytes) -> Headers:
    return [(b"access-control-allow-origin", origin), (b"vary", b"origin")]


def _readable(send: Send, origin: bytes) -> Send:
    """Return the same, with what lets a page of an origin read the answer."""
    added = [*_names(origin), (b"access-control-expose-headers", EXPOSED)]

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return told


async def _refuse(scope: Scope, send: Send, error: RouterError) -> None:
    """Tell an error in the format of the client that asks."""
    format = FORMATS[spoken_in(scope["path"], read_headers(scope))]
    body = dumps(format.error_body(error.status, error.code, str(error)))
    headers: list[Any] = [*error_headers(error), (b"content-length", b"%d" % len(body))]
    if error.status == 426:
        headers += [(b"upgrade", b"HTTP/1.1"), (b"connection", b"close, upgrade")]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
