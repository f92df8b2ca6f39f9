"""Signs of life for the client of a stream that has been sent nothing for a while.

Clients and the proxies before them give up on a silent connection.  The first sign gives the status
200, so it waits as long as it can: until then an error can still have a status of its own.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from types import TracebackType
from typing import Final

from router.serving.asgi import Call, Headers

ENDS: Final = (b"\n\n", b"\r\r", b"\r\n\r\n")
"""How a piece ends after which an event may begin."""


class Pulse:
    """Beat for a call, every so often, while the work inside goes on."""

    def __init__(
        self,
        call: Call,
        beat: bytes,
        head: Callable[[], Headers],
        *,
        every_s: float,
        lively_s: float,
    ) -> None:
        """Send ``beat`` after ``every_s`` without a byte, and the status before it.

        From when the upstream says that it works ``lively_s`` is enough: who does that will hardly
        refuse.
        """
        self._call = call
        self._beat = beat
        self._head = head
        self._every_s = every_s
        self._lively_s = min(lively_s, every_s)
        self._works_s = math.inf
        """When the upstream first said that it works, on the loop's clock."""
        self._beating: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Pulse:
        self._loop = asyncio.get_running_loop()
        self._call.sent_s = self._loop.time()
        self._timer = self._loop.call_later(self._every_s, self._due)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if self._beating is not None and isinstance(error, asyncio.CancelledError):
            self._beating.cancel()
        await self.settled()

    def works(self) -> None:
        """Be told that the upstream says so: the client may be due a sign too."""
        now = self._loop.time()
        self._works_s = min(self._works_s, now)
        if now - max(self._works_s, self._call.sent_s) >= self._lively_s:
            self._begin()

    async def settled(self) -> None:
        """Wait for a beat that is being sent."""
        if self._beating is not None:
            await asyncio.wait({self._beating})

    async def stop(self) -> None:
        """Beat no more."""
        self._timer.cancel()
        await self.settled()

    def _due(self) -> None:
        """Beat if nothing was sent for long enough, and look again later."""
        left = self._call.sent_s + self._every_s - self._loop.time()
        if left <= 0:
            self._begin()
        self._timer = self._loop.call_later(left if left > 0 else self._every_s, self._due)

    def _begin(self) -> None:
        if self._beating is None or self._beating.done():
            self._beating = self._loop.create_task(self._send())

    async def _send(self) -> None:
        if self._call.status is None:
            await self._call.start(200, self._head())
        if self._call.newest.endswith(ENDS) or not self._call.newest:
            await self._call.piece(self._beat)
