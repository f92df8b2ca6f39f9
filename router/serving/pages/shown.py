"""How numbers and times are written on pages.  Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

NONE: Final = "–"
"""Stands for what is not known."""

SCALES: Final = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def money(usd: float | None) -> str:
    """Write dollars with some three digits that count."""
    if usd is None:
        return NONE
    sign, size = "−" if usd < 0 else "", abs(usd)
    if 0 < size < 0.0001:
        return f"{sign}<$0.0001"
    digits = 0 if size >= 1000 else 2 if size >= 1 or not size else 3 if size >= 0.1 else 4
    return f"{sign}${size:,.{digits}f}"


def count(n: float | None) -> str:
    """Write a count, a large one in thousands or millions."""
    if n is None:
        return NONE
    for scale, name in SCALES:
        if n >= scale * (10 if name == "k" else 1):
            return f"{n / scale:.{0 if n >= 100 * scale else 1}f}{name}"
    return f"{n:,.0f}"


def percent(share: float | None) -> str:
    """Write a share of one."""
    if share is None:
        return NONE
    return f"{share:.1%}" if 0 < abs(share) < 0.1 else f"{share:.0%}"


def share(part: float | None, whole: float | None) -> float | None:
    """Return a part of a whole; None where there is none."""
    return part / whole if whole and part is not None else None


def seconds(s: float | None) -> str:
    """Write how long something took."""
    if s is None:
        return NONE
    if s < 1:
        return f"{s * 1000:.0f} ms"
    return f"{s:.1f} s" if s < 100 else f"{s / 60:.0f} min"


def number(value: float | None, digits: int = 2) -> str:
    """Write a number with so many decimals."""
    return NONE if value is None else f"{value:.{digits}f}"


def iso(at_s: float) -> str:
    """Write a moment for programs."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")


def utc(at_s: float) -> str:
    """Write a moment for people, in UTC; a page tells it in its reader's zone where scripts run."""
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S}"


def short(model: str | None) -> str:
    """Write a model without its vendor."""
    return (model or NONE).partition("/")[2] or model or NONE


def words(name: str | None) -> str:
    """Write a name of ours in words."""
    return (name or NONE).replace("_", " ")


def path(text: str) -> str:
    """Write a text as one part of a path."""
    return quote(text, safe="")


FILTERS: Final[dict[str, Callable[..., object]]] = {
    "money": money,
    "count": count,
    "percent": percent,
    "seconds": seconds,
    "number": number,
    "iso": iso,
    "utc": utc,
    "short": short,
    "words": words,
    "path": path,
}
