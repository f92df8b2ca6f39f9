"""What the gateway's tests stand on: a real gateway, a scriptable fake upstream, and checkers.

The fake speaks HTTP over a real socket, byte by byte if need be, because streams, cut connections
and clients that leave cannot be tested through a transport that buffers.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import uvicorn

from classifier.model import Assessment
from classifier.tasks import TYPES
from router.books.record import Record
from router.decision.economics import Outlook, Tokens, Work
from router.decision.forecast import Forecast
from router.providers.memory import Memory
from router.providers.simulated.answer import make_answer
from router.providers.simulated.provider import WRITERS
from router.serving.app import create_app
from router.serving.guard import GuardedConfig
from router.sessions.steps import hear
from router.settings import Settings
from router.values import Decision, Interface, Unit
from router.wire import sse
from tests.evidence import table

PATHS = {
    Interface.CHAT: "/v1/chat/completions",
    Interface.RESPONSES: "/v1/responses",
    Interface.MESSAGES: "/v1/messages",
}

QUICK = {"connect_s": 1.0, "first_byte_s": 0.4, "reply_s": 0.4, "idle_s": 0.4}
"""Time-outs that a test can wait for."""


def ask(interface: Interface, model: str, *, stream: bool = False, text: str = "Hello there"):
    """Return a small body in a format."""
    body: dict[str, Any] = {"model": model, "stream": stream}
    if interface is Interface.RESPONSES:
        return body | {"input": [{"role": "user", "content": text}]}
    body["messages"] = [{"role": "user", "content": text}]
    return body | ({"max_tokens": 500} if interface is Interface.MESSAGES else {})


# The fake upstream.


@dataclass
class Seen:
    """One request as the upstream saw it."""

    path: str
    headers: dict[str, str]
    body: bytes
    left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def fields(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def interface(self) -> Interface:
        path = self.path.partition("?")[0]
        return next(i for i, p in PATHS.items() if p.endswith(path.rpartition("/v1")[2]))


Play = Callable[[Seen, asyncio.StreamWriter], Awaitable[bool | None]]
"""Answers a request on the wire; returns True to keep the connection."""


class FakeUpstream:
    """A server whose ``play`` can be exchanged at any time."""

    def __init__(self) -> None:
        self.play: Play = good
        self.lists: Play = unlisted
        """Answers who asks for the models; ``seen`` does not count it."""
        self.asked: list[Seen] = []
        self.seen: list[Seen] = []
        self.arrived = asyncio.Event()
        self.open = 0
        self.url = ""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                line, *lines = head.strip().split("\r\n")
                headers = {k.lower(): v for k, _, v in (x.partition(": ") for x in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                seen = Seen(line.split(" ")[1], headers, body)
                if line.startswith("GET "):
                    self.asked.append(seen)
                    if not await self.lists(seen, writer):
                        return
                    continue
                self.seen.append(seen)
                self.arrived.set()
                watch = asyncio.create_task(self._watch(reader, seen))
                try:
                    keep = await self.play(seen, writer)
                finally:
                    watch.cancel()
                if not keep:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()

    @staticmethod
    async def _watch(reader: asyncio.StreamReader, seen: Seen) -> None:
        while not (reader.at_eof() or reader.exception()):  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.005)
        seen.left.set()


@asynccontextmanager
async def fake_upstream() -> AsyncIterator[FakeUpstream]:
    fake = FakeUpstream()
    server = await asyncio.start_server(fake._serve, "127.0.0.1", 0)
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        server.close()


def head(status: int = 200, kind: str = "application/json", *more: str, length: int | None = None):
    lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", *more]
    lines.append("transfer-encoding: chunked" if length is None else f"content-length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def unlisted(seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """Have no list of models, as a server that only answers."""
    return bool(await replies(404, b"{}")(seen, writer))


def lists(*entries: str | dict[str, Any], key: str = "data") -> Play:
    """List models, by their names or as the server describes them."""
    rows = [{"id": entry} if isinstance(entry, str) else entry for entry in entries]
    return replies(200, json.dumps({"object": "list", key: rows}).encode())


def replies(status: int, body: bytes, *more: str, kind: str = "application/json") -> Play:
    async def play(seen: Seen, writer: asyncio.StreamWriter) -> bool:
        writer.write(head(status, kind, *more, length=len(body)) + body)
        await writer.drain()
        return True

    return play


def events_of(seen: Seen) -> list[bytes]:
    answer = make_answer(seen.fields, seen.interface, seen.headers.get("x-simulate", ""))
    return list(WRITERS[seen.interface].events(answer))


async def good(seen: Seen, writer: asyncio.StreamWriter) -> bool:
    """Answer as a sound provider does."""
    if seen.fields.get("stream") is True:
        return await streams(events_of(seen))(seen, writer)
    body = json.dumps(
        WRITERS[seen.interface].whole(make_answer(seen.fields, seen.interface))
    ).encode()
    return bool(await replies(200, body)(seen, writer))


def streams(events: list[bytes], *, end: bool = True) -> Callable[..., Awaitable[bool]]:
    async def play(seen: Seen, writer: asyncio.StreamWriter) -> bool:
        writer.write(head(200, "text/event-stream"))
        for event in events:
            writer.write(chunk(event))
            await writer.drain()
            await asyncio.sleep(0)
        if end:
            writer.write(b"0\r\n\r\n")
        return end

    return play


# The gateway.


class StubEngine:
    """Decides without data: always the same model."""

    unit = Unit("openai/gpt-5.5", "low")
    models = frozenset({unit.model})
    standing = {unit.model: 0.8}
    table = table([[0.8]] * 4, [0.1], units=(unit,))

    def forecast(self, request):
        one_answer = Work(1.0, False, 500, Tokens(0, 0, 320), Outlook(500, 1, 0, 320))
        return Forecast({self.unit.model: {self.unit.effort: (0.1, 0.9)}}, (one_answer,))

    def hear(self, request, session):
        return hear(request)

    def decide(self, request, *, dial, limits, reachable, session, heard, reassess, now_s, bars):
        n = len(TYPES)
        assessment = Assessment(
            np.full(n, 1 / n, dtype=np.float32), np.full(4, 0.25, dtype=np.float32)
        )
        decision = Decision(
            unit=self.unit,
            fallbacks=(Unit("anthropic/claude-sonnet-4.6", "high"),),
            expected_quality=0.9,
            expected_cost_usd=0.1,
            adequate=True,
            why="the stub decided – “so”\n",
            terms=dial.name,
        )
        return assessment, decision


@asynccontextmanager
async def gateway(
    fake: FakeUpstream | None = None,
    *,
    transport=None,
    environ=None,
    engine=None,
    load_engine=None,
    sessions=None,
    **overrides: Any,
) -> AsyncIterator[httpx.AsyncClient]:
    """Run a gateway on a free port, in front of ``fake`` if there is one; yield its client."""
    given: dict[str, Any] = {"timeouts": QUICK, "simulated_tokens_per_s": 0, "reload_s": 0.05}
    settings = Settings.model_validate(given | ({"upstream": fake.url} if fake else {}) | overrides)
    records: list[Record] = []
    app = create_app(
        settings,
        environ=environ or {},
        load_engine=load_engine or (lambda folder, catalogue: engine or StubEngine()),
        sessions=sessions,
        record=records.append,
        transport=transport,
    )
    config = GuardedConfig(
        app,
        limits=settings.requests,
        host="127.0.0.1",
        port=0,
        log_level="critical",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve())
    while not server.started:
        assert not running.done()
        await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    base = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=base, timeout=5, limits=limits) as client:
        client.app = app  # type: ignore[attr-defined]  # for tests to reach in
        client.records = records  # type: ignore[attr-defined]  # as above
        yield client
    server.should_exit = True
    await running


def forget(client: httpx.AsyncClient) -> None:
    """Let a gateway hold nothing against anybody."""
    upstream = client.app.state.gateway.upstream  # type: ignore[attr-defined]  # as above
    upstream.memory = Memory(time.monotonic)


# Checkers.


def event_data(stream: bytes) -> list[dict[str, Any] | str]:
    """Return the data of a whole stream's events."""
    found = [data for _, data in sse.events(stream) if data]
    return ["[DONE]" if data == b"[DONE]" else json.loads(data) for data in found]


