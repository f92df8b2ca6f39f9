"""TOML, line by line: a value stands on one line of its table, or is not touched."""

from __future__ import annotations

import json
import re
import tomllib

from auto_efficient.config_text.trees import Keys, leaves

_HEADER = re.compile(r"\s*\[[^\[].*\]\s*(#.*)?$")
_ANY_HEADER = re.compile(r"\s*\[.*\]\s*(#.*)?$")
_PAIR = re.compile(
    r"(?P<head>\s*(?P<key>[A-Za-z0-9_-]+|\"[^\"]*\")\s*=\s*)"
    r"(?P<raw>\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^#]*?)(?P<note>\s*(#.*)?)$"
)
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def written(value: object) -> str:
    """Write a value: a text, a number, a truth value or a list of them, as JSON writes them too."""
    return json.dumps(value, ensure_ascii=False)


def values(text: str) -> dict[Keys, object]:
    """Read every value of a file; raises ValueError for what cannot be read."""
    return leaves(tomllib.loads(text))


def find(text: str, path: Keys) -> str | None:
    """Return what stands at a path; None where nothing does."""
    lines = text.split("\n")
    at = _line_of(lines, path)
    found = _PAIR.match(lines[at]) if at is not None else None
    return found["raw"] if found else None


def put(text: str, path: Keys, raw: str) -> str:
    """Return the text with a value at a path, instead of what was there."""
    lines = text.split("\n")
    at = _line_of(lines, path)
    if at is not None and (found := _PAIR.match(lines[at])):
        lines[at] = found["head"] + raw + found["note"]
        return "\n".join(lines)
    pair = f"{_key(path[-1])} = {raw}"
    section = _section(lines, path[:-1])
    if section is None:
        head = f"[{'.'.join(map(_key, path[:-1]))}]"
        kept = text if not text or text.endswith("\n") else text + "\n"
        return f"{kept}{'' if not kept.strip() else chr(10)}{head}\n{pair}\n"
    begin, end = section
    last = max((i for i in range(begin, end) if _PAIR.match(lines[i])), default=begin - 1)
    lines.insert(last + 1, pair)
    return "\n".join(lines)


def cut(text: str, path: Keys) -> str:
    """Return the text without what stands at a path, and without its table when that is left empty.

    Comments stay: those at a table's end are mostly about the next.
    """
    lines = text.split("\n")
    at = _line_of(lines, path)
    if at is None:
        return text
    del lines[at]
    section = _section(lines, path[:-1])
    if path[:-1] and section and not any(map(_says, lines[slice(*section)])):
        begin, end = section
        notes = next((i for i in range(begin, end) if lines[i].strip()), None)
        if notes is not None:
            del lines[begin - 1 : notes]
            return "\n".join(lines)
        begin -= 2 if begin > 1 and not lines[begin - 2].strip() else 1
        kept = [""] if end == len(lines) and begin and lines[end - 1 :] == [""] else []
        lines[begin:end] = kept
    return "\n".join(lines)


def _says(line: str) -> bool:
    return bool(line.partition("#")[0].strip())


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else json.dumps(key, ensure_ascii=False)


def _section(lines: list[str], table: Keys) -> tuple[int, int] | None:
    """Return the lines of a table, from after its header to the next; None where it is not there."""
    heads = [i for i, line in enumerate(lines) if _ANY_HEADER.match(line)]
    if not table:
        return 0, heads[0] if heads else len(lines)
    for i in heads:
        if _HEADER.match(lines[i]) and _named(lines[i]) == table:
            return i + 1, next((j for j in heads if j > i), len(lines))
    return None


def _named(header: str) -> Keys:
    """Return the path of a table by its header."""
    try:
        tree: object = tomllib.loads(header)
    except ValueError:
        return ()
    path: Keys = ()
    while isinstance(tree, dict) and tree:
        key, tree = next(iter(tree.items()))
        path = (*path, key)
    return path


def _line_of(lines: list[str], path: Keys) -> int | None:
    """Return which line holds the value of a path."""
    section = _section(lines, path[:-1])
    for i in range(*section) if section else ():
        found = _PAIR.match(lines[i])
        if found and found["key"].strip('"') == path[-1]:
            return i
    return None
