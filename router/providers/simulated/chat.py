"""The simulated provider's replies in the chat format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from router.providers.simulated.answer import Answer, pieces
from router.wire import sse


def _usage(a: Answer) -> dict[str, Any]:
    return {
        "prompt_tokens": a.input_tokens,
        "completion_tokens": a.output_tokens,
        "total_tokens": a.input_tokens + a.output_tokens,
        "prompt_tokens_details": {"cached_tokens": a.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": len(a.reasoning) // 4},
    }


def _thought(a: Answer) -> dict[str, Any]:
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


def _call(a: Answer) -> dict[str, Any]:
    function = {"name": a.tool, "arguments": a.arguments}
    return {"id": f"call_{a.id}", "type": "function", "function": function}


def _finish(a: Answer) -> str:
    return "tool_calls" if a.tool else "length" if a.too_long else "stop"


def whole(a: Answer) -> dict[str, Any]:
    """Write a whole reply."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": a.text or None,
        "refusal": None,
        "annotations": [],
        **_thought(a),
    }
    if a.tool:
        message["tool_calls"] = [_call(a)]
    choice = {"message": message, "finish_reason": _finish(a), "logprobs": None}
    return {
        "id": f"chatcmpl-{a.id}",
        "object": "chat.completion",
        "created": a.created,
        "model": a.model,
        "choices": [{"index": i, **choice} for i in range(a.choices)],
        "usage": _usage(a),
        "service_tier": "default",
        "system_fingerprint": None,
        "provider": "simulated",
    }


def events(a: Answer) -> Iterator[bytes]:
    """Write a stream, event by event."""

    def chunk(delta: dict[str, Any], finish: str | None = None, **more: object) -> bytes:
        choice = {"delta": delta, "logprobs": None, "finish_reason": finish}
        fields = {
            "id": f"chatcmpl-{a.id}",
            "object": "chat.completion.chunk",
            "created": a.created,
            "model": a.model,
            "choices": [{"index": i, **choice} for i in range(a.choices)],
            "service_tier": "default",
            "system_fingerprint": None,
            **more,
        }
        return sse.event(orjson.dumps(fields))

    yield chunk({"role": "assistant", "content": ""})
    if a.reasoning:
        yield chunk(_thought(a))
    for piece in pieces(a.text) if a.text else ():
        yield chunk({"content": piece})
    if a.tool:
        yield chunk({"tool_calls": [{"index": 0, **_call(a)}]})
    if "no_finish" in a.faults:
        return
    yield chunk({}, _finish(a))
    if "no_usage" not in a.faults:
        yield chunk({}, choices=[], usage=_usage(a))
    yield sse.event(b"[DONE]")
