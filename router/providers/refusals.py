"""Read an upstream's refusal: what it speaks of, and how to tell it to the client.  Pure.

An upstream may answer in the client's own format, in that of another, or in none (a page, a list,
XML, plain words).  ``read`` gathers from any of them what is structured (codes, the field at fault)
and what is said to a person; echoes of the request are not looked at, since a text about context
lengths is no overflow.  ``fault_of`` finds the first wording that fits (``router.providers.wordings``).
``in_dialect`` leaves a body that is in the client's format as it is, and shapes any other anew.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Container, Iterable, Iterator, Set
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import orjson

from router.providers.waits import duration_s, wait_said_s
from router.providers.wordings import (
    CALLERS,
    CODES,
    FIELDS,
    ODD,
    PASSES,
    PASSING,
    RATES,
    STATUSES,
    WINDOWS,
    WORDS,
    Wording,
)
from router.values import Fault
from router.wire import sse
from router.wire.format import Format
from router.wire.parts import parsed

WORDS_CHARS: Final = 1_000
"""How much of a refusal's words is looked into; the longest of a vendor has some 600.  A caller can
have its own words echoed, and each wording is searched at each place of them."""

PAGE_CHARS: Final = 64_000
"""How much of a page is looked into for its words: styles and scripts may stand before them."""

TOLD_CHARS: Final = 500
"""How much of them a client is told, where they must be shaped anew; what is longer is a page."""

NODES: Final = 300
"""How many values of a body are looked at; an error has some ten, a list of them some hundred."""

SECRET_CHARS: Final = 4
"""The shortest key that is masked; shorter ones are placeholders, and parts of words."""

PART_CHARS: Final = 12
"""How much of a key in a row is masked wherever it stands: a vendor's prefix has up to 9."""

CODE_KEYS: Final = frozenset(
    {"code", "type", "status", "reason", "error_type", "__type", "errorcode"}
)
FIELD_KEYS: Final = frozenset({"param", "loc", "parameter"})
WORD_KEYS: Final = frozenset(
    {"message", "msg", "detail", "error", "title", "raw", "error_description", "error_msg",
     "status_msg", "errormessage", "description", "reasons"}
)  # fmt: skip
"""Keys, in lower case, under which vendors write codes, the field at fault, and words."""

CORE: Final = frozenset({"body", "messages", "input", "model", "tools", "query", "json"})
"""Fields that any request has, and what validators put before them: no refusal of one says which
requests it is about."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a refusal says, wherever it says it."""

    codes: tuple[str, ...] = ()
    """In lower case."""
    words: str = ""
    """For a person."""
    field: str = ""
    """The first part of the name of the field at fault; empty where none is named."""
    wait_s: float | None = None
    """In [0, ``MAX_WAIT_S``]."""


def read(body: bytes) -> Said:
    """Gather what a body says."""
    text = body.decode("utf-8", "replace").lstrip("\ufeff").strip()
    if text.startswith(("data:", "event:", ":", "id:")):
        text = next((sse.data_of(raw).decode("utf-8", "replace") for raw in _events(text)), "")
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError:
        said = _plain(text)
        return Said(words=said, wait_s=wait_said_s(said.lower()))
    codes, words, named, waits = [], [], [], []
    for key, value in _leaves(fields):
        if key in CODE_KEYS:
            codes.append(value.lower())
        elif key in FIELD_KEYS:
            named.append(value)
        elif key in WORD_KEYS:
            words.append(value)
        elif key == "retrydelay":
            waits.append(duration_s(value))
    said = " ".join(dict.fromkeys(words)) if words else fields if isinstance(fields, str) else ""
    said = _plain(said)
    wait = next((wait for wait in waits if wait is not None), wait_said_s(said.lower()))
    return Said(tuple(codes), said, _field_of(named, said), wait)


def _events(text: str) -> Iterator[bytes]:
    return (raw for raw, data in sse.events(f"{text}\n\n".encode()) if data)


def _leaves(value: Any, key: str = "", depth: int = 8) -> Iterator[tuple[str, str]]:
    """Yield the plain values of a body with the key they stand under, the outermost first."""
    todo, seen = [(key, value, depth)], 0
    while todo and seen < NODES:
        key, value, depth = todo.pop(0)
        seen += 1
        if isinstance(value, dict) and depth:
            todo += [(str(k).lower(), v, depth - 1) for k, v in value.items()]
        elif isinstance(value, list) and depth:
            todo += [(key, item, depth - 1) for item in value[:NODES]]
        elif (
            key == "raw"
            and isinstance(value, str)
            and (inner := parsed(value.encode("utf-8", "replace")))
        ):
            todo.append((key, inner, depth - 1))
        elif isinstance(value, str | int) and not isinstance(value, bool):
            yield key, str(value)[:WORDS_CHARS]


TAGS: Final = re.compile(
    r"<script\b.*?(?:</script\b|\Z)|<style\b.*?(?:</style\b|\Z)|<!--.*?(?:-->|\Z)|<[^<>]{0,1000}>",
    re.DOTALL | re.I,
)
"""What of a page is no words; what does not end goes on to the page's end, so that none is read twice."""


def _plain(text: str) -> str:
    """Return the first words of a page, of XML or of plain text, as one line."""
    text = text[:PAGE_CHARS]
    if re.search(r"<[a-z!/?][^<>]*>", text, re.I):
        text = html.unescape(TAGS.sub(" ", text))
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text[:WORDS_CHARS]


