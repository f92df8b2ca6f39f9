"""docs/configuration.md: every setting, from the fields of the classes that check them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from benchmarks.docs.pages import Block, Sources, code, grid, listed, prose
from router.books.alerts import Webhook
from router.callers.keys import Key
from router.providers.endpoints import PROVIDERS_FILE, Provider, Timeouts, load_providers
from router.settings import PREFIX, RequestLimits, Settings
from router.values import DIALS

TABLES: Final = ("object", "array")
"""JSON's names of what an environment variable cannot hold."""

WORDS: Final = {
    "string": "string",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "array": "list",
    "object": "table",
}
"""JSON's name of a type → what TOML's readers call it."""

BOUNDS: Final = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "minLength": "not empty",
    "pattern": "`{}`",
}
"""Bound in a JSON schema → how it is written."""


def fields(model: type[BaseModel]) -> str:
    """Return a row for every field of a model."""
    schema = model.model_json_schema()
    required = schema.get("required", [])
    rows = []
    for name, found in schema["properties"].items():
        rows.append(
            [
                code(name),
                _type(found, schema),
                "required" if name in required else _default(model.model_fields[name].default),
                _bounds(found),
                prose(found["description"]),
            ]
        )
    return grid(("name", "type", "default", "bounds", "meaning"), rows)


def _parts(found: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of a value that is there, references followed."""
    if reference := found.get("$ref"):
        return dict(schema["$defs"][reference.rpartition("/")[2]])
    return next((part for part in found.get("anyOf", ()) if part.get("type") != "null"), found)


def _type(found: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    value = _parts(found, schema)
    if choices := value.get("enum"):
        return f"one of {listed(choices)}"
    word = WORDS[value["type"]]
    inner = value.get("items") or value.get("additionalProperties")
    if not inner:
        return word
    of = _parts(inner, schema)
    if choices := of.get("enum"):
        return f"{word} of {listed(choices)}"
    return f"{word} of {WORDS[of['type']]}s"


def _default(default: object) -> str:
    if isinstance(default, (bool, int, float)) or (isinstance(default, str) and default):
        return code(json.dumps(default))
    if not default:
        return "not set"
    return "see below" if isinstance(default, BaseModel) else "as shipped"


def _bounds(found: Mapping[str, Any]) -> str:
    parts = [found, *found.get("anyOf", ())]
    said = [form.format(part[key]) for part in parts for key, form in BOUNDS.items() if key in part]
    return ", ".join(said).replace("|", "\\|")


def environment(sources: Sources) -> str:
    """Name the variable of every setting that is no table."""
    schema = Settings.model_json_schema()
    names = [
        name
        for name, found in schema["properties"].items()
        if _parts(found, schema)["type"] not in TABLES
    ]
    return listed([PREFIX + "CONFIG", *(PREFIX + name.upper() for name in names)])


def providers(sources: Sources) -> str:
    """List the shipped rows."""
    rows = [
        [
            code(row.name),
            listed((*row.key_env, row.url_env) if row.url_env else row.key_env),
            listed(sorted(row.formats)),
            "any" if row.aggregates else listed([*(f"{p}…" for p in row.serves), *row.models]),
        ]
        for row in load_providers(sources.models / PROVIDERS_FILE)
    ]
    return grid(("provider", "switched on by", "formats", "models"), rows)


def dials(sources: Sources) -> str:
    """List the dial's stops."""
    lines = [[f"`{d.name}`", f"{d.margin:.0%}", f"{d.confidence:.0%}"] for d in DIALS.values()]
    return grid(("stop", "may fail more often than the best, on average, by", "kept with"), lines)


def _of(model: type[BaseModel]) -> Block:
    return lambda sources: fields(model)


MODELS: Final[dict[str, type[BaseModel]]] = {
    "settings": Settings,
    "timeouts": Timeouts,
    "requests": RequestLimits,
    "callers": Key,
    "providers": Provider,
    "alerts": Webhook,
}
"""Every class whose fields people set, by the block that describes it."""

BLOCKS: Final[dict[str, Block]] = {
    **{name: _of(model) for name, model in MODELS.items()},
    "environment": environment,
    "known-providers": providers,
    "dials": dials,
}