def check_ended(interface: Interface, stream: bytes) -> None:
    """Assert that a stream ends as its format demands, exactly once."""
    events = event_data(stream)
    match interface:
        case Interface.CHAT:
            assert events[-1] == "[DONE]"
            assert events.count("[DONE]") == 1
            chunks = [e for e in events if isinstance(e, dict)]
            reasons = [c.get("finish_reason") for e in chunks for c in e.get("choices", [])]
            assert len([r for r in reasons if r]) == 1
        case Interface.MESSAGES:
            kinds = [e["type"] for e in events]
            assert kinds[-1] == "message_stop"
            assert kinds.count("message_stop") == 1
            stops = [e for e in events if e["type"] == "message_delta"]
            if "error" in kinds:  # no reason to stop is invented, and no half block is closed
                assert not stops
                return
            assert stops[-1]["delta"]["stop_reason"]
            assert kinds.count("content_block_start") == kinds.count("content_block_stop")
        case Interface.RESPONSES:
            kinds = [e["type"] for e in events]
            ends = {"response.completed", "response.failed", "response.incomplete"}
            assert kinds[-1] in ends
            assert sum(kind in ends for kind in kinds) == 1


def error_of(interface: Interface, stream: bytes) -> str:
    """Return the in-band error of a stream; empty if there is none."""
    for event in event_data(stream):
        if isinstance(event, dict):
            error = event.get("error") or (event.get("response") or {}).get("error")
            if error:
                return error["message"]
    return ""


def check_error(interface: Interface, response: httpx.Response) -> dict[str, Any]:
    """Assert that an error is in the client's format and says something; return it."""
    body = response.json()
    error = body["error"]
    assert error["message"]
    assert error["type"]
    assert ("code" in error) == (interface is not Interface.MESSAGES)
    if interface is Interface.MESSAGES:
        assert body["type"] == "error"
    return error
