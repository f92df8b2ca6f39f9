"""docs/api.md: every endpoint and error, from the application and the tree of errors."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any, Final

from benchmarks.docs.pages import Block, Sources, code, fenced, first_line, grid, listed, prose
from router.errors import NoModelFits, RouterError
from router.serving.app import create_app
from router.serving.routes import PREFIXES
from router.settings import Settings
from router.wire.format import FORMATS

INSIDE: Final = "Something failed inside the gateway; retry, and report it if it lasts."
"""What the code of the base of all errors tells a client."""


def endpoints(sources: Sources) -> str:
    """List what answers, and how it is asked."""
    paths = create_app(Settings(), environ={}).openapi()["paths"]
    rows = []
    for path, methods in paths.items():
        for method, found in methods.items():
            rows.append([code(f"{method.upper()} {path}"), _meaning(found)])
    return grid(("endpoint", "what it does"), rows)


def _meaning(found: dict[str, Any]) -> str:
    text = found.get("description") or found["summary"]
    queries = [p["name"] for p in found.get("parameters", ()) if p["in"] == "query"]
    return prose(text) + (f" Query: {listed(queries)}." if queries else "")


def prefixes(sources: Sources) -> str:
    """Name the prefixes under which the API also lies."""
    return f"The paths under `{PREFIXES[0]}` also lie under {listed(PREFIXES[1:])}."


def codes(sources: Sources) -> str:
    """List every code of an error of the gateway's own."""
    rows = [
        [code(kind.code), _status(kind), INSIDE if kind is RouterError else first_line(kind)]
        for kind in told_kinds()
    ]
    return grid(("code", "status", "what happened"), rows)


def told_kinds() -> list[type[RouterError]]:
    """Return a kind of error for every code that clients are told, in the tree's order."""
    return list({kind.code: kind for kind in reversed([*_below(RouterError)])}.values())[::-1]


def _below(kind: type[RouterError]) -> Iterator[type[RouterError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _below(below)


def _status(kind: type[RouterError]) -> str:
    return (
        "the failure's"
        if "status" in inspect.signature(kind.__init__).parameters
        else str(kind.status)
    )


def shapes(sources: Sources) -> str:
    """Show the body of one error in every format."""
    kind = NoModelFits
    parts = []
    for interface, format in FORMATS.items():
        body = format.error_body(kind.status, kind.code, "why, and what to do")
        parts.append(f"`{interface}`:\n\n{fenced(json.dumps(body, indent=2), 'json')}")
    return "\n\n".join(parts)


BLOCKS: Final[dict[str, Block]] = {
    "endpoints": endpoints,
    "prefixes": prefixes,
    "codes": codes,
    "shapes": shapes,
}
