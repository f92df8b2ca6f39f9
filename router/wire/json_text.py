"""JSON as the world writes it.

A strict parser reads most bodies, and fast.  What it refuses and other servers take is read too: half
a character (every JavaScript client that cuts a text writes one), ``NaN``, control characters in a
string, numbers beyond a double, a byte order mark, another encoding that is declared or plain to see,
NULs at the end.

Reading only: such a body goes on as it came, but for what stands around the JSON text.  Half a character
is read as U+FFFD, so that no text that was read can fail to be encoded later.
"""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from typing import Any, Final

import numpy as np
import orjson

MAX_DIGITS: Final = 19
"""Digits of an integer that is read as one, as any that fits into 64 bits; a longer one is a float."""

LEGACY: Final = frozenset(
    {
        "iso-8859-1", "latin1", "latin-1", "iso-8859-15", "windows-1252", "cp1252", "windows-1251",
        "shift_jis", "euc-jp", "gbk", "gb18030", "big5", "euc-kr",
    }
)  # fmt: skip
"""Encodings that a ``content-type`` may name, for a body that is no UTF-8."""

_CHARSET = re.compile(r"charset\s*=\s*\"?([\w-]+)", re.IGNORECASE)
_HALVES = re.compile(
    rb"\\\\|\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?:\\u[dD][c-fC-F][0-9a-fA-F]{2})?|[c-fC-F][0-9a-fA-F]{2})"
)
"""An escaped backslash, a pair of surrogates, or a lone one."""


def read(data: bytes) -> Any:
    """Parse JSON; raises ValueError for what is none, RecursionError for what is nested too deeply."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        whole = _HALVES.sub(_made_whole, data)
    try:
        return orjson.loads(whole)
    except orjson.JSONDecodeError:
        return _LOOSE.decode(whole.decode())


def as_utf8(body: bytes, content_type: str = "") -> bytes:
    """Return a JSON text in UTF-8, without what may stand around it: a byte order mark, NULs."""
    body = body.removeprefix(BOM_UTF8)
    encoding: str = json.detect_encoding(body)
    if encoding == "utf-8" and not _is_utf8(body):
        named = _CHARSET.search(content_type)
        encoding = named[1].lower() if named else encoding
        encoding = encoding if encoding in LEGACY else "utf-8"
    if encoding != "utf-8":
        try:
            text = body.decode(encoding, "surrogatepass" if "utf" in encoding else "replace")
        except UnicodeDecodeError:
            return body
        body = text.encode("utf-8", "backslashreplace")  # half a character is escaped as JSON does
    return body.rstrip(b"\0 \t\r\n")


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _made_whole(found: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if len(found[0]) == len(rb"\ufffd") else found[0]


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits.lstrip("-")) <= MAX_DIGITS else float(digits)


def _no_number(name: str) -> None:
    """Read NaN and the infinities as nothing: no limit is one."""


_LOOSE: Final = json.JSONDecoder(strict=False, parse_int=_integer, parse_constant=_no_number)


_MARKS = b",:[{"
_IS_MARK = np.zeros(256, dtype=np.bool_)
_IS_MARK[list(_MARKS)] = True

WINDOW: Final = 1 << 18
"""Bytes that are looked at in one step: between two, other work goes on."""


def holds_more_values(body: bytes, most: int) -> bool:
    """Say whether a JSON text holds more than ``most`` values and keys, without parsing it.

    Each has a comma or a colon before it, or is the first of what a bracket opens.  A text holds two
    bytes for each, and all its marks are counted, before it is looked at which stand in strings.
    """
    if len(body) <= 2 * most or sum(body.count(mark) for mark in _MARKS) <= most:
        return False
    plain = body.replace(rb"\\", b"").replace(rb"\"", b"")
    within, found = np.False_, 0
    for at in range(0, len(plain), WINDOW):
        codes = np.frombuffer(plain, np.uint8, min(WINDOW, len(plain) - at), at)
        quoted = np.logical_xor.accumulate(codes == ord('"')) ^ within
        found += int(np.count_nonzero(_IS_MARK[codes] & ~quoted))
        if found > most:
            return True
        within = quoted[-1]
    return False
