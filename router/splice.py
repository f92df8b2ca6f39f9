"""Change a few top-level fields of a JSON object and leave every other byte as it was.

Parsing and dumping a body changes its whitespace, its escapes and its large numbers, and costs
more than the change.  So a field's value is replaced where it stands, and a new field is put
in front.  A value is found by its key's bytes; the same bytes may stand deeper in the document
(tool schemas have properties called ``model``), so an occurrence counts only when its value
equals the parsed one, and only when it is the sole such occurrence.  Anything else, escaped
keys included, falls back to dumping the parsed object, which is always right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

import orjson

from router.errors import BadRequest

Span = tuple[int, int]

_COLON = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*")
_HEAD = re.compile(rb"[ \t\r\n]*\{[ \t\r\n]*")
_NEXT = re.compile(rb'[\[\]{}"]')
_SCALAR = re.compile(rb"[^,\]}\s]+")
_STRING_END = re.compile(rb'(?:[^"\\]|\\.)*+"', re.DOTALL)

MAX_VALUE_BYTES: Final = 1 << 14
"""Values longer than this are not compared in place; the whole body is dumped instead."""


def set_fields(
    body: bytes,
    fields: Mapping[str, Any],
    changes: Mapping[str, Any],
    *,
    drop: AbstractSet[str] = frozenset(),
) -> bytes:
    """Return ``body`` with ``changes`` made at its top level; ``fields`` is ``body`` parsed.

    Fields in ``drop`` are removed, which dumps the whole.
    """
    if drop:
        return _dump({k: v for k, v in {**fields, **changes}.items() if k not in drop})
    if not changes:
        return body
    edits: list[tuple[Span, bytes]] = []
    head = _HEAD.match(body)
    escaped_keys = b"\\u00" in body and re.search(rb"\\u00[2-7]", body)
    if head is None or escaped_keys or not fields:
        return _dump({**fields, **changes})
    for key, value in changes.items():
        new = _dump(value)
        if key in fields:
            span = _find(body, key, fields[key])
            if span is None:
                return _dump({**fields, **changes})
            edits.append((span, new))
        else:
            edits.append(((head.end(), head.end()), orjson.dumps(key) + b":" + new + b","))
    for (start, end), new in sorted(edits, key=lambda edit: edit[0], reverse=True):
        body = body[:start] + new + body[end:]
    return body


def _dump(value: object) -> bytes:
    """Dump what was parsed; the parser takes 1,024 levels of nesting, the writer 254."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise BadRequest(f"the request body is nested too deeply: {error}; flatten it") from error


def _find(body: bytes, key: str, value: object) -> Span | None:
    """Find the only place where ``key`` holds ``value``; None when there is not exactly one."""
    name = orjson.dumps(key)
    found: list[Span] = []
    at = body.find(name)
    while at >= 0:
        colon = _COLON.match(body, at + len(name))
        if colon and (end := _value_end(body, colon.end())):
            try:
                if orjson.loads(body[colon.end() : end]) == value:
                    found.append((colon.end(), end))
            except orjson.JSONDecodeError:
                pass
        at = body.find(name, at + len(name))
    return found[0] if len(found) == 1 else None


def _value_end(body: bytes, start: int) -> int:
    """Return where the JSON value at ``start`` ends; zero when it is long or broken."""
    limit = start + MAX_VALUE_BYTES
    if body[start : start + 1] not in (b'"', b"{", b"["):
        scalar = _SCALAR.match(body, start)
        return scalar.end() if scalar else 0
    depth, at = 0, start
    while token := _NEXT.search(body, at, limit):
        at = token.end()
        if token[0] == b'"':
            string = _STRING_END.match(body, at, limit)
            if string is None:
                return 0
            at = string.end()
        else:
            depth += 1 if token[0] in b"[{" else -1
        if depth == 0:
            return at
    return 0
