"""What a case is, and how one is written down."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.recording.formats import MESSAGES, Fields, Wire

EFFICIENT = "kilo-auto/efficient"


class Reply(NamedTuple):
    """What a client was answered."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Case:
    """One request; ``name`` is unique within its set-up."""

    name: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "POST"


Cases = Generator[Case, Reply, None]

"""A case is yielded and its reply sent back, so a session can go on from what it was answered."""


@dataclass(frozen=True)
class Setup:
    """A gateway and what it is asked; ``single`` sends every model to the one upstream."""

    name: str
    cases: tuple[Callable[[], Cases], ...]
    config: str = ""
    single: bool = True
    engine: bool = True


def ask(wire: Wire, text: object, model: str = EFFICIENT, **more: object) -> Fields:
    """Return a first request without system prompt or tools; an empty ``model`` names none."""
    fields: Fields = {"model": model} if model else {}
    if wire is MESSAGES:
        fields["max_tokens"] = 700
    return {**fields, wire.items: [{"role": "user", "content": text}], **more}


def post(
    name: str,
    wire: Wire,
    fields: Fields,
    headers: dict[str, str] | None = None,
    *,
    named: bool = True,
) -> Case:
    """Send fields in a format; a case that is not ``named`` does not say which session it is."""
    body = json.dumps(fields, ensure_ascii=False).encode()
    session = {"x-session-id": f"{wire.name} {name}"} if named else {}
    return Case(f"{wire.name}: {name}", wire.path, body, session | (headers or {}))


def sent(name: str, path: str, fields: Fields, headers: dict[str, str] | None = None) -> Case:
    """Send fields to a path that is no format's own, or under a name of one's choice."""
    return Case(name, path, json.dumps(fields).encode(), headers or {})


def get(path: str) -> Case:
    return Case(f"GET {path}", path, method="GET")
