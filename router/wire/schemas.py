"""A JSON schema in the words that a vendor knows: what can be said otherwise is, the rest goes.

A reference is written out where it stands; one that leads into itself ends as any object.  Schemas
are the client's own, and small references can stand for very much: what would grow beyond
``MAX_NODES`` stays as it is, to be refused by the vendor rather than written out here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

MAX_NODES: Final = 20_000
"""Schemas inside one schema, references written out; the largest of a known client has 400."""

NAMED: Final = frozenset({"properties", "patternProperties", "$defs", "definitions"})
"""Keywords that hold schemas by names of the client's own."""

LISTED: Final = frozenset({"anyOf", "allOf", "oneOf", "prefixItems"})
SINGLE: Final = frozenset(
    {"items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else"}
)

TYPE_LIST: Final = "type[]"
"""Names, among refused keywords, a ``type`` that is a list."""


class _TooLarge(ValueError):
    """A schema that would be too large written out."""


def said_without(schema: Mapping[str, Any], refused: frozenset[str]) -> dict[str, Any] | None:
    """Return a schema without the refused keywords; None where it would be too large."""
    try:
        said: dict[str, Any] = _Writer(schema, refused).write(schema, ())
        return said
    except (_TooLarge, RecursionError):
        return None


class _Writer:
    """Writes one schema; counts what was written."""

    def __init__(self, root: Mapping[str, Any], refused: frozenset[str]) -> None:
        self._root = root
        self._refused = refused
        self._left = MAX_NODES

    def write(self, schema: object, inside: tuple[str, ...]) -> Any:
        """Write a schema that stands inside some references."""
        if not isinstance(schema, dict):
            return schema
        self._left -= 1
        if self._left < 0:
            raise _TooLarge
        schema = self._said_otherwise(schema)
        if "$ref" in schema and "$ref" in self._refused:
            name = str(schema["$ref"])
            target = {"type": "object"} if name in inside else self._target(name)
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            return self.write({**target, **rest, **_both(target, rest)}, (*inside, name))
        return {
            key: self._member(key, value, inside)
            for key, value in schema.items()
            if key not in self._refused
        }

    def _member(self, key: str, value: object, inside: tuple[str, ...]) -> object:
        if key in NAMED and isinstance(value, dict):
            return {name: self.write(inner, inside) for name, inner in value.items()}
        if key in LISTED and isinstance(value, list):
            return [self.write(inner, inside) for inner in value]
        return self.write(value, inside) if key in SINGLE else value

    def _target(self, name: str) -> Mapping[str, Any]:
        """Return what a reference leads to; any object where that is not here."""
        found: object = self._root
        for step in name.removeprefix("#").strip("/").split("/") if name.startswith("#/") else ():
            plain = step.replace("~1", "/").replace("~0", "~")
            found = found.get(plain) if isinstance(found, dict) else None
        known = isinstance(found, dict) and found is not self._root
        return found if known and isinstance(found, dict) else {"type": "object"}

    def _said_otherwise(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Say in other words what is refused and can be."""
        said = dict(schema)
        if "const" in self._refused and isinstance(said.get("const"), str):
            said.setdefault("enum", [said.pop("const")])
        if "oneOf" in self._refused and isinstance(said.get("oneOf"), list):
            said.setdefault("anyOf", said.pop("oneOf"))
        if "allOf" in self._refused and isinstance(said.get("allOf"), list):
            parts = said.pop("allOf")
            for part in (part for part in parts if isinstance(part, dict)):
                said = {**part, **said, **_both(part, said)}
        kinds = said.get("type")
        if TYPE_LIST in self._refused and isinstance(kinds, list):
            named = [kind for kind in kinds if kind != "null"]
            said |= {"nullable": True} if len(named) < len(kinds) else {}
            said["type"] = named[0] if named else "string"
            if len(named) > 1:
                del said["type"]
                said.setdefault("anyOf", [{"type": kind} for kind in named])
        return said


def _both(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Join the properties of two schemas that both hold, and what of them is required."""
    joined: dict[str, Any] = {}
    mine, theirs = one.get("properties"), other.get("properties")
    if isinstance(mine, dict) and isinstance(theirs, dict):
        joined["properties"] = {**mine, **theirs}
    mine, theirs = one.get("required"), other.get("required")
    if isinstance(mine, list) and isinstance(theirs, list):
        joined["required"] = [*theirs, *(name for name in mine if name not in theirs)]
    return joined
