"""A fake upstream that is faster than anything in front of it: canned bytes on bare sockets.

``python -m benchmarks.speed.upstream PORT`` answers any POST.  A body with ``"stream":true``
gets ``CHUNKS`` events; ``"pace":S`` (seconds, in the body) puts a pause between them.  A body
with ``"fault":"…"`` is answered with that failure; ``"fault":"…@sonnet"`` only when its model's
name holds ``sonnet``.  ``GET /count`` returns how many requests of
each ``"n":…`` were answered, for the soak.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections import Counter
from typing import Any, Final, cast

import httptools
import orjson
import uvloop

from router.wire import sse

CHUNKS: Final = 256

FIRST_WORD: Final = b'"token 0 "'
"""What the first event of a stream holds that says anything."""


def _chat_event(delta: dict[str, Any], finish: str | None = None, **more: object) -> bytes:
    fields = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "fake/model",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **more,
    }
    return sse.event(orjson.dumps(fields))


USAGE: Final = {
    "prompt_tokens": 20,
    "completion_tokens": 256,
    "total_tokens": 276,
    "prompt_tokens_details": {"cached_tokens": 0},
}
EVENTS: Final = [
    _chat_event({"role": "assistant", "content": ""}),
    *[_chat_event({"content": f"token {i} "}) for i in range(CHUNKS - 4)],
    _chat_event({}, "stop"),
    _chat_event({}, choices=[], usage=USAGE),
    sse.event(b"[DONE]"),
]
WHOLE: Final = orjson.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "fake/model",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello. " * 30},
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE,
    }
)

STREAM_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
_PACE = re.compile(rb'"pace":\s*([\d.]+)')
_FAULT = re.compile(rb'"fault":\s*"([^"@]+)@?([^"]*)"')
_MODEL = re.compile(rb'"model":\s*"([^"]+)"')
_NUMBER = re.compile(rb'"n":\s*(\d+)')

answered: Counter[int] = Counter()


def _whole(status: int, body: bytes, more: bytes = b"") -> bytes:
    return (
        b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%s\r\n"
        % (status, len(body), more)
    ) + body


WHOLE_REPLY: Final = _whole(200, WHOLE)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class FakeUpstream(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""
        self._task: asyncio.Task[None] | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop an answer that nobody reads."""
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """Collect the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Answer."""
        body, self._body = self._body, b""
        if self._parser.get_method() == b"GET":
            self._transport.write(
                _whole(200, orjson.dumps({str(k): v for k, v in answered.items()}))
            )
        elif (fault := _FAULT.search(body)) and (model := _MODEL.search(body)):
            if fault[2] in model[1]:
                self._fail(fault[1].decode(), body)
            else:
                self._answer(body)
        else:
            self._answer(body)

    def _answer(self, body: bytes, n_events: int = CHUNKS) -> None:
        if number := _NUMBER.search(body):
            answered[int(number[1])] += 1
        if b'"stream":true' not in body and b'"stream": true' not in body:
            self._transport.write(WHOLE_REPLY)
            return
        pace = _PACE.search(body)
        self._transport.write(STREAM_HEAD)
        self._task = asyncio.create_task(self._stream(float(pace[1]) if pace else 0.0, n_events))

    async def _stream(self, pace_s: float, n_events: int) -> None:
        for event in EVENTS[:n_events]:
            self._transport.write(_chunk(event))
            await asyncio.sleep(pace_s)
        if n_events < CHUNKS:
            self._transport.abort()
        else:
            self._transport.write(b"0\r\n\r\n")

    def _fail(self, fault: str, body: bytes) -> None:
        match fault:
            case "drop":
                self._transport.abort()
            case "page":
                self._transport.write(_whole(200, b"<html></html>"))
            case "cut":
                self._answer(body, n_events=20)
            case status:
                self._transport.write(_whole(int(status), b'{"error":{"message":"fault"}}'))


async def _main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(
        FakeUpstream, "127.0.0.1", port, backlog=2048
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1])))
