"""The simulated provider's replies in the responses format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from router.providers.simulated.answer import Answer, pieces
from router.wire import parts, sse


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
                "status": "incomplete" if a.too_long else "completed",
                "role": "assistant",
                "content": content,
            }
        )
    return items


REPEATED: Final[Mapping[str, object]] = {
    "background": False,
    "frequency_penalty": 0.0,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
}
"""What a response repeats of its request → what it says where that is silent, by the open responses
specification (https://www.openresponses.org/specification, read 2026-11)."""


def _repeated(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a response that tells its request again."""
    given = {k: v if (v := fields.get(k)) is not None else d for k, d in REPEATED.items()}
    text: dict[str, Any] = {"format": {"type": "text"}, "verbosity": "medium"}
    text |= _given(fields, "text", text)
    if isinstance(format := text["format"], Mapping) and format.get("type") == "json_schema":
        text["format"] = {"description": None, "strict": None, **format}
    reasoning = {"effort": None, "summary": None}
    tier = fields.get("service_tier")
    return {
        **given,
        "reasoning": reasoning | _given(fields, "reasoning", reasoning),
        "service_tier": tier if isinstance(tier, str) and tier != "auto" else "default",
        "text": text,
        "tools": [_tool(tool) for tool in parts.mappings(fields.get("tools"))],
    }


def _given(fields: Mapping[str, Any], key: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an object of the request says of known fields."""
    given = fields.get(key)
    if not isinstance(given, Mapping):
        return {}
    return {name: given[name] for name in known if given.get(name) is not None}


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool as a response lists it."""
    if tool.get("type") != "function":
        return dict(tool)
    return {"description": None, "parameters": None, "strict": True, **tool}


def whole(a: Answer) -> dict[str, Any]:
    """Write a whole reply."""
    usage = {
        "input_tokens": a.input_tokens,
        "input_tokens_details": {"cached_tokens": a.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": a.output_tokens,
        "output_tokens_details": {"reasoning_tokens": len(a.reasoning) // 4},
        "total_tokens": a.input_tokens + a.output_tokens,
    }
    return {
        "id": f"resp_{a.id}",
        "object": "response",
        "created_at": a.created,
        "completed_at": None if a.too_long else a.created,
        "status": "incomplete" if a.too_long else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if a.too_long else None,
        "model": a.model,
        "output": _items(a),
        "usage": None if "no_usage" in a.faults else usage,
        **_repeated(a.fields),
    }


def events(a: Answer) -> Iterator[bytes]:
    """Write a stream, event by event."""
    sequence = -1

    def event(kind: str, **fields: object) -> bytes:
        nonlocal sequence
        sequence += 1
        return sse.event(orjson.dumps({"type": kind, "sequence_number": sequence, **fields}), kind)

    done = whole(a)
    begun = {
        **done,
        "status": "in_progress",
        "completed_at": None,
        "incomplete_details": None,
        "output": [],
        "usage": None,
    }
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
        yield event(f"response.{done['status']}", response=done)
