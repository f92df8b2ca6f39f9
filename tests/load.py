"""Requests without an end, and which of them were answered when."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Iterator

from benchmarks.speed.load import drive, post
from router.values import Interface
from tests.gateway_rig import PATHS

_ID = re.compile(rb"\r\nx-auto-decision-id: (\w+)\r\n")


AT_A_TIME = 400
"""Requests after which connections are made anew, so that a replica that comes back is asked again."""


class Answered:
    """Which replies were read to their end, and when; ``stop`` ends the asking."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        """Decision id → when the last byte was read, by the monotonic clock."""
        self.refused: list[bytes] = []
        """How replies begin that are not good ones."""
        self.cut = 0
        """Requests that were not answered: their connection ended."""
        self._stop = False

    def took(self, reply: bytes) -> bool:
        """Note a reply; say whether it is a good one."""
        found = _ID.search(reply)
        if found is None or not reply.startswith(b"HTTP/1.1 200"):
            self.refused.append(reply[:200])
            return False
        self.at[found[1].decode()] = time.monotonic()
        return True

    def stop(self) -> None:
        """Send nothing more."""
        self._stop = True

    def bodies(self, port: int) -> Iterator[bytes]:
        """Yield requests of a hundred sessions, every fourth a stream, until it is told to stop."""
        for n in itertools.count():
            if self._stop:
                return
            fields = {
                "model": "kilo-auto/efficient",
                "messages": [{"role": "user", "content": f"Fix bug {n} of the parser"}],
                "stream": n % 4 == 0,
                "user": f"session {n % 100}",
            }
            yield post(PATHS[Interface.CHAT], json.dumps(fields).encode(), port)

    async def ask(self, port: int, connections: int = 8) -> None:
        """Ask at an address over so many connections until it is told to stop."""
        bodies = self.bodies(port)
        while not self._stop:
            refused = len(self.refused)
            some = itertools.islice(bodies, AT_A_TIME)
            load = await drive(port, some, connections=connections, check=self.took)
            self.cut += load.failed - (len(self.refused) - refused)

    def before(self, moment_s: float) -> set[str]:
        """Return the ids of replies that ended before a moment."""
        return {id_ for id_, at_s in self.at.items() if at_s < moment_s}
