"""What comes back in Anthropic messages: replies, streams, usage, errors, the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from router.values import Usage
from router.wire import sse
from router.wire.faults import error_in
from router.wire.loose import dumps, loads
from router.wire.parts import (
    CUT_SHORT,
    Progress,
    cost_in,
    count,
    is_openai_error,
    mappings,
    nameless,
    parsed,
)

HEARTBEAT: Final = b'event: ping\ndata: {"type":"ping"}\n\n'
"""A sign of life; every client of this format knows it."""

MARKS: Final[tuple[bytes, ...]] = (
    b'"message_',
    b'"content_block_start"',
    b'"content_block_stop"',
    b'"error"',
)
"""Bytes that an event holds which must be looked into; ``router.wire.relay`` says why bytes."""

HEALTHY: Final = frozenset({"end_turn", "tool_use"})
"""Reasons to stop that promise an answer; any other explains why there is none."""

SPOKEN: Final = {"text": "text", "thinking": "thinking"}
"""Kinds of blocks that come in pieces → the field that holds what was said; a block of any other
kind is something by being there."""

DELTAS: Final = {
    "text": ("text_delta", "text"),
    "thinking": ("thinking_delta", "thinking"),
    "signature": ("signature_delta", "signature"),
}
"""A block's field → the kind of its pieces, and where a piece has it."""


# Whole replies.


def is_reply(fields: Mapping[str, Any]) -> bool:
    """Say whether a body is the reply this format promises."""
    return fields.get("type") == "message" and isinstance(fields.get("content"), list)


def is_empty(fields: Mapping[str, Any]) -> bool:
    """Say whether a reply says nothing, gives no reason for it, and took no tokens."""
    if any(map(_is_said, mappings(fields.get("content")))):
        return False
    usage, reason = usage_of(fields), fields.get("stop_reason")
    return not reason or (str(reason) in HEALTHY and not (usage and usage.output_tokens))


def complete(fields: dict[str, Any]) -> bool:
    """Mend what clients rely on in a reply's usage; say whether anything was amiss."""
    usage = fields.get("usage")
    if isinstance(usage, dict) and "input_tokens" in usage and "output_tokens" in usage:
        return False
    given = usage if isinstance(usage, dict) else {}
    fields["usage"] = {"input_tokens": 0, "output_tokens": 0, **given}
    return True


def usage_of(fields: Mapping[str, Any]) -> Usage | None:
    """Read the usage of a reply; the cache's tokens are counted beside the input here."""
    usage = fields.get("usage")
    if not isinstance(usage, dict):
        return None
    cached = count(usage, "cache_read_input_tokens")
    written = count(usage, "cache_creation_input_tokens")
    return Usage(
        input_tokens=count(usage, "input_tokens") + cached + written,
        output_tokens=count(usage, "output_tokens"),
        cached_tokens=cached,
        cache_write_tokens=written,
        cost_usd=cost_in(usage),
    )


# Streams.


def answers(fields: Mapping[str, Any]) -> bool:
    """Say whether an event holds a part of an answer, or a reason why there is none."""
    delta = fields.get("delta")
    match fields.get("type"):
        case "content_block_start":
            return _is_said(fields.get("content_block"))
        case "content_block_delta":
            given = delta.items() if isinstance(delta, dict) else ()
            return any(value for key, value in given if key != "type")
        case "message_delta":
            reason = delta.get("stop_reason") if isinstance(delta, dict) else None
            return bool(reason) and str(reason) not in HEALTHY
        case "message_start":
            message = fields.get("message")
            content = message.get("content") if isinstance(message, dict) else None
            return any(map(_is_said, mappings(content)))
    return nameless(fields)


def _is_said(block: object) -> bool:
    """Say whether a block says anything: text, thoughts, or by being of another kind."""
    if not isinstance(block, dict):
        return False
    kind = block.get("type")
    said = SPOKEN.get(kind) if isinstance(kind, str) else None
    return bool(block.get(said) or block.get("signature")) if said else bool(kind)


def see(data: bytes, progress: Progress) -> bytes | None:
    """Look at one event; return what to send in its place, or None to leave it as it is."""
    fields = parsed(data)
    match fields.get("type"):
        case "message_start":
            return _start(fields, progress)
        case "content_block_start":
            block = fields.get("content_block")
            progress.open_block = count(fields, "index")
            progress.called_tools |= isinstance(block, dict) and block.get("type") == "tool_use"
        case "content_block_stop":
            progress.items.append(progress.open_block)
            progress.open_block = None
        case "message_delta":
            delta = fields.get("delta")
            progress.finished |= isinstance(delta, dict) and bool(delta.get("stop_reason"))
            _add_usage(fields, progress)
        case "message_stop":
            return _stop(data, progress)
        case _ if error := error_in(fields):
            progress.failed, progress.error = True, error[1]
    return None


def _start(fields: dict[str, Any], progress: Progress) -> bytes | None:
    message = fields.get("message")
    if not isinstance(message, dict):
        return None
    progress.id = str(message.get("id") or "")
    progress.model = str(message.get("model") or "")
    changed = complete(message)
    progress.usage = usage_of(message)
    return sse.event(dumps(fields), "message_start") if changed else None


def _add_usage(fields: Mapping[str, Any], progress: Progress) -> None:
    """Take the counts of ``message_delta``, which are totals, over those of the start."""
    new, old = usage_of(fields), progress.usage
    if new is None or old is None:
        progress.usage = new or old
        return
    progress.usage = Usage(
        input_tokens=max(new.input_tokens, old.input_tokens),
        output_tokens=max(new.output_tokens, old.output_tokens),
        cached_tokens=max(new.cached_tokens, old.cached_tokens),
        cache_write_tokens=max(new.cache_write_tokens, old.cache_write_tokens),
        cost_usd=old.cost_usd if new.cost_usd is None else new.cost_usd,
    )


