"""The simulated provider's replies in the messages format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from router.providers.simulated.answer import Answer, pieces
from router.wire import sse


def _usage(a: Answer) -> dict[str, Any]:
    return {
        "input_tokens": a.input_tokens - a.cached_tokens,
        "output_tokens": a.output_tokens,
        "cache_read_input_tokens": a.cached_tokens,
        "cache_creation_input_tokens": 0,
    }


def _blocks(a: Answer) -> list[dict[str, Any]]:
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


def _stop(a: Answer) -> dict[str, str | None]:
    """Say why the answer ends."""
    if a.tool:
        return {"stop_reason": "tool_use", "stop_sequence": None}
    if a.cut is None:
        return {"stop_reason": "end_turn", "stop_sequence": None}
    if a.too_long:
        return {"stop_reason": "max_tokens", "stop_sequence": None}
    return {"stop_reason": "stop_sequence", "stop_sequence": a.cut}


def whole(a: Answer) -> dict[str, Any]:
    """Write a whole reply."""
    return {
        "id": f"msg_{a.id}",
        "type": "message",
        "role": "assistant",
        "model": a.model,
        "content": _blocks(a),
        **_stop(a),
        "usage": _usage(a),
    }


def events(a: Answer) -> Iterator[bytes]:
    """Write a stream, event by event."""

    def event(kind: str, **fields: object) -> bytes:
        return sse.event(orjson.dumps({"type": kind, **fields}), kind)

    usage = _usage(a)
    message = {**whole(a), "content": [], "stop_reason": None, "stop_sequence": None}
    message["usage"] = {**usage, "output_tokens": 1}
    if "no_usage" in a.faults:
        del message["usage"]
    yield event("message_start", message=message)
    yield event("ping")
    for i, block in enumerate(_blocks(a)):
        empty, deltas = _deltas(block)
        yield event("content_block_start", index=i, content_block=empty)
        for delta in deltas:
            yield event("content_block_delta", index=i, delta=delta)
        yield event("content_block_stop", index=i)
    if "no_finish" in a.faults:
        return
    yield event("message_delta", delta=_stop(a), usage=usage)
    yield event("message_stop")


def _deltas(block: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
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
            deltas = [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
            return {"type": "text", "text": ""}, deltas
