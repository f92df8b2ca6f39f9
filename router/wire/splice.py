"""Change or remove parts of a JSON body and leave every other byte as it was.

Parsing and dumping a body changes its whitespace, its escapes and its numbers (1.50 becomes 1.5),
and a provider that sees another text than last time finds nothing of it in its prompt cache.  So
a field's value is replaced where it stands, a new field is put in front, and what must go is cut
out together with one comma.

``set_fields`` is on the path of every request and avoids walking the body: a value is found by
its key's bytes.  The same bytes may stand deeper in the document (tool schemas have properties
called ``model``), and what encloses those ends nearby, before the document does: the one place of
which that cannot be shown is the top-level one.  Where there is more than one (the key is named
twice, or escaped, or what is deeper is long) the member is cut out by ``without``, and the new one put
in front.  What is spent on a proof is bounded, and the walk is linear, whatever a body is made of.

``edited`` walks the body once: it steps over every value whole and enters only those on the way
to what it changes, so that how deep it recurs is up to the paths, never to the body.  Parsers
differ on keys that are named twice.  Of a member to be cut or replaced every occurrence is; where
one on the way to it is named twice, the body is parsed, which keeps the last, and dumped.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Collection, Generator, Iterator, Mapping
from itertools import count, islice
from typing import Any, Final

import orjson

from router.errors import BadRequest
from router.wire.json_text import read

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

NEAR_BYTES: Final = 4 << 10
"""How far the end of what encloses a key is looked for; a property of a tool's schema is as long as
its description, the longest of a recorded client has 1,900 bytes."""

_BEGIN: Final[dict[type, bytes]] = {str: b'"', dict: b"{", list: b"["}
"""How a value of a type begins."""

MAX_PLACES: Final = 64
"""How many places of a key are looked at; a client with 27 tools has one or two."""


def set_fields(body: bytes, fields: Mapping[str, Any], changes: Mapping[str, Any]) -> bytes:
    """Return ``body`` with ``changes`` made at its top level; ``fields`` is ``body`` parsed.

    The keys of ``changes`` are identifiers of at most twenty-five letters.
    """
    if not changes:
        return body
    head = _HEAD.match(body)
    if head is None or not fields:
        return _dump({**fields, **changes})
    escaped = b"\\u00" in body and _ESCAPED_KEY.search(body)
    edits: list[tuple[Span, bytes]] = []
    unclear: list[str] = []
    for key, value in changes.items():
        if key not in fields:
            new = orjson.dumps(key) + b":" + _dump(value) + b","
            edits.append(((head.end(), head.end()), new))
        elif not escaped and (span := _find(body, key, fields[key])):
            edits.append((span, _changed(body[slice(*span)], fields[key], value)))
        else:
            unclear.append(key)
    if unclear:
        cut = without(body, [(key,) for key in unclear])
        return set_fields(cut, {k: v for k, v in fields.items() if k not in unclear}, changes)
    for (start, end), new in sorted(edits, key=lambda edit: edit[0], reverse=True):
        body = body[:start] + new + body[end:]
    return body


def _changed(written: bytes, old: object, new: object) -> bytes:
    """Write a value in another's place; of an object that only got further members no other byte changes."""
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() <= new.keys():
        changes = {k: v for k, v in new.items() if k not in old or v is not old[k]}
        return set_fields(written, old, changes)
    return _dump(new)


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
        return _dump(_left(read(body), tree))
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
            at = _value_end(body, at)
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
    end = _value_end(body, at)
    if isinstance(node, bytes):
        yield at, end, node
    return end


def _key(body: bytes, at: int) -> tuple[str, int]:
    """Return the key at ``at``, and where its value starts."""
    end = _end(_STRING, body, at)
    return str(read(body[at:end])), _end(_COLON, body, end)


def _opens(body: bytes, at: int) -> bool:
    """Say whether a container starts at ``at``."""
    return body[at : at + 1] in (b"[", b"{")


def _end(pattern: re.Pattern[bytes], body: bytes, at: int, limit: int = sys.maxsize) -> int:
    """Return where the match at ``at`` ends; raises _Unclear when there is none."""
    match = pattern.match(body, at, limit)
    if match is None:
        raise _Unclear(f"not JSON at byte {at}")
    return match.end()


def _dump(value: object) -> bytes:
    """Dump what was parsed; the fast writer takes 254 levels of nesting and no integer beyond 64 bits."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        pass
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    except RecursionError:
        raise BadRequest("the request body is nested too deeply; flatten it") from None


def _find(body: bytes, key: str, value: object) -> Span | None:
    """Find the value of ``key``, which the top level has; None when that takes a walk."""
    start = _start(body, key, value)
    return None if start is None else (start, _value_end(body, start))


def _start(body: bytes, key: str, value: object) -> int | None:
    """Find where the value of ``key`` starts; None when that takes a walk.

    Only values that begin as ``value`` does are looked at: a text where others have an object.
    """
    places = list(islice(_places(body, orjson.dumps(key), _BEGIN.get(type(value))), MAX_PLACES + 1))
    if len(places) > MAX_PLACES:
        return None
    found: int | None = None
    for start in reversed(places):
        if (found is not None or start > places[0]) and _is_deeper(body, start):
            continue
        if found is not None:
            return None
        found = start
    return found


def stands_once(body: bytes, key: str) -> bool:
    """Say whether the top level of a body names a key once, which it does name.

    The key is told in what it says, not in how it is written, where that takes a walk.
    """
    return _start(body, key, None) is not None or sum(name == key for name in _names(body)) == 1


def _names(body: bytes) -> Iterator[str]:
    """Yield the keys of the top level, as often as they stand there."""
    at = _end(_HEAD, body, 0)
    while body[at : at + 1] == b'"':
        name, at = _key(body, at)
        yield name
        at = _end(_COMMA, body, _value_end(body, at))


def _places(body: bytes, name: bytes, begin: bytes | None) -> Iterator[int]:
    """Yield where the values of a key start, at whatever depth."""
    at = body.find(name)
    while at >= 0:
        at += len(name)
        colon = _COLON.match(body, at)
        if colon and (begin is None or body.startswith(begin, colon.end())):
            yield colon.end()
        at = body.find(name, at)


def _is_deeper(body: bytes, at: int) -> bool:
    """Say whether the member whose value starts at ``at`` is shown to lie within a member."""
    limit, depth = at + NEAR_BYTES, 0
    while depth >= 0:
        token = _TO_BRACKET.match(body, at, limit)
        if token is None:
            return False
        at = token.end()
        depth += 1 if body[at - 1] in b"[{" else -1
    return _end(_SPACE, body, at, limit) < min(limit, len(body))


def _value_end(body: bytes, at: int) -> int:
    """Return where the value at ``at`` ends; raises _Unclear if it is broken."""
    if not _opens(body, at):
        return _end(_STRING if body[at : at + 1] == b'"' else _SCALAR, body, at)
    depth = 0
    while token := _TO_BRACKET.match(body, at):
        at = token.end()
        depth += 1 if body[at - 1] in b"[{" else -1
        if depth == 0:
            return at
    raise _Unclear(f"no end of the value at byte {at}")
