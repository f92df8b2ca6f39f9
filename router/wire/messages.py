"""Anthropic messages (https://docs.anthropic.com/en/api/messages)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from classifier.turns import Role, ToolCall, Turn
from router.values import Bound, Target
from router.wire.bound import ANTHROPIC, FILE, bound_tools, named
from router.wire.media import Media
from router.wire.parts import (
    Foreign,
    Place,
    Reading,
    builds_on_nothing,
    in_body,
    kept_nowhere,
    kind_of,
    mappings,
    merged,
    model_in_body,
    name_of,
    never_stored,
    no_references,
    nothing_to_ask,
    one_answer,
    places_in,
    positive_int,
    system_text,
    texts_of,
    tool_call,
    tool_names,
    tools_of,
    usage_is_reported,
)
from router.wire.replies import messages as replies
from router.wire.splice import Path
from router.wire.thinking import fit_thinking as fit_thinking

PATHS: Final[tuple[str, ...]] = ("/messages",)
COUNT_PATH: Final[str | None] = "/messages/count_tokens"
ITEMS: Final = "messages"
TELLS: Final = frozenset({"system", "stop_sequences", "thinking", "output_config", "top_k"})
HEADERS: Final[tuple[str, ...]] = ("anthropic-beta", "anthropic-version")

VERSION: Final = "2023-06-01"
"""Of the format, for clients that name none: the only one there is."""

wanted = in_body
write_model = model_in_body
continues = kept_nowhere
kept = builds_on_nothing
is_stored = never_stored
references = no_references
wants_usage = usage_is_reported
ask_for_usage = nothing_to_ask
listed_tools = tools_of
n_answers = one_answer
MARKS = replies.MARKS
HEARTBEAT = replies.HEARTBEAT
is_reply = replies.is_reply
is_empty = replies.is_empty
complete = replies.complete
usage_of = replies.usage_of
answers = replies.answers
see = replies.see
closing = replies.closing
as_events = replies.as_events
assembled = replies.assembled
error_body = replies.error_body
is_error = replies.is_error


def url(base_url: str, model: str, *, streams: bool, query: bytes) -> str:
    """Return where a provider takes requests; Anthropic's SDK marks betas in the query too."""
    return base_url + PATHS[0] + ("?beta=true" if b"beta=true" in query else "")


def headers() -> dict[str, str]:
    """Return the headers that the format demands."""
    return {"anthropic-version": VERSION}


def counted(tokens: int) -> dict[str, Any]:
    """Shape the answer of ``COUNT_PATH``."""
    return {"input_tokens": tokens}


ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT}
THINKING: Final = frozenset({"thinking", "redacted_thinking"})


def read(fields: Mapping[str, Any]) -> Reading:
    """Find turns, system prompt, tools and needs in a body."""
    media = Media()
    messages = [*mappings(fields.get("messages"))]
    turns = tuple(t for message in messages for t in _turns(message, media))
    tools = places_in(fields.get("tools"), ("tools",), "tool")
    bound, hosted = bound_tools(tools, {}, ANTHROPIC, choice=fields.get("tool_choice"))
    bound += named(fields, KEPT, ANTHROPIC)
    bound += [Bound(FILE, ANTHROPIC)] if media.file_ids else []
    if any(map(_holds_server_tools, messages)):
        bound.append(Bound("what Anthropic's own tools did", ANTHROPIC))
    return Reading(
        turns=turns,
        system=system_text(turns, *texts_of(fields.get("system"), media)),
        tools=tool_names(fields.get("tools")),
        max_output_tokens=positive_int(fields.get("max_tokens")),
        json_schema=_wants_schema(fields.get("output_config"))
        or _wants_schema({"format": fields.get("output_format")}),
        media=media,
        bound=tuple(bound),
        hosted=hosted,
        begun=bool(messages) and _begins_answer(messages[-1]),
    )


def _begins_answer(message: Mapping[str, Any]) -> bool:
    """Say whether a last message is an answer that the model is to go on with."""
    content = message.get("content")
    last = content[-1] if isinstance(content, list) and content else content
    spoke = bool(last) and (isinstance(last, str) or kind_of(last) == "text")
    return spoke and message.get("role") == "assistant"


KEPT: Final = {"container": "its container", "mcp_servers": "its mcp_servers"}
"""Top-level fields that name what Anthropic keeps or calls."""


def _holds_server_tools(message: Mapping[str, Any]) -> bool:
    """Say whether a message holds calls of tools that ran at Anthropic, or what they gave."""
    kinds = map(kind_of, mappings(message.get("content")))
    return any(kind in SERVER_CALLS or kind.endswith("_tool_result") for kind in kinds)


