"""One wish said in other ways: changes to an ask that leave what is wanted as it was.

Training reads every written ask once more in some other way, and the test of invariance
(``benchmarks.studies.invariance``) reads asks of writers left out in ways of which training saw
neither the phrases nor the pastes: a quarter of them is ``KEPT_ASIDE``, by hash.

A variation is a function of the words, what there is to put around them, and a random generator.
It returns the pieces in order, and which of them are the user's own wish.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
PHRASES_FILE: Final = "phrases.json"
PASTES_FILE: Final = "pastes.json"
LEXICON_FOLDER: Final = "lexicon"

KEPT_ASIDE: Final = 4
"""One in so many phrases and pastes is never trained with."""

OTHER: Final = "en"
"""Whose phrases a language without phrases of its own is given."""


@dataclass(frozen=True, slots=True)
class Material:
    """What may stand around a wish in one language: phrases by kind, and pasted texts."""

    openers: Sequence[str]
    contexts: Sequence[str]
    closers: Sequence[str]
    wrappers: Sequence[str]
    pastes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Saying:
    """A wish said in another way; ``own`` is where in ``text`` the words of the wish stand."""

    text: str
    own: tuple[int, int]


Variation = Callable[[str, Material, random.Random], Saying]


def material(lang: str, *, aside: bool) -> Material:
    """Return what may stand around a wish in a language: for training, or what is kept ``aside``."""
    phrases, pastes = _read()
    own = phrases.get(lang, phrases[OTHER])

    def part(texts: Sequence[str]) -> list[str]:
        return [text for text in texts if _kept_aside(text) == aside]

    local = [p["text"] for p in pastes if p["lang"] in (lang, OTHER)]
    kinds = {kind: part(own[kind]) for kind in ("openers", "contexts", "closers", "wrappers")}
    return Material(**kinds, pastes=part(local))


def vary(
    text: str,
    lang: str,
    rng: random.Random,
    *,
    pastes: Sequence[str] = (),
    aside: bool = False,
) -> Saying:
    """Say a wish in another way, one or two changes deep, chosen by ``rng``.

    ``pastes`` are texts that may stand beside it, besides those of the file.
    """
    said = Saying(text, (0, len(text)))
    names = set(rng.choices(tuple(VARIATIONS), tuple(OFTEN.values()), k=rng.choice((1, 1, 2))))
    around = _with(material(lang, aside=aside), pastes, rng)
    for name in sorted(names, key=tuple(VARIATIONS).index):
        said = _within(said, VARIATIONS[name], around, rng)
    return said


def pasted(text: str, lang: str, rng: random.Random, pastes: Sequence[str]) -> Saying:
    """Put a wish beside a paste, for training."""
    return _pasted(text, _with(material(lang, aside=False), pastes, rng), rng)


def in_context(text: str, lang: str, rng: random.Random) -> Saying:
    """Put a wish beside sentences of background, for training."""
    return _context(text, material(lang, aside=False), rng)


def _with(around: Material, pastes: Sequence[str], rng: random.Random) -> Material:
    """Add one paste of others to one of the file, if there are others."""
    if not pastes:
        return around
    return replace(around, pastes=[rng.choice(pastes), rng.choice(around.pastes)])


def _within(said: Saying, variation: Variation, around: Material, rng: random.Random) -> Saying:
    """Apply a variation to what was varied before; the wish lies where it lay inside."""
    again = variation(said.text, around, rng)
    start, end = again.own
    if end - start == len(said.text):
        return Saying(again.text, (start + said.own[0], start + said.own[1]))
    return again


def _around(before: str, text: str, after: str) -> Saying:
    return Saying(before + text + after, (len(before), len(before) + len(text)))


def _gap(rng: random.Random) -> str:
    return rng.choice((" ", " ", "\n", "\n\n"))


def _courtesy(text: str, around: Material, rng: random.Random) -> Saying:
    before = rng.choice(around.openers) + _gap(rng)
    after = _gap(rng) + rng.choice(around.closers) if rng.random() < 0.6 else ""
    return _around(before, text, after)


def _sign_off(text: str, around: Material, rng: random.Random) -> Saying:
    return _around("", text, _gap(rng) + rng.choice(around.closers))


def _context(text: str, around: Material, rng: random.Random) -> Saying:
    said = " ".join(rng.sample(around.contexts, rng.choice((1, 1, 2, 3))))
    if rng.random() < 0.7:
        return _around(said + _gap(rng), text, "")
    return _around("", text, _gap(rng) + said)


def _framed(text: str, around: Material, rng: random.Random) -> Saying:
    before, _, after = rng.choice(around.wrappers).partition("{}")
    return _around(before, text, after)


def _pasted(text: str, around: Material, rng: random.Random) -> Saying:
    paste = rng.choice(around.pastes)
    if rng.random() < 0.4:
        paste = f"```\n{paste}\n```"
    gap = rng.choice(("\n", "\n\n"))
    place = rng.random()
    if place < 0.45:
        return _around("", text, gap + paste)
    if place < 0.9:
        return _around(paste + gap, text, "")
    return _around(paste + gap, text, gap + rng.choice(around.pastes))


def _cased(text: str, around: Material, rng: random.Random) -> Saying:
    changed = rng.choice((text.lower(), text.lower(), _capital(text), text.rstrip(".!。 ") or text))
    return _around("", changed, "")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text[-1:] in ".!?。！？" else ".")


_LETTERS = re.compile(r"(?<![\w./@`-])[^\W\d_]{4,}(?![\w./@`-])")


def _mistyped(text: str, around: Material, rng: random.Random) -> Saying:
    """Swap, drop or double a letter in about one word of eight; names with signs in them stay."""

    def slip(found: re.Match[str]) -> str:
        word = found[0]
        if rng.random() > 0.13 or not word.isascii():
            return word
        at = rng.randrange(1, len(word) - 1)
        return rng.choice(
            (
                word[:at] + word[at + 1] + word[at] + word[at + 2 :],
                word[:at] + word[at + 1 :],
                word[:at] + word[at] + word[at:],
            )
        )

    return _around("", _LETTERS.sub(slip, text), "")


def _marked_up(text: str, around: Material, rng: random.Random) -> Saying:
    before, after = rng.choice(
        (("**", "**"), ("- ", ""), ("> ", ""), ("# ", ""), ("## Task\n\n", ""), ("1. ", ""),
         ('"', '"'), ("* ", ""), ("TODO: ", ""), ("### Request\n", "\n"), ("_", "_"))
    )  # fmt: skip
    return _around(before, text, after)


VARIATIONS: Final[Mapping[str, Variation]] = {
    "casing": _cased,
    "typing errors": _mistyped,
    "framed": _framed,
    "markdown": _marked_up,
    "context sentence": _context,
    "sign-off": _sign_off,
    "courtesy": _courtesy,
    "beside a paste": _pasted,
}
"""By name, in the order in which they go around each other."""


_SPOKEN = re.compile(r"(?<![\w./@$`:=-])[A-Za-z']+(?![\w/@`=-]|[.:]\w)")
_BETWEEN_SIGNS = re.compile(r"(?<=[\u2e80-\u9fff])[ \t]+(?=[\u2e80-\u9fff])")
_ARTICLES: Final = frozenset({"a", "an", "the"})

MAX_SWAPPED_CHARS: Final = 1200
"""Longer asks are mostly pasted, and stay as they are."""

FIRST_FORM: Final = 0.6
"""How often the commonest form of a word is taken."""


def other_language(text: str, lang: str, rng: random.Random) -> Saying | None:
    """Swap the words of an English ask for those of another language, one chosen by ``rng``.

    The words stand in English order, which a reader of words, pairs and edges hardly minds; names and
    rare words stay, as they do when developers write.  Code-switching as augmentation: Qin et al. 2020,
    arXiv:2006.06402.  None for an ask that is not English, or is long, or holds nothing but articles.
    """
    if lang != "en" or len(text) > MAX_SWAPPED_CHARS:
        return None
    other = rng.choice(sorted(_lexicons()))
    swapped = _swapped(text, _lexicons()[other], rng)
    if not swapped.strip():
        return None
    said = Saying(swapped, (0, len(swapped)))
    if rng.random() < 0.3:
        name = rng.choice(("framed", "context sentence", "sign-off", "courtesy"))
        said = VARIATIONS[name](swapped, material(other, aside=False), rng)
    return said


def _swapped(text: str, lexicon: Mapping[str, Sequence[str]], rng: random.Random) -> str:
    """Swap pairs of words first, then words; articles that have no counterpart go."""
    out, at = [], 0
    words = list(_SPOKEN.finditer(text))
    for k, word in enumerate(words):
        if word.start() < at:
            continue
        end, forms = word.end(), None
        if k + 1 < len(words) and text[end : words[k + 1].start()] == " ":
            forms = lexicon.get(f"{word[0]} {words[k + 1][0]}".lower())
            end = words[k + 1].end() if forms else end
        forms = forms or lexicon.get(word[0].lower())
        if forms is None and word[0].lower() not in _ARTICLES:
            continue
        out.append(text[at : word.start()])
        if forms:
            out.append(forms[0] if rng.random() < FIRST_FORM else rng.choice(forms))
        at = end + (not forms and text[end : end + 1] == " ")
    return _BETWEEN_SIGNS.sub("", "".join([*out, text[at:]]))


@cache
def _lexicons() -> Mapping[str, Mapping[str, Sequence[str]]]:
    """Read the dictionaries: language → English word or pair → its forms, the commonest first."""
    found = {}
    for path in sorted((FOLDER / LEXICON_FOLDER).glob("*.tsv")):
        lines = (line.split("\t") for line in path.read_text("utf-8").splitlines())
        found[path.stem] = {english: forms.split("|") for english, forms in lines}
    return found


OFTEN: Final[Mapping[str, float]] = {
    "casing": 0.5,
    "typing errors": 0.5,
    "framed": 1.0,
    "markdown": 0.5,
    "context sentence": 2.0,
    "sign-off": 1.0,
    "courtesy": 1.5,
    "beside a paste": 3.0,
}
"""How often each is chosen in training: what moves the reading most, most often."""


@cache
def _read() -> tuple[Mapping[str, Mapping[str, Sequence[str]]], Sequence[Mapping[str, str]]]:
    return (
        json.loads((FOLDER / PHRASES_FILE).read_text("utf-8")),
        json.loads((FOLDER / PASTES_FILE).read_text("utf-8")),
    )


def _kept_aside(text: str) -> bool:
    return hashlib.sha256(text.encode()).digest()[0] % KEPT_ASIDE == 0
