"""Text → vector, in numpy alone: the same code trains and serves.

A text becomes hashed tokens and a few surface counts.  Tokens are words and single punctuation
marks (split at camelCase and underscores, digits made alike, each CJK character a token of its
own), pairs of neighbouring tokens, character n-grams inside words (typing errors, inflection,
languages without spaces), and the first and last tokens once more under a name of their own,
because an ask's verb stands at its edge.

A text is read in segments: its sentences, its lines, and as one each run of lines that looks pasted.
The wish is one or two of them; a greeting, a sentence of background, a log are others.

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
from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import log1p
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from classifier.ask import ASK_HEAD_CHARS, ASK_TAIL_CHARS, clip

HASH_BITS: Final = 20
CHAR_GRAMS: Final = (3, 4, 5)
"""Three, and each next one more: the signs between the two edges are found so."""

EDGE_TOKENS: Final = 3
PASTED_SHARE: Final = 0.14
PASTED_CHARS: Final = 20
"""A line looks pasted (code, a log, a table) when this share of it is signs that prose has few of; a
shorter line is measured as if it had PASTED_CHARS."""

HEAD_SEGMENTS: Final = 6
MAX_SEGMENTS: Final = 12
"""What stands between the first HEAD_SEGMENTS and the last of MAX_SEGMENTS is one segment."""

BLOCKS: Final = ("word", "char", "edge")
"""The groups of tokens, each scaled to unit length on its own."""

SURFACE: Final = (
    "log_chars", "log_lines", "log_tokens", "mean_token", "upper", "digits", "punctuation",
    "non_ascii", "cjk", "spaces", "code_fence", "inline_code", "question_marks", "ends_question",
    "exclamations", "urls", "paths", "traceback", "diff_lines", "list_lines", "braces",
    "semicolons", "all_lower", "mentions", "json_like", "xml_like", "commas", "ands", "colons",
)  # fmt: skip

SHAPE: Final = (
    "log_tokens", "punctuation", "question", "first", "last", "pasted", "segments", "place",
    "first_line", "last_line", "last_paragraph", "first_paragraph", "paragraph",
    "line_share", "paragraph_share",
)  # fmt: skip
"""What is seen of a segment: how large, of what kind, and where it stands."""

Hashes = NDArray[np.uint32]
Places = NDArray[np.int64]
Signs = NDArray[np.uint8]
Floats = NDArray[np.float32]
U64s = NDArray[np.uint64]


def _u64(value: int) -> U64s:
    """Return a constant as an array of no axis, which numpy reads faster than a scalar."""
    return np.array(value, np.uint64)


_P: Final = 0x9E3779B97F4A7C15
_SPACE, _WORD, _CJK, _MARK = 0, 1, 2, 3
_QUESTIONS = frozenset(map(ord, "?？؟"))

_ONE, _TRIPLE, _BASE = map(_u64, (1, 3, _P))
_MIX = tuple(map(_u64, (30, 0xBF58476D1CE4E5B9, 27, 0x94D049BB133111EB, 31)))
_LOW_BITS = _u64(64 - HASH_BITS)
_IN_WORD = np.array([kind in (_WORD, _CJK) for kind in range(4)])
_ZERO = np.zeros(1, np.int64)
_GRAM_SIZES = np.array(CHAR_GRAMS)

_STEPS = np.arange(EDGE_TOKENS)
_DEPTHS = np.concatenate((_STEPS, _STEPS[1:]))
_INWARD = np.array((_STEPS, -_STEPS))[:, None, :]
_SALTS = np.array(((11,), (13,)), np.uint64)[:, None] + np.where(
    np.arange(len(_DEPTHS)) < EDGE_TOKENS, 0, 16
).astype(np.uint64)
"""Of an edge come its tokens alone, then the phrases of two and more: how far inward each reaches,
and what is added to its hash, (2 edges, 1, features)."""


def _powers(base: int, n: int) -> U64s:
    powers = [1]
    for _ in range(n - 1):
        powers.append(powers[-1] * base % 2**64)
    return np.array(powers, dtype=np.uint64)


_LONGEST: Final = ASK_HEAD_CHARS + ASK_TAIL_CHARS + 8
_POWERS = _powers(_P, _LONGEST)
_INVERSES = _powers(pow(_P, -1, 2**64), _LONGEST)
"""Powers of the odd base and of its inverse modulo 2**64: the hash of any span is one difference of
running sums, shifted to the span's start."""


