"""How long an upstream asks us to wait, and what of that is believed and told.  Pure; time is told.

Whatever a header or a body holds (no number, a date in the year 9999, less than nothing, without
end) becomes a number of seconds in [0, ``MAX_WAIT_S``], or None where nobody asks to wait.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Final

SAID_CHARS: Final = 1_000
"""How much of what a refusal says is looked into for a wait; no vendor says as much."""

MAX_WAIT_S: Final = 300.0
"""The longest wait that is believed, and that a client is told; some upstreams name the end of the
day or of the month.  What we pass on we ask again ourselves by then, and OpenAI's and Anthropic's
own clients believe no more than 60 s (``_calculate_retry_timeout`` of openai-python 1.x)."""

UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

DURATION: Final = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)\s?(ms|[smhd])(?![a-z])")
"""One part of a duration as Go and Google write it: ``1m2.5s``, ``850ms``."""

AGAIN_IN: Final = re.compile(
    r"(?:try again|retry|reset\w{0,4}) (?:in|after) ((?:[\d.]{1,16} ?(?:ms|[smhd])){1,6})"
)
"""How OpenAI, Groq and Google say it in words: "Please try again in 6m0s"."""


def wait_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Read how long an upstream's headers ask to wait; ``now_s`` is the time since the epoch."""
    if (wait := _number(headers.get("retry-after-ms", ""))) is not None:
        return _bounded(wait / 1000)
    value = headers.get("retry-after", "").strip()
    readings = (_number(value), duration_s(value), _until(value, now_s), _number(_first(value)))
    return next((_bounded(wait) for wait in readings if wait is not None), None)


def wait_said_s(words: str) -> float | None:
    """Read the same from the words of an error, in lower case."""
    found = AGAIN_IN.search(words[:SAID_CHARS])
    wait = duration_s(found[1]) if found else None
    return None if wait is None else _bounded(wait)


def duration_s(text: str) -> float | None:
    """Read a duration that consists of numbers with units."""
    if DURATION.sub("", text).strip():
        return None
    parts = DURATION.findall(text)
    return sum(float(number) * UNITS[unit] for number, unit in parts) if parts else None


def told(headers: Sequence[tuple[str, str]], now_s: float) -> list[tuple[str, str]]:
    """Return headers with waits as a client may be told them, and the others as they are."""
    kept = [(name, value) for name, value in headers if not name.startswith("retry-after")]
    asked = dict(headers)
    if (wait := wait_s(asked, now_s)) is None:
        return kept
    if "retry-after-ms" in asked:
        kept.append(("retry-after-ms", str(math.ceil(wait * 1000))))
    return [*kept, ("retry-after", str(max(1, math.ceil(wait))))]


def _bounded(wait: float) -> float:
    return min(max(wait, 0.0), MAX_WAIT_S)


def _number(text: str) -> float | None:
    """Read a number; None for what is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _first(text: str) -> str:
    """Return the first of several values."""
    return text.partition(",")[0]


def _until(text: str, now_s: float) -> float | None:
    """Read a date as HTTP writes it; None for what is none."""
    try:
        return parsedate_to_datetime(text).timestamp() - now_s
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
