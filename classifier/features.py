"""Text → vector, in numpy alone: the same code trains and serves.

A text becomes hashed tokens and a few surface counts.  Tokens are words and single punctuation
marks (split at camelCase and underscores, digits made alike, each CJK character a token of its
own), pairs of neighbouring tokens, character n-grams inside words (typing errors, inflection,
languages without spaces), and the first and last tokens once more under a name of their own,
because an ask's verb stands at its edge.

What frames a text counts in full: its first and last ``FRAME_TOKENS`` tokens, where the intent
stands.  Between them a pasted log or issue may say anything, and counts ``PASTE_WEIGHT`` a token.

Every hash is polynomial over code points in uint64 and finished with splitmix64, so that a
whole text is hashed by a few array operations, alike on every platform.  Hashes are cut to
``HASH_BITS`` and looked up in the vocabulary of the training texts; what training never saw
drops out before the vector is scaled to unit length, so that foreign boilerplate does not
thin out the words that are known.

The text is clipped to its ends first: time and memory are bounded whatever comes in.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from math import log1p
from typing import Final

import numpy as np
from numpy.typing import NDArray

from classifier.ask import clip

HASH_BITS: Final = 20
CHAR_GRAMS: Final = (3, 4, 5)
EDGE_TOKENS: Final = 3
FRAME_TOKENS: Final = 32
FRAME_CHARS: Final = 200
PASTE_WEIGHT: Final = 0.2
"""See benchmarks/LOG.md, 2026-11-25: with every token alike, "write a test that reproduces this",
before an issue of 2,000 characters, was read as the issue."""

MAX_TOKEN: Final = 48
"""Characters of a token that its hash covers; longer ones are blobs, not words."""

BLOCKS: Final = ("word", "char", "edge")
"""The groups of tokens, each scaled to unit length on its own."""

SURFACE: Final = (
    "log_chars", "log_lines", "log_tokens", "mean_token", "upper", "digits", "punctuation",
    "non_ascii", "cjk", "spaces", "code_fence", "inline_code", "question_marks", "ends_question",
    "exclamations", "urls", "paths", "traceback", "diff_lines", "list_lines", "braces",
    "semicolons", "all_lower", "mentions", "json_like", "xml_like",
)  # fmt: skip

Hashes = NDArray[np.uint32]
Floats = NDArray[np.float32]

_U64 = np.uint64
_P: Final = _U64(0x9E3779B97F4A7C15)
_SPACE, _WORD, _CJK, _MARK = 0, 1, 2, 3


def _powers(n: int) -> NDArray[np.uint64]:
    powers = [1]
    for _ in range(n - 1):
        powers.append(powers[-1] * int(_P) % 2**64)
    return np.array(powers, dtype=np.uint64)


_POWERS = _powers(MAX_TOKEN)


def _tables() -> tuple[NDArray[np.uint8], NDArray[np.uint32], NDArray[np.bool_]]:
    """Class, lower case and upper-ness of the 65,536 basic code points."""
    kinds = np.full(65536, _MARK, dtype=np.uint8)
    lower = np.arange(65536, dtype=np.uint32)
    upper = np.zeros(65536, dtype=np.bool_)
    for code in range(65536):
        char = chr(code)
        if char.isspace() or code < 32 or code == 0x5F:
            kinds[code] = _SPACE
        elif char.isalnum() or code in _COMBINING:
            kinds[code] = _WORD
        if char.isdigit():
            lower[code] = 0x30
        elif len(folded := char.lower()) == 1:
            lower[code] = ord(folded)
            upper[code] = folded != char
    for low, high in ((0x2E80, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF)):
        kinds[low : high + 1] = np.where(
            kinds[low : high + 1] == _WORD, _CJK, kinds[low : high + 1]
        )
    return kinds, lower, upper


_COMBINING = frozenset((*range(0x300, 0x370), *range(0x900, 0x0E00), *range(0x64B, 0x660)))
_KINDS, _LOWER, _UPPER = _tables()

_CODE_FENCE = re.compile(r"```|~~~")
_URL = re.compile(r"https?://")
_PATH = re.compile(r"\b[\w-]{1,64}(?:/|\.(?:[a-z]{1,4}|swift|tfvars|ipynb)\b)")
_TRACE = re.compile(
    r"traceback|exception|stack ?trace|^[ \t]{1,32}at [\w.$<>]{1,200}\(|error:|panic:|errno|"
    r"segfault|caused by",
    re.IGNORECASE | re.MULTILINE,
)
_DIFF = re.compile(r"^(?:[+-](?![+-])|@@|diff --git|index [0-9a-f]{7})", re.MULTILINE)
_LIST = re.compile(r"^[ \t]{0,16}(?:[-*•]|\d{1,2}[.)])\s", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class HashedText:
    """Hashes of one text by block with the weight of each, and its surface counts."""

    hashes: tuple[Hashes, ...]
    weights: tuple[Floats, ...]
    surface: Floats


def tokenize(text: str) -> HashedText:
    """Hash a text.  Returns one uint32 array per block and float32 (len(SURFACE),)."""
    text = clip(text)
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    basic = np.minimum(codes, 65535)
    kinds, lower, upper = _KINDS[basic], _LOWER[basic], _UPPER[basic]
    lower = np.where(codes < 65536, lower, codes)
    starts, ends = _token_spans(kinds, upper)
    words = _span_hashes(lower, starts, ends)
    framing = _framing(len(words), FRAME_TOKENS)
    pairs = _mix(words[:-1] * _U64(3) + words[1:] * _P + _U64(1))
    grams, places = _char_grams(lower, kinds)
    edges = _edges(words)
    return HashedText(
        hashes=(_cut(np.concatenate((words, pairs))), grams, edges),
        weights=(
            np.concatenate((framing, framing[1:])),
            _framing(len(codes), FRAME_CHARS)[places],
            np.ones(len(edges), np.float32),
        ),
        surface=_surface(text, codes, kinds, upper, len(words)),
    )


def _framing(n: int, frame: int) -> Floats:
    """Weights of ``n`` places in a row: 1 within ``frame`` of an end, PASTE_WEIGHT between."""
    weights = np.full(n, PASTE_WEIGHT, np.float32)
    weights[:frame] = 1.0
    weights[max(0, n - frame) :] = 1.0
    return weights


def _token_spans(
    kinds: NDArray[np.uint8], upper: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where tokens start and end: word runs, single marks, single CJK characters."""
    if not len(kinds):
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    before = np.concatenate(([_SPACE], kinds[:-1]))
    hump = np.concatenate(([False], upper[1:] & ~upper[:-1]))
    begins = (kinds != _SPACE) & ((kinds != before) | (kinds >= _CJK) | hump)
    starts = np.flatnonzero(begins)
    breaks = np.flatnonzero(begins | ((kinds == _SPACE) & (before != _SPACE)))
    following = np.searchsorted(breaks, starts, side="right")
    ends = np.append(breaks, len(kinds))[following]
    return starts, ends


