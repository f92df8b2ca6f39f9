"""A request's body on its way in: received, decoded and parsed at a cost that is bounded.

Bodies that are here at once share a room of bytes, from their first piece until their answer begins.
A large one is worked on apart from the event loop, in turn: what is decoded and has no room yet is
one body at most.
"""

from __future__ import annotations

import asyncio
from functools import partial

from router.errors import BadRequest, Busy, TooLarge
from router.providers.large import LARGE_BYTES, apart
from router.serving.asgi import Call, read_body
from router.settings import RequestLimits
from router.values import checked_name
from router.wire.content import decoded
from router.wire.format import FORMATS
from router.wire.json_text import holds_more_values
from router.wire.request import ChatRequest, parse


class Room:
    """The bytes of all bodies that are held at once."""

    def __init__(self, size_bytes: int, wait_s: float) -> None:
        """Begin empty; who finds it full waits ``wait_s``."""
        self._size_bytes = size_bytes
        self._wait_s = wait_s
        self._freed = asyncio.Event()
        self.held_bytes = 0

    def fits(self, own_bytes: int, more_bytes: int) -> bool:
        """Say whether who holds some bytes may hold more; large bodies leave half to others.

        A body that is alone always fits: how large it may be is another limit's matter.
        """
        own, others = own_bytes + more_bytes, self.held_bytes - own_bytes
        allowed = self._size_bytes if own <= LARGE_BYTES else self._size_bytes // 2
        return not others or others + own <= allowed

    async def until_fits(self, own_bytes: int, more_bytes: int) -> None:
        """Wait for room; raises Busy."""
        try:
            async with asyncio.timeout(self._wait_s):
                while not self.fits(own_bytes, more_bytes):
                    await self._freed.wait()
        except TimeoutError:
            raise Busy("the gateway is busy with other large requests; send it again") from None

    def tell(self) -> None:
        """Let those who wait look again."""
        self._freed.set()
        self._freed = asyncio.Event()


class Share:
    """What one request holds of a room; give it back in every case."""

    def __init__(self, room: Room) -> None:
        """Begin with nothing."""
        self._room = room
        self._bytes = 0

    async def grow(self, more_bytes: int) -> None:
        """Take room for more, or less; raises Busy when there is none in time."""
        if more_bytes > 0 and not self._room.fits(self._bytes, more_bytes):
            await self._room.until_fits(self._bytes, more_bytes)
        self._bytes += more_bytes
        self._room.held_bytes += more_bytes

    def give_back(self) -> None:
        """Take up no room any more."""
        self._room.held_bytes -= self._bytes
        self._bytes = 0
        self._room.tell()


class Intake:
    """Takes bodies in, under the limits of the settings."""

    def __init__(self, limits: RequestLimits) -> None:
        """Begin with an empty room."""
        self._limits = limits
        self._turn = asyncio.Lock()
        self.room = Room(limits.held_bytes, limits.wait_s)

    async def read(self, call: Call, share: Share) -> ChatRequest:
        """Read what a call asks for; raises BadRequest, Busy or Disconnected."""
        body = await read_body(call.receive, call.headers, self._limits, share.grow)
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
                return self._request(plain, call)
        return await self._large(body, encoding, call, share)

    async def _large(self, body: bytes, encoding: str, call: Call, share: Share) -> ChatRequest:
        """Decode and parse what may take long, in turn."""
        try:
            async with asyncio.timeout(self._limits.wait_s):
                await self._turn.acquire()
        except TimeoutError:
            raise Busy("the gateway is busy with other large requests; send it again") from None
        try:
            work = partial(self._read_large, body, encoding, call)
            request = await apart(LARGE_BYTES + 1, work)
            await share.grow(len(request.body) - len(body))
        finally:
            self._turn.release()
        return request

    def _read_large(self, body: bytes, encoding: str, call: Call) -> ChatRequest:
        plain = decoded(body, encoding, limit_bytes=self._limits.body_bytes)
        return self._request(plain, call)

    def _request(self, body: bytes, call: Call) -> ChatRequest:
        """Parse a body within the limits; raises BadRequest."""
        limits = self._limits
        if holds_more_values(body, limits.values):
            raise TooLarge(
                f"the request body holds more than the {limits.values:,} JSON values allowed; send fewer"
            )
        try:
            request = parse(body, interface=call.interface, headers=call.headers, path=call.path)
        except RecursionError:
            raise BadRequest("the request body is nested too deeply; flatten it") from None
        try:
            checked_name(request.model or "")
        except ValueError as error:
            raise BadRequest(str(error)) from None
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
