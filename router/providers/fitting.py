"""A routed request, written as the vendor of one attempt takes it.  Pure.

Two parts: the fields at the top of a body, which are worked on in a copy (a *view*), and the objects
deeper in it, of which each is changed where it stands.  Nothing here is done for a model that was
asked for by name.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from router.evidence.dialects import ANYTHING, Facts
from router.values import Target
from router.wire.format import Format
from router.wire.parts import HostedTool, Place, positive_int
from router.wire.schemas import said_without
from router.wire.splice import Path

DEFAULTS: Final[Mapping[str, Any]] = {
    "frequency_penalty": 0,
    "logprobs": False,
    "n": 1,
    "parallel_tool_calls": True,
    "presence_penalty": 0,
    "store": False,
    "temperature": 1,
    "top_p": 1,
}
"""What fields say that might as well be missing."""

UNTOLD: Final = frozenset(
    {"description", "metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier"}
    | {"stream_options", "usage", "user"}
)
"""Fields that do not bear on the answer: leaving them out is not worth a word."""

TOOLS: Final = frozenset({"tool", "function"})
"""Kinds of objects that are tools, or hold what is one."""

SCHEMAS: Final = ("parameters", "input_schema")
"""Members of a tool that hold its schema."""

ID_CHARS: Final = (32, 9)
"""Lengths of the ids that are made for tool calls: the longest that is taken is used."""


@dataclass(slots=True)
class Rewrite:
    """How a body is changed for a vendor."""

    changes: dict[str, Any]
    """Top-level fields, with their new values."""
    cuts: list[Path] = field(default_factory=list)
    puts: dict[Path, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    """What the client asked for and the vendor would refuse."""


def fitted(
    format: Format,
    fields: Mapping[str, Any],
    changes: Mapping[str, Any],
    target: Target,
    facts: Facts,
    room: int | None,
    hosted: Collection[HostedTool] = (),
) -> Rewrite:
    """Return how to change a body whose top level routing gives ``changes``.

    ``room`` is the longest answer that the model gives, in tokens; None where that is not known.
    ``hosted`` tools are left out where the model's vendor does not run them.
    """
    rewrite = top_level(format, fields, changes, facts, room)
    foreign = [tool for tool in hosted if tool.bound.refuses(target.unit.model)]
    rewrite.cuts += (tool.path for tool in foreign)
    rewrite.left_out += tuple(dict.fromkeys(tool.bound.tool for tool in foreign))
    dropped = facts.items | (format.EFFORT_ITEMS if target.unit.effort else frozenset())
    adds = False
    for place in format.places(fields) if facts.deep or dropped else ():
        if place.kind in dropped:
            rewrite.cuts.append(place.path)
            adds = adds or bool(place.held.get("tools"))
        else:
            _fit_place(place, format, facts, rewrite)
    if adds:
        gone = {id(_value_at(fields, tool.path)) for tool in foreign}
        listed = format.listed_tools(fields)
        rewrite.changes["tools"] = [tool for tool in listed if id(tool) not in gone]
    return rewrite


def _value_at(fields: Any, path: Path) -> Any:
    for step in path:
        fields = fields[step]
    return fields


def top_level(
    format: Format,
    fields: Mapping[str, Any],
    changes: Mapping[str, Any],
    facts: Facts,
    room: int | None,
) -> Rewrite:
    """Return how to change the top level of a body."""
    held = {**fields}
    view = {**held, **changes}
    asked = format.effort_of(view)
    _fit_room(view, format, facts, room)
    if facts is not ANYTHING:
        _fit_effort(view, format, facts)
        if facts.thinking is not None:
            format.fit_thinking(view, facts.thinking)
        _drop(view, facts)
    said = {
        key: value
        for key, value in view.items()
        if held.get(key, held) is not value and held.get(key, held) != value
    }
    cuts: list[Path] = [(key,) for key in held if key not in view]
    left_out = [key for (key,) in cuts if isinstance(key, str) and _missed(key, fields, facts)]
    if format.effort_of(view) != asked != "none":
        left_out.append(f"effort {asked or 'by default'}")
    return Rewrite(said, cuts, left_out=tuple(left_out))


def _missed(key: str, fields: Mapping[str, Any], facts: Facts) -> bool:
    """Say whether a field that goes would have borne on the answer."""
    said = fields[key]
    silent = key in UNTOLD or key in facts.renamed or said in (None, [], {}, "")
    return not silent and said != DEFAULTS.get(key, fields)


def _fit_room(view: dict[str, Any], format: Format, facts: Facts, room: int | None) -> None:
    """Ask for as long an answer as the model gives, under the name that the vendor gives it."""
    for key in format.OUTPUT:
        if asked := positive_int(view.get(key)):
            view[key] = max(min(asked, room or asked), facts.least_output)
    for key, name in facts.renamed.items():
        if key in view:
            said = view.pop(key)
            view.setdefault(name, said)


def _fit_effort(view: dict[str, Any], format: Format, facts: Facts) -> None:
    asked = format.effort_of(view)
    effort = facts.effort(asked, tools=bool(format.listed_tools(view)))
    if effort != asked:
        format.set_effort(view, effort)


def _drop(view: dict[str, Any], facts: Facts) -> None:
    """Drop the fields that are refused, or not known, or not beside others."""
    refused = set(facts.refused)
    if facts.known:
        refused |= view.keys() - facts.known
    thinking = view.get("thinking")
    if isinstance(thinking, Mapping) and thinking.get("type") != "disabled":
        refused |= facts.beside_thinking
    present = [key for key in facts.alone if key in view]
    for key in (*refused, *present[1:]):
        view.pop(key, None)


def _fit_place(place: Place, format: Format, facts: Facts, rewrite: Rewrite) -> None:
    """Note what is to change in one object; most are as they should be."""
    path, kind, held = place
    members = held.keys()
    known = facts.members.get(kind)
    if known is not None and not members <= known:
        rewrite.cuts += ((*path, key) for key in members - known)
    if not members.isdisjoint(facts.nowhere):
        rewrite.cuts += ((*path, key) for key in members & facts.nowhere)
    if filled := facts.filled.get(kind):
        rewrite.puts.update(((*path, key), filled[key]) for key in filled.keys() - members)
    if facts.roles and (role := facts.roles.get(str(held.get("role")))):
        rewrite.puts[*path, "role"] = role
    pattern = facts.call_id
    for key in format.CALL_IDS.get(kind, ()) if pattern else ():
        call_id = held.get(key)
        if pattern and isinstance(call_id, str) and not pattern.fullmatch(call_id):
            rewrite.puts[*path, key] = _other_id(call_id, pattern)
    if facts.schema_without and kind in TOOLS:
        rewrite.puts.update(((*path, key), new) for key, new in _new_schemas(held, facts))


def _new_schemas(held: Mapping[str, Any], facts: Facts) -> Iterator[tuple[str, Any]]:
    """Yield a tool's schema in the words that the vendor knows."""
    for key in SCHEMAS:
        schema = held.get(key)
        if isinstance(schema, Mapping):
            said = said_without(schema, facts.schema_without)
            if said is not None and said != schema:
                yield key, said


def _other_id(call_id: str, pattern: re.Pattern[str]) -> str:
    """Return an id in place of one that is refused: for the same one the same, everywhere."""
    digest = hashlib.blake2b(call_id.encode("utf-8", "replace"), digest_size=20).digest()
    letters = base64.b32encode(digest).decode()
    made = [letters[:n] for n in ID_CHARS]
    return next((found for found in made if pattern.fullmatch(found)), made[-1])