SERVER_CALLS: Final = frozenset({"server_tool_use", "mcp_tool_use", "container_upload"})


def _turns(message: Mapping[str, Any], media: Media) -> Iterator[Turn]:
    """Split a message: tool results inside a user message are the tools' turns."""
    role = ROLES.get(name_of(message.get("role")), Role.SYSTEM)
    content = message.get("content")
    own: list[object] = [content] if isinstance(content, str) else []
    calls: list[ToolCall] = []
    signed = False
    for part in content if isinstance(content, list) else ():
        kind = kind_of(part)
        if kind == "tool_result":
            texts = texts_of(part.get("content"), media)
            failed, result_of = part.get("is_error") is True, name_of(part.get("tool_use_id"))
            yield Turn(Role.TOOL, texts, failed=failed, result_of=result_of)
        elif kind == "tool_use":
            calls.append(tool_call(part.get("name"), part.get("input"), part.get("id")))
        elif kind in THINKING:
            signed |= _is_signed(part)
        else:
            own.append(part)
    if own or calls or signed:
        yield Turn(role, texts_of(own, media), tuple(calls), signed=signed)


def _wants_schema(config: object) -> bool:
    wanted = config.get("format") if isinstance(config, dict) else None
    return isinstance(wanted, dict) and wanted.get("type") == "json_schema"


ONLY_OPENROUTER: Final[frozenset[str]] = frozenset()
ONLY_CLIENTS: Final[frozenset[str]] = frozenset()


def write_target(fields: Mapping[str, Any], target: Target) -> dict[str, Any]:
    """Return the fields that give a tier's effort; this format has none for verbosity."""
    changes: dict[str, Any] = {}
    if target.unit.effort == "none" or target.reasoning is False:
        changes["thinking"] = {"type": "disabled"}
    elif target.unit.effort:
        changes["output_config"] = merged(fields, "output_config", effort=target.unit.effort)
    return changes


OUTPUT: Final[tuple[str, ...]] = ("max_tokens",)
"""Fields that say how long an answer may be."""

CALL_IDS: Final[Mapping[str, tuple[str, ...]]] = {"call": ("id",), "tool_result": ("tool_use_id",)}
"""Kind of object → its members that name a tool call."""

EFFORT_ITEMS: Final[frozenset[str]] = frozenset()

PART_KINDS: Final = {"tool_use": "call", "tool_result": "tool_result"}
"""Type of a block → its kind, where that is not ``part``."""


def places(fields: Mapping[str, Any]) -> Iterator[Place]:
    """Yield the objects whose members vendors are strict about."""
    yield from places_in(fields.get("system"), ("system",), "part")
    for path, _, message in places_in(fields.get("messages"), ("messages",), ""):
        yield Place(path, str(message.get("role")), message)
        for at, kind, part in places_in(message.get("content"), (*path, "content"), "part"):
            yield Place(at, PART_KINDS.get(kind_of(part), kind), part)
            yield from places_in(part.get("content"), (*at, "content"), "part")
    yield from places_in(fields.get("tools"), ("tools",), "tool")


def effort_of(fields: Mapping[str, Any]) -> str | None:
    """Return the effort that a body asks for."""
    config = fields.get("output_config")
    effort = config.get("effort") if isinstance(config, dict) else None
    return effort if isinstance(effort, str) else None


def set_effort(view: dict[str, Any], effort: str | None) -> None:
    """Ask for an effort, or for none in particular, in a copy of a body's fields."""
    config = {k: v for k, v in merged(view, "output_config").items() if k != "effort"}
    config |= {"effort": effort} if effort is not None else {}
    if config:
        view["output_config"] = config
    else:
        view.pop("output_config", None)


def foreign_reasoning(items: list[Any], foreign: Foreign) -> Iterator[Path]:
    """Yield where thinking stands that another family signed; a message of nothing else goes whole.

    Thinking without a signature may stay.
    """
    for i, item in enumerate(items):
        content = item.get("content") if isinstance(item, dict) else None
        if not isinstance(content, list) or not foreign(i):
            continue
        signed = [j for j, part in enumerate(content) if _is_signed(part)]
        if signed and len(signed) == len(content):
            yield (i,)
        else:
            yield from ((i, "content", j) for j in signed)


def _is_signed(part: Any) -> bool:
    kind = kind_of(part)
    return kind == "redacted_thinking" or (kind == "thinking" and bool(part.get("signature")))