def _span_hashes(
    lower: NDArray[np.uint32], starts: NDArray[np.intp], ends: NDArray[np.intp]
) -> NDArray[np.uint64]:
    """Hash each span of lower-cased code points; uint64 (n_tokens,)."""
    if not len(starts):
        return np.zeros(0, np.uint64)
    lengths = np.minimum(ends - starts, MAX_TOKEN)
    offsets = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    place = np.arange(int(lengths.sum())) - np.repeat(offsets, lengths)
    values = lower[np.repeat(starts, lengths) + place].astype(np.uint64)
    return _mix(np.add.reduceat((values + _U64(1)) * _POWERS[place], offsets))


def _char_grams(
    lower: NDArray[np.uint32], kinds: NDArray[np.uint8]
) -> tuple[Hashes, NDArray[np.intp]]:
    """Hash the character n-grams that lie inside a word, its two edges included.

    Returns the hashes and, for each, the place of its second character in the text.
    """
    inside = (kinds == _WORD) | (kinds == _CJK)
    codes = np.where(inside, lower, 0x20).astype(np.uint64)
    codes = np.concatenate(([_U64(0x20)], codes, [_U64(0x20)]))
    blank = np.concatenate(([0], np.cumsum(codes == 0x20)))
    grams, places = [np.zeros(0, np.uint64)], [np.zeros(0, np.intp)]
    for n in CHAR_GRAMS:
        count = len(codes) - n + 1
        if count <= 0:
            continue
        value = np.full(count, n, dtype=np.uint64)
        for k in range(n):
            value = value * _P + codes[k : k + count]
        within = blank[n - 1 : n - 1 + count] - blank[1 : 1 + count] == 0
        grams.append(value[within])
        places.append(np.flatnonzero(within))
    return _cut(_mix(np.concatenate(grams) + _U64(2))), np.concatenate(places)


