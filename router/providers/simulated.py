"""The simulated provider: selected like a real one, answers without any model or network.

It makes the gateway usable without a key, and plays every part in tests.  The same request gets
the same reply.  Every reply says that it is simulated.  It calls a tool when one is listed and
the newest message asks for it (names it after "use", or the request forces one), with arguments
that satisfy the tool's schema.  It caches prompts as providers do: what a model was sent within the
last five minutes is read from the cache when it comes again, item by item
from the start; another model has to read everything anew.

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
import hashlib
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import orjson
from cachetools import TTLCache

from classifier.conversation import Role, ask_of
from router.values import Interface
from router.wire import sse
from router.wire.parts import Reading, mappings
from router.wire.request import FORMATS, interface_of

NOTICE: Final = "This is a simulated reply from Auto Efficient: no model was called. "

LOREM: Final = [
    "You",
    "asked",
    "about",
    "the",
    "following.",
    "Plan:",
    "read",
    "the",
    "code",
    "that",
    "is",
    "concerned,",
    "change",
    "one",
    "thing,",
    "run",
    "the",
    "tests,",
    "and",
    "report",
    "what",
    "changed.",
    "Configure",
    "a",
    "provider",
    "key",
    "to",
    "get",
    "a",
    "real",
    "answer.",
]

EVENT_WORDS: Final = 4
"""Words per streamed event, about what providers send."""

BYTES_PER_TOKEN: Final = 4
CACHE_S: Final = 300.0
MIN_CACHED_TOKENS: Final = 1024
"""How long a cached prompt lives, and the shortest that is: Anthropic's and OpenAI's rules."""

CACHED_PREFIXES: Final = 100_000

_DIRECTIVE = re.compile(r"\[\[simulate:([^\]]*)\]\]")


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered, before it has a wire format."""

    id: str
    model: str
    text: str
    reasoning: str = ""
    tool: str = ""
    arguments: str = "{}"
    input_tokens: int = 0
    cached_tokens: int = 0
    faults: Mapping[str, str] = field(default_factory=dict)

    @property
    def output_tokens(self) -> int:
        """Tokens of everything said, at four characters each."""
        return (len(self.text) + len(self.reasoning) + len(self.arguments)) // 4


