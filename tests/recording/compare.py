"""Compare two recordings: what differs, laid out to be read."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator

from tests.recording.formats import Fields

WIDTH = 400
"""How much of a line is shown."""


def parts_of(entry: Fields) -> dict[str, str]:
    """Flatten an entry: what is compared → its text."""
    parts = {k: str(entry[k]) for k in ("status", "text", "body", "stderr") if k in entry}
    parts["headers"] = lines_of(entry.get("headers", []))
    for n, seen in enumerate(entry.get("upstream", [])):
        parts[f"upstream call {n}"] = f"{seen['line']}\n{lines_of(seen['headers'])}"
        parts[f"upstream call {n}, body"] = seen["body"]
    return parts


def lines_of(headers: list[list[str]]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in headers)


def readable(text: str) -> list[str]:
    """Lay a text out for a difference by lines: JSON is indented, also where a line holds it."""
    lines: list[str] = []
    for line in [text] if text.startswith("{") and "\n{" not in text else text.split("\n"):
        start = line.find("{")
        try:
            shown = json.dumps(json.loads(line[start:]), indent=1, ensure_ascii=False)
        except ValueError:
            shown = line
        else:
            shown = line[:start] + shown
        lines += shown.split("\n")
    return lines


def difference(old: str, new: str) -> list[str]:
    """Return the lines that differ, and the first other byte where they do not show it."""
    lines = list(difflib.unified_diff(readable(old), readable(new), n=1, lineterm=""))[2:]
    shown = [line[:WIDTH] for line in lines]
    if lines and shown == lines:
        return shown
    at = len(os.path.commonprefix([old, new]))
    window = slice(max(0, at - 60), at + 60)
    told = f"other from character {at}:" if lines else f"same JSON, other from character {at}:"
    return [*shown, told, f"-{old[window]!r}", f"+{new[window]!r}"]


def differences(old: list[Fields], new: list[Fields]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield entry, part and lines of everything that differs."""
    before, after = ({entry["name"]: parts_of(entry) for entry in side} for side in (old, new))
    if (a := list(before)) != (b := list(after)):
        yield "(all)", "names", difference("\n".join(a), "\n".join(b))
    for name, parts in before.items():
        other = after.get(name, parts)
        for part in dict.fromkeys([*parts, *other]):
            if parts.get(part) != other.get(part):
                yield name, part, difference(parts.get(part, ""), other.get(part, ""))


def report(old: list[Fields], new: list[Fields], most: int, lines: int) -> tuple[str, bool]:
    """Tell of the first differing parts, of each the first lines; and say whether any differ."""
    found = list(differences(old, new))
    told = []
    for name, part, shown in found[:most]:
        more = ["…"] * (len(shown) > lines)
        told.append("\n  ".join([f"{name}: {part}", *shown[:lines], *more]) + "\n")
    differing = len({name for name, _, _ in found})
    parts = f" in {len(found)} parts" * bool(found)
    told.append(f"{len(old)} and {len(new)} entries, {differing} differ{parts}")
    return "\n".join(told), bool(found)
