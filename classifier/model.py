"""Assess a conversation: what kind of task it asks for, and how hard it is.

The text of the ask gives calibrated probabilities (numpy features, then one small ONNX graph).
What the client declared and what has happened since the ask then move them by stated odds:
they are evidence beside the text, the classifier works without them, and no public data would
let them be learned.  An ask that was read before is answered from a cache.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from io import BytesIO
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from classifier.ask import instruction_of
from classifier.carry import (
    ALTERS,
    KEEPS,
    REPLACES,
    TURNS,
    Carry,
    TextReading,
    asks_something,
    carry_fingerprint,
    signs,
)
from classifier.features import fingerprint, tokenize
from classifier.tasks import FAMILIES, N_LEVELS, TYPES, family_of, taxonomy_fingerprint
from classifier.turns import Conversation, Exchange
from classifier.vector import Vocabulary, load_vocabulary

Vector = NDArray[np.float32]

MODEL_FILE: Final = "classifier.onnx"
VOCABULARY_FILE: Final = "vocabulary.npz"
CARD_FILE: Final = "classifier.json"
ARTEFACT_FILES: Final = (CARD_FILE, MODEL_FILE, VOCABULARY_FILE)

BOUND: Final = (MODEL_FILE, VOCABULARY_FILE)
"""Files whose ``fingerprint_of`` the card names under ``files``: the three are of one training."""

CACHED_ASKS: Final = 4096
"""Asks kept with their reading; a session asks the same thing on every tool turn."""

CACHED_TALKS: Final = 256
"""Conversations kept with theirs, asks and the ends of replies: up to 72,000 characters each."""

P_DECLARED: Final = 0.97
"""Probability given to a task that the client's headers or request shape name outright."""

MODE_ODDS: Final = 3.0
"""How much likelier a declared mode makes its types than the others.  A judgement: no public
data holds modes.  Small enough that a clear text wins (an ask to fix typed in plan mode)."""

MODE_TYPES: Final[dict[str, frozenset[str]]] = {
    "plan": frozenset({"planning"}),
    "architect": frozenset({"planning"}),
    "orchestrator": frozenset({"planning", "implementation"}),
    "ask": frozenset({"investigation", "general", "planning"}),
    "explore": frozenset({"investigation"}),
    "debug": frozenset({"debugging"}),
    "test": frozenset({"testing", "debugging"}),
    "review": frozenset({"investigation"}),
    "code": frozenset({"implementation", "debugging", "testing", "refactoring", "agentic"}),
    "build": frozenset({"implementation", "debugging", "testing", "refactoring", "agentic"}),
}
"""Agent modes as clients name them → the families they are chosen for."""

FAILURE_ODDS: Final = 1.25
MAX_FAILURES: Final = 6
"""Each visible failure since the ask, or since tests last passed, multiplies the odds of each next level by FAILURE_ODDS, up
to MAX_FAILURES of them.  A judgement in the direction that the outcomes show: cheap first and
strong after a seen failure solved 87% at $0.36 where strong alone solved 82% at $1.25."""

INSTRUCTION_SHARE: Final = np.float32(0.6)
"""Say of the instruction where a short paragraph frames a long paste: of asks of held-out writers beside
a paste .81 keep their family with it, .80 without (benchmarks/LOG.md)."""

RETRAIN: Final = "retrain with `auto-efficient train`"

_FAMILY_INDEX: Final = np.array([FAMILIES.index(family_of(t)) for t in TYPES])
_LEVELS: Final = np.arange(N_LEVELS, dtype=np.float32)


class BadClassifier(ValueError):
    """The artefact is missing, broken or made for other features or tasks; says what to do."""


@dataclass(frozen=True)
class Assessment:
    """What a request asks for, as calibrated probabilities.

    ``p_type`` is float32 (len(TYPES),), ``p_level`` float32 (4,); each sums to one.
    ``declared`` says what beside the text moved them (empty: nothing did); ``carries`` that the newest
    words carry the task under way on, and set none.
    """

    p_type: Vector
    p_level: Vector
    ask: str = ""
    declared: str = ""
    carries: bool = False

    @cached_property
    def task(self) -> str:
        """The most probable type of the most probable family, as ``family/type``."""
        return TYPES[
            int(np.where(self.p_family.argmax() == _FAMILY_INDEX, self.p_type, -1).argmax())
        ]

    @property
    def family(self) -> str:
        """The most probable family."""
        return FAMILIES[int(self.p_family.argmax())]

    @cached_property
    def p_family(self) -> Vector:
        """Probability of each family, float32 (len(FAMILIES),)."""
        return np.bincount(_FAMILY_INDEX, self.p_type, len(FAMILIES)).astype(np.float32)

    @property
    def level(self) -> int:
        """The most probable difficulty level, 1 to 4."""
        return int(self.p_level.argmax()) + 1

    @property
    def expected_level(self) -> float:
        """The mean difficulty level, in [1, 4]."""
        return float(self.p_level @ _LEVELS) + 1.0

    @cached_property
    def confidence(self) -> float:
        """Probability of ``task``, in [0, 1]."""
        return float(self.p_type[TYPES.index(self.task)])


