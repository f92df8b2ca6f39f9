"""OpenAI chat completions (https://platform.openai.com/docs/api-reference/chat)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from classifier.turns import Role, Turn
from router.values import Bound, Target
from router.wire.bound import ANYONE, CHAT_TOOLS, FILE, GOOGLE, OPENAI, bound_tools, named
from router.wire.media import Media
from router.wire.parts import (
    Foreign,
    Place,
    Reading,
    builds_on_nothing,
    in_body,
    is_openai_error,
    kept_nowhere,
    mappings,
    merged,
    model_in_body,
    name_of,
    never_stored,
    no_headers,
    no_references,
    not_counted,
    openai_error,
    parts_of,
    places_in,
    positive_int,
    system_text,
    texts_of,
    thinks_by_effort,
    tool_call,
    tool_names,
    tools_of,
)
from router.wire.replies import chat as replies
from router.wire.splice import Path

PATHS: Final[tuple[str, ...]] = ("/chat/completions",)
COUNT_PATH: Final[str | None] = None
ITEMS: Final = "messages"
TELLS: Final[frozenset[str]] = frozenset()
HEADERS: Final[tuple[str, ...]] = ()

wanted = in_body
write_model = model_in_body
continues = kept_nowhere
kept = builds_on_nothing
is_stored = never_stored
references = no_references
headers = no_headers
error_body = openai_error
is_error = is_openai_error
counted = not_counted
fit_thinking = thinks_by_effort
listed_tools = tools_of
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


ROLES: Final = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "tool": Role.TOOL,
    "function": Role.TOOL,
}


def read(fields: Mapping[str, Any]) -> Reading:
    """Find turns, system prompt, tools and needs in a body."""
    media = Media()
    messages = [*mappings(fields.get("messages"))]
    turns = tuple(_turn(message, media) for message in messages)
    wanted = fields.get("response_format")
    tools = places_in(fields.get("tools"), ("tools",), "tool")
    bound, hosted = bound_tools(tools, CHAT_TOOLS, ANYONE, choice=fields.get("tool_choice"))
    bound += [Bound(FILE, OPENAI)] if media.file_ids else []
    bound += named(fields, KEPT, GOOGLE) + named(_google_extra(fields), KEPT, GOOGLE)
    return Reading(
        turns=turns,
        system=system_text(turns),
        tools=tool_names(fields.get("tools") or fields.get("functions")),
        max_output_tokens=positive_int(
            fields.get("max_completion_tokens"), fields.get("max_tokens")
        ),
        json_schema=isinstance(wanted, dict) and wanted.get("type") == "json_schema",
        media=media,
        bound=tuple(bound),
        hosted=hosted,
        begun=bool(messages) and _begins_answer(messages[-1]),
    )


KEPT: Final = {"cached_content": "its cached content", "cachedContent": "its cached content"}
"""Fields that name what Google keeps (https://ai.google.dev/gemini-api/docs/openai)."""


def _google_extra(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a body says to Google alone, where clients of other vendors say nothing."""
    extra = fields.get("extra_body")
    google = extra.get("google") if isinstance(extra, dict) else None
    return google if isinstance(google, dict) else {}


def _begins_answer(message: Mapping[str, Any]) -> bool:
    """Say whether a last message is an answer that the model is to go on with."""
    spoke = message.get("role") == "assistant" and bool(message.get("content"))
    return spoke and not message.get("tool_calls")


def _turn(message: Mapping[str, Any], media: Media) -> Turn:
    """Read one message; some clients put pictures beside its content."""
    for picture in parts_of(message.get("images")):
        media.note(picture, "image")
    calls = [
        tool_call(function.get("name"), function.get("arguments"), call.get("id"))
        for call in mappings(message.get("tool_calls"))
        if isinstance(function := call.get("function", call), dict)
    ]
    return Turn(
        role=ROLES.get(name_of(message.get("role")), Role.SYSTEM),
        texts=texts_of(message.get("content"), media),
        tool_calls=tuple(calls),
        result_of=name_of(message.get("tool_call_id")),
        signed=any(map(_is_signed, mappings(message.get("reasoning_details")))),
    )


def _is_signed(detail: Mapping[str, Any]) -> bool:
    """Say whether a reasoning detail, as OpenRouter passes them on, is signed or encrypted."""
    return detail.get("type") == "reasoning.encrypted" or bool(detail.get("signature"))


REASONING: Final = ("reasoning", "reasoning_content", "reasoning_details")
"""Fields of an assistant message that hold what a model thought."""

ONLY_OPENROUTER: Final = frozenset({"reasoning", "usage", "provider", "transforms", "description"})
"""Top-level fields that strict vendors refuse; clients made for OpenRouter send them."""

ONLY_CLIENTS: Final = frozenset({"__copilotMessageSource", "provider_specific_fields", *REASONING})
"""Fields of a message that strict vendors refuse: its client's own, and OpenRouter's reasoning."""


def write_target(fields: Mapping[str, Any], target: Target) -> dict[str, Any]:
    """Return the fields that give a tier's effort and verbosity.

    ``reasoning_effort`` is OpenAI's, and OpenRouter's shorthand for ``reasoning.effort``: the
    two must not differ, so a ``reasoning`` that the client sent is changed along with it.
    """
    changes: dict[str, Any] = {}
    if target.unit.effort:
        changes["reasoning_effort"] = target.unit.effort
        if isinstance(fields.get("reasoning"), dict):
            changes["reasoning"] = merged(fields, "reasoning", effort=target.unit.effort)
    if target.reasoning is not None:
        changes["reasoning"] = merged(fields, "reasoning", enabled=target.reasoning)
    if target.verbosity:
        changes["verbosity"] = target.verbosity
    return changes


OUTPUT: Final[tuple[str, ...]] = ("max_completion_tokens", "max_tokens")
"""Fields that say how long an answer may be."""

CALL_IDS: Final[Mapping[str, tuple[str, ...]]] = {"call": ("id",), "tool_result": ("tool_call_id",)}
"""Kind of object → its members that name a tool call."""

EFFORT_ITEMS: Final[frozenset[str]] = frozenset()


def places(fields: Mapping[str, Any]) -> Iterator[Place]:
    """Yield the objects whose members vendors are strict about."""
    for path, _, message in places_in(fields.get("messages"), ("messages",), ""):
        role = str(message.get("role"))
        yield Place(path, "tool_result" if role == "tool" else role, message)
        if isinstance(content := message.get("content"), list):
            yield from places_in(content, (*path, "content"), "part")
        if calls := message.get("tool_calls"):
            yield from places_in(calls, (*path, "tool_calls"), "call")
    for tool in places_in(fields.get("tools"), ("tools",), "tool"):
        yield tool
        if isinstance(function := tool.held.get("function"), dict):
            yield Place((*tool.path, "function"), "function", function)


def effort_of(fields: Mapping[str, Any]) -> str | None:
    """Return the effort that a body asks for."""
    effort = fields.get("reasoning_effort")
    return effort if isinstance(effort, str) else None


def set_effort(view: dict[str, Any], effort: str | None) -> None:
    """Ask for an effort, or for none in particular, in a copy of a body's fields."""
    view.pop("reasoning_effort", None)
    if effort is not None:
        view["reasoning_effort"] = effort


def ask_for_usage(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that make a stream report its usage."""
    options = fields.get("stream_options")
    asked = isinstance(options, dict) and options.get("include_usage") is True
    if fields.get("stream") is not True or asked:
        return {}
    return {"stream_options": merged(fields, "stream_options", include_usage=True)}


def wants_usage(fields: Mapping[str, Any]) -> bool:
    """Say whether the client asked for usage in either way that clients do."""
    options, usage = fields.get("stream_options"), fields.get("usage")
    asked = isinstance(options, dict) and options.get("include_usage") is True
    return asked or (isinstance(usage, dict) and usage.get("include") is True)


def n_answers(fields: Mapping[str, Any]) -> int:
    """Return how many answers are asked for."""
    return max(1, positive_int(fields.get("n")))


def foreign_reasoning(items: list[Any], foreign: Foreign) -> Iterator[Path]:
    """Yield where reasoning stands that another family signed; what it left unsigned may stay."""
    for i, item in enumerate(items):
        details = item.get("reasoning_details") if isinstance(item, dict) else None
        if not isinstance(details, list) or not foreign(i):
            continue
        signed = [
            j for j, part in enumerate(details) if isinstance(part, dict) and _is_signed(part)
        ]
        if signed and len(signed) == len(details):
            yield i, "reasoning_details"
        else:
            yield from ((i, "reasoning_details", j) for j in signed)