QUOTED: Final = re.compile(
    r"(?:parameter|argument|field|propert(?:y|ies)|name|supplied|permitted|inputs?|option)s?:? "
    r"['\"`]?([A-Za-z_][\w.]{1,60})|['\"`]([A-Za-z_][\w.]{1,60})['\"`]|([A-Za-z_]\w{1,60}): extra inputs",
    re.I,
)
"""Where words name the field at fault."""


def _field_of(named: list[str], words: str) -> str:
    """Return the first name of a field that is not part of every request, as JSON spells it."""
    found = [name for match in QUOTED.finditer(words) for name in match.groups() if name]
    for name in [*named, *found]:
        first = re.split(r"[.\[]", name)[0].strip("'\"` ")
        snake = re.sub(r"(?<=[a-z])([A-Z])", r"_\1", first).lower()
        if snake and snake not in CORE and not snake.isdigit():
            return snake
    return ""


# What it speaks of.


def fault_of(status: int, said: Said) -> Wording:
    """Return the first wording that fits a refusal: by codes, then by words, then by status."""
    words = said.words.lower().replace("\u2019", "'")
    if status in (401, 407):
        return STATUSES[status]
    codes = {code.rpartition("#")[2] for code in said.codes}
    if found := next((row for row in CODES if codes.intersection(row.said.split())), None):
        return found
    if RATES.search(words) and status in (400, 413, 422, 429):
        too_large = status != 429 or "too large" in words
        return ODD if too_large else PASSES
    if (status in (400, 413, 422) or status >= 500) and (found := _first(WINDOWS, words)):
        return found
    if status >= 500 or (status in PASSING and (status != 429 or said.wait_s is not None)):
        return PASSES
    return _in_words(status, words) or STATUSES.get(status, ODD if status != 429 else PASSES)


def _in_words(status: int, words: str) -> Wording | None:
    """Find a wording among the words; only some statuses can mean the client's own mistake."""
    found = _first(WORDS, words)
    if found is None or status == 429 and found.fault is not Fault.ACCOUNT:
        return None
    if found.fault is Fault.REQUEST and status not in (400, 404, 422):
        return None
    return found


def _first(rows: tuple[Wording, ...], words: str) -> Wording | None:
    return next((row for row in rows if re.search(row.said, words)), None)


LIMITS: Final = (
    re.compile(r"> ?(\d[\d,_]{3,11})"),
    re.compile(
        r"(?:maximum|max|limit|only|context (?:length|window|size))\D{0,60}?(\d[\d,_]{3,11})"
    ),
)
"""Where words name the window: "210000 tokens > 200000", "maximum context length is 131072"."""


def window_of(said: Said) -> int | None:
    """Return how many tokens the upstream says its model takes; None where it does not."""
    words = said.words.lower()
    found = next((match for limit in LIMITS if (match := limit.search(words))), None)
    return int(re.sub(r"\D", "", found[1])) if found else None


def applies_to(wording: Wording, said: Said, fields: Container[str]) -> str:
    """Say which later requests a refusal counts against; ``fields`` are those it has."""
    if wording.of != FIELDS:
        return wording.of
    return f"{FIELDS} {said.field}" if said.field in fields else CALLERS


# How to tell it.


def in_dialect(format: Format, status: int, body: bytes, said: Said, wording: Wording) -> bytes:
    """Return a refusal as the client's format has it: as it came where it is that already."""
    plain = body.removeprefix(b"\xef\xbb\xbf")
    if format.is_error(parsed(plain)):
        return plain
    long = wording.fault is Fault.WINDOW
    code = "context_length_exceeded" if long else _code_of(said)
    words = said.words or f"the upstream refused with status {status} and gave no reason"
    if len(words) > TOLD_CHARS:
        words = words[: TOLD_CHARS - 1] + "…"
    if long and "too long" not in words:
        words = f"prompt is too long: {words}"
    return orjson.dumps(format.error_body(status, code, words))


def _code_of(said: Said) -> str:
    """Return the upstream's own code, if it is a name."""
    names = (code for code in said.codes if re.fullmatch(r"[a-z][\w.-]{2,60}", code))
    return next((name for name in names if name != "error"), "upstream_error")


def masked(body: bytes, secret: str) -> bytes:
    """Return a body without a key: whole, in part, or encoded."""
    if len(secret) < SECRET_CHARS:
        return body
    key = secret.encode()
    forms = [key, quote(secret, safe="").encode(), orjson.dumps(secret)[1:-1]]
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + key).rstrip(b"=")
        forms.append(coded[4 if before else 0 : -1])
    forms += [form.replace(b"+", b"-").replace(b"/", b"_") for form in forms[3:]]
    for form in dict.fromkeys(forms):
        body = body.replace(form, b"***")
    return _without_parts(body, forms)


def _without_parts(body: bytes, forms: Iterable[bytes]) -> bytes:
    """Mask every part of a key, in any of its forms, that is long enough to tell.

    Only where a row of a key's characters is as long as a part can one stand.
    """
    starts = {form: range(len(form) - PART_CHARS + 1) for form in forms}
    parts = {form[i : i + PART_CHARS] for form, at in starts.items() for i in at}
    if not parts:
        return body
    of_key = b"".join(re.escape(bytes([byte])) for byte in sorted(set().union(*parts)))
    rows = re.compile(b"[%b]{%d,}" % (of_key, PART_CHARS))
    return rows.sub(lambda row: _masked_row(row[0], parts), body)


def _masked_row(row: bytes, parts: Set[bytes]) -> bytes:
    kept, at = bytearray(), 0
    while at < len(row):
        end = at
        while row[end : end + PART_CHARS] in parts:
            end += 1
        kept += row[at : at + 1] if end == at else b"***"
        at = at + 1 if end == at else end + PART_CHARS - 1
    return bytes(kept)
