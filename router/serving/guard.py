"""uvicorn's httptools protocol with two limits that it lacks: on a head's size and its time.

A connection that never finishes its head would otherwise be kept, and its bytes collected, for
ever.  Bodies are bounded where they are read, in ``router.serving.gateway``.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES: Final = 64 << 10
"""nginx and Apache take 8 KiB a line and 32 to 100 KiB in all; clients send under 4 KiB."""

MAX_HEAD_S: Final = 15.0
"""nginx waits 60 s and Apache 20 s for a head."""


class GuardedProtocol(HttpToolsProtocol):
    """Close a connection whose head is too long, or too long in coming."""

    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = True

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
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        """Start the clock for the next head on a kept connection."""
        super().on_message_begin()
        if not self._in_head:
            self._await_head()

    def on_headers_complete(self) -> None:
        """Stop the clock."""
        self._in_head = False
        self._stop_clock()
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self._head_timer = self.loop.call_later(MAX_HEAD_S, self._refuse, b"408 Request Timeout")

    def _stop_clock(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, status: bytes) -> None:
        self._stop_clock()
        if self.transport is not None and not self.transport.is_closing():
            head = b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            self.transport.write(head)
            self.transport.close()
