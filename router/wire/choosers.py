"""Fields of a body by which a client, or an upstream, comes to a model.  Pure.

``model`` is not the only one: OpenRouter's API takes fallbacks in ``models``, lets a ``preset`` or a
plugin choose, and tools may call a model of their own.  What can be tried by the gateway itself is
read and cut out, so that each model passes its gate and no upstream chooses another; the rest is
named, for the gate to refuse where a limit stands.

Parsers differ on keys that are named twice, and a key may be written with escapes: what is read is
the last one, so all but that are cut out.  Some match keys in any case: what is not written in small
letters is not read, and is cut out too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from router.errors import BadRequest
from router.values import checked_name
from router.wire.bound import AGGREGATORS
from router.wire.parts import name_of
from router.wire.preferences import FIELD as PREFERENCES
from router.wire.preferences import NO_PREFERENCES, Preferences, read_preferences
from router.wire.splice import set_fields, stands_once, without

TRIED_HERE: Final = ("models", "fallbacks", "route")
"""Cut out of a body: the gateway does what they ask."""

MAX_MODELS: Final = 50
"""Most models that a request may name; OpenRouter takes three, and four are tried."""

PLAIN_PLUGINS: Final = frozenset({"response-healing", "context-compression"})
"""Plugins that mend or cut text by themselves: no other model, nobody else, no price."""

PLAIN_TOOLS: Final = frozenset({"openrouter:datetime"})
"""Tools of OpenRouter that call nobody and cost nothing; the others may do both."""

DEARER: Final[Mapping[str, frozenset[object]]] = {
    "service_tier": frozenset({"auto", "default", "flex", "standard_only"}),
    "speed": frozenset({"standard"}),
}
"""Fields that may raise the price → the values that do not (OpenAI's and Anthropic's references of
their APIs, read 2026-11-30)."""

_SCHEMAS: Final = frozenset({"function", "input_schema", "parameters"})
"""Members of a client's own tool that say what it takes."""

_NAMES: Final = frozenset({"id", "name", "slug"})
"""Members that name an object, as one of a list of models."""

_WRITTEN_ONCE: Final = (
    "model",
    PREFERENCES,
    "plugins",
    "preset",
    "tools",
    "web_search_options",
    *DEARER,
)

_READ: Final = frozenset({*TRIED_HERE, *_WRITTEN_ONCE})

_ESCAPED: Final = re.compile(rb'\\u00[2-7][0-9a-fA-F]\w{0,16}+"[ \t\r\n]*:')
"""How a key ends of which a letter is escaped, as in ``router.wire.splice``."""


@dataclass(frozen=True, slots=True)
class Choosers:
    """What a body says, beside ``model``, of who may answer."""

    models: tuple[str, ...] = ()
    """To be tried in this order after the model itself."""
    tools: tuple[tuple[str, str], ...] = ()
    """(place, name) of models that tools of the provider are to call."""
    open: tuple[str, ...] = ()
    """Fields that let an upstream choose, or bring in, whom nobody can tell."""
    dearer: tuple[str, ...] = ()
    """Fields that raise the price of whoever answers."""
    preferences: Preferences = NO_PREFERENCES
    """Which providers are wanted."""


NO_CHOOSERS: Final = Choosers()


def read_choosers(fields: Mapping[str, Any], listed_tools: Sequence[object]) -> Choosers:
    """Read what a body says of who may answer, and the tools that it lists; raises BadRequest."""
    open_fields = [name for name in ("preset",) if fields.get(name)]
    open_fields += [f for f in ("web_search_options",) if fields.get(f) is not None]
    models = list(_models(fields, "models"))
    try:
        models += _models(fields, "fallbacks")
    except BadRequest:  # other gateways have other shapes of it, which are theirs to read
        open_fields.append("fallbacks")
    if len(models) > MAX_MODELS:
        raise BadRequest(f"`models`: at most {MAX_MODELS} may be named")
    open_fields += _plugins(fields.get("plugins"))
    hosted = list(_hosted(listed_tools))
    open_fields += [f"tools: {kind[:40]}" for _, tool in hosted if (kind := _brings(tool))]
    tools = tuple(dict.fromkeys(at for i, tool in hosted for at in _models_of(i, tool)))
    dearer = tuple(f"{name}: {fields[name]!s:.40}" for name in DEARER if _raises(name, fields))
    preferences = read_preferences(fields)
    if not (models or tools or open_fields or dearer) and preferences is NO_PREFERENCES:
        return NO_CHOOSERS
    return Choosers(tuple(dict.fromkeys(models)), tools, tuple(open_fields), dearer, preferences)


