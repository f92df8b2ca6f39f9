"""What the newest words do to the task under way: carry it on, change it, or put another in its place.

"1", "yes, go on" and "src/auth" set no task: they answer what the assistant asked, and a migration
that hangs on such an answer is still a migration.  "Before that, what does 403 mean?" sets one,
though the assistant asked as well.  What tells them apart is how the words read on their own, what the
assistant's last words were (a question, options, a plan, a report), and what both have in common:
``signs``, a few numbers that a small network weighs.  It is trained on conversations
(``classifier.training.carry``), and travels in the card.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from classifier.tasks import FAMILIES, N_LEVELS, TYPES, family_of

Vector = NDArray[np.float32]

TURNS: Final = ("answer", "go_ahead", "correction", "follow_up", "new", "thanks")
"""What newest words can do: answer the assistant, tell it to go on, put it right, ask for more of
the same, set a new task, end."""

FRESH: Final = "new"
"""What the first words of a conversation do."""

KEEPS, ALTERS, REPLACES = 0, 1, 2
OUTCOMES: Final = 3
OUTCOME_OF: Final[Mapping[str, int]] = {
    "answer": KEEPS,
    "go_ahead": KEEPS,
    "correction": KEEPS,
    "follow_up": ALTERS,
    "new": REPLACES,
    "thanks": REPLACES,
}

REPLY_CHARS: Final = 1200
"""How much of the end of the assistant's words is looked at: a question and its options."""

TAIL_CHARS: Final = 300
"""In how much of it a question is the last thing said."""

QUESTION_CHARS: Final = 600
"""In how much of it the last question is looked for."""

STEM_CHARS: Final = 5
"""Words that begin alike are one word in two forms: "rewrite" answers "rewritten"."""

_QUESTION = re.compile(r"[?？؟](?![\w=&])")
_OPTION = re.compile(r"^[ \t]{0,8}(?:[-*•]|\(?\d{1,2}[.)]|\(?[a-dA-D][.)])\s", re.MULTILINE)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？؟।…\n])\s*")
_OPENING = re.compile(r"\W*(?:\w+\W+)?\w+[,.:;!。，、،…]")
_STEM = re.compile(r"[^\W_]+")
_QUOTED = re.compile(r"`([^`\n]+)`")
_PICK = re.compile(r"\W*(?:\d{1,2}|[a-eA-E])\W*")
_NAME = re.compile(r"[/_@.:][./:@_-]{0,4}\w|`[^`\n]{1,80}`")
_WORD = re.compile(r"[\u2e80-\u9fff\uac00-\ud7a3]|[^\W\d_\u2e80-\u9fff\uac00-\ud7a3]{2,}|\d+")
_COMMAS: Final = ",，、،"
_CHAT: Final = TYPES.index("general/conversation")
_LEVELS: Final = np.arange(N_LEVELS, dtype=np.float32)
_FAMILY_OF = np.array([[family_of(t) == family for family in FAMILIES] for t in TYPES], np.float32)


class TextReading(NamedTuple):
    """How a text reads on its own: ``p_type`` (len(TYPES),), ``p_level`` (4,), ``p_turn`` (len(TURNS),)."""

    p_type: Vector
    p_level: Vector
    p_turn: Vector


SIGNS: Final = 52


def signs(before: TextReading, reply: str, own: TextReading, ask: str) -> Vector:
    """Return what is seen of newest words after a reply, float32 (SIGNS,), each about -2 to 4.

    ``before`` is how the task under way reads, ``own`` how the newest words do.
    """
    reply, words, head = reply[-REPLY_CHARS:], ask.split(), ask[:TAIL_CHARS]
    tail, question = reply[-TAIL_CHARS:].rstrip(), _last_question(reply[-QUESTION_CHARS:])
    mine, theirs = _words(head), _words(reply)
    stems, asked, said = _stems(head), _stems(question), _stems(reply)
    threes, twos = _pieces(head, 3), _pieces(head, 2)
    named = bool(_NAME.search(ask))
    mean, mean_before = own.p_level @ _LEVELS / 2, before.p_level @ _LEVELS / 2
    return np.array(
        (
            *np.log(own.p_turn + 1e-3) / 3,
            own.p_type.max(),
            _entropy(own.p_type),
            own.p_type[_CHAT],
            own.p_type @ before.p_type,
            mean,
            mean_before,
            np.log1p(len(ask)) / 5,
            np.log1p(len(words)) / 3,
            len(words) <= 1,
            len(ask) <= 3,
            not any(c.isalpha() for c in head),
            bool(_PICK.fullmatch(ask)),
            named and len(words) == 1,
            named,
            ask.endswith(("?", "？", "؟")),
            bool(_QUESTION.search(ask)),
            ask[:1].isupper(),
            bool(_QUESTION.search(tail)),
            tail.endswith(("?", "？", "؟")),
            min(5, len(_OPTION.findall(reply))) / 3,
            np.log1p(len(reply)) / 5,
            tail.endswith((":", "：")),
            len(mine & theirs) / max(1, len(mine)),
            len(mine & theirs) / max(4, len(theirs)) * 4,
            _shared(threes, _pieces(reply[-QUESTION_CHARS:], 3), 5),
            _shared(threes, _pieces(question, 3), 5),
            _shared(twos, _pieces(question, 2), 5),
            _shared(stems, asked, 2),
            _shared(stems, said, 2),
            min(4, len((stems & said) - asked) / 3),
            (own.p_type @ _FAMILY_OF) @ (before.p_type @ _FAMILY_OF),
            mean - mean_before,
            before.p_type.max(),
            _entropy(before.p_type),
            len(question) / 200,
            bool(_QUESTION.search(question)),
            "\n" in ask.strip(),
            min(4, (ask.count("\n") + 1) / 5),
            "```" in ask,
            np.log1p(sum(map(ask.count, _COMMAS))) / 2,
            min(4, sum(bool(part.strip()) for part in _SENTENCE.split(ask)) / 3),
            any(c.isdigit() for c in ask),
            sum(c.isdigit() for c in head) / max(1, len(head)),
            sum(not (c.isalnum() or c.isspace()) for c in head) / max(1, len(head)),
            bool(_OPENING.match(head)),
            any(name in head for name in _QUOTED.findall(reply)),
        ),
        dtype=np.float32,
    )


