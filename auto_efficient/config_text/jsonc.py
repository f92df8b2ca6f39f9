"""JSON, with comments and commas at the end as editors allow them."""

from __future__ import annotations

import json
import re
from typing import Final, NamedTuple

from auto_efficient.config_text.trees import Keys, leaves

INDENT: Final = "  "

_TRIVIA = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_SCALAR = re.compile(r"[^\s,\[\]{}:\"/]+")


class JsonMember(NamedTuple):
    """One member of an object, as it stands in the text."""

    key: str
    begin: int
    """Where its key begins."""
    value: int
    """Where its value begins."""
    end: int
    """After its value."""
    comma: int | None
    """Where the comma after it is; None where there is none."""


def written(value: object) -> str:
    """Write a value on one line."""
    return json.dumps(value, ensure_ascii=False)


def values(text: str) -> dict[Keys, object]:
    """Read every value of a file; raises ValueError for what cannot be read."""
    tree = json.loads(_plain(text)) if not _is_blank(text) else {}
    if not isinstance(tree, dict):
        raise ValueError("it is no JSON object")
    return leaves(tree)


def find(text: str, path: Keys) -> str | None:
    """Return what stands at a path; None where nothing does."""
    at = _after_trivia(text, 0)
    for key in path:
        member = _member(text, at, key)
        if member is None:
            return None
        at = member.value
    return text[at : _value_end(text, at)] if at < len(text) else None


def put(text: str, path: Keys, raw: str) -> str:
    """Return the text with a value at a path, instead of what was there; raises ValueError."""
    if _is_blank(text):
        text = text + ("\n" if text and not text.endswith("\n") else "") + "{}\n"
    at = _after_trivia(text, 0)
    for depth, key in enumerate(path):
        member = _member(text, at, key)
        if member is None:
            return _inserted(text, at, path[depth:], raw)
        if depth == len(path) - 1:
            return text[: member.value] + raw + text[member.end :]
        if text[member.value] != "{":
            raise ValueError(f"{'.'.join(path[: depth + 1])} is no object")
        at = member.value
    raise ValueError("a value has a name")


def cut(text: str, path: Keys) -> str:
    """Return the text without what stands at a path."""
    at = _after_trivia(text, 0)
    for key in path[:-1]:
        member = _member(text, at, key)
        if member is None:
            return text
        at = member.value
    listed, _ = _members(text, at)
    which = next((i for i, m in reversed([*enumerate(listed)]) if m.key == path[-1]), None)
    if which is None:
        return text
    gone = listed[which]
    begin = len(text[: gone.begin].rstrip(" \t\r\n"))
    end = gone.end if gone.comma is None else gone.comma + 1
    before = listed[which - 1].comma if which and gone.comma is None else None
    if len(listed) == 1:
        end = len(text) - len(text[end:].lstrip(" \t\r\n"))
    text = text[:begin] + text[end:]
    return text if before is None else text[:before] + text[before + 1 :]


def _inserted(text: str, at: int, path: Keys, raw: str) -> str:
    """Put a new member at the end of the object that begins at a place."""
    listed, close = _members(text, at)
    outer = _indent_of(text, at)
    own_line = listed and "\n" in text[at : listed[0].begin]
    inner = _indent_of(text, listed[0].begin) if own_line else outer + INDENT
    member = _nested(path, raw, inner)
    if not listed:
        held = text[at + 1 : close].rstrip(" \t\r\n")
        return text[: at + 1] + held + f"\n{inner}{member}\n{outer}" + text[close:]
    last = listed[-1]
    comma = "," if last.comma is None else ""
    kept = text[last.end : close]
    rest = kept.rstrip(" \t\r\n")
    if "\n" not in text[at:close]:
        return text[: last.end] + comma + rest + f" {member}" + kept[len(rest) :] + text[close:]
    closing = kept[len(rest) :] if "\n" in kept[len(rest) :] else f"\n{outer}"
    return text[: last.end] + comma + rest + f"\n{inner}{member}" + closing + text[close:]


def _nested(path: Keys, raw: str, indent: str) -> str:
    """Write a member, and the objects around its value."""
    key = json.dumps(path[0], ensure_ascii=False)
    if len(path) == 1:
        return f"{key}: {raw}"
    deeper = indent + INDENT
    return f"{key}: {{\n{deeper}{_nested(path[1:], raw, deeper)}\n{indent}}}"


def _indent_of(text: str, at: int) -> str:
    """Return the white space with which the line of a place begins."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _member(text: str, at: int, key: str) -> JsonMember | None:
    """Return the last member of a name in the object that begins at a place."""
    if at >= len(text) or text[at] != "{":
        return None
    return next((m for m in reversed(_members(text, at)[0]) if m.key == key), None)


def _members(text: str, at: int) -> tuple[list[JsonMember], int]:
    """Return the members of the object that begins at a place, and where it is closed."""
    if at >= len(text) or text[at] != "{":
        raise ValueError("it is no JSON object")
    found: list[JsonMember] = []
    at = _after_trivia(text, at + 1)
    while at < len(text) and text[at] != "}":
        string = _STRING.match(text, at)
        if string is None:
            raise ValueError(f"a key is missing at character {at}")
        colon = _after_trivia(text, string.end())
        if text[colon : colon + 1] != ":":
            raise ValueError(f"a colon is missing at character {colon}")
        value = _after_trivia(text, colon + 1)
        end = _value_end(text, value)
        after = _after_trivia(text, end)
        comma = after if text[after : after + 1] == "," else None
        found.append(JsonMember(json.loads(string[0]), at, value, end, comma))
        at = _after_trivia(text, after + 1) if comma is not None else after
    if at >= len(text):
        raise ValueError("a brace is not closed")
    return found, at


def _value_end(text: str, at: int) -> int:
    """Return where the value ends that begins at a place; raises ValueError."""
    if text[at : at + 1] == "{":
        return _members(text, at)[1] + 1
    if text[at : at + 1] == "[":
        at = _after_trivia(text, at + 1)
        while at < len(text) and text[at] != "]":
            at = _after_trivia(text, _value_end(text, at))
            if text[at : at + 1] == ",":
                at = _after_trivia(text, at + 1)
        return at + 1
    found = _STRING.match(text, at) or _SCALAR.match(text, at)
    if found is None:
        raise ValueError(f"a value is missing at character {at}")
    return found.end()


def _after_trivia(text: str, at: int) -> int:
    found = _TRIVIA.match(text, at)
    return found.end() if found else at


def _is_blank(text: str) -> bool:
    return _after_trivia(text, 0) == len(text)


_TOKEN = re.compile(
    r'(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<note>//[^\n]*|/\*.*?\*/)|(?P<comma>,(?=(?:\s|//[^\n]*|/\*.*?\*/)*[\]}]))',
    re.DOTALL,
)


def _plain(text: str) -> str:
    """Return the same as plain JSON."""
    return _TOKEN.sub(lambda found: found["string"] or " ", text)
