"""The simulated provider's replies in the responses format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from router.providers.simulated.answer import Answer, pieces
from router.wire import sse


def _items(a: Answer) -> list[dict[str, Any]]:
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


def whole(a: Answer) -> dict[str, Any]:
    """Write a whole reply."""
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
        "output": _items(a),
        "parallel_tool_calls": True,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "usage": None if "no_usage" in a.faults else usage,
    }


def events(a: Answer) -> Iterator[bytes]:
    """Write a stream, event by event."""
    sequence = -1

    def event(kind: str, **fields: object) -> bytes:
        nonlocal sequence
        sequence += 1
        return sse.event(orjson.dumps({"type": kind, "sequence_number": sequence, **fields}), kind)

    done = whole(a)
    begun = {**done, "status": "in_progress", "output": [], "usage": None}
    yield event("response.created", response=begun)
    yield event("response.in_progress", response=begun)
    for i, item in enumerate(done["output"]):
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
            for piece in pieces(a.text):
                yield event("response.output_text.delta", **at, delta=piece, logprobs=[])
            yield event("response.output_text.done", **at, text=a.text, logprobs=[])
            yield event("response.content_part.done", **at, part=item["content"][0])
        yield event("response.output_item.done", output_index=i, item=item)
    if "no_finish" not in a.faults:
        yield event("response.completed", response=done)