def _tables() -> tuple[Signs, Places, NDArray[np.bool_]]:
    """Class, way to the lower case and upper-ness of the 65,536 basic code points.

    The last, U+FFFF, is a mark without cases: ``take(mode="clip")`` reads what is beyond it alike.
    """
    kinds = np.full(65536, _MARK, dtype=np.uint8)
    shift = np.zeros(65536, dtype=np.int64)
    upper = np.zeros(65536, dtype=np.bool_)
    for code in range(65536):
        char = chr(code)
        if char.isspace() or code < 32 or code == 0x5F:
            kinds[code] = _SPACE
        elif char.isalnum() or code in _COMBINING:
            kinds[code] = _WORD
        if char.isdigit():
            shift[code] = 0x30 - code
        elif len(folded := char.lower()) == 1:
            shift[code] = ord(folded) - code
            upper[code] = folded != char
    for low, high in ((0x2E80, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF)):
        kinds[low : high + 1] = np.where(
            kinds[low : high + 1] == _WORD, _CJK, kinds[low : high + 1]
        )
    return kinds, shift, upper


_COMBINING = frozenset((*range(0x300, 0x370), *range(0x900, 0x0E00), *range(0x64B, 0x660)))
_KINDS, _TO_LOWER, _UPPER = _tables()

_STOPS = np.zeros(65536, np.uint8)
_STOPS[[ord(c) for c in "！？。؟।…"]] = _MARK + 1
_STOPS[[ord(c) for c in ".!?"]] = _SPACE + 1
"""A sign ends a sentence where its number here is above the class of what follows: those of ASCII
before a space, the others before anything."""

_NOISE = 1 << 16
_SEEN = (_KINDS != _SPACE).astype(np.int64)
_SEEN[[ord(c) for c in '0123456789=<>{}[]()/\\|;#$%^&*+~@"`:-']] += _NOISE
"""Two counts in one number: what is seen, and above it the ASCII signs that prose has few of."""

_NUMBERED = re.compile(r"\n[0-9][.)]")

_NAMES = np.arange(MAX_SEGMENTS, dtype=np.uint8)
_OF_EDGES = _NAMES.repeat(len(_DEPTHS))

_TRACES = (
    "traceback", "exception", "stack trace", "error:", "panic:", "errno", "segfault", "caused by",
)  # fmt: skip


class Layout(NamedTuple):
    """Of each segment: whether it looks pasted, its line, and its paragraph, counted from the top."""

    pasted: list[bool]
    line: list[int]
    paragraph: list[int]


_ALONE: Final = Layout([False], [0], [0])


@dataclass(frozen=True, slots=True)
class HashedText:
    """One text as hashed tokens, and what is counted of it.

    Per block of ``BLOCKS``: ``hashes`` uint32 and ``segments`` uint8, one for each token, the latter being
    the segment that it stands in.  ``surface`` float32 (len(SURFACE),) is counted over the whole text,
    ``shapes`` float32 (segments, len(SHAPE)) of each segment; there is one at least.
    """

    hashes: tuple[Hashes, ...]
    segments: tuple[NDArray[np.uint8], ...]
    surface: Floats
    shapes: Floats


def tokenize(text: str) -> HashedText:
    """Hash a text and split it into segments."""
    text = clip(text)
    codes, kinds = _read(text)
    upper = _UPPER.take(codes, mode="clip")
    starts, ends = _token_spans(kinds, upper)
    bounds, heads, layout = _segments(codes[1:-1], kinds[1:-1], starts)
    spans, places = _hashes(codes, kinds, starts, ends)
    words, hashes = spans[: len(starts)], _cut(spans)
    segment_of = _NAMES[: len(heads) - 1].repeat(_sizes(bounds))
    segments = segment_of.take(starts)
    pairs = words[:-1] * _TRIPLE + words[1:] * _BASE + _ONE
    edges, at = _edges(words, heads)
    paired = segments[1:]
    if len(heads) > 2:
        together = paired == segments[:-1]
        pairs, paired = pairs[together], paired[together]
    mixed = _cut(_mix(np.concatenate((pairs, edges))))
    return HashedText(
        hashes=(
            np.concatenate((hashes[: len(words)], mixed[: len(pairs)])),
            hashes[len(words) :],
            mixed[len(pairs) :],
        ),
        segments=(np.concatenate((segments, paired)), segment_of.take(places), at),
        surface=_surface(text, codes, kinds, upper, len(starts)),
        shapes=_shapes(codes, kinds, starts, ends, heads, layout),
    )


