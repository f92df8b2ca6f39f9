"""A Redis or Valkey server that replicas share.

While it does not answer nobody waits for it: a command has ``ANSWER_S``, and after one that failed
the next is sent ``AGAIN_S`` later, by one task at a time.  Until then every command fails at once.
So it comes back by itself, and what asks it has to do without it in between.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from router.errors import BadArtefact

log = logging.getLogger(__name__)

SCHEMES: Final = {
    "redis": "redis",
    "rediss": "rediss",
    "valkey": "redis",
    "valkeys": "rediss",
    "unix": "unix",
}
"""How a URL may begin → what the library calls it."""

ANSWER_S: Final = 0.25
"""How long a command may take, a connection included: on the same network it takes a millisecond."""

BUSY: Final = 0.2
"""Part of a period.  A loop that computed so much of it, or looked at the time so much too late, may have an
answer that it had no time to read: to connect and ask takes it ten turns, among those of all requests."""

LOOKS: Final = 5
"""Periods after which nobody waits longer, however busy this process is."""

AGAIN_S: Final = 1.0
"""How long nobody asks a server that failed."""

START_S: Final = 1.0
"""How long a start waits for the server's first answer."""

CONNECTIONS: Final = 64
"""Most at once; who finds none waits for one."""


class StoreAway(Exception):
    """The server does not answer, or not as it should."""


@asynccontextmanager
async def within(period_s: float) -> AsyncIterator[None]:
    """Give a server so long to answer; raises TimeoutError.  While this process was too busy to look it begins anew.

    ``asyncio.timeout`` would take a server for away whose answer waits to be read.
    """
    loop = asyncio.get_running_loop()
    due_s, cpu_s, looks = loop.time() + period_s, time.thread_time(), 0
    timer = loop.call_at(due_s, lambda: look())

    def look() -> None:
        nonlocal due_s, cpu_s, looks, timer
        now_s, used_s, looks = loop.time(), time.thread_time(), looks + 1
        if max(now_s - due_s, used_s - cpu_s) < BUSY * period_s or looks == LOOKS:
            limit.reschedule(now_s)
            return
        due_s, cpu_s = now_s + period_s, used_s
        timer = loop.call_at(due_s, look)

    try:
        async with asyncio.timeout(None) as limit:
            yield
    finally:
        timer.cancel()


def checked(url: str) -> str:
    """Return a server's URL as the library reads it; raises ValueError, which repeats none of it."""
    scheme, colon, rest = url.partition("://")
    if not colon or scheme not in SCHEMES:
        raise ValueError(
            f"a store's URL begins with one of {', '.join(f'{s}://' for s in SCHEMES)}"
        )
    read = f"{SCHEMES[scheme]}://{rest}"
    try:
        parts = urlsplit(read)
        named = parts.path if scheme == "unix" else parts.hostname
        database = "" if scheme == "unix" else parts.path.strip("/")
        well_formed = bool(named) and (not database or database.isdecimal()) and parts.port != 0
    except ValueError:  # it would quote what may be a password
        well_formed = False
    if not well_formed:
        raise ValueError(
            "a store's URL is redis://USER:PASSWORD@HOST:PORT/DATABASE or unix:///PATH; what is "
            "no letter or digit in a password is written as %XX"
        ) from None
    return read


class Valkey:
    """One server; ``problem`` says what is wrong with it, and is empty while it answers.

    What stands in a problem before the first colon says nothing of where the server is.
    """

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Ask it once; raises BadArtefact for what no waiting mends."""
        try:
            self._server = _pooled(checked(url))
            self.problem = _asked_once(checked(url))
        except ModuleNotFoundError as error:
            raise BadArtefact(
                "redis is not installed; install auto-efficient with its redis extra"
            ) from error
        except (TypeError, ValueError) as error:
            raise BadArtefact(f"settings: store: {error}") from None
        self._clock = clock
        self._again_s = 0.0
        if self.problem:
            log.warning("%s", self.problem)

    async def ask(self, *command: str | bytes | float) -> Any:
        """Return the answer to a command; raises StoreAway."""
        if self.problem:
            now_s = self._clock()
            if now_s < self._again_s:
                raise StoreAway(self.problem)
            self._again_s = now_s + AGAIN_S
        try:
            async with within(ANSWER_S):
                answer = await self._server.execute_command(*command)
        except Exception as error:  # whatever the library raises, the request goes on
            self._again_s = self._clock() + AGAIN_S
            self._is(_told(error))
            raise StoreAway(self.problem) from error
        if self.problem:
            self._is("")
        return answer

    def _is(self, problem: str) -> None:
        if bool(problem) != bool(self.problem):
            log.warning("%s", problem or "the shared store answers again")
        self.problem = problem

    async def aclose(self) -> None:
        """Close the connections."""
        await self._server.aclose()


def _pooled(url: str) -> Any:
    """Return a client that has not connected yet; a connection that was lost is made anew once."""
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    pool: Any = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=LOOKS * ANSWER_S,
        retry=Retry(NoBackoff(), 1),
        protocol=2,
    )
    pool.make_connection()  # raises TypeError for an option that there is not
    return Redis.from_pool(pool)


def _asked_once(url: str) -> str:
    """Return what is wrong with a server as a gateway starts."""
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    once = Redis.from_url(
        url,
        socket_timeout=START_S,
        socket_connect_timeout=START_S,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )
    try:
        once.ping()
    except Exception as error:  # whatever it is, the gateway starts and asks again
        return _told(error)
    finally:
        once.close()
    return ""


def _told(error: Exception) -> str:
    """Say what is wrong without what a server repeats of a command, which may be its password."""
    said = " ".join(str(error).partition(", with args")[0].split())
    return f"the shared store cannot be used: {said or 'it does not answer'}"