class SimulatedTransport(httpx.AsyncBaseTransport):
    """An httpx transport that answers by itself."""

    def __init__(self, *, tokens_per_s: float = 0.0) -> None:
        """Pace streams at ``tokens_per_s``; zero is as fast as they are read."""
        self._event_s = EVENT_WORDS / tokens_per_s if tokens_per_s else 0.0
        self._cache = PromptCache()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request in the format of its path."""
        interface = interface_of(request.url.path)
        body = await request.aread()
        fields = orjson.loads(body)
        directives = request.headers.get("x-simulate", "")
        cached = self._cache.read(fields, interface)
        answer = make_answer(fields, interface, directives, n_bytes=len(body), cached_tokens=cached)
        faults = answer.faults
        read_s = request.extensions.get("timeout", {}).get("read")
        if "refuse" in faults:
            raise httpx.ConnectError("simulated: connection refused")
        if "stall" in faults:
            await _stall(read_s)
        if status := faults.get("status"):
            return _error(int(status), interface, faults)
        if "page" in faults:
            return httpx.Response(200, html="<html>simulated: a page, not a reply</html>")
        if "broken" in faults:
            return httpx.Response(
                200, headers={"content-type": "application/json"}, content=b'{"a":'
            )
        if fields.get("stream") is True:
            stream = _Stream(STREAMED[interface](answer), faults, self._event_s, read_s, interface)
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=stream)
        return httpx.Response(200, json=WHOLE[interface](answer))


class PromptCache:
    """What each model was sent lately, as digests of every beginning of every request."""

    def __init__(self) -> None:
        """Begin with nothing cached."""
        self._seen: TTLCache[bytes, None] = TTLCache(CACHED_PREFIXES, CACHE_S)

    def read(self, fields: Mapping[str, Any], interface: Interface) -> int:
        """Return how many tokens of a request are cached, and cache all of it."""
        name = FORMATS[interface].ITEMS
        items = fields.get(name)
        head = [fields.get(key) for key in ("model", "system", "instructions", "tools")]
        parts = [head, *(items if isinstance(items, list) else [items])]
        digest, size, cached, all_seen = b"", 0, 0, True
        for part in parts:
            try:
                text = orjson.dumps(part, option=orjson.OPT_SORT_KEYS)
            except orjson.JSONEncodeError:  # nested more deeply than can be written
                return 0
            digest = hashlib.blake2b(digest + text, digest_size=16).digest()
            size += len(text)
            all_seen = all_seen and digest in self._seen
            cached = size if all_seen else cached
            self._seen[digest] = None
        return cached // BYTES_PER_TOKEN if cached >= MIN_CACHED_TOKENS * BYTES_PER_TOKEN else 0


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


async def _stall(read_s: float | None) -> None:
    await asyncio.sleep(read_s if read_s is not None else 3600)
    raise httpx.ReadTimeout("simulated: silence")


def _error(status: int, interface: Interface, faults: Mapping[str, str]) -> httpx.Response:
    code = {400: "context_length_exceeded"}.get(status, "simulated_error")
    text = {400: "simulated: prompt is too long: 250000 tokens > 200000 maximum"}
    body = FORMATS[interface].error_body(status, code, text.get(status, f"simulated: {status}"))
    wait = {"retry-after": faults["retry_after"]} if "retry_after" in faults else {}
    return httpx.Response(status, json=body, headers=wait)


def make_answer(
    fields: Mapping[str, Any],
    interface: Interface,
    directives: str = "",
    *,
    n_bytes: int = 400,
    cached_tokens: int = 0,
) -> Answer:
    """Decide what a request of ``n_bytes`` is answered with."""
    reading = FORMATS[interface].read(fields)
    model = str(fields.get("model") or "")
    asked = [(i, ask) for i, turn in enumerate(reading.turns) if (ask := ask_of(turn))]
    at, ask = asked[-1] if asked else (-1, "")
    said = _DIRECTIVE.search(ask)
    faults = _directives(directives or (said[1] if said else ""))
    if not model.startswith(faults.get("model", "")):
        faults = {}
    answered = any(turn.role is Role.TOOL for turn in reading.turns[at + 1 :])
    tool = "" if answered else _tool_asked_for(fields, reading, ask, faults)
    digest = hashlib.sha256(orjson.dumps([model, reading.system, ask])).hexdigest()
    size = n_bytes // BYTES_PER_TOKEN
    return Answer(
        id=digest[:24],
        model=model,
        text="" if tool else _text(ask, int(faults.get("words") or 40)),
        reasoning="Simulated reasoning: the request was read." if "reasoning" in faults else "",
        tool=tool,
        arguments=orjson.dumps(_arguments(fields, tool)).decode() if tool else "",
        input_tokens=size,
        cached_tokens=min(size, cached_tokens),
        faults=faults,
    )


def _directives(text: str) -> dict[str, str]:
    parts = (part.partition("=") for part in text.split(";"))
    return {name.strip(): value.strip() for name, _, value in parts if name.strip()}


def _text(ask: str, n_words: int) -> str:
    quoted = " ".join(ask.split()[:12])
    words = [*NOTICE.split(), *(f"“{quoted}”:".split() if quoted else ())]
    words += [LOREM[i % len(LOREM)] for i in range(max(0, n_words - len(words)))]
    return " ".join(words)


def _tool_asked_for(
    fields: Mapping[str, Any], reading: Reading, ask: str, faults: Mapping[str, str]
) -> str:
    """Return the tool to call: the one forced, directed or named after "use"; else none."""
    choice = fields.get("tool_choice")
    if choice in ("required", "any") and reading.tools:
        return reading.tools[0]
    if isinstance(choice, Mapping):
        function = choice.get("function")
        named = (function if isinstance(function, Mapping) else choice).get("name")
        if named in reading.tools:
            return str(named)
        if choice.get("type") == "any" and reading.tools:
            return reading.tools[0]
    if (named := faults.get("tool")) in reading.tools:
        return str(named)
    words = re.findall(r"\buse(?: the)?(?: tool)? [`'\"]?([\w.-]+)", ask, re.IGNORECASE)
    return next((word for word in words if word in reading.tools), "")


def _arguments(fields: Mapping[str, Any], tool: str) -> dict[str, Any]:
    """Make arguments that satisfy what a tool's schema requires."""
    for listed in mappings(fields.get("tools")):
        function = listed.get("function")
        named: Mapping[str, Any] = function if isinstance(function, Mapping) else listed
        if named.get("name") == tool:
            schema = named.get("parameters") or named.get("input_schema")
            made = _value(schema, 0)
            return made if isinstance(made, dict) else {}
    return {}


def _value(schema: object, depth: int) -> object:
    if not isinstance(schema, Mapping) or depth > 5:
        return {}
    if isinstance(options := schema.get("enum"), list) and options:
        return options[0]
    match schema.get("type"):
        case "string":
            return "simulated"
        case "integer" | "number":
            return 1
        case "boolean":
            return False
        case "array":
            return []
    required, properties = schema.get("required"), schema.get("properties")
    if not isinstance(required, list) or not isinstance(properties, Mapping):
        return {}
    return {name: _value(properties.get(name), depth + 1) for name in required}