def _edges(words: NDArray[np.uint64]) -> Hashes:
    """Hash the first and last tokens, alone and as a growing phrase, as features of the edge."""
    head, tail = words[:EDGE_TOKENS], words[::-1][:EDGE_TOKENS]
    found: list[NDArray[np.uint64]] = []
    for salt, edge in ((11, head), (13, tail)):
        phrases = np.cumsum(edge * _POWERS[1 : len(edge) + 1], dtype=np.uint64)[1:]
        found += [edge + _U64(salt), phrases + _U64(salt + 16)]
    return _cut(_mix(np.concatenate(found)))


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Finish a hash with splitmix64 (https://prng.di.unimi.it/splitmix64.c)."""
    value = (value ^ (value >> _U64(30))) * _U64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> _U64(27))) * _U64(0x94D049BB133111EB)
    return value ^ (value >> _U64(31))


def _cut(value: NDArray[np.uint64]) -> Hashes:
    return (value >> _U64(64 - HASH_BITS)).astype(np.uint32)


def _surface(
    text: str,
    codes: NDArray[np.uint32],
    kinds: NDArray[np.uint8],
    upper: NDArray[np.bool_],
    n_tokens: int,
) -> Floats:
    """Count what is seen without reading; every value is finite and about 0 to 2."""
    n = max(1, len(codes))
    spaces, words, cjk, marks = np.bincount(kinds, minlength=4).tolist()
    uppers = int(np.count_nonzero(upper))
    stripped = text.rstrip()
    values = (
        log1p(len(codes)) / 5,
        log1p(text.count("\n")) / 3,
        log1p(n_tokens) / 4,
        min(20.0, words / max(1, n_tokens)) / 8,
        uppers / n * 4,
        np.count_nonzero((codes >= 0x30) & (codes <= 0x39)) / n * 4,
        marks / n * 4,
        np.count_nonzero(codes > 127) / n,
        cjk / n,
        spaces / n * 4,
        float(bool(_CODE_FENCE.search(text))),
        min(4, text.count("`") // 2) / 2,
        min(3, text.count("?") + text.count("？")) / 2,
        float(stripped.endswith(("?", "？"))),
        min(3, text.count("!")) / 2,
        min(3, len(_URL.findall(text))) / 2,
        log1p(len(_PATH.findall(text))) / 2,
        log1p(len(_TRACE.findall(text))),
        log1p(len(_DIFF.findall(text))) / 2,
        log1p(len(_LIST.findall(text))) / 2,
        log1p(text.count("{") + text.count("(")) / 3,
        log1p(text.count(";")) / 3,
        float(not uppers),
        min(3, text.count("@")) / 2,
        float(stripped.startswith(("{", "["))),
        min(6, text.count("</")) / 3,
    )
    return np.array(values, dtype=np.float32)


PROBES: Final = (
    "",
    "Fix the failing test in src/app/UserService.java, line 1204 (NullPointerException)?",
    "\u00bfPuedes a\u00f1adir una p\u00e1gina? \u4fee\u590d\u767b\u5f55 bug \U0001f389 ```x = {1: 'a'}```",
    "Write a test for this. " + "alpha beta gamma delta. " * 40 + "Thanks!",
    "\x00\ufffd\u0301 _a_b_ 10.5% https://a.b/c\n- one\n- two\n@@ -1 +1 @@",
)
"""Texts whose features tell one definition of the features from another."""


@cache
def fingerprint() -> str:
    """Return 12 hex digits that change when the features of any probe change."""
    digest = hashlib.sha256(repr((HASH_BITS, BLOCKS, SURFACE)).encode())
    for tokens in map(tokenize, PROBES):
        for block, weights in zip(tokens.hashes, tokens.weights, strict=True):
            order = np.argsort(block, kind="stable")
            digest.update(block[order].tobytes() + weights[order].tobytes())
        digest.update(np.round(tokens.surface, 4).tobytes())
    return digest.hexdigest()[:12]
