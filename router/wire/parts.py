"""What the three formats spell alike: parts of text, tools, and what a reader of one finds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from classifier.turns import Role, ToolCall, Turn
from router.values import Bound, Usage
from router.wire.loose import loads
from router.wire.media import Media
from router.wire.splice import Path

TEXT_TYPES: Final = frozenset({"text", "input_text", "output_text", "refusal", "summary_text"})


class HostedTool(NamedTuple):
    """A tool that some vendors run, where a request lists it."""

    path: Path
    bound: Bound


@dataclass(frozen=True, slots=True)
class Reading:
    """What a format's module finds in a body, before any meaning is given to it.

    ``provider_state``: the body continues a conversation that its provider keeps; ``bound``: what
    else in it works with some vendors only; ``hosted``: tools that do, and that others are not sent;
    ``begun``: the client begins the answer, which the model is to go on with.
    """

    turns: tuple[Turn, ...]
    system: str
    tools: tuple[str, ...]
    media: Media
    max_output_tokens: int = 0
    json_schema: bool = False
    provider_state: bool = False
    bound: tuple[Bound, ...] = ()
    hosted: tuple[HostedTool, ...] = ()
    begun: bool = False


class Wanted(NamedTuple):
    """What a request asks for, wherever its format says it."""

    model: str | None
    """None where the client named none."""
    streams: bool


class Place(NamedTuple):
    """An object of a request whose members vendors are strict about."""

    path: Path
    kind: str
    """A message's role, where it is no ``tool_result``, or an item's type, else ``part``, ``call``,
    ``tool`` or ``function``."""
    held: dict[str, Any]


MAX_TOKENS: Final = 10**9
"""Most tokens that a usage is believed; a thousand times the largest window there is."""

MAX_USD: Final = 10_000.0
"""Most dollars that one reply is believed to cost; the dearest lists take some tens."""

CUT_SHORT: Final = "the upstream ended the stream before its answer was complete"


@dataclass(slots=True)
class Progress:
    """How far a stream has come, as far as ending it properly needs to know.

    ``finished``: a reason to stop was given, for every choice that was begun; ``ended``: the
    format's last event was seen; ``failed``: an error was told, as ``error`` says it;
    ``open_block``: the block or item that was begun and is not done; ``items``: those done;
    ``begun``, ``done``: the choices of which something was said, and of which a reason to stop;
    ``calls``: the pieces of each tool call's arguments, by choice and call; ``n_answers``: the choices
    that were asked for; ``status``: what a told error stands for, 0 where none was.
    """

    id: str = ""
    model: str = ""
    wants_usage: bool = True
    n_answers: int = 1
    finished: bool = False
    ended: bool = False
    failed: bool = False
    error: str = ""
    status: int = 0
    called_tools: bool = False
    open_block: int | None = None
    items: list[Any] = field(default_factory=list)
    begun: set[int] = field(default_factory=set)
    done: set[int] = field(default_factory=set)
    calls: dict[tuple[int, int], list[str]] = field(default_factory=dict)
    sequence: int = 0
    usage: Usage | None = None


def places_in(value: object, path: Path, kind: str) -> Iterator[Place]:
    """Yield the objects of a list, which stands at a path."""
    if isinstance(value, list):
        for i, held in enumerate(value):
            if isinstance(held, dict):
                yield Place((*path, i), kind, held)


# Where most formats keep what some keep elsewhere: each takes these as its own.


def in_body(path: str, fields: Mapping[str, Any]) -> Wanted:
    """Read model and stream flag where they stand in the body; blanks around a name say nothing."""
    model = name_of(fields.get("model")).strip()
    return Wanted(model or None, bool(fields.get("stream")))


def model_in_body(fields: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Write the model where it stands in the body."""
    return {} if fields.get("model") == model else {"model": model}


def kept_nowhere(fields: Mapping[str, Any]) -> None:
    """Return nothing: no answer is kept by its provider."""


