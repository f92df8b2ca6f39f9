"""What comes back in OpenAI responses: replies, streams, usage, the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from router.values import Usage
from router.wire import sse
from router.wire.faults import error_in
from router.wire.loose import dumps
from router.wire.parts import (
    CUT_SHORT,
    Progress,
    add_missing,
    cost_in,
    count,
    mappings,
    nameless,
    parsed,
)

HEARTBEAT: Final = b": waiting\n\n"
"""A sign of life: a comment, which every reader of events skips."""

MARKS: Final[tuple[bytes, ...]] = (
    *(b'"response.created"', b'"response.output_item.', b'"response.completed"'),
    *(b'"response.incomplete"', b'"response.failed"', b'"error"'),
)
"""Bytes that an event holds which must be looked into; ``router.wire.relay`` says why bytes."""

LAST: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
"""Kinds of a stream's last event."""

STARTS: Final = frozenset({"response.created", "response.in_progress", "response.queued"})
"""Kinds of events that say that work has begun, and nothing of it."""

SPOKEN: Final = frozenset({"message", "reasoning"})
"""Kinds of items that are nothing until they hold something; any other is a call."""

WAITING: Final = frozenset({"queued", "in_progress"})
"""Statuses of a response whose answer is asked for later."""


CODES: Final = {402: "insufficient_quota", 429: "rate_limit_exceeded"}
"""Status → what a response that failed calls it; any other that refuses the request is an
``invalid_prompt`` and the rest a ``server_error``, after which clients ask again
(https://platform.openai.com/docs/api-reference/responses/object, ``error.code``)."""

PASSING: Final = frozenset({408, 409, 425})
"""Statuses of a moment, after which the same request may be served."""


# Whole replies.


def is_reply(fields: Mapping[str, Any]) -> bool:
    """Say whether a body is the reply this format promises."""
    return isinstance(fields.get("output"), list)


def is_empty(fields: Mapping[str, Any]) -> bool:
    """Say whether a reply says nothing and gives no reason for it.

    What took tokens shows here, if only as a reasoning item: without any item nothing was said.
    """
    items = [*mappings(fields.get("output"))]
    why = fields.get("incomplete_details")
    explained = isinstance(why, dict) and bool(why.get("reason"))
    usage = usage_of(fields)
    if any(map(_is_said, items)) or explained or str(fields.get("status")) in WAITING:
        return False
    return not (items and usage and usage.output_tokens)


def complete(fields: dict[str, Any]) -> bool:
    """Mend what clients rely on in a reply's usage; say whether anything was amiss."""
    usage = fields.get("usage")
    missing = not isinstance(usage, dict)
    if missing and (usage is not None or fields.get("status") in ("completed", "incomplete")):
        usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        fields["usage"] = usage
    added = add_missing(usage, "input_tokens_details", "cached_tokens")
    return add_missing(usage, "output_tokens_details", "reasoning_tokens") or added


def usage_of(fields: Mapping[str, Any]) -> Usage | None:
    """Read the usage of a reply."""
    usage = fields.get("usage")
    if not isinstance(usage, dict):
        return None
    return Usage(
        input_tokens=count(usage, "input_tokens"),
        output_tokens=count(usage, "output_tokens"),
        cached_tokens=count(usage, "input_tokens_details", "cached_tokens"),
        reasoning_tokens=count(usage, "output_tokens_details", "reasoning_tokens"),
        cost_usd=cost_in(usage),
    )


# Streams.


def answers(fields: Mapping[str, Any]) -> bool:
    """Say whether an event holds a part of an answer, or a reason why there is none."""
    kind, response = str(fields.get("type")), fields.get("response")
    if kind in STARTS or not kind.startswith("response."):
        return nameless(fields)
    if kind in LAST:
        return isinstance(response, dict) and not is_empty(response)
    if isinstance(item := fields.get("item"), dict):
        return _is_said(item)
    said = [fields[key] for key in ("delta", "part", "text", "arguments") if key in fields]
    return any(map(_says, said)) if said else True


def _is_said(item: Mapping[str, Any]) -> bool:
    """Say whether an item says anything: text, thoughts, or by being a call."""
    if str(item.get("type", "message")) not in SPOKEN:
        return True
    parts = (item.get("content"), item.get("summary"), item.get("encrypted_content"))
    return any(map(_says, parts))


def _says(part: object) -> bool:
    """Say whether a text, a part or a list of parts says anything."""
    if isinstance(part, list):
        return any(_says(one) for one in part if not isinstance(one, list))
    if isinstance(part, dict):
        return bool(part.get("text") or part.get("refusal"))
    return bool(part)


