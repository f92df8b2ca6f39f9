"""uvicorn's httptools protocol with two limits that it lacks: on a head's size and its time.

A connection that never finishes its head would otherwise be kept, and its bytes collected, for
ever.  Bodies are bounded where they are read, in ``router.serving.asgi``.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from router.settings import RequestLimits


class GuardedConfig(Config):
    """uvicorn's configuration, with the limits that ``GuardedProtocol`` keeps.

    It travels to worker processes whole, which a protocol made to measure could not.
    """

    def __init__(self, app: Any, *, limits: RequestLimits, **options: Any) -> None:
        super().__init__(app, http=GuardedProtocol, ws="none", proxy_headers=False, **options)
        self.request_limits = limits


class GuardedProtocol(HttpToolsProtocol):
    """Close a connection whose head is too long, or too long in coming."""

    config: GuardedConfig
    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = True
    _refused = False

    def connection_made(self, transport: Any) -> None:
        """Start the clock for the first head."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the bytes of an unfinished head."""
        if self._refused:
            return
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self.config.request_limits.header_bytes:
                self._refuse(b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        """Start the clock for the next head on a kept connection."""
        super().on_message_begin()
        if not self._in_head:
            self._await_head()

    def on_headers_complete(self) -> None:
        """Stop the clock, and refuse a head that came in one piece and is too long."""
        self._in_head = False
        self._stop_clock()
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.config.request_limits.header_bytes:
            self._refuse(b"431 Request Header Fields Too Large")
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take no body of a request that was refused."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End no request that was refused."""
        if not self._refused:
            super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: such a request is answered as what it is, and Codex tries on every start."""

    def _await_head(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self._head_timer = self.loop.call_later(
            self.config.request_limits.header_s, self._refuse, b"408 Request Timeout"
        )

    def _stop_clock(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, status: bytes) -> None:
        self._stop_clock()
        self._refused = True
        if self.transport is not None and not self.transport.is_closing():
            head = b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            self.transport.write(head)
            self.transport.close()
