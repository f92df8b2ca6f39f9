"""What comes back in OpenAI responses: replies, streams, usage, the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from router.values import Usage
from router.wire import sse
from router.wire.parts import (
    CUT_SHORT,
    Progress,
    add_missing,
    count,
    parsed,
)

MARKS: Final[tuple[bytes, ...]] = (
    *(b'"response.created"', b'"response.output_item.', b'"response.completed"'),
    *(b'"response.incomplete"', b'"response.failed"', b'"error"'),
)
"""Bytes that an event holds which must be looked into; ``router.wire.relay`` says why bytes."""

LAST: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
"""Kinds of a stream's last event."""


def is_reply(fields: Mapping[str, Any]) -> bool:
    """Say whether a body is the reply this format promises."""
    return isinstance(fields.get("output"), list)


def complete(fields: dict[str, Any]) -> bool:
    """Add what clients rely on to a reply's usage; say whether anything was missing."""
    usage = fields.get("usage")
    missing = not isinstance(usage, dict)
    if missing and fields.get("status") in {"completed", "incomplete"}:
        usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        fields["usage"] = usage
    added = add_missing(usage, "input_tokens_details", "cached_tokens")
    return add_missing(usage, "output_tokens_details", "reasoning_tokens") or added


def usage_of(fields: Mapping[str, Any]) -> Usage | None:
    """Read the usage of a reply."""
    usage = fields.get("usage")
    if not isinstance(usage, Mapping):
        return None
    return Usage(
        input_tokens=count(usage, "input_tokens"),
        output_tokens=count(usage, "output_tokens"),
        cached_tokens=count(usage, "input_tokens_details", "cached_tokens"),
        reasoning_tokens=count(usage, "output_tokens_details", "reasoning_tokens"),
        cost_usd=float(usage["cost"]) if isinstance(usage.get("cost"), int | float) else None,
    )


def see(data: bytes, progress: Progress) -> bytes | None:
    """Look at one event; return what to send in its place, or None to leave it as it is."""
    fields = parsed(data)
    kind = str(fields.get("type"))
    progress.sequence = max(progress.sequence, count(fields, "sequence_number"))
    if kind == "error":
        progress.failed = True
        return None
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
    progress.failed = kind == "response.failed"
    changed = complete(response)
    progress.usage = usage_of(response)
    return sse.event(orjson.dumps(fields), kind) if changed else None


def closing(progress: Progress, problem: str) -> bytes:
    """Write the terminator a stream still lacks, which here also holds the answer or the error.

    A stream that its upstream ended in good order, with every item done, is complete.
    """
    if progress.ended:
        return b""
    if not problem and (progress.open_block is not None or not progress.items):
        problem = CUT_SHORT
    status = "failed" if problem else "completed"
    response: dict[str, Any] = {
        "id": progress.id or "resp_auto",
        "object": "response",
        "created_at": 0,
        "status": status,
        "error": {"code": "server_error", "message": problem} if problem else None,
        "incomplete_details": None,
        "model": progress.model,
        "output": progress.items,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": None,
    }
    complete(response)
    progress.finished = progress.ended = True
    progress.failed = bool(problem)
    number = progress.sequence + 1
    fields = {"type": f"response.{status}", "sequence_number": number, "response": response}
    return sse.event(orjson.dumps(fields), f"response.{status}")