class Classifier:
    """The loaded artefact.  Thread-safe; loading takes a fraction of a second."""

    def __init__(
        self, session: ort.InferenceSession, vocabulary: Vocabulary, card: dict[str, Any]
    ) -> None:
        """Hold the parts; use ``load``.  Nothing of it refers to itself: it goes when it is let go."""
        self._level_of_type = np.array(card["level_of_type"], dtype=np.float32)
        self.card = card
        self.read_once = partial(_read_once, session, vocabulary)
        self.read = lru_cache(CACHED_ASKS)(partial(_read_frozen, self.read_once))
        carry = Carry.of(card["carry"])
        self._under_way = lru_cache(CACHED_TALKS)(partial(_under_way, self.read, carry))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load the artefact in ``folder``; raises BadClassifier."""
        try:
            card = json.loads((folder / CARD_FILE).read_bytes())
            parts = {name: (folder / name).read_bytes() for name in BOUND}
        except (OSError, ValueError) as error:
            raise _cannot_load(folder, error) from error
        _check(card, parts, folder)
        try:
            vocabulary = load_vocabulary(BytesIO(parts[VOCABULARY_FILE]))
            return cls(_session(parts[MODEL_FILE]), vocabulary, card)
        except Exception as error:  # whatever the libraries say of a file that is no such thing
            raise _cannot_load(folder, error) from error

    def assess(self, conversation: Conversation) -> Assessment:
        """Read a conversation's ask, then let what the client declared move the odds."""
        under_way = self._under_way(conversation.before, conversation.ask)
        moved: list[str] = []
        if conversation.declared_task in TYPES:
            p_type = _declared(self.read(conversation.ask).p_type, conversation.declared_task)
            p_level = p_type @ self._level_of_type
            moved.append("declared by the client")
        else:
            p_type, p_level, _ = under_way.reading
            if under_way.outcome != REPLACES:
                moved.append(MOVED[under_way.outcome])
            if families := MODE_TYPES.get(conversation.mode or ""):
                p_type = _tilt_types(p_type, families)
                moved.append(f"mode {conversation.mode}")
        if failures := min(conversation.since.failures, MAX_FAILURES):
            p_level = _normal(p_level * FAILURE_ODDS ** (failures * _LEVELS))
            seen = conversation.since.failures
            moved.append(f"{seen} visible failure{'s' * (seen > 1)}")
        return Assessment(
            p_type,
            p_level,
            ask=conversation.ask,
            declared=", ".join(moved),
            carries=under_way.outcome == KEEPS,
        )


class UnderWay(NamedTuple):
    """The task under way after some words: how it reads, and what those words did to it."""

    reading: TextReading
    outcome: int


MOVED: Final = {KEEPS: "carries on the ask before it", ALTERS: "read with the ask before it"}


ASIDE_FAMILIES: Final = ("investigation", "general")
"""Families of what is asked beside work that waits for an answer: "before that: what does 409 mean?"."""

ASIDE_LEVELS: Final = 0.5
"""By how many levels an aside is smaller than the work that waits, at least (benchmarks/LOG.md, 2026-11-30)."""

_ASIDE = np.array([family_of(task) in ASIDE_FAMILIES for task in TYPES], np.float32)
_THANKS: Final = TURNS.index("thanks")


def _under_way(
    read: Callable[[str], TextReading], carry: Carry, before: tuple[Exchange, ...], ask: str
) -> UnderWay:
    """Follow the task from the oldest ask to the newest.

    Work waits while something smaller is asked instead of an answer, or followed up, and the next answer
    or go-ahead is for the work.
    """
    task = UnderWay(read(before[0].ask if before else ask), REPLACES)
    work = task.reading
    asks = [*(exchange.ask for exchange in before[1:]), ask] if before else []
    for exchange, newest in zip(before, asks, strict=True):
        own = read(newest)
        task = follow(carry, task.reading, exchange.reply, own, newest)
        if task.outcome == KEEPS:
            task = UnderWay(max(work, task.reading, key=_mean_level), KEEPS)
        elif not _waits(work, task, exchange.reply, own):
            work = task.reading
    return task