def _stop(data: bytes, progress: Progress) -> bytes | None:
    """Take the terminator; where no reason to stop was given, one goes before it.

    The terminator says that the answer is whole, unless an error came before it or a block is open.
    """
    progress.ended = True
    if progress.finished or progress.failed:
        return None
    if progress.open_block is not None:
        progress.failed = True
        return _error(502, "", CUT_SHORT) + sse.event(data, "message_stop")
    progress.finished = True
    reason = "tool_use" if progress.called_tools else "end_turn"
    output = progress.usage.output_tokens if progress.usage else 0
    return sse.event(_reason(reason, {"output_tokens": output}), "message_delta") + sse.event(
        data, "message_stop"
    )


def _reason(reason: object, usage: object, sequence: object = None) -> bytes:
    delta = {"stop_reason": reason, "stop_sequence": sequence}
    return dumps({"type": "message_delta", "delta": delta, "usage": usage})


def closing(
    progress: Progress, problem: str, *, status: int = 502, code: str = "upstream_error"
) -> bytes:
    """Write what a stream still lacks: an error if it broke, and the terminator.

    No answer that broke off is given a reason to stop, nor its open block an end: a block that is
    closed counts as whole, and its tool is called.  The terminator alone says that no more will
    come; a client hangs without it.
    """
    if progress.ended:
        return b""
    whole = progress.finished and progress.open_block is None
    broke = not whole and not progress.failed
    ending = _error(status, code, problem or CUT_SHORT) if broke else b""
    progress.failed |= bool(problem) or broke
    progress.ended = True
    return ending + sse.event(b'{"type":"message_stop"}', "message_stop")


def _error(status: int, code: str, message: str) -> bytes:
    return sse.event(dumps(error_body(status, code, message)), "error")


def error_body(status: int, code: str, message: str) -> dict[str, Any]:
    """Shape an error as Anthropic does; this format has no codes."""
    kind = ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}}


def is_error(fields: Mapping[str, Any]) -> bool:
    """Say whether a body is an error as Anthropic's clients read it: it names its type."""
    error = fields.get("error")
    typed = isinstance(error, dict) and isinstance(error.get("type"), str)
    return typed and fields.get("type") == "error" and is_openai_error(fields)


ERROR_TYPES: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


# A whole reply as a stream, and back.


def as_events(fields: Mapping[str, Any]) -> bytes:
    """Write a whole reply as the stream it could have been."""
    usage = fields.get("usage")
    begun = {**fields, "content": [], "stop_reason": None, "stop_sequence": None}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": begun}]
    for i, block in enumerate(mappings(fields.get("content"))):
        events += ({**event, "index": i} for event in _pieces(block))
    told = [sse.event(dumps(event), str(event["type"])) for event in events]
    called = any(block.get("type") == "tool_use" for block in mappings(fields.get("content")))
    reason = fields.get("stop_reason") or ("tool_use" if called else "end_turn")
    told.append(sse.event(_reason(reason, usage, fields.get("stop_sequence")), "message_delta"))
    return b"".join(told) + sse.event(b'{"type":"message_stop"}', "message_stop")


def _pieces(block: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the events of one block; what has no pieces stands in its first event."""
    said = {k: v for k in DELTAS if (v := block.get(k))} if block.get("type") in SPOKEN else {}
    called = "input" in block
    empty: dict[str, Any] = {**dict.fromkeys(said, ""), **({"input": {}} if called else {})}
    yield {"type": "content_block_start", "content_block": {**block, **empty}}
    for key, value in said.items():
        kind, place = DELTAS[key]
        yield {"type": "content_block_delta", "delta": {"type": kind, place: value}}
    if called:
        text = dumps(block["input"]).decode()
        delta = {"type": "input_json_delta", "partial_json": text}
        yield {"type": "content_block_delta", "delta": delta}
    yield {"type": "content_block_stop"}


def assembled(events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Write the whole reply that a stream told in pieces; raises ValueError for half a tool call."""
    reply: dict[str, Any] = {}
    blocks: dict[int, dict[str, Any]] = {}
    pieces: defaultdict[int, defaultdict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for event in events:
        at, delta = count(event, "index"), event.get("delta")
        if event.get("type") == "message_start" and isinstance(event.get("message"), dict):
            reply = dict(event["message"])
        elif event.get("type") == "content_block_start":
            block = event.get("content_block")
            blocks[at] = dict(block) if isinstance(block, dict) else {}
        elif event.get("type") == "content_block_delta" and isinstance(delta, dict):
            for key, value in delta.items():
                pieces[at][key].append(value)
        elif event.get("type") == "message_delta" and isinstance(delta, dict):
            old, new = reply.get("usage"), event.get("usage")
            known = (usage for usage in (old, new) if isinstance(usage, dict))
            reply |= {**delta, "usage": {k: v for usage in known for k, v in usage.items()}}
    whole = [_whole(block, pieces[at]) for at, block in sorted(blocks.items())]
    return {"type": "message", "role": "assistant", **reply, "content": whole}


def _whole(block: dict[str, Any], pieces: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Put the pieces of one block together; raises ValueError for half a tool call."""
    for _, place in DELTAS.values():
        if said := [piece for piece in pieces.get(place, ()) if isinstance(piece, str)]:
            block[place] = str(block.get(place) or "") + "".join(said)
    if citations := pieces.get("citation"):
        block["citations"] = [*(block.get("citations") or []), *citations]
    if text := "".join(p for p in pieces.get("partial_json", ()) if isinstance(p, str)):
        block["input"] = loads(text.encode("utf-8", "replace"))
    return block
