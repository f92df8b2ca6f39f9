"""Fields of a body by which a client, or an upstream, comes to a model.  Pure.

``model`` is not the only one: OpenRouter's API takes fallbacks in ``models``, lets a ``preset`` or a
plugin choose, and tools may call a model of their own.  What can be tried by the gateway itself is
read and cut out, so that each model passes its gate and no upstream chooses another; the rest is
named, for the gate to refuse where a limit stands.

Parsers differ on keys that are named twice, and a key may be written with escapes: what is read is
the last one, so all but that are cut out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from router.errors import BadRequest
from router.values import checked_name
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

_WRITTEN_ONCE: Final = ("model", PREFERENCES, "plugins", "preset")

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
    preferences: Preferences = NO_PREFERENCES
    """Which providers are wanted."""


NO_CHOOSERS: Final = Choosers()


def read_choosers(fields: Mapping[str, Any]) -> Choosers:
    """Read what a body says of who may answer; raises BadRequest."""
    open_fields = [name for name in ("preset",) if fields.get(name)]
    models = list(_models(fields, "models"))
    try:
        models += _models(fields, "fallbacks")
    except BadRequest:  # other gateways have other shapes of it, which are theirs to read
        open_fields.append("fallbacks")
    if len(models) > MAX_MODELS:
        raise BadRequest(f"`models`: at most {MAX_MODELS} may be named")
    open_fields += _plugins(fields.get("plugins"))
    tools, preferences = tuple(_tools(fields.get("tools"))), read_preferences(fields)
    if not (models or tools or open_fields) and preferences is NO_PREFERENCES:
        return NO_CHOOSERS
    return Choosers(tuple(dict.fromkeys(models)), tools, tuple(open_fields), preferences)


def _models(fields: Mapping[str, Any], name: str) -> Iterator[str]:
    """Yield the models of a list, each a name or an object that names it."""
    listed = fields.get(name)
    if listed is None:
        return
    if not isinstance(listed, list):
        raise BadRequest(f"`{name}` must be a list of models' names")
    for model in listed:
        named = model.get("model") if isinstance(model, Mapping) else model
        if not isinstance(named, str) or not named:
            raise BadRequest(f"`{name}` must be a list of models' names")
        try:
            yield checked_name(named)
        except ValueError as error:
            raise BadRequest(f"`{name}`: {error}") from None


def _plugins(listed: object) -> Iterator[str]:
    for plugin in listed if isinstance(listed, list) else []:
        of = plugin if isinstance(plugin, Mapping) else {"id": plugin}
        name = name_of(of.get("id"))
        if name not in PLAIN_PLUGINS and of.get("enabled") is not False:
            yield f"plugins: {name[:40]}"


def _tools(listed: object) -> Iterator[tuple[str, str]]:
    """Yield the models that tools of a provider call: a function of the client's own names none."""
    for i, tool in enumerate(listed if isinstance(listed, list) else []):
        if not isinstance(tool, Mapping) or tool.get("type") in (None, "function", "custom"):
            continue
        for place in (tool, tool.get("parameters")):
            if isinstance(place, Mapping) and isinstance(named := place.get("model"), str):
                yield f"tools[{i}].model", named


def settled(body: bytes, fields: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    """Return a body in which each of these fields stands once, and none that is tried here.

    ``fields`` is ``body`` parsed; the body comes back as it is where nothing is to be done, as it
    nearly always is.
    """
    cut = [name for name in TRIED_HERE if name in fields and _is_tried_here(name, fields)]
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
