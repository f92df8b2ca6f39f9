"""A request's body on its way in: received, decoded and parsed at a cost that is bounded.

Bodies that are here at once share a room of bytes (``router.serving.room``).  A large one is worked on apart from the event loop, in turn: what is decoded and has no room yet is
one body at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

from router.errors import BadRequest, Busy, TooLarge
from router.providers.large import LARGE_BYTES, apart
from router.serving.asgi import Call, read_body
from router.serving.room import BUSY, Room, Share
from router.settings import RequestLimits
from router.values import PassThrough, checked_name
from router.wire.content import decoded
from router.wire.format import FORMATS
from router.wire.json_text import holds_more_values
from router.wire.pass_through import Passing, read_passing
from router.wire.request import ChatRequest, parse

Taken = TypeVar("Taken", ChatRequest, Passing)
"""What a body is read as."""


class Intake:
    """Takes bodies in, under the limits of the settings."""

    def __init__(self, limits: RequestLimits) -> None:
        """Begin with an empty room."""
        self._limits = limits
        self._turn = asyncio.Lock()
        self.room = Room(limits.held_bytes, limits.wait_s)

    async def read(self, call: Call, share: Share) -> ChatRequest:
        """Read what a call asks for; raises BadRequest, Busy or Disconnected."""
        return await self._taken(call, share, partial(self._request, call=call))

    async def read_passing(self, call: Call, kind: PassThrough, share: Share) -> Passing:
        """Read the same of what passes through."""
        return await self._taken(call, share, partial(read_passing, kind, headers=call.headers))

    async def _taken(self, call: Call, share: Share, read_as: Callable[[bytes], Taken]) -> Taken:
        """Take a body in, and read it by ``read_as``."""
        body = await read_body(call.receive, call.headers, self._limits, share)
        encoding = call.headers.get("content-encoding", "")
        if len(body) <= LARGE_BYTES:
            try:
                plain = decoded(
                    body, encoding, limit_bytes=min(LARGE_BYTES, self._limits.body_bytes)
                )
            except TooLarge:
                pass
            else:
                await share.grow(len(plain) - len(body))
                return self._parsed(plain, read_as)
        return await self._large(body, encoding, share, read_as)

    async def _large(
        self, body: bytes, encoding: str, share: Share, read_as: Callable[[bytes], Taken]
    ) -> Taken:
        """Decode and parse what may take long, in turn.

        Nobody waits for room with the turn, or with what was decoded, in hand: who must wait lets both
        go, and does the work again once there is room for it.
        """
        work = partial(self._read_large, body, encoding, read_as)
        async with self._in_turn():
            request = await apart(LARGE_BYTES + 1, work)
            more = len(request.body) - len(body)
            if share.fits(more):
                await share.grow(more)
                return request
        del request
        await share.grow(more)
        async with self._in_turn():
            return await apart(LARGE_BYTES + 1, work)

    @asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        """Wait for one's turn, and have it; raises Busy."""
        try:
            async with asyncio.timeout(self._limits.wait_s):
                await self._turn.acquire()
        except TimeoutError:
            raise Busy(BUSY) from None
        try:
            yield
        finally:
            self._turn.release()

    def _read_large(self, body: bytes, encoding: str, read_as: Callable[[bytes], Taken]) -> Taken:
        plain = decoded(body, encoding, limit_bytes=self._limits.body_bytes)
        return self._parsed(plain, read_as)

    def _parsed(self, body: bytes, read_as: Callable[[bytes], Taken]) -> Taken:
        """Parse a body within the limits; raises BadRequest."""
        limits = self._limits
        if holds_more_values(body, limits.values):
            raise TooLarge(
                f"the request body holds more than the {limits.values:,} JSON values allowed; send fewer"
            )
        try:
            taken = read_as(body)
        except RecursionError:
            raise BadRequest("the request body is nested too deeply; flatten it") from None
        try:
            checked_name(taken.model or "")
        except ValueError as error:
            raise BadRequest(str(error)) from None
        return taken

    def _request(self, body: bytes, call: Call) -> ChatRequest:
        """Parse a body whose lists are within the limits; raises BadRequest."""
        limits = self._limits
        request = parse(body, interface=call.interface, headers=call.headers, path=call.path)
        for name, limit in (
            ("tools", limits.tools),
            (FORMATS[request.interface].ITEMS, limits.items),
        ):
            listed = request.fields.get(name)
            if isinstance(listed, list) and len(listed) > limit:
                raise TooLarge(
                    f"{len(listed):,} {name} are more than the {limit:,} allowed; send fewer"
                )
        return request