# The three wire formats: a whole reply, and a stream of events.


def _pieces(text: str) -> Iterator[str]:
    words = text.split(" ")
    for i in range(0, len(words), EVENT_WORDS):
        end = " " if i + EVENT_WORDS < len(words) else ""
        yield " ".join(words[i : i + EVENT_WORDS]) + end


def _chat_usage(a: Answer) -> dict[str, Any]:
    return {
        "prompt_tokens": a.input_tokens,
        "completion_tokens": a.output_tokens,
        "total_tokens": a.input_tokens + a.output_tokens,
        "prompt_tokens_details": {"cached_tokens": a.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": len(a.reasoning) // 4},
    }


def _chat_thought(a: Answer) -> dict[str, Any]:
    if not a.reasoning:
        return {}
    detail = {
        "type": "reasoning.text",
        "text": a.reasoning,
        "signature": f"simulated-{a.id}",
        "format": "unknown",
        "index": 0,
    }
    return {
        "reasoning": a.reasoning,
        "reasoning_content": a.reasoning,
        "reasoning_details": [detail],
    }


def _chat_call(a: Answer) -> dict[str, Any]:
    function = {"name": a.tool, "arguments": a.arguments}
    return {"id": f"call_{a.id}", "type": "function", "function": function}


def _chat_whole(a: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": a.text or None, **_chat_thought(a)}
    if a.tool:
        message["tool_calls"] = [_chat_call(a)]
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": "tool_calls" if a.tool else "stop",
        "logprobs": None,
    }
    return {
        "id": f"chatcmpl-{a.id}",
        "object": "chat.completion",
        "created": 0,
        "model": a.model,
        "choices": [choice],
        "usage": _chat_usage(a),
        "provider": "simulated",
    }


def _chat_events(a: Answer) -> Iterator[bytes]:
    def chunk(delta: dict[str, Any], finish: str | None = None, **more: object) -> bytes:
        choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
        fields = {
            "id": f"chatcmpl-{a.id}",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": a.model,
            "choices": choices,
            **more,
        }
        return sse.event(orjson.dumps(fields))

    yield chunk({"role": "assistant", "content": ""})
    if a.reasoning:
        yield chunk(_chat_thought(a))
    for piece in _pieces(a.text) if a.text else ():
        yield chunk({"content": piece})
    if a.tool:
        yield chunk({"tool_calls": [{"index": 0, **_chat_call(a)}]})
    if "no_finish" in a.faults:
        return
    yield chunk({}, "tool_calls" if a.tool else "stop")
    if "no_usage" not in a.faults:
        yield chunk({}, choices=[], usage=_chat_usage(a))
    yield sse.event(b"[DONE]")


def _messages_usage(a: Answer) -> dict[str, Any]:
    return {
        "input_tokens": a.input_tokens - a.cached_tokens,
        "output_tokens": a.output_tokens,
        "cache_read_input_tokens": a.cached_tokens,
        "cache_creation_input_tokens": 0,
    }


def _messages_blocks(a: Answer) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if a.reasoning:
        signature = f"simulated-{a.id}"
        blocks.append({"type": "thinking", "thinking": a.reasoning, "signature": signature})
    if a.tool:
        arguments = orjson.loads(a.arguments)
        blocks.append(
            {"type": "tool_use", "id": f"toolu_{a.id}", "name": a.tool, "input": arguments}
        )
    else:
        blocks.append({"type": "text", "text": a.text})
    return blocks


def _messages_whole(a: Answer) -> dict[str, Any]:
    return {
        "id": f"msg_{a.id}",
        "type": "message",
        "role": "assistant",
        "model": a.model,
        "content": _messages_blocks(a),
        "stop_reason": "tool_use" if a.tool else "end_turn",
        "stop_sequence": None,
        "usage": _messages_usage(a),
    }


def _messages_events(a: Answer) -> Iterator[bytes]:
    def event(kind: str, **fields: object) -> bytes:
        return sse.event(orjson.dumps({"type": kind, **fields}), kind)

    usage = _messages_usage(a)
    message = {**_messages_whole(a), "content": [], "stop_reason": None}
    message["usage"] = {**usage, "output_tokens": 1}
    if "no_usage" in a.faults:
        del message["usage"]
    yield event("message_start", message=message)
    yield event("ping")
    for i, block in enumerate(_messages_blocks(a)):
        empty, deltas = _messages_deltas(block)
        yield event("content_block_start", index=i, content_block=empty)
        for delta in deltas:
            yield event("content_block_delta", index=i, delta=delta)
        yield event("content_block_stop", index=i)
    if "no_finish" in a.faults:
        return
    delta = {"stop_reason": "tool_use" if a.tool else "end_turn", "stop_sequence": None}
    yield event("message_delta", delta=delta, usage=usage)
    yield event("message_stop")


def _messages_deltas(block: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a block as it starts, and what is added to it."""
    match block["type"]:
        case "thinking":
            deltas = [
                {"type": "thinking_delta", "thinking": block["thinking"]},
                {"type": "signature_delta", "signature": block["signature"]},
            ]
            return {"type": "thinking", "thinking": "", "signature": ""}, deltas
        case "tool_use":
            text = orjson.dumps(block["input"]).decode()
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": text}]
        case _:
            deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(block["text"])]
            return {"type": "text", "text": ""}, deltas


def _responses_items(a: Answer) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if a.reasoning:
        summary = [{"type": "summary_text", "text": a.reasoning}]
        encrypted = f"simulated-{a.id}"
        items.append(
            {
                "id": f"rs_{a.id}",
                "type": "reasoning",
                "summary": summary,
                "encrypted_content": encrypted,
            }
        )
    if a.tool:
        call = {"name": a.tool, "arguments": a.arguments, "call_id": f"call_{a.id}"}
        items.append({"id": f"fc_{a.id}", "type": "function_call", "status": "completed", **call})
    else:
        content = [{"type": "output_text", "text": a.text, "annotations": [], "logprobs": []}]
        items.append(
            {
                "id": f"msg_{a.id}",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": content,
            }
        )
    return items


def _responses_whole(a: Answer) -> dict[str, Any]:
    usage = {
        "input_tokens": a.input_tokens,
        "input_tokens_details": {"cached_tokens": a.cached_tokens},
        "output_tokens": a.output_tokens,
        "output_tokens_details": {"reasoning_tokens": len(a.reasoning) // 4},
        "total_tokens": a.input_tokens + a.output_tokens,
    }
    return {
        "id": f"resp_{a.id}",
        "object": "response",
        "created_at": 0,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": a.model,
        "output": _responses_items(a),
        "parallel_tool_calls": True,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "usage": None if "no_usage" in a.faults else usage,
    }


def _responses_events(a: Answer) -> Iterator[bytes]:
    sequence = -1

    def event(kind: str, **fields: object) -> bytes:
        nonlocal sequence
        sequence += 1
        return sse.event(orjson.dumps({"type": kind, "sequence_number": sequence, **fields}), kind)

    whole = _responses_whole(a)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    yield event("response.created", response=begun)
    yield event("response.in_progress", response=begun)
    for i, item in enumerate(whole["output"]):
        at = {"output_index": i, "item_id": item["id"]}
        empty = {k: [] if isinstance(v, list) else v for k, v in item.items()}
        if "arguments" in item:
            empty["arguments"] = ""
        yield event(
            "response.output_item.added", output_index=i, item={**empty, "status": "in_progress"}
        )
        if item["type"] == "function_call":
            yield event("response.function_call_arguments.delta", **at, delta=item["arguments"])
            yield event("response.function_call_arguments.done", **at, arguments=item["arguments"])
        elif item["type"] == "reasoning":
            part = {"type": "summary_text", "text": ""}
            at["summary_index"] = 0
            yield event("response.reasoning_summary_part.added", **at, part=part)
            yield event("response.reasoning_summary_text.delta", **at, delta=a.reasoning)
            yield event("response.reasoning_summary_text.done", **at, text=a.reasoning)
            yield event("response.reasoning_summary_part.done", **at, part=item["summary"][0])
        else:
            at["content_index"] = 0
            part = {**item["content"][0], "text": ""}
            yield event("response.content_part.added", **at, part=part)
            for piece in _pieces(a.text):
                yield event("response.output_text.delta", **at, delta=piece, logprobs=[])
            yield event("response.output_text.done", **at, text=a.text, logprobs=[])
            yield event("response.content_part.done", **at, part=item["content"][0])
        yield event("response.output_item.done", output_index=i, item=item)
    if "no_finish" not in a.faults:
        yield event("response.completed", response=whole)


WHOLE: Final = {
    Interface.CHAT: _chat_whole,
    Interface.RESPONSES: _responses_whole,
    Interface.MESSAGES: _messages_whole,
}
STREAMED: Final = {
    Interface.CHAT: _chat_events,
    Interface.RESPONSES: _responses_events,
    Interface.MESSAGES: _messages_events,
}
