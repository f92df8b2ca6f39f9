"""Requests without an end, and which of them were answered when."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections.abc import Iterator, Sequence

from benchmarks.speed.load import drive, post
from router.values import Interface
from tests.gateway_rig import PATHS

_ID = re.compile(rb"\r\nx-auto-decision-id: (\w+)\r\n")


class Answered:
    """Which replies were read to their end, and when; ``stop`` ends the asking."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        """Decision id → when the last byte was read, by the monotonic clock."""
        self._stop = asyncio.Event()

    def took(self, reply: bytes) -> bool:
        """Note a reply; say whether it is a good one."""
        found = _ID.search(reply)
        good = reply.startswith(b"HTTP/1.1 200") and found is not None
        if good and found:
            self.at[found[1].decode()] = time.monotonic()
        return good

    def stop(self) -> None:
        """Send nothing more."""
        self._stop.set()

    def bodies(self, ports: Sequence[int]) -> Iterator[bytes]:
        """Yield requests of a hundred sessions, every fourth a stream, until it is told to stop."""
        for n in itertools.count():
            if self._stop.is_set():
                return
            fields = {
                "model": "kilo-auto/efficient",
                "messages": [{"role": "user", "content": f"Fix bug {n} of the parser"}],
                "stream": n % 4 == 0,
                "user": f"session {n % 100}",
            }
            body = json.dumps(fields).encode()
            yield post(PATHS[Interface.CHAT], body, ports[n % len(ports)])

    async def ask(self, port: int, connections: int = 8) -> None:
        """Ask one gateway over so many connections until it is told to stop."""
        await drive(port, self.bodies([port]), connections=connections, check=self.took)

    def before(self, moment_s: float) -> set[str]:
        """Return the ids of replies that ended before a moment."""
        return {id_ for id_, at_s in self.at.items() if at_s < moment_s}
