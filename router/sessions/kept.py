"""Sessions of this process that outlive it: all in its memory, and a moment later in a file.

No request waits for the disk.  What the file holds is read when the process begins, 20,000 sessions
in 50 ms, so that a session which is not in memory is new: to look for it would cost
every first request a thread's turn.  What is changed is written by a thread of its own, in batches.

The file is one process's while that runs: of two that keep the same one each begins with what the
other wrote before, and the last to write a session wins.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable
from threading import Condition, Event, Thread
from typing import Final

from router.sessions.file import FileSessions
from router.sessions.session import Session
from router.sessions.store import MemorySessions

log = logging.getLogger(__name__)

BEHIND_S: Final = 0.25
"""How long changes are gathered before they are written together, in a few milliseconds: what a
process that is killed loses of its sessions is less than the time in which a person writes again."""


class KeptSessions(MemorySessions):
    """The sessions of this process's memory, and a file behind; ``idle_s`` is that of both."""

    def __init__(
        self,
        file: FileSessions,
        *,
        limit: int,
        idle_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Read the file; raises ``sqlite3.Error`` for one that cannot be read."""
        super().__init__(limit=limit, idle_s=idle_s, clock=clock)
        self._asleep.update({key: (used_s, data) for key, used_s, data in file.rows()})
        self._file = file
        self._unwritten: dict[str, Session] = {}
        self._news = Condition()
        self._ends = Event()
        self._fails = False
        self._writer: Thread | None = None

    async def update(self, key: str, change: Callable[[Session], Session]) -> Session:
        """Change a session at once, and in the file soon."""
        made = await super().update(key, change)
        with self._news:
            self._unwritten[key] = made
            self._news.notify()
            if self._writer is None:
                self._writer = Thread(target=self._write, name="sessions", daemon=True)
                self._writer.start()
        return made

    async def aclose(self) -> None:
        """Write what is not written yet, and close the file."""
        self._ends.set()
        with self._news:
            self._news.notify()
        if self._writer is not None:
            await asyncio.to_thread(self._writer.join)
        await self._file.aclose()

    def _write(self) -> None:
        """Write batches until the end: the thread's work."""
        while True:
            with self._news:
                self._news.wait_for(lambda: self._unwritten or self._ends.is_set())
                if not self._unwritten:
                    return
            self._ends.wait(BEHIND_S)
            with self._news:
                batch, self._unwritten = self._unwritten, {}
            if not self._wrote(batch) and self._ends.is_set():
                return

    def _wrote(self, batch: dict[str, Session]) -> bool:
        """Write a batch; what cannot be written is tried again with the next, up to the limit."""
        try:
            self._file.keep(batch)
        except sqlite3.Error as error:
            if not self._fails:
                log.warning("sessions are not written, a restart would forget them: %s", error)
            self._fails = True
            with self._news:
                kept = [*batch.items(), *self._unwritten.items()][-self._limit :]
                self._unwritten = dict(kept)
            return False
        self._fails = False
        return True
