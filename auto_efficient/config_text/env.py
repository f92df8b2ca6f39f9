"""Files of environment variables, as ``.env``: ``NAME=value``."""

from __future__ import annotations

import re
from typing import Final

from auto_efficient.config_text.pairs import Pairs
from auto_efficient.config_text.trees import Keys

LINES: Final = Pairs(between=r"\s*=\s*", joint="=", lead=r"(?:export\s+)?")

find, put, cut = LINES.find, LINES.put, LINES.cut


def written(value: object) -> str:
    """Write a value, in quotes where a shell would want them."""
    text = str(value)
    return text if re.fullmatch(r"[\w./:@%+,-]*", text) else "'" + text.replace("'", "'\\''") + "'"


def values(text: str) -> dict[Keys, object]:
    """Read every variable of a file, values as they are written."""
    return LINES.values(text, r"[A-Za-z_]\w*")
