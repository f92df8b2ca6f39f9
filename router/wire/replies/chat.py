"""What comes back in OpenAI chat completions: replies, streams, usage, the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from router.values import Usage
from router.wire import sse
from router.wire.parts import (
    Progress,
    add_missing,
    count,
    mappings,
    openai_error,
    parsed,
)

MARKS: Final[tuple[bytes, ...]] = (
    *(b'"finish_reason":"', b'"finish_reason": "', b'"usage":{', b'"usage": {'),
    *(b'"tool_calls"', b'"error"', b"[DONE]"),
)
"""Bytes that an event holds which must be looked into; ``router.wire.relay`` says why bytes."""


def is_reply(fields: Mapping[str, Any]) -> bool:
    """Say whether a body is the reply this format promises."""
    return isinstance(fields.get("choices"), list)


def complete(fields: dict[str, Any]) -> bool:
    """Add what clients rely on to a reply's usage; say whether anything was missing."""
    return add_missing(fields.get("usage"), "prompt_tokens_details", "cached_tokens")


def usage_of(fields: Mapping[str, Any]) -> Usage | None:
    """Read the usage of a reply or of a stream's last event."""
    usage = fields.get("usage")
    if not isinstance(usage, Mapping):
        return None
    return Usage(
        input_tokens=count(usage, "prompt_tokens"),
        output_tokens=count(usage, "completion_tokens"),
        cached_tokens=count(usage, "prompt_tokens_details", "cached_tokens"),
        cache_write_tokens=count(usage, "prompt_tokens_details", "cache_write_tokens"),
        reasoning_tokens=count(usage, "completion_tokens_details", "reasoning_tokens"),
        cost_usd=float(usage["cost"]) if isinstance(usage.get("cost"), int | float) else None,
    )


def see(data: bytes, progress: Progress) -> bytes | None:
    """Look at one event; return what to send in its place, or None to leave it as it is."""
    if data == b"[DONE]":
        progress.ended = True
        return None if progress.finished else _finish(progress) + sse.event(b"[DONE]")
    fields = parsed(data)
    progress.id = progress.id or str(fields.get("id") or "")
    progress.model = progress.model or str(fields.get("model") or "")
    progress.failed = progress.failed or bool(fields.get("error"))
    for choice in mappings(fields.get("choices")):
        progress.finished = progress.finished or bool(choice.get("finish_reason"))
        delta = choice.get("delta")
        progress.called_tools |= isinstance(delta, Mapping) and bool(delta.get("tool_calls"))
    if usage := usage_of(fields):
        progress.usage = usage
        if not progress.wants_usage and not fields.get("choices"):
            return b""
        if complete(fields):
            return sse.event(orjson.dumps(fields))
    return None


def closing(progress: Progress, problem: str) -> bytes:
    """Write what a stream still lacks: an error if it broke, a finish reason, the terminator.

    A stream that its upstream ended in good order, but without a reason, is taken as finished:
    some servers send none, and one client then calls the model again and again.
    """
    if progress.ended:
        return b""
    progress.failed |= bool(problem)
    ending = b"" if progress.finished else _finish(progress, problem)
    return ending + sse.event(b"[DONE]")


def _finish(progress: Progress, problem: str = "") -> bytes:
    """Write a finish reason, as OpenRouter does for a stream that failed."""
    reason = "error" if problem else "tool_calls" if progress.called_tools else "stop"
    fields: dict[str, Any] = {
        "id": progress.id or "chatcmpl-auto",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": progress.model,
        "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": reason}],
    }
    if problem:
        fields["error"] = openai_error(502, "upstream_error", problem)["error"]
    progress.finished = True
    return sse.event(orjson.dumps(fields))
