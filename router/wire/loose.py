"""JSON as the world writes it: what strict parsers refuse and most programs take.  Pure.

Servers in Python write ``NaN`` and ``Infinity``, programs in JavaScript cut a text between the
halves of a character, some put a byte order mark in front.  The strict parser is tried first and
costs a fifth of the other one; what it refuses is read leniently, numbers that are none as null.
"""

from __future__ import annotations

import json
import math
from typing import Any

import orjson


def loads(data: bytes) -> Any:
    """Parse JSON; raises ValueError for what nobody could read."""
    return read(data)[0]


def read(data: bytes) -> tuple[Any, bool]:
    """Parse JSON, and say whether strict parsers take it too; raises ValueError."""
    try:
        return orjson.loads(data), True
    except orjson.JSONDecodeError:
        text = data.decode("utf-8-sig", "replace")
    try:
        return json.loads(text, strict=False, parse_constant=_none, parse_float=_finite), False
    except RecursionError:
        raise ValueError("nested too deeply") from None


def dumps(value: object) -> bytes:
    """Write JSON that every parser takes; halves of characters stay, escaped.

    Raises ValueError for what is nested too deeply.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        pass
    try:
        return json.dumps(value, separators=(",", ":")).encode("ascii")
    except RecursionError:
        raise ValueError("nested too deeply") from None


def is_strict(data: bytes) -> bool:
    """Say whether strict parsers take these bytes."""
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True


def _none(name: str) -> None:
    """Stand for NaN and Infinity."""


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None
