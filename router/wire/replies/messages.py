"""What comes back in Anthropic messages: replies, streams, usage, errors, the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from router.values import Usage
from router.wire import sse
from router.wire.parts import (
    CUT_SHORT,
    Progress,
    count,
    is_openai_error,
    parsed,
)

MARKS: Final[tuple[bytes, ...]] = (
    b'"message_',
    b'"content_block_start"',
    b'"content_block_stop"',
    b'"error"',
)
"""Bytes that an event holds which must be looked into; ``router.wire.relay`` says why bytes."""


def is_reply(fields: Mapping[str, Any]) -> bool:
    """Say whether a body is the reply this format promises."""
    return fields.get("type") == "message" and isinstance(fields.get("content"), list)


def complete(fields: dict[str, Any]) -> bool:
    """Add what clients rely on to a reply's usage; say whether anything was missing."""
    usage = fields.get("usage")
    if isinstance(usage, dict) and "input_tokens" in usage and "output_tokens" in usage:
        return False
    fields["usage"] = {"input_tokens": 0, "output_tokens": 0, **(usage or {})}
    return True


def usage_of(fields: Mapping[str, Any]) -> Usage | None:
    """Read the usage of a reply; the cache's tokens are counted beside the input here."""
    usage = fields.get("usage")
    if not isinstance(usage, Mapping):
        return None
    cached = count(usage, "cache_read_input_tokens")
    written = count(usage, "cache_creation_input_tokens")
    return Usage(
        input_tokens=count(usage, "input_tokens") + cached + written,
        output_tokens=count(usage, "output_tokens"),
        cached_tokens=cached,
        cache_write_tokens=written,
        cost_usd=float(usage["cost"]) if isinstance(usage.get("cost"), int | float) else None,
    )


def see(data: bytes, progress: Progress) -> bytes | None:
    """Look at one event; return what to send in its place, or None to leave it as it is."""
    fields = parsed(data)
    match fields.get("type"):
        case "message_start":
            return _start(fields, progress)
        case "content_block_start":
            block = fields.get("content_block")
            progress.open_block = count(fields, "index")
            progress.called_tools |= isinstance(block, Mapping) and block.get("type") == "tool_use"
        case "content_block_stop":
            progress.items.append(progress.open_block)
            progress.open_block = None
        case "message_delta":
            delta = fields.get("delta")
            progress.finished |= isinstance(delta, Mapping) and bool(delta.get("stop_reason"))
            _add_usage(fields, progress)
        case "message_stop":
            progress.ended = True
            if not progress.finished:
                return _finish(progress) + sse.event(data, "message_stop")
        case "error":
            progress.failed = True
    return None


def _start(fields: dict[str, Any], progress: Progress) -> bytes | None:
    message = fields.get("message")
    if not isinstance(message, dict):
        return None
    progress.id = str(message.get("id") or "")
    progress.model = str(message.get("model") or "")
    changed = complete(message)
    progress.usage = usage_of(message)
    return sse.event(orjson.dumps(fields), "message_start") if changed else None


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


def closing(progress: Progress, problem: str) -> bytes:
    """Write what a stream still lacks: an error if it broke, a stop reason, the terminator.

    A stream that its upstream ended in good order, with every block closed, is finished.
    """
    if progress.ended:
        return b""
    ending = b""
    if not progress.finished:
        if not problem and (progress.open_block is not None or not progress.items):
            problem = CUT_SHORT
        if problem and not progress.failed:
            ending = sse.event(orjson.dumps(error_body(502, "", problem)), "error")
        progress.failed |= bool(problem)
        ending += _finish(progress)
    return ending + sse.event(b'{"type":"message_stop"}', "message_stop")


def _finish(progress: Progress) -> bytes:
    """Close the open block and give a stop reason."""
    ending = b""
    if progress.open_block is not None:
        stop = {"type": "content_block_stop", "index": progress.open_block}
        ending = sse.event(orjson.dumps(stop), "content_block_stop")
        progress.open_block = None
    reason = "tool_use" if progress.called_tools else "end_turn"
    delta = {"stop_reason": reason, "stop_sequence": None}
    output = progress.usage.output_tokens if progress.usage else 0
    fields = {"type": "message_delta", "delta": delta, "usage": {"output_tokens": output}}
    progress.finished = True
    return ending + sse.event(orjson.dumps(fields), "message_delta")


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