def own_segments(text: str, own: tuple[int, int], count: int) -> Floats:
    """Return 1 for each of ``count`` segments that is mostly ``own`` (first and last place), float32 (count,).

    All 0 where that says nothing: there is one segment, all are own, or places were clipped away.
    """
    if count == 1 or clip(text) != text:
        return np.zeros(count, np.float32)
    codes, kinds = _read(text)
    starts, _ = _token_spans(kinds, _UPPER.take(codes, mode="clip"))
    bounds, _, _ = _segments(codes[1:-1], kinds[1:-1], starts)
    seen = kinds[1:-1].nonzero()[0]
    segments = _NAMES[:count].repeat(_sizes(bounds)).take(seen)
    inside = (seen >= own[0]) & (seen < own[1])
    share = np.bincount(segments, inside, count) / np.bincount(segments, minlength=count)
    mine = (share > 0.5).astype(np.float32)
    return mine * np.float32(not mine.all())


def _read(text: str) -> tuple[Places, Signs]:
    """Return code points and classes of a text between two spaces, int64 and uint8 (n + 2,).

    With a space at either end every token has a sign before it and one after it.  Places are those
    of the text; its sign at place p is the array's at p + 1.
    """
    raw = f" {text} ".encode("utf-32-le", "surrogatepass")
    codes = np.frombuffer(raw, np.uint32).astype(np.int64)
    return codes, _KINDS.take(codes, mode="clip")


def _token_spans(kinds: Signs, upper: NDArray[np.bool_]) -> tuple[Places, Places]:
    """Return where tokens start and end: word runs, single marks, single CJK characters.

    ``kinds`` and ``upper`` are of the text between two spaces, so each token's end is a break too.
    """
    now, hump = kinds[1:], upper[1:] > upper[:-1]
    breaks = ((now != kinds[:-1]) | (now >= _CJK) | hump).nonzero()[0]
    begins = now.take(breaks).astype(np.bool_)
    return breaks[begins], breaks[1:][begins[:-1]]


def _segments(codes: Places, kinds: Signs, starts: Places) -> tuple[list[int], list[int], Layout]:
    """Split a text into segments; ``starts`` are its tokens' places.

    A segment is a sentence (to the last of several stops in a row) or a line with a token; lines in a
    row that look pasted (code, logs, fences) are one.  Returns the place where each begins and the number
    of its first token, both with one more for the end, and where they stand (nothing where there is one).
    """
    n = len(codes)
    signs = _STOPS.take(codes, mode="clip")
    ends = signs[:-1] > kinds[1:]
    ends[:-1] &= ~ends[1:]
    ends[-1:] &= signs[-1:] == 0
    stops = ends.nonzero()[0] + 1
    breaks = (codes[:-1] == 10).nonzero()[0] + 1
    if not (len(stops) or len(breaks)) or not len(starts):
        return [0, n], [0, len(starts)], _ALONE
    lines = np.concatenate((_ZERO, breaks))
    pasted, blank = _pasted(codes, lines)
    if np.count_nonzero(pasted):
        breaks = breaks[~(pasted[1:] & pasted[:-1])]
        stops = stops[~pasted.take(lines.searchsorted(stops, "right") - 1)]
    cuts = np.concatenate((_ZERO, breaks, stops, [n]))
    cuts.sort()
    first = starts.searchsorted(cuts)
    held = first[1:] > first[:-1]
    bounds, heads = (
        _fold(cuts[:-1][held].tolist(), n),
        _fold(first[:-1][held].tolist(), len(starts)),
    )
    if len(heads) == 2:
        return bounds, heads, _ALONE
    line = lines.searchsorted(starts.take(heads[:-1]), "right") - 1
    paragraph = blank.cumsum().take(line)
    return bounds, heads, Layout(pasted.take(line).tolist(), line.tolist(), paragraph.tolist())


def _fold(begins: list[int], end: int) -> list[int]:
    """Keep where the first HEAD_SEGMENTS, what is between, and the last segments begin, and the end."""
    if len(begins) > MAX_SEGMENTS:
        begins = begins[: HEAD_SEGMENTS + 1] + begins[HEAD_SEGMENTS + 1 - MAX_SEGMENTS :]
    return [0, *begins[1:], end]


