"""A load driver on bare sockets: it must cost less than what it measures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, cast

import numpy as np

TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """What one run showed; times in milliseconds, ``first`` to the first event of a stream."""

    requests: int
    failed: int
    seconds: float
    p50_ms: float
    p99_ms: float
    first_p50_ms: float
    first_p99_ms: float

    @property
    def per_s(self) -> float:
        """Requests per second that were answered."""
        return (self.requests - self.failed) / self.seconds


class _Client(asyncio.Protocol):
    """One kept connection; one request at a time."""

    def __init__(self, first: bytes) -> None:
        self.first = first

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.done: asyncio.Future[bytes] | None = None
        self.lost = False

    def begin(self, request: bytes) -> asyncio.Future[bytes]:
        self.read = bytearray()
        self.first_at = 0.0
        self.length = -1
        self.done = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self.done

    def data_received(self, data: bytes) -> None:
        read = self.read
        read += data
        if not self.first_at and self.first in data:
            self.first_at = time.perf_counter()
        if self.length < 0:
            head = read.find(b"\r\n\r\n")
            if head < 0:
                return
            at = read.find(b"content-length: ", 0, head)
            self.length = head + 4 + int(read[at + 16 : read.find(b"\r", at)]) if at > 0 else 0
        complete = len(read) >= self.length if self.length else read.endswith(b"\r\n0\r\n\r\n")
        if complete and self.done is not None and not self.done.done():
            self.done.set_result(bytes(read))

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self.done is not None and not self.done.done():
            self.done.set_exception(ConnectionError("closed"))


def post(path: str, body: bytes, port: int) -> bytes:
    """Write one request."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer sk-test\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def drive(
    port: int,
    requests: Iterator[bytes],
    *,
    connections: int,
    first: bytes = b"data:",
    check: Callable[[bytes], bool] = lambda reply: reply.startswith(b"HTTP/1.1 200"),
) -> Load:
    """Send every request over ``connections`` kept connections, each as fast as it is answered.

    ``first`` is what the event holds that is timed as a stream's first.
    """
    took: list[float] = []
    firsts: list[float] = []
    failed = 0

    async def one() -> None:
        nonlocal failed
        loop = asyncio.get_running_loop()
        client: _Client | None = None
        for request in requests:
            began = time.perf_counter()
            try:
                if client is None or client.lost:
                    _, client = await loop.create_connection(
                        partial(_Client, first), "127.0.0.1", port
                    )
                reply = await asyncio.wait_for(client.begin(request), TIMEOUT_S)
            except (OSError, TimeoutError):
                failed, client = failed + 1, None
                continue
            took.append(time.perf_counter() - began)
            firsts.append((client.first_at or time.perf_counter()) - began)
            failed += not check(reply)
        if client is not None:
            client.transport.abort()

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(connections)))
    seconds = time.perf_counter() - began
    whole, begun = (np.array(times or [np.nan]) * 1e3 for times in (took, firsts))
    return Load(
        requests=len(took) + failed,
        failed=failed,
        seconds=seconds,
        p50_ms=float(np.quantile(whole, 0.5)),
        p99_ms=float(np.quantile(whole, 0.99)),
        first_p50_ms=float(np.quantile(begun, 0.5)),
        first_p99_ms=float(np.quantile(begun, 0.99)),
    )
