"""The three wire formats: what a client sends and keeps, and what an upstream answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

Fields = dict[str, Any]
Event = tuple[str, Fields]
"""Its kind, empty where the format names none, and its data."""

RULES = "You work in a repository of order forms. Read before you write, then run the tests. " * 70


class Wire(NamedTuple):
    """One format; ``called`` and ``returned`` make the items of a tool call and of its result."""

    name: str
    path: str
    items: str
    base: Fields
    opening: list[Fields]
    called: Callable[[str, str], Fields]
    returned: Callable[[str, str], Fields]
    replied: Callable[[Fields], list[Fields]]


SCHEMA = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}

TOOLS = ("bash", "ask_user")
CHAT = Wire(
    "chat", "/v1/chat/completions", "messages",
    base={"tools": [{"type": "function", "function": {"name": n, "parameters": SCHEMA}} for n in TOOLS]},
    opening=[{"role": "system", "content": RULES}],
    called=lambda name, call: {
        "role": "assistant", "content": None, "tool_calls": [
            {"id": call, "type": "function", "function": {"name": name, "arguments": f'"{call}"'}}
        ],
    },
    returned=lambda call, text: {"role": "tool", "tool_call_id": call, "content": text},
    replied=lambda reply: [choice["message"] for choice in reply["choices"]],
)  # fmt: skip
RESPONSES = Wire(
    "responses", "/v1/responses", "input",
    base={
        "instructions": RULES,
        "tools": [{"type": "function", "name": n, "parameters": SCHEMA} for n in TOOLS],
    },
    opening=[],
    called=lambda name, call: {
        "type": "function_call", "call_id": call, "name": name, "arguments": f'"{call}"',
    },
    returned=lambda call, text: {"type": "function_call_output", "call_id": call, "output": text},
    replied=lambda reply: reply["output"],
)  # fmt: skip
MESSAGES = Wire(
    "messages", "/v1/messages", "messages",
    base={
        "max_tokens": 900, "system": RULES,
        "tools": [{"name": n, "input_schema": SCHEMA} for n in TOOLS],
    },
    opening=[],
    called=lambda name, call: {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": call, "name": name, "input": {"command": call}}],
    },
    returned=lambda call, text: {
        "role": "user", "content": [{"type": "tool_result", "tool_use_id": call, "content": text}],
    },
    replied=lambda reply: [{"role": "assistant", "content": reply["content"]}],
)  # fmt: skip
WIRES = (CHAT, RESPONSES, MESSAGES)


class Answer(NamedTuple):
    """What the upstream says, before it has a format."""

    id: str
    model: str
    text: str
    fault: str
    tokens: int
    cached: int


def chat_whole(a: Answer) -> Fields:
    message: Fields = {"role": "assistant", "content": a.text}
    if a.fault == "think":
        signed = {"type": "reasoning.text", "text": "It is the totals.", "signature": f"sig-{a.id}"}
        plain = {"type": "reasoning.summary", "summary": "The totals."}
        message |= {"reasoning": "It is the totals.", "reasoning_details": [signed, plain]}
    if a.fault == "tool":
        message |= CHAT.called("bash", f"call_{a.id}")
    usage = {"prompt_tokens": a.tokens, "completion_tokens": 24, "total_tokens": a.tokens + 24}
    if a.fault != "bare":
        usage |= {"prompt_tokens_details": {"cached_tokens": a.cached}, "cost": 0.0042}
    finish = "tool_calls" if a.fault == "tool" else "stop"
    return {
        "id": f"chatcmpl-{a.id}", "object": "chat.completion", "created": 1_764_000_000,
        "model": a.model, "usage": usage,
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }  # fmt: skip


def chat_events(whole: Fields, asked: Fields) -> list[Event]:
    choice = whole["choices"][0]
    message = choice["message"]
    text = {"content": [{"content": piece} for piece in pieces(message.pop("content") or "")]}
    calls = [{"index": 0, **call} for call in message.pop("tool_calls", [])]
    deltas = [message, *text["content"], *([{"tool_calls": calls}] if calls else [])]
    head = {k: whole[k] for k in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    chunks = [*((delta, None) for delta in deltas), ({}, choice["finish_reason"])]
    events: list[Event] = [
        ("", {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]})
        for delta, end in chunks
    ]
    if (asked.get("stream_options") or {}).get("include_usage"):
        events.append(("", {**head, "choices": [], "usage": whole.get("usage")}))
    return events


def responses_whole(a: Answer) -> Fields:
    part = {"type": "output_text", "text": a.text, "annotations": []}
    output: list[Fields] = [
        {"id": f"msg_{a.id}", "type": "message", "role": "assistant", "content": [part]}
    ]
    if a.fault == "tool":
        output = [{"id": f"fc_{a.id}", **RESPONSES.called("bash", f"call_{a.id}")}]
    if a.fault == "think":
        thought = {"type": "reasoning", "summary": [], "encrypted_content": f"sealed-{a.id}"}
        output.insert(0, {"id": f"rs_{a.id}", **thought})
    usage = {"input_tokens": a.tokens, "output_tokens": 24, "total_tokens": a.tokens + 24}
    if a.fault != "bare":
        usage["input_tokens_details"] = {"cached_tokens": a.cached}
        usage["output_tokens_details"] = {"reasoning_tokens": 4}
    return {
        "id": f"resp_{a.id}", "object": "response", "created_at": 1_764_000_000,
        "status": "completed", "model": a.model, "output": output, "usage": usage,
    }  # fmt: skip


def responses_events(whole: Fields, asked: Fields) -> list[Event]:
    begun = whole | {"status": "in_progress", "output": [], "usage": None}
    events: list[Event] = [("response.created", {"response": begun})]
    for i, item in enumerate(whole["output"]):
        at = {"output_index": i, "item_id": item["id"]}
        bare = item | {"content": []} if "content" in item else item
        events.append(("response.output_item.added", {"output_index": i, "item": bare}))
        for part in item.get("content", []):
            for piece in pieces(part["text"]):
                events.append(("response.output_text.delta", {**at, "delta": piece}))
        events.append(("response.output_item.done", {"output_index": i, "item": item}))
    events.append(("response.completed", {"response": whole}))
    return [(k, {"type": k, "sequence_number": n, **d}) for n, (k, d) in enumerate(events)]


def messages_whole(a: Answer) -> Fields:
    content: list[Fields] = [{"type": "text", "text": a.text}]
    if a.fault == "tool":
        content = MESSAGES.called("bash", f"toolu_{a.id}")["content"]
    if a.fault == "think":
        thought = {"type": "thinking", "thinking": "It is the totals.", "signature": f"sig-{a.id}"}
        content.insert(0, thought)
    usage = {"input_tokens": a.tokens - a.cached, "output_tokens": 24}
    if a.fault != "bare":
        usage["cache_read_input_tokens"] = a.cached
        usage["cache_creation_input_tokens"] = (a.tokens - a.cached) // 2
    stop = "tool_use" if a.fault == "tool" else "end_turn"
    return {
        "id": f"msg_{a.id}", "type": "message", "role": "assistant", "model": a.model,
        "content": content, "stop_reason": stop, "usage": usage,
    }  # fmt: skip


def messages_events(whole: Fields, asked: Fields) -> list[Event]:
    begun = whole | {"content": [], "stop_reason": None}
    events: list[Event] = [("message_start", {"message": begun}), ("ping", {})]
    for i, block in enumerate(whole["content"]):
        events += [(kind, {"index": i, **data}) for kind, data in block_events(block)]
    stop = {"delta": {"stop_reason": whole["stop_reason"]}, "usage": {"output_tokens": 24}}
    events += [("message_delta", stop), ("message_stop", {})]
    return [(kind, {"type": kind, **data}) for kind, data in events]


def block_events(block: Fields) -> list[Event]:
    """Say a content block bit by bit."""
    if block["type"] == "text":
        begun, deltas = {"text": ""}, [("text", piece) for piece in pieces(block["text"])]
    elif block["type"] == "thinking":
        begun = {"thinking": "", "signature": ""}
        deltas = [(key, block[key]) for key in ("thinking", "signature")]
    else:
        begun, deltas = {"input": {}}, [("partial_json", json.dumps(block["input"]))]
    kinds = {"partial_json": "input_json_delta"}
    return [
        ("content_block_start", {"content_block": block | begun}),
        *(
            ("content_block_delta", {"delta": {"type": kinds.get(k, f"{k}_delta"), k: text}})
            for k, text in deltas
        ),
        ("content_block_stop", {}),
    ]


def pieces(text: str) -> list[str]:
    return re.findall(r"\S+\s*\S*\s*", text)


WHOLE = {"chat": chat_whole, "responses": responses_whole, "messages": messages_whole}
EVENTS = {"chat": chat_events, "responses": responses_events, "messages": messages_events}


def error_of(wire: Wire, kind: str, text: str) -> Fields:
    """Shape an upstream's error as its format does."""
    if wire is MESSAGES:
        return {"type": "error", "error": {"type": kind, "message": text}}
    return {"error": {"type": kind, "code": kind, "message": text, "param": None}}
