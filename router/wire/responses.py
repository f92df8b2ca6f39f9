"""OpenAI responses (https://platform.openai.com/docs/api-reference/responses)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from classifier.turns import Role, Turn
from router.values import Bound, Target
from router.wire.bound import FILE, OPENAI, RESPONSES_TOOLS, bound_tools, named
from router.wire.media import Media
from router.wire.parts import (
    Foreign,
    Place,
    Reading,
    in_body,
    is_openai_error,
    kind_of,
    mappings,
    merged,
    model_in_body,
    name_of,
    no_headers,
    not_counted,
    nothing_to_ask,
    one_answer,
    openai_error,
    places_in,
    positive_int,
    system_text,
    texts_of,
    thinks_by_effort,
    tool_call,
    tool_names,
    usage_is_reported,
)
from router.wire.replies import responses as replies
from router.wire.splice import Path

PATHS: Final[tuple[str, ...]] = ("/responses",)
COUNT_PATH: Final[str | None] = None
ITEMS: Final = "input"
TELLS: Final = frozenset({"input"})
HEADERS: Final[tuple[str, ...]] = ()

wanted = in_body
write_model = model_in_body
headers = no_headers
wants_usage = usage_is_reported
ask_for_usage = nothing_to_ask
error_body = openai_error
is_error = is_openai_error
counted = not_counted
fit_thinking = thinks_by_effort
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


def url(base_url: str, model: str, *, streams: bool, query: bytes) -> str:
    """Return where a provider takes requests."""
    return base_url + PATHS[0]


def continues(fields: Mapping[str, Any]) -> str | None:
    """Return the name of the answer, kept by its provider, that a request goes on from."""
    previous = fields.get("previous_response_id")
    return previous if isinstance(previous, str) and previous else None


def kept(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the ids of what its provider keeps that a request builds on."""
    conversation = fields.get("conversation")
    if isinstance(conversation, dict):
        conversation = conversation.get("id")
    ids = (continues(fields), conversation)
    return tuple(found for found in ids if isinstance(found, str) and found)


def is_stored(fields: Mapping[str, Any]) -> bool:
    """Say whether the provider may keep the answer: it does unless it is told not to."""
    return fields.get("store") is not False


ROLES: Final = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
}


def read(fields: Mapping[str, Any]) -> Reading:
    """Find turns, system prompt, tools and needs in a body."""
    media = Media()
    items = fields.get("input")
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    turns = tuple(turn for item in mappings(items) if (turn := _turn(item, media)))
    tools = listed_tools(fields)
    bound, hosted = bound_tools(
        _placed_tools(fields),
        RESPONSES_TOOLS,
        OPENAI,
        choice=fields.get("tool_choice"),
        used={_caller(item) for item in mappings(items)} - {""},
    )
    bound += named(fields, KEPT, OPENAI)
    bound += [Bound(FILE, OPENAI)] if media.file_ids else []
    wanted = fields.get("text")
    wanted = wanted.get("format") if isinstance(wanted, dict) else None
    return Reading(
        turns=turns,
        system=system_text(turns, *texts_of(fields.get("instructions"), media)),
        tools=tool_names(tools),
        max_output_tokens=positive_int(fields.get("max_output_tokens")),
        json_schema=isinstance(wanted, dict) and wanted.get("type") == "json_schema",
        media=media,
        provider_state=bool(fields.get("previous_response_id") or fields.get("conversation")),
        bound=tuple(bound),
        hosted=hosted,
    )


KEPT: Final = {"prompt": "its stored prompt", "background": "an answer in the background"}
"""Top-level fields that name what OpenAI keeps."""

MORE_TOOLS: Final = "additional_tools"
"""An input item that lists further tools (openai-python, ``ResponseInputItem``)."""


def listed_tools(fields: Mapping[str, Any]) -> list[Any]:
    """Return the tools of a body: those of its own list, and those that input items add."""
    items = mappings(fields.get("input"))
    added = [item.get("tools") for item in items if item.get("type") == MORE_TOOLS]
    lists = [fields.get("tools"), *added]
    return [tool for tools in lists if isinstance(tools, list) for tool in tools]


def _placed_tools(fields: Mapping[str, Any]) -> Iterator[Place]:
    """Yield the same tools with their places."""
    yield from places_in(fields.get("tools"), ("tools",), "tool")
    for path, _, item in places_in(fields.get("input"), ("input",), ""):
        if item.get("type") == MORE_TOOLS:
            yield from places_in(item.get("tools"), (*path, "tools"), "tool")


