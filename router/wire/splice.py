"""Change or remove parts of a JSON body and leave every other byte as it was.

Parsing and dumping a body changes its whitespace, its escapes and its numbers (1.50 becomes 1.5),
and a provider that sees another text than last time finds nothing of it in its prompt cache.  So
a field's value is replaced where it stands, a new field is put in front, and what must go is cut
out together with one comma.

``set_fields`` is on the path of every request and avoids walking the body: a value is found by
its key's bytes.  The same bytes may stand deeper in the document (tool schemas have properties
called ``model``), so an occurrence counts only when its value equals the parsed one, and only
when it is the sole such occurrence.  Anything else, escaped keys included, is cut out by
``without``, and the new value put in front.

``edited`` walks the body once: it steps over every value whole and enters only those on the way
to what it changes, so that how deep it recurs is up to the paths, never to the body.  Parsers
differ on keys that are named twice.  Of a member to be cut or replaced every occurrence is; where
one on the way to it is named twice, the body is parsed, which keeps the last, and dumped.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Generator, Mapping
from itertools import count
from typing import Any, Final

import orjson

from router.errors import BadRequest

Span = tuple[int, int]

Step = str | int
Path = tuple[Step, ...]
"""Keys and indices that lead from the top level to a part: ("messages", 3, "content", 0)."""

Edit = tuple[int, int, bytes]
"""Where a part stands, and what is to stand there."""

Tree = dict[Step, "Tree | bytes | None"]
"""Paths, by their steps; bytes stand for a part's new value, None for a part to cut."""

# A pass of a possessive group here fails at its first byte or not at all, save in broken JSON:
# Python 3.11.0 to 3.11.4 misread any other (https://github.com/python/cpython/issues/106052).
_ANY_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_STRING = re.compile(_ANY_STRING, re.DOTALL)
_TO_BRACKET = re.compile(rb'[^"\[\]{}]*+(?:%b[^"\[\]{}]*+)*+[\[\]{}]' % _ANY_STRING, re.DOTALL)
_SCALAR = re.compile(rb"[^,\]}\s]+")
_SPACE = re.compile(rb"[ \t\r\n]*")
_COLON = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*")
_COMMA = re.compile(rb"[ \t\r\n]*,?[ \t\r\n]*")
_HEAD = re.compile(rb"[ \t\r\n]*\{[ \t\r\n]*")

_ESCAPED_KEY = re.compile(rb'\\u00[2-7][0-9a-fA-F]\w{0,24}+"[ \t\r\n]*:')
"""How an identifier that is a key ends if a letter of it is escaped: no more of them is."""

MAX_VALUE_BYTES: Final = 1 << 14
"""Values longer than this are not compared in place; they are cut out instead."""


def set_fields(body: bytes, fields: Mapping[str, Any], changes: Mapping[str, Any]) -> bytes:
    """Return ``body`` with ``changes`` made at its top level; ``fields`` is ``body`` parsed.

    The keys of ``changes`` are identifiers of at most twenty-five letters.
    """
    if not changes:
        return body
    head = _HEAD.match(body)
    if head is None or not fields:
        return _dump({**fields, **changes})
    escaped = _ESCAPED_KEY.search(body)
    edits: list[tuple[Span, bytes]] = []
    unclear: list[str] = []
    for key, value in changes.items():
        if key not in fields:
            new = orjson.dumps(key) + b":" + _dump(value) + b","
            edits.append(((head.end(), head.end()), new))
        elif not escaped and (span := _find(body, key, fields[key])):
            edits.append((span, _dump(value)))
        else:
            unclear.append(key)
    if unclear:
        cut = without(body, [(key,) for key in unclear])
        return set_fields(cut, {k: v for k, v in fields.items() if k not in unclear}, changes)
    for (start, end), new in sorted(edits, key=lambda edit: edit[0], reverse=True):
        body = body[:start] + new + body[end:]
    return body


def without(body: bytes, paths: Collection[Path]) -> bytes:
    """Return ``body``, which is valid JSON, with the parts at ``paths`` cut out; see ``edited``."""
    return edited(body, paths, {})


def edited(body: bytes, cuts: Collection[Path], puts: Mapping[Path, object]) -> bytes:
    """Return ``body``, which is valid JSON, with parts cut out and values put in their place.

    Paths have at least one step, and all mean the body as it is given.  A member that is put and
    was not there is added at its object's end; any other path that leads nowhere changes nothing,
    nor does one inside what is cut or put.
    """
    tree = _tree(cuts, puts)
    start = _end(_SPACE, body, 0)
    try:
        edits = list(_edits(body, start, tree)) if _opens(body, start) else []
    except _Unclear:
        return _dump(_left(orjson.loads(body), tree))
    pieces: list[bytes] = []
    at = 0
    for start, end, new in edits:
        pieces += (body[at:start], new)
        at = end
    return b"".join([*pieces, body[at:]])


class _Unclear(ValueError):
    """A body that cannot be cut where it stands."""


