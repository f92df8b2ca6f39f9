"""What a request wants of its answer beside the words: how long, in which shape, how many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from router.providers.simulated.cache import BYTES_PER_TOKEN
from router.values import Interface

MAX_CHOICES: Final = 128
"""Most answers to one request, as OpenAI allows."""

MAX_DEPTH: Final = 5
"""How deep a value goes to satisfy a schema; one that refers to itself has no end."""

MAX_VALUES: Final = 2000
MAX_ITEMS: Final = 16
MAX_CHARS: Final = 1000
CHARS_A_VALUE: Final = 64
"""Most values that satisfy one schema, items of a list and characters of a text; and how many of a
given value count as one.  The largest schema of a recorded client's tool has 60 properties."""

SCALARS: Final = frozenset({"string", "integer", "number", "boolean", "null"})

LIMITS: Final[Mapping[Interface, tuple[str, ...]]] = {
    Interface.CHAT: ("max_completion_tokens", "max_tokens"),
    Interface.RESPONSES: ("max_output_tokens",),
    Interface.MESSAGES: ("max_tokens",),
}
"""Fields that bound an answer's length, in tokens."""

SHAPES: Final[Mapping[Interface, tuple[tuple[str, ...], ...]]] = {
    Interface.CHAT: (("response_format",),),
    Interface.RESPONSES: (("text", "format"),),
    Interface.MESSAGES: (("output_config", "format"), ("output_format",)),
}
"""Where the shape of an answer is described."""

STOPS: Final = ("stop", "stop_sequences")
"""Fields that hold words at which an answer ends."""

MUST_HAVE: Final[Mapping[Interface, tuple[tuple[str, type], ...]]] = {
    Interface.CHAT: (("messages", list),),
    Interface.RESPONSES: (),
    Interface.MESSAGES: (("messages", list), ("max_tokens", int)),
}
"""Fields without which a request is refused, and what they are; a response may lack its input."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What is wanted of an answer."""

    limit_chars: int | None = None
    stops: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    """Of a JSON answer; None where words are wanted."""
    choices: int = 1


def missing(fields: Mapping[str, Any], interface: Interface) -> str | None:
    """Name a field that a request must have and lacks, or that is of no use; None when all is well."""
    for name, kind in MUST_HAVE[interface]:
        if not (isinstance(value := fields.get(name), kind) and value):
            return name
    given = fields.get("input")
    return None if given is None or isinstance(given, str | list) else "input"


def read_shape(fields: Mapping[str, Any], interface: Interface) -> Shape:
    """Read what a request wants; what is of another type than it should be counts as not said."""
    limit = next((n for name in LIMITS[interface] if (n := _count(fields.get(name)))), None)
    return Shape(
        limit_chars=limit * BYTES_PER_TOKEN if limit else None,
        stops=tuple(stop for name in STOPS for stop in _texts(fields.get(name))),
        schema=_schema(fields, interface),
        choices=min(_count(fields.get("n")) or 1, MAX_CHOICES),
    )


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _texts(value: object) -> list[str]:
    listed = value if isinstance(value, list) else [value]
    return [text for text in listed if isinstance(text, str) and text]


def _schema(fields: Mapping[str, Any], interface: Interface) -> Mapping[str, Any] | None:
    for path in SHAPES[interface]:
        shape: Any = fields
        for key in path:
            shape = shape.get(key) if isinstance(shape, Mapping) else None
        if not isinstance(shape, Mapping):
            continue
        if shape.get("type") == "json_object":
            return {}
        held = shape.get("json_schema", shape)
        if shape.get("type") == "json_schema" and isinstance(held, Mapping):
            schema = held.get("schema")
            return schema if isinstance(schema, Mapping) else {}
    return None


def value_of(schema: object) -> object:
    """Make a value that satisfies a JSON schema, as far as types and required fields go.

    It has at most ``MAX_VALUES`` values: a few references can ask for any number.
    """
    root = schema if isinstance(schema, Mapping) else {}
    return _Maker(root).make(schema, 0)


class _Maker:
    """Makes values under one root, of which references speak, as long as any are left."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._left = MAX_VALUES

    def make(self, schema: object, depth: int) -> object:
        """Make the value of a schema so deep inside."""
        self._left -= 1
        if not isinstance(schema, Mapping) or depth > MAX_DEPTH or self._left < 0:
            return {}
        if "const" in schema:
            return self._given(schema["const"])
        if isinstance(options := schema.get("enum"), list) and options:
            return self._given(options[0])
        for key in ("$ref", "anyOf", "oneOf", "allOf"):
            if key in schema:
                return self.make(_pointed_at(schema[key], self._root), depth + 1)
        kinds = schema.get("type")
        kind = next(iter(kinds), None) if isinstance(kinds, list) else kinds
        if kind == "array":
            least = min(_count(schema.get("minItems")), MAX_ITEMS)
            return [self.make(schema.get("items"), depth + 1) for _ in range(least)]
        if isinstance(kind, str) and kind in SCALARS:
            return _scalar(kind, schema)
        return self._object(schema, depth)

    def _given(self, value: object) -> object:
        """Return a value of the schema's own; a long one counts as many."""
        self._left -= len(repr(value)) // CHARS_A_VALUE
        return value if self._left >= 0 else {}

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, object]:
        required, properties = schema.get("required"), schema.get("properties")
        if not isinstance(required, list) or not isinstance(properties, Mapping):
            return {}
        names = (name for name in required if isinstance(name, str) and self._left > 0)
        return {name: self.make(properties.get(name), depth + 1) for name in names}


def _scalar(kind: str, schema: Mapping[str, Any]) -> object:
    """Return a value of a simple type."""
    match kind:
        case "string":
            return "simulated".ljust(min(_count(schema.get("minLength")), MAX_CHARS), ".")
        case "boolean":
            return False
        case "null":
            return None
    least = schema.get("minimum")
    return least if isinstance(least, int | float) else 1


def _pointed_at(to: object, root: Mapping[str, Any]) -> object:
    """Return the schema that a reference names, or the first of several."""
    if isinstance(to, list):
        return to[0] if to else None
    if not isinstance(to, str) or not to.startswith("#"):
        return None
    found: object = root
    for key in to.split("/")[1:]:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found