def _caller(item: Mapping[str, Any]) -> str:
    """Return the tool of which an item is a call; empty where it is none."""
    kind = name_of(item.get("type"))
    return kind.removesuffix("_call") if kind.endswith("_call") else ""


def _turn(item: Mapping[str, Any], media: Media) -> Turn | None:
    """Read one input item; of reasoning only who can read it counts, bare references say nothing."""
    kind = item.get("type", "message")
    if kind == "message":
        role = ROLES.get(name_of(item.get("role")), Role.SYSTEM)
        return Turn(role, texts_of(item.get("content"), media))
    if not isinstance(kind, str):
        return None
    if kind.endswith("_call_output"):
        failed = item.get("status") == "failed"
        texts, result_of = texts_of(item.get("output"), media), name_of(item.get("call_id"))
        return Turn(Role.TOOL, texts, failed=failed, result_of=result_of)
    if kind.endswith("_call"):
        if kind == "image_generation_call":
            media.note(item, kind)
        arguments = item.get("arguments") or item.get("action") or item.get("input")
        call = tool_call(item.get("name") or kind, arguments, item.get("call_id"))
        return Turn(Role.ASSISTANT, tool_calls=(call,))
    if kind == "reasoning" and item.get("encrypted_content"):
        return Turn(Role.ASSISTANT, signed=True)
    return None


ONLY_OPENROUTER: Final = frozenset({"provider", "transforms"})
"""Top-level fields that strict vendors refuse; clients made for OpenRouter send them."""

ONLY_CLIENTS: Final[frozenset[str]] = frozenset()


def write_target(fields: Mapping[str, Any], target: Target) -> dict[str, Any]:
    """Return the fields that give a tier's effort and verbosity."""
    changes: dict[str, Any] = {}
    if target.unit.effort:
        changes["reasoning"] = merged(fields, "reasoning", effort=target.unit.effort)
    if target.verbosity:
        changes["text"] = merged(fields, "text", verbosity=target.verbosity)
    return changes


OUTPUT: Final[tuple[str, ...]] = ("max_output_tokens",)
"""Fields that say how long an answer may be."""

CALL_IDS: Final[Mapping[str, tuple[str, ...]]] = {
    f"{kind}_call{end}": ("call_id",)
    for kind in ("function", "custom_tool")
    for end in ("", "_output")
}
"""Kind of object → its members that name a tool call."""

EFFORT_ITEMS: Final = frozenset({"configuration_update"})
"""Items that change the effort from where they stand on: a tier's own replaces them."""


def places(fields: Mapping[str, Any]) -> Iterator[Place]:
    """Yield the objects whose members vendors are strict about."""
    for path, _, item in places_in(fields.get("input"), ("input",), ""):
        kind = item.get("type", "message")
        yield Place(path, str(kind), item)
        yield from places_in(item.get("content"), (*path, "content"), "part")
    yield from places_in(fields.get("tools"), ("tools",), "tool")


def effort_of(fields: Mapping[str, Any]) -> str | None:
    """Return the effort that a body asks for."""
    reasoning = fields.get("reasoning")
    effort = reasoning.get("effort") if isinstance(reasoning, dict) else None
    return effort if isinstance(effort, str) else None


def set_effort(view: dict[str, Any], effort: str | None) -> None:
    """Ask for an effort, or for none in particular, in a copy of a body's fields."""
    reasoning = {k: v for k, v in merged(view, "reasoning").items() if k != "effort"}
    reasoning |= {"effort": effort} if effort is not None else {}
    if reasoning:
        view["reasoning"] = reasoning
    else:
        view.pop("reasoning", None)


def foreign_reasoning(items: list[Any], foreign: Foreign) -> Iterator[Path]:
    """Yield where reasoning stands that another family encrypted or keeps; what can be read stays."""
    for i, item in enumerate(items):
        if kind_of(item) != "reasoning" or not foreign(i):
            continue
        kept_by_provider = item.get("id") and not (item.get("summary") or item.get("content"))
        if item.get("encrypted_content") or kept_by_provider:
            yield (i,)


def references(items: list[Any]) -> Iterator[Path]:
    """Yield where items stand that only refer to what a provider stored."""
    return ((i,) for i, item in enumerate(items) if kind_of(item) == "item_reference")
