"""What comes back in OpenAI chat completions: replies, streams, usage, the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from router.values import Usage
from router.wire import sse
from router.wire.faults import choice_failed, error_in
from router.wire.loose import dumps, is_strict
from router.wire.parts import (
    CUT_SHORT,
    Progress,
    add_missing,
    cost_in,
    count,
    mappings,
    openai_error,
    parsed,
)

DONE: Final = b"[DONE]"
"""What ends a stream, in place of an event."""

HEARTBEAT: Final = b": waiting\n\n"
"""A sign of life: a comment, which every reader of events skips."""

MARKS: Final[tuple[bytes, ...]] = (
    *(b'"finish_reason":"', b'"finish_reason": "', b'"usage":{', b'"usage": {'),
    *(b'"tool_calls"', b'"error"', DONE),
)
"""Bytes that an event holds which must be looked into; ``router.wire.relay`` says why bytes."""

HEALTHY: Final = frozenset({"stop", "tool_calls", "function_call", "eos", "end_turn"})
"""Reasons to stop that promise an answer; any other explains why there is none."""

NAMES: Final = frozenset({"role", "id", "name", "type", "index"})
"""Fields of a delta that name a thing, and so say nothing and are not joined."""

JOIN_DEPTH: Final = 4
"""How deep deltas are joined: a message, its calls, their function, its arguments."""


# Whole replies.


def is_reply(fields: Mapping[str, Any]) -> bool:
    """Say whether a body is the reply this format promises."""
    return isinstance(fields.get("choices"), list)


def is_empty(fields: Mapping[str, Any]) -> bool:
    """Say whether a reply says nothing, gives no reason for it, and took no tokens."""
    usage = usage_of(fields)
    tokens = usage.output_tokens if usage else 0
    choices = [*mappings(fields.get("choices"))]
    return not (any(map(_answers, choices)) or (choices and tokens))


def complete(fields: dict[str, Any]) -> bool:
    """Mend what clients rely on in a reply's usage; say whether anything was amiss."""
    usage = fields.get("usage")
    if usage is not None and not isinstance(usage, dict):
        fields["usage"] = None
        return True
    return add_missing(usage, "prompt_tokens_details", "cached_tokens")


def usage_of(fields: Mapping[str, Any]) -> Usage | None:
    """Read the usage of a reply or of a stream's last event."""
    usage = fields.get("usage")
    if not isinstance(usage, dict):
        return None
    return Usage(
        input_tokens=count(usage, "prompt_tokens"),
        output_tokens=count(usage, "completion_tokens"),
        cached_tokens=count(usage, "prompt_tokens_details", "cached_tokens"),
        cache_write_tokens=count(usage, "prompt_tokens_details", "cache_write_tokens"),
        reasoning_tokens=count(usage, "completion_tokens_details", "reasoning_tokens"),
        cost_usd=cost_in(usage),
    )


# Streams.


def answers(fields: Mapping[str, Any]) -> bool:
    """Say whether an event holds a part of an answer, or a reason why there is none."""
    return any(map(_answers, mappings(fields.get("choices"))))


def _answers(choice: Mapping[str, Any]) -> bool:
    if choice_failed(choice):
        return False
    reason = choice.get("finish_reason")
    explained = bool(reason) and str(reason).lower() not in HEALTHY
    said = (choice.get("delta"), choice.get("message"), {"text": choice.get("text")})
    return explained or any(map(_says, said))


def _says(message: object) -> bool:
    """Say whether a message or a delta says anything: text, thoughts, calls, a refusal."""
    return isinstance(message, dict) and any(
        any(value.values()) if isinstance(value, dict) else value
        for key, value in message.items()
        if key not in NAMES
    )


def see(data: bytes, progress: Progress) -> bytes | None:
    """Look at one event; return what to send in its place, or None to leave it as it is."""
    if data == DONE:
        return _done(progress)
    fields = parsed(data)
    progress.id = progress.id or str(fields.get("id") or "")
    progress.model = progress.model or str(fields.get("model") or "")
    if error := error_in(fields):
        progress.failed, progress.error = True, error[1]
    for choice in mappings(fields.get("choices")):
        _see_choice(choice, progress)
    if usage := usage_of(fields):
        progress.usage = usage
        if not (progress.wants_usage or error or fields.get("choices")):
            return b""
        if complete(fields):
            return sse.event(dumps(fields))
    return None


def _see_choice(choice: Mapping[str, Any], progress: Progress) -> None:
    at = count(choice, "index")
    progress.begun.add(at)
    if choice.get("finish_reason"):
        progress.done.add(at)
    progress.finished = progress.begun <= progress.done
    delta = choice.get("delta")
    for call in mappings(delta.get("tool_calls") if isinstance(delta, dict) else None):
        index = call.get("index")
        place = index if isinstance(index, int) else len(progress.calls)  # whole, where unnumbered
        function = call.get("function")
        piece = function.get("arguments") if isinstance(function, dict) else None
        progress.calls.setdefault((at, place), []).append(piece if isinstance(piece, str) else "")


def _done(progress: Progress) -> bytes | None:
    """Take the terminator; where some choice has no reason to stop yet, one goes before it.

    Some servers send none, and one client then calls the model again and again.  The terminator
    says that the answer is whole, unless an error came before it or a tool call is not.
    """
    progress.ended = True
    if progress.finished:
        return None
    halves = (arguments for call in progress.calls.values() if (arguments := "".join(call)))
    whole = all(is_strict(half.encode("utf-8", "replace")) for half in halves)
    problem = "" if whole or progress.failed else CUT_SHORT
    progress.failed |= bool(problem)
    left = sorted(progress.begun - progress.done) or [0]
    return _finish(progress, problem, left) + sse.event(DONE)