def _tree(cuts: Collection[Path], puts: Mapping[Path, object]) -> Tree:
    tree: Tree = {}
    for path in cuts:
        _plant(tree, path, None)
    for path, value in puts.items():
        _plant(tree, path, _dump(value))
    return tree


def _plant(tree: Tree, path: Path, leaf: bytes | None) -> None:
    """Let a leaf grow at a path, in place of what grew above it; nothing grows on a leaf."""
    *way, last = path
    for step in way:
        node = tree.setdefault(step, {})
        if not isinstance(node, dict):
            return
        tree = node
    if leaf is None or tree.get(last, {}) is not None:
        tree[last] = leaf


def _left(value: object, tree: Tree) -> object:
    """Return what is left of a parsed value."""
    if tree and isinstance(value, dict):
        added = {k: orjson.loads(v) for k, v in _new(tree, value).items()}
        nodes = [(key, tree.get(key, {})) for key in value]
        kept = {key: _grown(value[key], node) for key, node in nodes if node is not None}
        return kept | added
    if tree and isinstance(value, list):
        parts = [(part, tree.get(i, {})) for i, part in enumerate(value)]
        return [_grown(part, node) for part, node in parts if node is not None]
    return value


def _grown(value: object, node: Tree | bytes) -> object:
    return orjson.loads(node) if isinstance(node, bytes) else _left(value, node)


def _new(tree: Tree, seen: Collection[object]) -> dict[str, bytes]:
    """Return the members that are put into an object that lacks them."""
    return {
        step: leaf
        for step, leaf in tree.items()
        if isinstance(step, str) and isinstance(leaf, bytes) and step not in seen
    }


def _edits(body: bytes, at: int, tree: Tree) -> Generator[Edit, None, int]:
    """Yield, in order, what to change in the container at ``at``; return where that ends.

    A part goes with the comma before it, and those before the first that stays with the one after.
    Raises _Unclear.
    """
    keyed = body[at : at + 1] == b"{"
    seen: set[Step] = set()
    kept, front, before = False, -1, -1
    at = _end(_SPACE, body, at + 1)
    for index in count():
        if body[at : at + 1] in (b"]", b"}"):
            break
        start = at
        step, at = _key(body, at) if keyed else (index, at)
        node = tree.get(step, {})
        if node is None:
            at = _value_end(body, at, len(body))
            if kept:
                yield before, at, b""
            elif front < 0:
                front = start
        else:
            if front >= 0:
                yield front, start, b""
            kept, front = True, -1
            if isinstance(node, dict) and node and step in seen:
                raise _Unclear(f"{step!r} is named twice")
            at = yield from _within(body, at, node)
        seen.add(step)
        before = at
        at = _end(_COMMA, body, at)
    if front >= 0:
        yield front, before, b""
    if keyed and (new := _new(tree, seen)):
        members = b",".join(orjson.dumps(key) + b":" + value for key, value in new.items())
        yield at, at, (b"," if kept else b"") + members
    return at + 1


def _within(body: bytes, at: int, node: Tree | bytes) -> Generator[Edit, None, int]:
    """Yield what to change in the value at ``at``, or all of it; return where that ends."""
    if isinstance(node, dict) and node and _opens(body, at):
        return (yield from _edits(body, at, node))
    end = _value_end(body, at, len(body))
    if isinstance(node, bytes):
        yield at, end, node
    return end


def _key(body: bytes, at: int) -> tuple[str, int]:
    """Return the key at ``at``, and where its value starts."""
    end = _end(_STRING, body, at)
    return str(orjson.loads(body[at:end])), _end(_COLON, body, end)


def _opens(body: bytes, at: int) -> bool:
    """Say whether a container starts at ``at``."""
    return body[at : at + 1] in (b"[", b"{")


def _end(pattern: re.Pattern[bytes], body: bytes, at: int) -> int:
    """Return where the match at ``at`` ends; raises _Unclear when there is none."""
    match = pattern.match(body, at)
    if match is None:
        raise _Unclear(f"not JSON at byte {at}")
    return match.end()


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
        if colon := _COLON.match(body, at + len(name)):
            start = colon.end()
            try:
                end = _value_end(body, start, start + MAX_VALUE_BYTES)
                if orjson.loads(body[start:end]) == value:
                    found.append((start, end))
            except ValueError:  # not a value that is as short, or no key but a text
                pass
        at = body.find(name, at + len(name))
    return found[0] if len(found) == 1 else None


def _value_end(body: bytes, at: int, limit: int) -> int:
    """Return where the value at ``at`` ends; raises _Unclear if broken or beyond ``limit``."""
    if not _opens(body, at):
        return _end(_STRING if body[at : at + 1] == b'"' else _SCALAR, body, at)
    depth = 0
    while token := _TO_BRACKET.match(body, at, limit):
        at = token.end()
        depth += 1 if body[at - 1] in b"[{" else -1
        if depth == 0:
            return at
    raise _Unclear(f"no end of the value at byte {at}")