def _sizes(bounds: list[int]) -> list[int]:
    """Return how long each segment is, from where each begins and the end."""
    return [end - begin for begin, end in pairwise(bounds)]


def _pasted(codes: Places, lines: Places) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return of each line whether it looks pasted (noisy or fenced; a blank one as the one before), and is blank."""
    counts = np.add.reduceat(_SEEN.take(codes, mode="clip"), lines)
    seen = counts & (_NOISE - 1)
    pasted: NDArray[np.bool_] = (counts >> 16) > PASTED_SHARE * np.maximum(seen, PASTED_CHARS)
    ticks = codes == 0x60
    if np.count_nonzero(ticks) and len(codes) > 2:
        fences = ticks.take(lines)
        for k in (1, 2):
            fences &= ticks.take(lines + k, mode="clip")
        pasted |= fences | (fences.cumsum() % 2 == 1)
    if np.count_nonzero(seen) < len(seen):
        last = np.maximum.accumulate(np.where(seen, np.arange(len(lines)), 0))
        pasted = pasted.take(last)
    return pasted, seen == 0


def _hashes(codes: Places, kinds: Signs, starts: Places, ends: Places) -> tuple[U64s, Places]:
    """Hash the tokens, then the character n-grams that lie inside a word, its two edges included.

    Returns the hashes, uint64 (tokens + n-grams,), and the place of each n-gram's second character.
    A span's hash is a difference of running sums, shifted back to the text's start.
    """
    inside = _IN_WORD.take(kinds)
    lower = codes + _TO_LOWER.take(codes, mode="clip")
    letters = np.where(inside, lower, 0x20)
    sums = np.zeros(len(codes) + 1, np.uint64)
    ((letters + 1).view(np.uint64) * _POWERS[: len(codes)]).cumsum(out=sums[1:])
    runs, found = inside[1:], []
    for more in range(len(CHAR_GRAMS)):
        found.append(runs.nonzero()[0])
        runs = runs[:-1] & inside[more + 2 :]
    places = np.concatenate(found)
    sizes = _GRAM_SIZES.repeat([len(at) for at in found])
    first = np.concatenate((starts + 1, places))
    after = np.concatenate((ends + 1, places + sizes))
    values = (sums.take(after) - sums.take(first)) * _INVERSES.take(first)
    n = len(starts)
    values[:n] += (lower - letters).view(np.uint64).take(starts + 1)
    values[n:] += sizes.view(np.uint64)
    return _mix(values), places


def _edges(words: U64s, heads: list[int]) -> tuple[U64s, Signs]:
    """Hash the first and last tokens of each segment, alone and as a growing phrase.

    Returns the hashes, as features of the edge, unmixed, and the segment of each.
    """
    if not len(words):
        return np.zeros(0, np.uint64), np.zeros(0, np.uint8)
    bounds = np.array(heads)
    first, after = bounds[:-1], bounds[1:]
    at = np.concatenate((first, after - 1)).reshape(2, -1, 1) + _INWARD
    near = words.take(at, mode="clip")
    phrases = (near * _POWERS[1 : EDGE_TOKENS + 1]).cumsum(axis=2)
    values = np.concatenate((near, phrases[:, :, 1:]), axis=2) + _SALTS
    fits = ((after - first)[:, None] > _DEPTHS).ravel().nonzero()[0]
    segments = _OF_EDGES.take(fits)
    return values.reshape(2, -1).take(fits, axis=1).ravel(), np.concatenate((segments, segments))


def _mix(value: U64s) -> U64s:
    """Finish a hash with splitmix64 (https://prng.di.unimi.it/splitmix64.c)."""
    value = (value ^ (value >> _MIX[0])) * _MIX[1]
    value = (value ^ (value >> _MIX[2])) * _MIX[3]
    return value ^ (value >> _MIX[4])


def _cut(value: U64s) -> Hashes:
    return (value >> _LOW_BITS).astype(np.uint32)


def _shapes(
    codes: Places, kinds: Signs, starts: Places, ends: Places, heads: list[int], layout: Layout
) -> Floats:
    """Describe each segment, float32 (segments, len(SHAPE))."""
    sizes = _sizes(heads)
    count, size = len(sizes), log1p(len(sizes)) / 2
    if count == 1:
        return np.array([[log1p(len(starts)) / 4, 0, 0, 0, 0, 0, size, *[0] * 8]], np.float32)
    of_tokens = kinds.take(starts + 1).tobytes()
    finals = codes.take(ends.take([head - 1 for head in heads[1:]])).tolist()
    lines, paragraphs, together = Counter[int](), Counter[int](), Counter(layout.paragraph)
    for i, tokens in enumerate(sizes):
        lines[layout.line[i]] += tokens
        paragraphs[layout.paragraph[i]] += tokens
    rows = []
    for i, (head, tokens) in enumerate(zip(heads, sizes, strict=False)):
        line, paragraph = layout.line[i], layout.paragraph[i]
        rows.append(
            (
                log1p(tokens) / 4,
                of_tokens.count(_MARK, head, head + tokens) / tokens,
                finals[i] in _QUESTIONS,
                i == 0,
                i == count - 1,
                layout.pasted[i],
                size,
                i / (count - 1),
                line == layout.line[0],
                line == layout.line[-1],
                paragraph == layout.paragraph[-1],
                paragraph == layout.paragraph[0],
                log1p(together[paragraph]) / 2,
                lines[line] / len(starts),
                paragraphs[paragraph] / len(starts),
            )
        )
    return np.array(rows, np.float32)


def _surface(
    text: str, codes: Places, kinds: Signs, upper: NDArray[np.bool_], n_tokens: int
) -> Floats:
    """Count what is seen without reading; every value is finite and about 0 to 2."""
    n = max(1, len(text))
    count = text.count
    seen = np.bincount(np.minimum(codes, 128), minlength=129).tolist()
    words, cjk, marks = map(kinds.tobytes().count, (_WORD, _CJK, _MARK))
    uppers = int(np.count_nonzero(upper))
    stripped = text.rstrip()
    small = text.lower()
    lines = "\n" + small
    items = lines.count("\n- ")
    numbered = len(_NUMBERED.findall(lines)) if len(text) > 2 else 0
    traces = sum(map(small.count, _TRACES)) + lines.count("\n    at ")
    diffs = lines.count("\n@@") + lines.count("\n+") + lines.count("\n-") - items
    items += lines.count("\n* ") + lines.count("\n• ") + numbered
    values = (
        log1p(len(text)) / 5,
        log1p(seen[10]) / 3,
        log1p(n_tokens) / 4,
        min(20.0, words / max(1, n_tokens)) / 8,
        uppers / n * 4,
        sum(seen[0x30:0x3A]) / n * 4,
        marks / n * 4,
        seen[128] / n,
        cjk / n,
        (len(text) - words - cjk - marks) / n * 4,
        float("```" in text or "~~~" in text),
        min(4, seen[0x60] // 2) / 2,
        min(3, seen[0x3F] + count("？") + count("؟")) / 2,
        float(stripped.endswith(("?", "？", "؟"))),
        min(3, seen[0x21]) / 2,
        min(3, count("://")) / 2,
        log1p(_paths(text, codes, kinds)) / 2,
        log1p(traces),
        log1p(max(0, diffs)) / 2,
        log1p(items) / 2,
        log1p(seen[0x7B] + seen[0x28]) / 3,
        log1p(seen[0x3B]) / 3,
        float(not uppers),
        min(3, seen[0x40]) / 2,
        float(stripped.startswith(("{", "["))),
        min(6, count("</")) / 3,
        log1p(seen[0x2C] + count("、") + count("，")) / 3,
        log1p(small.count(" and ")) / 2,
        log1p(seen[0x3A]) / 3,
    )
    return np.array(values, dtype=np.float32)


def _paths(text: str, codes: Places, kinds: Signs) -> int:
    """Count the points and slashes between two letters."""
    if "/" not in text and "." not in text:
        return 0
    joins = codes >> 1 == ord(".") >> 1  # 0x2E and 0x2F
    words = kinds == _WORD
    return int(np.count_nonzero(joins[1:-1] & words[:-2] & words[2:]))


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
        for block in zip(tokens.hashes, tokens.segments, strict=True):
            order = np.argsort(block[0], kind="stable")
            digest.update(b"".join(column[order].tobytes() for column in block))
        digest.update(np.round(tokens.surface, 4).tobytes() + np.round(tokens.shapes, 4).tobytes())
    return digest.hexdigest()[:12]
