"""What the newest words do to the task under way: carry it on, change it, or put another in its place.

"1", "yes, go on" and "src/auth" set no task: they answer what the assistant asked, and a migration
that hangs on such an answer is still a migration.  "Before that, what does 403 mean?" sets one,
though the assistant asked as well.  What tells them apart is how the words read on their own, what the
assistant's last words were (a question, options, a plan, a report), and what both have in common:
``signs``, a few numbers that a small network weighs.  It is trained on conversations
(``classifier.training.carry``), and travels in the card.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from classifier.tasks import N_LEVELS, TYPES

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

_QUESTION = re.compile(r"[?？؟](?![\w=&])")
_OPTION = re.compile(r"^[ \t]{0,8}(?:[-*•]|\(?\d{1,2}[.)]|\(?[a-dA-D][.)])\s", re.MULTILINE)
_PICK = re.compile(r"\W*(?:\d{1,2}|[a-eA-E])\W*")
_NAME = re.compile(r"[/_@.:][./:@_-]{0,4}\w|`[^`\n]{1,80}`")
_WORD = re.compile(r"[\u2e80-\u9fff\uac00-\ud7a3]|[^\W\d_\u2e80-\u9fff\uac00-\ud7a3]{2,}|\d+")
_CHAT: Final = TYPES.index("general/conversation")
_LEVELS: Final = np.arange(N_LEVELS, dtype=np.float32)


class TextReading(NamedTuple):
    """How a text reads on its own: ``p_type`` (len(TYPES),), ``p_level`` (4,), ``p_turn`` (len(TURNS),)."""

    p_type: Vector
    p_level: Vector
    p_turn: Vector


SIGNS: Final = 30


def signs(before: TextReading, reply: str, own: TextReading, ask: str) -> Vector:
    """Return what is seen of newest words after a reply, float32 (SIGNS,), each about -2 to 2.

    ``before`` is how the task under way reads, ``own`` how the newest words do.
    """
    reply, words = reply[-REPLY_CHARS:], ask.split()
    tail = reply[-TAIL_CHARS:].rstrip()
    mine, theirs = _words(ask[:TAIL_CHARS]), _words(reply)
    named = bool(_NAME.search(ask))
    entropy = -float(own.p_type @ np.log(own.p_type + 1e-9))
    return np.array(
        (
            *np.log(own.p_turn + 1e-3) / 3,
            own.p_type.max(),
            entropy / 3,
            own.p_type[_CHAT],
            own.p_type @ before.p_type,
            own.p_level @ _LEVELS / 2,
            before.p_level @ _LEVELS / 2,
            np.log1p(len(ask)) / 5,
            np.log1p(len(words)) / 3,
            len(words) <= 1,
            len(ask) <= 3,
            not any(c.isalpha() for c in ask[:TAIL_CHARS]),
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
            tail.endswith(":"),
            len(mine & theirs) / max(1, len(mine)),
            len(mine & theirs) / max(4, len(theirs)) * 4,
        ),
        dtype=np.float32,
    )


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
        parts = (np.array(card[name], np.float32) for name in ("w1", "b1", "w2", "b2"))
        made = cls(*parts)
        if made.w1.shape[0] != SIGNS or made.w2.shape[1] != OUTCOMES:
            raise ValueError(f"weights for {made.w1.shape[0]} signs, this code has {SIGNS}")
        return made

    def card(self) -> dict[str, Any]:
        """Return what ``of`` reads."""
        names = ("w1", "b1", "w2", "b2")
        return {name: np.round(getattr(self, name), 4).tolist() for name in names}

    def outcome(self, seen: Vector) -> Vector:
        """Return the probabilities that the newest words keep, alter or replace the task."""
        z = np.maximum(seen @ self.w1 + self.b1, 0) @ self.w2 + self.b2
        e = np.exp(z - z.max())
        return np.asarray(e / e.sum(), dtype=np.float32)