def closing(
    progress: Progress, problem: str, *, status: int = 502, code: str = "upstream_error"
) -> bytes:
    """Write what a stream still lacks: an error if it broke, a reason to stop, the terminator.

    No answer that broke off ends in good health.  ``error`` is the reason of OpenRouter's streams
    that fail (https://openrouter.ai/docs/api-reference/errors), and clients take it as an end: the
    one that calls for ever without any reason does not with this one.
    """
    if progress.ended:
        return b""
    told = "" if progress.failed else problem or CUT_SHORT
    left = _left(progress)
    progress.failed |= bool(problem or left)
    progress.ended = True
    ending = _finish(progress, told, left, status, code) if left else b""
    return ending + sse.event(DONE)


def _left(progress: Progress) -> list[int]:
    """Return the choices without a reason to stop, those included of which nothing has come yet."""
    asked = range(progress.n_answers)
    missing = progress.n_answers > 1 and len(progress.done) < progress.n_answers
    if progress.finished and not missing:
        return []
    return sorted({*progress.begun, *(asked if missing else ())} - progress.done) or [0]


def _finish(
    progress: Progress,
    problem: str,
    left: list[int],
    status: int = 502,
    code: str = "upstream_error",
) -> bytes:
    """Give the choices that are left a reason to stop, and the error if it is not told yet."""
    called = {choice for choice, _ in progress.calls}
    failed = bool(problem) or progress.failed
    reasons = {i: "error" if failed else "tool_calls" if i in called else "stop" for i in left}
    fields: dict[str, Any] = {
        "id": progress.id or "chatcmpl-auto",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": progress.model,
        "choices": [
            {"index": i, "delta": {"content": ""}, "finish_reason": reason}
            for i, reason in reasons.items()
        ],
    }
    if problem:
        fields["error"] = openai_error(status, code, problem)["error"]
    progress.finished = True
    return sse.event(dumps(fields))


# A whole reply as a stream, and back.


def as_events(fields: Mapping[str, Any]) -> bytes:
    """Write a whole reply as the stream it could have been."""
    head = {k: v for k, v in fields.items() if k not in ("choices", "usage")}
    head["object"] = "chat.completion.chunk"
    chunks = [
        head | {"choices": [part]}
        for choice in mappings(fields.get("choices"))
        for part in _halves(choice)
    ]
    if isinstance(usage := fields.get("usage"), dict):
        chunks.append(head | {"choices": [], "usage": usage})
    return b"".join(sse.event(dumps(chunk)) for chunk in chunks) + sse.event(DONE)


def _halves(choice: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what a choice says, and how it ends."""
    message = choice.get("message")
    delta = dict(message) if isinstance(message, dict) else {"content": choice.get("text")}
    if calls := [*mappings(delta.get("tool_calls"))]:
        delta["tool_calls"] = [{"index": i, **call} for i, call in enumerate(calls)]
    rest = {k: v for k, v in choice.items() if k not in ("message", "text", "finish_reason")}
    yield rest | {"index": count(choice, "index"), "delta": delta, "finish_reason": None}
    reason = choice.get("finish_reason") or ("tool_calls" if calls else "stop")
    yield {"index": count(choice, "index"), "delta": {}, "finish_reason": reason}


def assembled(events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Write the whole reply that a stream told in pieces."""
    reply: dict[str, Any] = {}
    usage: object = None
    choices: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for event in events:
        reply = {**event, **reply}
        usage = event.get("usage") or usage
        for choice in mappings(event.get("choices")):
            choices[count(choice, "index")].append(choice)
    reply |= {"object": "chat.completion", "usage": usage}
    return reply | {"choices": [_whole(at, parts) for at, parts in sorted(choices.items())]}


def _whole(at: int, parts: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Join the pieces of one choice."""
    said = joined(part["delta"] for part in parts if isinstance(part.get("delta"), dict))
    choice: dict[str, Any] = {"index": at, "message": {"role": "assistant", "content": None} | said}
    probable = [p["logprobs"] for p in parts if isinstance(p.get("logprobs"), dict)]
    choice["logprobs"] = joined(probable) or None
    reasons = (part.get("finish_reason") for part in parts)
    return choice | {"finish_reason": next(filter(None, reasons), None)}


def joined(pieces: Iterable[Mapping[str, Any]], depth: int = JOIN_DEPTH) -> dict[str, Any]:
    """Join what deltas say of one thing: texts and lists end to end, calls by their number."""
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for piece in pieces:
        for key, value in piece.items():
            found[key] += [] if value is None else [value]
    return {k: _joined(k, values, depth) if values else None for k, values in found.items()}


def _joined(key: str, values: list[Any], depth: int) -> object:
    if key in NAMES or len(values) == 1 and key != "tool_calls":
        return values[0]
    if all(isinstance(value, str) for value in values):
        return "".join(values)
    if all(isinstance(value, list) for value in values):
        items = [item for value in values for item in value]
        return _calls(items, depth) if key == "tool_calls" else items
    if depth and all(isinstance(value, dict) for value in values):
        return joined(values, depth - 1)
    return values[-1]


def _calls(pieces: list[Any], depth: int) -> list[dict[str, Any]]:
    """Join the pieces of tool calls; one without a number is whole."""
    calls: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for piece in mappings(pieces):
        index = piece.get("index")
        calls[index if isinstance(index, int) else len(calls)].append(piece)
    made = (joined(call, depth) for _, call in sorted(calls.items()))
    return [{key: value for key, value in call.items() if key != "index"} for call in made]