def see(data: bytes, progress: Progress) -> bytes | None:
    """Look at one event; return what to send in its place, or None to leave it as it is."""
    fields = parsed(data)
    kind = str(fields.get("type"))
    progress.sequence = max(progress.sequence, count(fields, "sequence_number"))
    if error := error_in(fields):
        progress.failed, progress.status, progress.error = True, *error
    if kind == "response.output_item.added":
        progress.open_block = count(fields, "output_index")
    elif kind == "response.output_item.done":
        progress.open_block = None
        progress.items.append(fields.get("item"))
    response = fields.get("response")
    if not isinstance(response, dict):
        return None
    progress.id = progress.id or str(response.get("id") or "")
    progress.model = progress.model or str(response.get("model") or "")
    if kind not in LAST:
        return None
    progress.finished = progress.ended = True
    progress.failed |= kind == "response.failed"
    changed = complete(response)
    progress.usage = usage_of(response)
    return sse.event(dumps(fields), kind) if changed else None


def closing(
    progress: Progress, problem: str, *, status: int = 502, code: str = "upstream_error"
) -> bytes:
    """Write the terminator a stream still lacks: here it is also what holds the error.

    Its output is the items that were done: a call that was half told is not among them.
    """
    if progress.ended:
        return b""
    problem = progress.error or problem or CUT_SHORT
    if code == "upstream_error":
        code = _code_of(progress.status or status)
    response: dict[str, Any] = {
        "id": progress.id or "resp_auto",
        "object": "response",
        "created_at": 0,
        "status": "failed",
        "error": {"code": code, "message": problem},
        "incomplete_details": None,
        "model": progress.model,
        "output": progress.items,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": None,
    }
    progress.finished = progress.ended = progress.failed = True
    number = progress.sequence + 1
    fields = {"type": "response.failed", "sequence_number": number, "response": response}
    return sse.event(dumps(fields), "response.failed")


def _code_of(status: int) -> str:
    """Return the code that a status stands for, where an error has none of its own."""
    refused = 400 <= status < 500 and status not in PASSING
    return CODES.get(status, "invalid_prompt" if refused else "server_error")


# A whole reply as a stream, and back.


def as_events(fields: Mapping[str, Any]) -> bytes:
    """Write a whole reply as the stream it could have been."""
    begun = {**fields, "status": "in_progress", "output": [], "usage": None}
    last = f"response.{fields.get('status')}"
    ending = last if last in LAST else "response.completed"
    items = [*mappings(fields.get("output"))]
    events = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        *(event for at, item in enumerate(items) for event in _pieces(at, item)),
        {"type": ending, "response": dict(fields)},
    ]
    numbered = ({**event, "sequence_number": i} for i, event in enumerate(events))
    return b"".join(sse.event(dumps(event), str(event["type"])) for event in numbered)


def _pieces(at: int, item: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the events of one item."""
    place = {"output_index": at, "item_id": item.get("id")}
    kind, parts = item.get("type"), [*mappings(item.get("content"))]
    empty: dict[str, Any] = {"content": []} if kind == "message" else {}
    if isinstance(arguments := item.get("arguments"), str):
        empty = {"arguments": ""}
    added = {**item, **empty, "status": "in_progress"}
    yield {"type": "response.output_item.added", "output_index": at, "item": added}
    for i, part in enumerate(parts if kind == "message" else ()):
        yield from _part({**place, "content_index": i}, part)
    if isinstance(arguments, str) and kind == "function_call":
        told = {"type": "response.function_call_arguments.delta", "delta": arguments}
        yield place | told
        yield place | {"type": "response.function_call_arguments.done", "arguments": arguments}
    yield {"type": "response.output_item.done", "output_index": at, "item": dict(item)}


def _part(place: dict[str, Any], part: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the events of one part of a message."""
    key = "refusal" if "refusal" in part else "text"
    name = "response.refusal" if key == "refusal" else "response.output_text"
    more: dict[str, Any] = {"logprobs": []} if key == "text" else {}
    yield place | {"type": "response.content_part.added", "part": {**part, key: ""}}
    yield place | {"type": f"{name}.delta", "delta": part.get(key)} | more
    yield place | {"type": f"{name}.done", key: part.get(key)} | more
    yield place | {"type": "response.content_part.done", "part": dict(part)}


def assembled(events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Write the whole reply that a stream told in pieces: its last event holds it."""
    reply: dict[str, Any] = {}
    items: list[object] = []
    for event in events:
        if str(event.get("type")) in LAST and isinstance(event.get("response"), dict):
            reply = dict(event["response"])
        elif event.get("type") == "response.output_item.done":
            items.append(event.get("item"))
    return {**reply, "output": reply.get("output") or items}
