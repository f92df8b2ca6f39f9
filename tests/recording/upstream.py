"""The upstream: a server that plays every provider, and fails when a request tells it to.

It answers alike to what is alike.  ``[[upstream: FAULT]]`` in the newest item of a request, or
``[[upstream: FAULT for MODEL]]``, makes it fail.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.recording.formats import (
    CHAT,
    EVENTS,
    WHOLE,
    WIRES,
    Answer,
    Event,
    Fields,
    Wire,
    error_of,
)

TIMES_OUT_S = 2.0
"""How long the upstream is silent; longer than the patience of the set-up that is to lose it."""
MIN_CACHED_TOKENS = 256
STATUSES: dict[str, tuple[int, str, list[tuple[str, str]]]] = {
    "limited": (429, "rate_limit_exceeded", [("retry-after", "200")]),
    "limited-ms": (429, "rate_limit_exceeded", [("retry-after-ms", "199500")]),
    "down": (500, "server_error", []),
    "overloaded": (529, "overloaded_error", [("request-id", "req_overloaded")]),
    "refused": (401, "invalid_api_key", []),
    "unpaid": (402, "insufficient_credits", []),
    "too-long": (400, "context_length_exceeded", [("x-request-id", "req_too_long")]),
    "absent": (404, "model_not_found", []),
}
MARKER = re.compile(r"\[\[upstream: ([a-z-]+)(?: for ([^\]]+))?\]\]")


class Upstream:
    """Plays every provider, over real sockets; ``seen`` are the requests since it was emptied."""

    def __init__(self) -> None:
        self.seen: list[Fields] = []
        self.url = ""
        self._cached: dict[tuple[str, str], int] = {}

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[Upstream]:
        """Listen on a free port."""
        upstream = cls()
        server = await asyncio.start_server(upstream._serve, "127.0.0.1", 0, limit=1 << 20)
        upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield upstream

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while await self._serve_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; say whether the connection is kept."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip()
        line, *lines = head.split("\r\n")
        headers = [list(line.split(": ", 1)) for line in lines]
        sizes = [int(value) for name, value in headers if name.lower() == "content-length"]
        body = await reader.readexactly(sum(sizes))
        self.seen.append({"line": line, "headers": headers, "body": text_of(body)})
        wire = next(w for w in WIRES if line.split("?")[0].split()[1].endswith(w.path[3:]))
        data, keep = self._answer(wire, json.loads(body), body)
        if not data:
            await asyncio.sleep(0 if keep else TIMES_OUT_S)
            return False
        writer.write(data)
        await writer.drain()
        return keep

    def _answer(self, wire: Wire, asked: Fields, body: bytes) -> tuple[bytes, bool]:
        """Return the bytes of an answer, and whether it is complete; none at all for silence."""
        fault = fault_of(wire, asked)
        if fault in ("drop", "silent"):
            return b"", fault == "drop"
        if fault in STATUSES:
            status, kind, more = STATUSES[fault]
            told = error_of(wire, kind, f"the upstream says {fault}")
            return whole_reply(status, json.dumps(told).encode(), more), True
        if fault in ("page", "malformed"):
            kind = {"page": "text/html", "malformed": "application/json"}[fault]
            data = {"page": b"<html>Maintenance</html>", "malformed": b'{"id": "x", "cho'}[fault]
            return whole_reply(200, data, [], kind), True
        said = WHOLE[wire.name](self._said(wire, asked, body, fault))
        if fault == "unmetered":
            del said["usage"]
        if asked.get("stream") is True:
            return streamed_reply(wire, EVENTS[wire.name](said, asked), fault)
        if fault in ("first-error", "late-error"):
            said = error_of(wire, "server_error", "it broke inside")
        data = whole_reply(200, json.dumps(said).encode(), [("x-request-id", "req_fine")])
        return (data[:-40], False) if fault == "cut" else (data, True)

    def _said(self, wire: Wire, asked: Fields, body: bytes, fault: str) -> Answer:
        """Answer by the body's digest; what a model was sent before under this opening is cached."""
        model, items = str(asked.get("model")), asked.get(wire.items)
        first = items[0] if isinstance(items, list) and items else items
        key = (model, json.dumps([first, asked.get("system"), asked.get("instructions")]))
        tokens = len(body) // 4
        cached = min(self._cached.get(key, 0), tokens)
        self._cached[key] = tokens
        ident = hashlib.sha256(wire.path.encode() + body).hexdigest()[:16]
        text = f"{model} says ({ident}): the cause is found, “é” included, and the change is made."
        return Answer(
            ident, model, text, fault, tokens, cached if cached > MIN_CACHED_TOKENS else 0
        )


def fault_of(wire: Wire, asked: Fields) -> str:
    """Read the marker in the newest item, if it is meant for this model."""
    items = asked.get(wire.items)
    newest = json.dumps(items[-1] if isinstance(items, list) and items else items)
    found = MARKER.search(newest)
    return found[1] if found and str(asked.get("model")).startswith(found[2] or "") else ""


def whole_reply(
    status: int, body: bytes, more: list[tuple[str, str]], kind: str = "application/json"
) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", f"content-type: {kind}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def streamed_reply(wire: Wire, events: list[Event], fault: str) -> tuple[bytes, bool]:
    """Return a stream's bytes with what is wrong with it, and whether it was ended in order."""
    broken = ("error", error_of(wire, "server_error", "it broke inside") | {"type": "error"})
    last = b"data: [DONE]\n\n" if wire is CHAT else b""
    match fault:
        case "first-error":
            events, last = [broken], b""
        case "late-error":
            events, last = [*events[:3], broken], b""
        case "cut" | "no-end":
            events, last = events[:4], b""
        case "empty":
            events, last = [], b""
    blocks = [*(event_bytes(kind, data, odd=fault == "odd") for kind, data in events), last]
    head = b"HTTP/1.1 200 Said\r\ncontent-type: text/event-stream\r\n"
    head += b"transfer-encoding: chunked\r\nx-request-id: req_streamed\r\n\r\n"
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(block), block) for block in blocks if block)
    return head + chunks + (b"" if fault == "cut" else b"0\r\n\r\n"), fault != "cut"


def event_bytes(kind: str, data: Fields, *, odd: bool = False) -> bytes:
    """Write an event; an odd one in unusual but allowed ways."""
    lines = [f"event: {kind}"] if kind else []
    spaces = (" , ", "  : ") if odd else (",", ":")
    lines.append("data: " + json.dumps(data, separators=spaces, ensure_ascii=odd))
    end = "\r\n" if odd else "\n"
    return (": a comment" + end * 2 if odd else "").encode() + (end.join(lines) + end * 2).encode()


def text_of(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
