"""YAML whose settings are names at the top level; what is nested in it is not touched."""

from __future__ import annotations

import json
import re
from typing import Final

from auto_efficient.config_text.pairs import Pairs
from auto_efficient.config_text.trees import Keys

LINES: Final = Pairs(between=r"\s*:(?:\s+|$)", joint=": ")

find, put, cut = LINES.find, LINES.put, LINES.cut


def written(value: object) -> str:
    """Write a value, in quotes where it could be read as anything else."""
    text = str(value)
    plain = re.fullmatch(r"[A-Za-z][\w./:-]*[\w/]", text) and text.lower() not in WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)


WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "null"})
"""What is no text without quotes."""


def values(text: str) -> dict[Keys, object]:
    """Read the names at the top level, values as they are written."""
    return LINES.values(text, r"[A-Za-z_][\w-]*")
