"""Files of one name and one value a line."""

from __future__ import annotations

import re
from dataclasses import dataclass

from auto_efficient.config_text.trees import Keys


@dataclass(frozen=True, slots=True)
class Pairs:
    """How names and values stand on a line."""

    between: str
    """A regular expression of what is between them."""
    joint: str
    """How it is written."""
    lead: str = ""
    """A regular expression of what may stand before a name."""

    def _pattern(self, key: str) -> re.Pattern[str]:
        head = rf"(?P<head>{self.lead}{re.escape(key)}{self.between})"
        return re.compile(rf"{head}(?P<raw>\"(?:[^\"\\]|\\.)*\"|'[^']*'|.*?)(?P<note>\s+#.*|\s*)$")

    def _line_of(self, lines: list[str], key: str) -> tuple[int, re.Match[str]] | None:
        """Return the last line that names a key: it is the one that holds."""
        pattern = self._pattern(key)
        found = ((i, m) for i, line in reversed([*enumerate(lines)]) if (m := pattern.match(line)))
        return next(found, None)

    def find(self, text: str, path: Keys) -> str | None:
        """Return what stands at a name; None where nothing does."""
        found = self._line_of(text.split("\n"), path[0])
        return found[1]["raw"] if found else None

    def put(self, text: str, path: Keys, raw: str) -> str:
        """Return the text with a value at a name, instead of what was there."""
        lines = text.split("\n")
        if found := self._line_of(lines, path[0]):
            i, match = found
            lines[i] = match["head"] + raw + match["note"]
            return "\n".join(lines)
        kept = text if not text or text.endswith("\n") else text + "\n"
        return f"{kept}{path[0]}{self.joint}{raw}\n"

    def cut(self, text: str, path: Keys) -> str:
        """Return the text without the line of a name."""
        lines = text.split("\n")
        if found := self._line_of(lines, path[0]):
            del lines[found[0]]
        return "\n".join(lines)

    def values(self, text: str, named: str) -> dict[Keys, object]:
        """Read every line that begins with what may be a name, values as they are written."""
        found: dict[Keys, object] = {}
        for line in text.split("\n"):
            name = re.match(rf"{self.lead}({named}){self.between}", line)
            if name:
                found[(name[1],)] = self.find(line, (name[1],))
        return found
