"""The simulated provider: selected like a real one, answers without any model or network.

It makes the gateway usable without a key, and plays every part in tests.  The same request gets
the same reply.  Every reply says that it is simulated.  It calls a tool when one is listed and
the newest message asks for it (names it after "use", speaks of what the only one is named for, or
the request forces one), with arguments that satisfy the tool's schema.  It caches prompts as providers do: what a model was sent within the
last five minutes is read from the cache when it comes again, item by item
from the start; another model has to read everything anew.

It is as strict as what it plays: it knows the models that it is told of, and a request without
messages is refused.  Limits, stop words, schemas and the number of answers are kept to.

What should go wrong is said in the header ``x-simulate``, or as ``[[simulate: …]]`` in the newest
user message, as ``key=value`` parts separated by semicolons::

    status=429; retry_after=2      an error status
    refuse | stall | page | broken a refused connection, silence, HTML, broken JSON
    cut=3 | stall_at=3             break off, or fall silent, after three events of the stream
    error_at=3                     an error event after three events
    no_finish | no_usage           leave out the reason to stop and the terminator, or the usage
    model=ID                       only for models whose id starts so; else answer normally
    reasoning | tool=NAME          think first; call a tool
    words=200                      how long the answer is
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import httpx
import orjson

from router.providers.simulated import chat, messages, responses
from router.providers.simulated.answer import EVENT_WORDS, Answer, directives_in, make_answer
from router.providers.simulated.cache import PromptCache
from router.providers.simulated.pass_through import REPLIES, asked_of, completion_events
from router.providers.simulated.shape import missing
from router.values import Interface, PassThrough
from router.wire import sse
from router.wire.format import FORMATS, interface_of
from router.wire.json_text import read


class Writer(NamedTuple):
    """How an answer is written in a format."""

    whole: Callable[[Answer], dict[str, Any]]
    events: Callable[[Answer], Iterator[bytes]]


WRITERS: Final = {
    Interface.CHAT: Writer(chat.whole, chat.events),
    Interface.RESPONSES: Writer(responses.whole, responses.events),
    Interface.MESSAGES: Writer(messages.whole, messages.events),
}
"""The formats that the simulated provider speaks."""


class SimulatedTransport(httpx.AsyncBaseTransport):
    """An httpx transport that answers by itself."""

    def __init__(
        self,
        *,
        tokens_per_s: float = 0.0,
        knows: Callable[[str], bool] = lambda model: True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Pace streams at ``tokens_per_s``; zero is as fast as they are read.

        ``knows`` says whether there is a model of a name; ``clock`` dates replies.
        """
        self._knows = knows
        self._clock = clock
        self._event_s = EVENT_WORDS / tokens_per_s if tokens_per_s else 0.0
        self._cache = PromptCache()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request in the format of its path."""
        body = await request.aread()
        fields = read(body)
        if kind := asked_of(request.url.path):
            return await self._pass(kind, fields, request)
        interface = interface_of(request.url.path)
        if refused := self._refused(fields, interface):
            return refused
        directives = request.headers.get("x-simulate", "")
        cached = self._cache.read(fields, interface)
        answer = make_answer(
            fields,
            interface,
            directives,
            n_bytes=len(body),
            cached_tokens=cached,
            created=int(self._clock()),
        )
        read_s = request.extensions.get("timeout", {}).get("read")
        if failed := await _failed(answer.faults, read_s, interface):
            return failed
        if fields.get("stream"):
            return self._streamed(
                WRITERS[interface].events(answer), answer.faults, read_s, interface
            )
        return httpx.Response(200, json=WRITERS[interface].whole(answer))

    async def _pass(
        self, kind: PassThrough, fields: Mapping[str, Any], request: httpx.Request
    ) -> httpx.Response:
        """Answer what is no conversation; any name is a model's."""
        faults = directives_in(request.headers.get("x-simulate", ""))
        read_s = request.extensions.get("timeout", {}).get("read")
        if failed := await _failed(faults, read_s, Interface.CHAT):
            return failed
        replies, created = REPLIES[kind], int(self._clock())
        if not fields.get(replies.needs):
            said = f"simulated: {replies.needs}: field required"
            body = FORMATS[Interface.CHAT].error_body(400, "missing_required_parameter", said)
            return httpx.Response(400, json=body)
        if kind is PassThrough.COMPLETIONS and fields.get("stream"):
            events = completion_events(fields, created)
            return self._streamed(events, faults, read_s, Interface.CHAT)
        return httpx.Response(200, json=replies.whole(fields, created))

    def _streamed(
        self,
        events: Iterator[bytes],
        faults: Mapping[str, str],
        read_s: float | None,
        interface: Interface,
    ) -> httpx.Response:
        stream = _Stream(events, faults, self._event_s, read_s, interface)
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=stream)

    def _refused(self, fields: Mapping[str, Any], interface: Interface) -> httpx.Response | None:
        """Return how a provider refuses what it cannot serve; None when it can."""
        format, model = FORMATS[interface], fields.get("model")
        if name := missing(fields, interface):
            said = f"simulated: {name}: field required"
            body = format.error_body(400, "missing_required_parameter", said)
            return httpx.Response(400, json=body)
        if isinstance(model, str) and not self._knows(model):
            said = f"simulated: the model {model!r} does not exist"
            return httpx.Response(404, json=format.error_body(404, "model_not_found", said))
        return None


class _Stream(httpx.AsyncByteStream):
    """Events at a pace, with what should go wrong."""

    def __init__(
        self,
        events: Iterator[bytes],
        faults: Mapping[str, str],
        event_s: float,
        read_s: float | None,
        interface: Interface,
    ) -> None:
        self._events = events
        self._faults = faults
        self._event_s = event_s
        self._read_s = read_s
        self._interface = interface

    async def __aiter__(self) -> AsyncIterator[bytes]:
        at = {name: int(self._faults.get(name) or -1) for name in ("cut", "stall_at", "error_at")}
        for i, event in enumerate(self._events):
            if i == at["cut"]:
                raise httpx.ReadError("simulated: the upstream closed the connection")
            if i == at["stall_at"]:
                await _stall(self._read_s)
            if i == at["error_at"]:
                error = FORMATS[self._interface].error_body(502, "server_error", "simulated error")
                yield sse.event(orjson.dumps(error))
                return
            if self._event_s:
                await asyncio.sleep(self._event_s)
            yield event


async def _failed(
    faults: Mapping[str, str], read_s: float | None, interface: Interface
) -> httpx.Response | None:
    """Let go wrong what should before an answer begins."""
    if "refuse" in faults:
        raise httpx.ConnectError("simulated: connection refused")
    if "stall" in faults:
        await _stall(read_s)
    if status := faults.get("status"):
        return _error(int(status), interface, faults)
    if "page" in faults:
        return httpx.Response(200, html="<html>simulated: a page, not a reply</html>")
    if "broken" in faults:
        return httpx.Response(200, headers={"content-type": "application/json"}, content=b'{"a":')
    return None


async def _stall(read_s: float | None) -> None:
    await asyncio.sleep(read_s if read_s is not None else 3600)
    raise httpx.ReadTimeout("simulated: silence")


def _error(status: int, interface: Interface, faults: Mapping[str, str]) -> httpx.Response:
    code = {400: "context_length_exceeded"}.get(status, "simulated_error")
    text = {400: "simulated: prompt is too long: 250000 tokens > 200000 maximum"}
    body = FORMATS[interface].error_body(status, code, text.get(status, f"simulated: {status}"))
    wait = {"retry-after": faults["retry_after"]} if "retry_after" in faults else {}
    return httpx.Response(status, json=body, headers=wait)