def builds_on_nothing(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Return nothing: no answer is kept by its provider."""
    return ()


def never_stored(fields: Mapping[str, Any]) -> bool:
    """Say no: no answer is kept by its provider."""
    return False


def no_references(items: list[Any]) -> Iterator[Path]:
    """Yield nothing: items stand for themselves."""
    return iter(())


def no_headers() -> dict[str, str]:
    """Return none: the format demands none."""
    return {}


def usage_is_reported(fields: Mapping[str, Any]) -> bool:
    """Say yes: usage is always reported."""
    return True


def one_answer(fields: Mapping[str, Any]) -> int:
    """Say one: the format knows no way to ask for more."""
    return 1


def nothing_to_ask(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return nothing: usage is always reported."""
    return {}


def thinks_by_effort(view: dict[str, Any], modes: frozenset[str]) -> None:
    """Change nothing: how much a model thinks is its effort here."""


def tools_of(fields: Mapping[str, Any]) -> list[Any]:
    """Return the tools that a body lists."""
    tools = fields.get("tools")
    return tools if isinstance(tools, list) else []


def not_counted(tokens: int) -> dict[str, Any]:
    """Refuse: the format has no endpoint that counts tokens."""
    raise NotImplementedError


def kind_of(part: object) -> str:
    """Return a part's type, ``text`` where it names none, empty where it names no string."""
    kind = part.get("type", "text") if isinstance(part, dict) else ""
    return kind if isinstance(kind, str) else ""


def mappings(value: object) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of a list, and nothing for anything else."""
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def parts_of(value: object) -> Iterator[Mapping[str, Any]]:
    """Yield the parts of a list; a bare text is taken for a part's data."""
    for part in value if isinstance(value, list) else ():
        if isinstance(part, str):
            yield {"data": part}
        elif isinstance(part, dict):
            yield part


def texts_of(content: object, media: Media) -> tuple[str, ...]:
    """Return the text parts of a message's content, a string or a list of parts."""
    if isinstance(content, str):
        return (content,) if content else ()
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        return ()
    texts: list[str] = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            text = part.get("text")
            if isinstance(text, str) and kind_of(part) in TEXT_TYPES:
                texts.append(text)
            else:
                media.note(part, kind_of(part))
    return tuple(text for text in texts if text)


def tool_names(tools: object) -> tuple[str, ...]:
    """Return the names of the listed tools, those nested in a namespace too."""
    names: list[str] = []
    levels = [mappings(tools)]
    while levels:
        tool = next(levels[-1], None)
        if tool is None:
            levels.pop()
        elif nested := tool.get("tools"):
            levels.append(mappings(nested))
        elif name := _named(tool):
            names.append(name)
    return tuple(names)


def _named(tool: Mapping[str, Any]) -> str:
    """Return a tool's name, or its type where it has none; a name that is no text is a name."""
    function = tool.get("function")
    named = function if isinstance(function, dict) else tool
    name = named.get("name") or tool.get("type")
    return plain_text(name) if name else ""


def tool_call(name: object, arguments: object, call_id: object) -> ToolCall:
    """Make a call; arguments of any shape become text that tells repeats apart."""
    return ToolCall(plain_text(name or ""), plain_text(arguments), name_of(call_id))


def plain_text(value: object) -> str:
    """Return a text as it is, and anything else written out, however deep it is nested."""
    if isinstance(value, str):
        return value
    try:
        return repr(value)
    except RecursionError:
        return "".join(_leaves(value))


def _leaves(value: object) -> Iterator[str]:
    """Yield what a value nested too deeply for ``repr`` holds, level by level, without recursion."""
    level = [value]
    while level:
        yield f"{len(level)}:"
        below: list[object] = []
        for part in level:
            if isinstance(part, dict):
                below += [*part.keys(), *part.values()]
            elif isinstance(part, list):
                below += part
            else:
                yield repr(part)
        level = below


def name_of(value: object) -> str:
    """Return an id as text; empty when it is none."""
    return value if isinstance(value, str) else ""


def positive_int(*values: object) -> int:
    """Return the first positive integer, else zero."""
    for value in values:
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return 0


def system_text(turns: tuple[Turn, ...], *more: str) -> str:
    """Join every system text into one string."""
    texts = [text for turn in turns if turn.role is Role.SYSTEM for text in turn.texts]
    return "\n".join([*more, *texts])


def parsed(data: bytes) -> dict[str, Any]:
    """Return an event's JSON object; an empty one for anything else."""
    try:
        fields = loads(data)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def nameless(fields: Mapping[str, Any]) -> bool:
    """Say whether an event of a format that names its events has no name, and says something.

    It is another format's, or its server's own: it goes to the client as it came, and no other model
    is paid for it.
    """
    return "type" not in fields and any(fields.values())


def count(fields: object, *path: str) -> int:
    """Return the number at a path of keys; zero where there is none that can be one of tokens."""
    for key in path:
        fields = fields.get(key) if isinstance(fields, dict) else None
    number = number_in(fields)
    return int(number) if number is not None and number <= MAX_TOKENS else 0


def cost_in(usage: Mapping[str, Any]) -> float | None:
    """Return the dollars that a usage says; None where it says none that can be."""
    dollars = number_in(usage.get("cost"))
    return dollars if dollars is not None and dollars <= MAX_USD else None


def number_in(value: object) -> float | None:
    """Return a number that is none below zero, written as one or as text; else None."""
    if isinstance(value, str) and len(value) <= 32:
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= sys.float_info.max else None


def merged(fields: Mapping[str, Any], key: str, **changes: object) -> dict[str, Any]:
    """Return the object under ``key``, or an empty one, with changes."""
    present = fields.get(key)
    return {**(present if isinstance(present, dict) else {}), **changes}


def add_missing(usage: object, holder: str, key: str) -> bool:
    """Set ``usage[holder][key]`` to zero where it is missing; say whether it was."""
    if not isinstance(usage, dict) or (
        isinstance(usage.get(holder), dict) and usage[holder].get(key) is not None
    ):
        return False
    usage[holder] = merged(usage, holder, **{key: 0})
    return True


Foreign = Callable[[int], bool]
"""Says of an item's index whether a model of another family wrote it."""


def openai_error(status: int, code: str, message: str) -> dict[str, Any]:
    """Shape an error as OpenAI does."""
    kind = OPENAI_ERROR_TYPES.get(
        status, "invalid_request_error" if status < 500 else "server_error"
    )
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def is_openai_error(fields: Mapping[str, Any]) -> bool:
    """Say whether a body is an error as OpenAI's clients read it: an object with a message."""
    error = fields.get("error")
    return (
        isinstance(error, dict) and isinstance(error.get("message"), str) and error["message"] != ""
    )


OPENAI_ERROR_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