def _waits(work: TextReading, task: UnderWay, reply: str, own: TextReading) -> bool:
    """Whether the work waits for what was said last after ``reply``, and is not replaced by it."""
    smaller = _mean_level(work) - _mean_level(task.reading)
    if task.outcome == ALTERS:
        return smaller > 0
    aside = own.p_type @ _ASIDE >= 0.5 and own.p_turn[_THANKS] < 0.5
    return bool(aside) and smaller > ASIDE_LEVELS and asks_something(reply)


def _mean_level(reading: TextReading) -> float:
    return float(reading.p_level @ _LEVELS)


def follow(carry: Carry, before: TextReading, reply: str, own: TextReading, ask: str) -> UnderWay:
    """Return the task after newest words, ``before`` being that before and ``own`` how they read alone."""
    odds = carry.outcome(signs(before, reply, own, ask))
    outcome = int(odds.argmax())
    if outcome == KEEPS:
        return UnderWay(before, KEEPS)
    if outcome == REPLACES:
        return UnderWay(own, REPLACES)
    share = np.float32(odds[KEEPS] + odds[ALTERS] / 2)
    mixed = (share * b + (1 - share) * o for b, o in zip(before, own, strict=True))
    return UnderWay(_frozen(TextReading(*mixed)), ALTERS)


def _read_once(session: ort.InferenceSession, vocabulary: Vocabulary, text: str) -> TextReading:
    """Read a text."""
    tokens = tokenize(text)
    columns, values = vocabulary.vectors(tokens)
    inputs = {
        "columns": columns,
        "values": values,
        "surface": tokens.surface,
        "shapes": tokens.shapes,
    }
    return TextReading(*map(np.asarray, session.run(None, inputs)))


def _read_frozen(read: Callable[[str], TextReading], ask: str) -> TextReading:
    """Read an ask, and once more what frames a long paste in it, for many to share."""
    reading = read(ask)
    if instruction := instruction_of(ask):
        pairs = zip(reading, read(instruction), strict=True)
        reading = TextReading(*(whole + INSTRUCTION_SHARE * (own - whole) for whole, own in pairs))
    return _frozen(reading)


def _frozen(reading: TextReading) -> TextReading:
    """Return a reading that nobody can change, as many share it."""
    for p in reading:
        p.flags.writeable = False
    return reading


def fingerprint_of(content: bytes) -> str:
    """Return what tells a file of one training from that of another, 16 hex digits."""
    return hashlib.sha256(content).hexdigest()[:16]


def _check(card: Any, parts: Mapping[str, bytes], folder: Path) -> None:
    """Refuse an artefact for other features or tasks, and files of different trainings."""
    if not isinstance(card, dict):
        raise _cannot_load(folder, f"{CARD_FILE} is no card")
    for name, mine in (
        ("features", fingerprint()),
        ("taxonomy", taxonomy_fingerprint()),
        ("turns_fingerprint", carry_fingerprint()),
    ):
        if card.get(name) != mine:
            raise BadClassifier(
                f"{folder}: trained for {name} {card.get(name)!r}, this code has {mine!r}; {RETRAIN}"
            )
    files = card.get("files")
    if not isinstance(files, dict):
        raise BadClassifier(f"{folder}: {CARD_FILE} does not say which files it is of; {RETRAIN}")
    for name, content in parts.items():
        if files.get(name) != fingerprint_of(content):
            raise BadClassifier(
                f"{folder}: {name} is not of the training that {CARD_FILE} is of; copy the files of "
                f"one training, or {RETRAIN}"
            )


def _cannot_load(folder: Path, why: object) -> BadClassifier:
    return BadClassifier(f"cannot load the classifier in {folder}: {why}; {RETRAIN}")


def _session(model: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _declared(p_type: Vector, task: str) -> Vector:
    p_type = p_type * np.float32(1 - P_DECLARED)
    p_type[TYPES.index(task)] += np.float32(P_DECLARED)
    return p_type


def _tilt_types(p_type: Vector, families: frozenset[str]) -> Vector:
    odds = np.array([MODE_ODDS if family_of(t) in families else 1.0 for t in TYPES], np.float32)
    return _normal(p_type * odds)


def _normal(p: Vector) -> Vector:
    return np.asarray(p / p.sum(), dtype=np.float32)
