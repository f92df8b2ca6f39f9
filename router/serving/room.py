"""The room that bodies share: from their first piece until their answer begins.

Who finds no room waits, and those whose bodies are still on their way give way to it: a sender that
falls silent, or sends just enough to be let be, cannot keep the room from everybody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from router.errors import Busy
from router.providers.large import LARGE_BYTES

BUSY: Final = "the gateway is busy with other large requests; send it again"

LOOKS: Final = 4
"""How often in its time who waits for room looks whose body hardly arrives."""

CROWDED_BYTES_PER_S: Final = 128 << 10
"""A body that takes up room others wait for must arrive as fast as this: 1 Mbit/s, a tenth of what the
slowest of ordinary lines sends."""


class Room:
    """The bytes of all bodies that are held at once."""

    def __init__(self, size_bytes: int, wait_s: float) -> None:
        """Begin empty; who finds it full waits ``wait_s``."""
        self._size_bytes = size_bytes
        self._wait_s = wait_s
        self._freed = asyncio.Event()
        self.held_bytes = 0
        self.arriving: dict[Share, asyncio.Timeout] = {}
        """Shares whose next piece is awaited → what ends the wait."""

    def fits(self, own_bytes: int, more_bytes: int) -> bool:
        """Say whether who holds some bytes may hold more; large bodies leave half to others.

        A body that is alone always fits: how large it may be is another limit's matter.
        """
        own, others = own_bytes + more_bytes, self.held_bytes - own_bytes
        allowed = self._size_bytes if own <= LARGE_BYTES else self._size_bytes // 2
        return not others or others + own <= allowed

    async def until_fits(self, own_bytes: int, more_bytes: int) -> None:
        """Wait for room, and have the slowest sender give way to it; raises Busy."""
        look_s = self._wait_s / LOOKS
        for _ in range(LOOKS):
            held = {share: share.bytes for share in self.arriving}
            try:
                async with asyncio.timeout(look_s):
                    while not self.fits(own_bytes, more_bytes):
                        await self._freed.wait()
                return
            except TimeoutError:
                self._end_slowest(held, look_s)
        raise Busy(BUSY)

    def _end_slowest(self, held: dict[Share, int], look_s: float) -> None:
        """Wait no more for whose body, of those that take up room, grew least and too little."""
        grown = {share: share.bytes - held[share] for share in self.arriving if share in held}
        slow = {
            share: (more, -share.bytes)
            for share, more in grown.items()
            if share.bytes
            and not self.arriving[share].expired()
            and more < CROWDED_BYTES_PER_S * look_s
        }
        if slow:
            self.arriving[min(slow, key=slow.__getitem__)].reschedule(0.0)

    def tell(self) -> None:
        """Let those who wait look again."""
        self._freed.set()
        self._freed = asyncio.Event()


class Share:
    """What one request holds of a room; give it back in every case."""

    def __init__(self, room: Room) -> None:
        """Begin with nothing."""
        self._room = room
        self.bytes = 0

    def fits(self, more_bytes: int) -> bool:
        """Say whether there is room for more at once."""
        return more_bytes <= 0 or self._room.fits(self.bytes, more_bytes)

    async def grow(self, more_bytes: int) -> None:
        """Take room for more, or less; raises Busy when there is none in time."""
        if not self.fits(more_bytes):
            await self._room.until_fits(self.bytes, more_bytes)
        self._take(more_bytes)

    @contextmanager
    def arriving(self, patience: asyncio.Timeout) -> Iterator[None]:
        """Let ``patience`` end early where others need the room more."""
        self._room.arriving[self] = patience
        try:
            yield
        finally:
            del self._room.arriving[self]

    def give_back(self) -> None:
        """Take up no room any more."""
        self._take(-self.bytes)

    def _take(self, more_bytes: int) -> None:
        self.bytes += more_bytes
        self._room.held_bytes += more_bytes
        if more_bytes <= 0:
            self._room.tell()