def _raises(name: str, fields: Mapping[str, Any]) -> bool:
    """Say whether a field asks for what has another price."""
    said = fields.get(name)
    return said is not None and not (isinstance(said, str) and said in DEARER[name])


def _models(fields: Mapping[str, Any], name: str) -> Iterator[str]:
    """Yield the models of a list, each a name or an object that names it."""
    listed = fields.get(name)
    if listed is None:
        return
    if not isinstance(listed, list):
        raise BadRequest(f"`{name}` must be a list of models' names")
    for model in listed:
        named = model.get("model") if isinstance(model, dict) else model
        if not isinstance(named, str) or not named:
            raise BadRequest(f"`{name}` must be a list of models' names")
        try:
            yield checked_name(named)
        except ValueError as error:
            raise BadRequest(f"`{name}`: {error}") from None


def _plugins(listed: object) -> Iterator[str]:
    if listed is None:
        return
    for plugin in listed if isinstance(listed, list) else [listed]:
        of = plugin if isinstance(plugin, dict) else {"id": plugin}
        name = name_of(of.get("id"))
        if name not in PLAIN_PLUGINS and of.get("enabled") is not False:
            yield f"plugins: {name[:40]}"


def _hosted(listed: Sequence[object]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the tools, with their places, that are not plainly functions of the client's own.

    A tool may hold others, as a namespace does.
    """
    left = [*enumerate(listed)][::-1]
    while left:
        i, tool = left.pop()
        if not isinstance(tool, dict) or tool.get("type") in ("function", "custom"):
            continue
        if isinstance(nested := tool.get("tools"), list):
            left += [(i, inner) for inner in nested]
        yield i, tool


def _brings(tool: Mapping[str, Any]) -> str:
    """Return the type of a tool that an aggregator runs, and has a price; empty for any other."""
    kind = name_of(tool.get("type")).lower()
    return kind if kind.startswith(AGGREGATORS) and kind not in PLAIN_TOOLS else ""


def _models_of(i: int, tool: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the models that a tool names, however deep; the schema of a client's own names none."""
    own = tool.get("type") is None
    left: list[Any] = [
        (key, value)
        for key, value in tool.items()
        if key != "tools" and not (own and key in _SCHEMAS)
    ]
    while left:
        key, value = left.pop()
        if isinstance(value, dict):
            left += [(key if inner in _NAMES else inner, held) for inner, held in value.items()]
        elif isinstance(value, list):
            left += [(key, inner) for inner in value]
        elif isinstance(value, str) and key.casefold().endswith(("model", "models")):
            yield f"tools[{i}].{key[:40]}", value


def settled(body: bytes, fields: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    """Return a body in which each of these fields stands once, and none that is tried here.

    ``fields`` is ``body`` parsed; the body comes back as it is where nothing is to be done, as it
    nearly always is.
    """
    cut: list[str] = [
        name for name in TRIED_HERE if name in fields and _is_tried_here(name, fields)
    ]
    cut += [key for key in fields if (low := key.casefold()) != key and low in _READ]
    again = _written_again(body, fields)
    if not cut and not again:
        return body, fields
    body = without(body, [(name,) for name in (*cut, *again)])
    left = {name: value for name, value in fields.items() if name not in cut}
    rest = {name: value for name, value in left.items() if name not in again}
    return set_fields(body, rest, {name: left[name] for name in again}), left


def _is_tried_here(name: str, fields: Mapping[str, Any]) -> bool:
    if name != "fallbacks":
        return True
    try:
        return bool([*_models(fields, name)])
    except BadRequest:
        return False


def _written_again(body: bytes, fields: Mapping[str, Any]) -> list[str]:
    """Return which of the fields stand twice at the top level, or may be written with escapes."""
    held = [name for name in _WRITTEN_ONCE if name in fields]
    if b"\\u00" in body and _ESCAPED.search(body):
        return held
    return [name for name in held if not stands_once(body, name)]