def asks_something(reply: str) -> bool:
    """Whether an assistant's last words hold a question."""
    return bool(_QUESTION.search(reply[-TAIL_CHARS:]))


def _last_question(reply: str) -> str:
    """Return the last sentence that asks; if none does, the last sentence."""
    parts = [part for part in _SENTENCE.split(reply) if part]
    asks = [part for part in parts if _QUESTION.search(part)]
    return (asks or parts or [""])[-1]


def _entropy(p: Vector) -> float:
    """Entropy in nats, a third of it: 0 to about 1."""
    return -float(p @ np.log(p + 1e-9)) / 3


def _pieces(text: str, n: int) -> set[str]:
    """Return all runs of n characters, which words in any script share with their other forms."""
    small = " ".join(text.lower().split())
    return {small[i : i + n] for i in range(len(small) - n + 1)}


def _stems(text: str) -> set[str]:
    return {word[:STEM_CHARS] for word in _STEM.findall(text.lower())}


def _shared(mine: set[str], theirs: set[str], least: int) -> float:
    """Return the share of mine that are theirs as well, 0 to 1, of ``least`` at the least."""
    return len(mine & theirs) / max(least, len(mine))


@cache
def carry_fingerprint() -> str:
    """Return 12 hex digits that change when the turns, their outcomes, a pattern or the signs of a probe change."""
    patterns = (_QUESTION, _OPTION, _SENTENCE, _OPENING, _STEM, _QUOTED, _PICK, _NAME, _WORD)
    sizes = (REPLY_CHARS, TAIL_CHARS, QUESTION_CHARS, STEM_CHARS, _COMMAS)
    told = (TURNS, sorted(OUTCOME_OF.items()), SIGNS, sizes, [p.pattern for p in patterns])
    digest = hashlib.sha256(repr(told).encode())
    for seen in probes():
        digest.update((np.round(seen + OFF_EDGES, 2) + 0.0).tobytes())
    return digest.hexdigest()[:12]


def probes() -> list[Vector]:
    """Return signs that tell one definition of them from another: no sign is the same in all."""
    sizes = len(TYPES), N_LEVELS, len(TURNS)

    def reading(k: int) -> TextReading:
        odds = (np.arange(1, n + 1, dtype=np.float32)[:: 1 - 2 * (k % 2)] ** k for n in sizes)
        return TextReading(*(p / p.sum() for p in odds))

    return [
        signs(reading(k), PROBES[k][0], reading(k + 1), PROBES[k][1]) for k in range(len(PROBES))
    ]


OFF_EDGES: Final = np.float32(0.0011)
"""Moves the probes' signs from where rounding would fall one way on one machine and another on another."""

PROBES: Final = (
    ("", ""),
    ("Two ways:\n1. in place\n2. a new table\nWhich one?", "2."),
    ("Shall I change `src/app.py` as well?", "Yes, src/app.py\nand `src/b.py` too"),
    ("終わりました：", "ありがとう"),
    ("Done. Here it is:", "Why does /v1/users return 500?\n```\n500 Error\n```"),
    ("Which?", "postgres"),
    ("Where is it?", "src/a.py"),
    ("Done.", "and the others?"),
)
"""Replies and newest words."""


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


@dataclass(frozen=True, slots=True)
class Carry:
    """The small network: ``w1`` (SIGNS, h), ``b1`` (h,), ``w2`` (h, OUTCOMES), ``b2``."""

    w1: Vector
    b1: Vector
    w2: Vector
    b2: Vector

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> Self:
        """Read it from a card; raises KeyError, TypeError or ValueError."""
        parts = [np.array(card[name], np.float32) for name in ("w1", "b1", "w2", "b2")]
        shapes = [part.shape for part in parts]
        hidden = parts[1].size
        if shapes != [(SIGNS, hidden), (hidden,), (hidden, OUTCOMES), (OUTCOMES,)]:
            raise ValueError(
                f"weights of the shapes {shapes}, not of {SIGNS} signs and {OUTCOMES} outcomes"
            )
        if not all(np.isfinite(part).all() for part in parts):
            raise ValueError("weights that are no numbers")
        return cls(*parts)

    def card(self) -> dict[str, Any]:
        """Return what ``of`` reads."""
        names = ("w1", "b1", "w2", "b2")
        return {name: np.round(getattr(self, name), 4).tolist() for name in names}

    def outcome(self, seen: Vector) -> Vector:
        """Return the probabilities that the newest words keep, alter or replace the task."""
        z = np.maximum(seen @ self.w1 + self.b1, 0) @ self.w2 + self.b2
        e = np.exp(z - z.max())
        return np.asarray(e / e.sum(), dtype=np.float32)
