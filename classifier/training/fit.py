"""Labelled rows → arrays → a fitted model: vocabulary, network, one set of weights.

One small network reads the type of task, the level of difficulty, and what newest words would do to
a task under way (``classifier.carry``), from the segments of a text (``classifier.training.network``).  A row may teach any of
the three, and benchmark items teach difficulty softly, with the probabilities that item response
gives them.  Every written row is learned again said in another way, half of them also beside a paste and half
beside background, and English ones twice more with their words swapped for those of another language
(``classifier.training.variations``).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from classifier.carry import FRESH, TURNS, TextReading
from classifier.features import SURFACE, HashedText, own_segments, tokenize
from classifier.tasks import N_LEVELS, TYPES
from classifier.training.dataset import LabelledRow
from classifier.training.export import DENSE, Weights, quantise
from classifier.training.network import LEVEL_SHARE, Head, Network, Segments, fit_network
from classifier.training.rows import BadData
from classifier.training.variations import Saying, in_context, other_language, pasted, vary
from classifier.vector import MIN_ROWS, Vocabulary, build_vocabulary

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

MIN_TRAINING_ROWS: Final = 50
"""Fewer rows than this cannot be split and judged."""

SEED: Final = 1

FEWEST_ROWS: Final = 2.0
ROWS_A_ROW: Final = 8000.0
"""A token is kept that one row in so many holds, FEWEST_ROWS at least and MIN_ROWS at most."""

COPY_WEIGHT: Final = 0.5
"""Weight of a row said in another way beside the row as it was written."""

PASTED: Final = 0.5
"""How often a row is learned once more beside a paste, which is the hardest to see past."""

IN_CONTEXT: Final = 0.5
"""How often it is learned once more beside sentences of background, the next hardest."""

OTHER_LANGUAGES: Final = 2
"""Other languages that an English row is put into."""

PASTE_CHARS: Final = (200, 3000)
"""Public texts of such lengths are also pasted beside asks, where they are there."""

TYPE_OF_TURN: Final = {"answer": 0.0, "go_ahead": 0.0, "correction": 0.5, "follow_up": 0.5}
"""How much the words alone of such a turn teach of the task: "2" teaches nothing."""

FRESH_TURN_WEIGHT: Final = 0.1
"""Weight of a first ask as a new wish: there are ten times as many as conversations."""

SURFACE_SPREAD: Final = 0.4
"""Standard deviation to which surface counts are brought in training (benchmarks/LOG.md, 2026-11-30)."""

LEAST_SPREAD: Final = 0.05
"""Standard deviation below which a count that hardly ever differs would be made to shout where it does."""


@dataclass(frozen=True, slots=True)
class Text:
    """One text to learn from: its tokens, which of its segments are the wish itself, how much it weighs.

    ``paste`` is the group of the public row that lent it what is pasted beside the wish, if one did.
    """

    tokens: HashedText
    own: NDArray[np.float32]
    weight: float
    turn_weight: float
    paste: str = ""

    @classmethod
    def plain(cls, tokens: HashedText, weight: float = 1.0, turn_weight: float = 0.0) -> Self:
        """Return a text of which it is not known what the wish is."""
        return cls(tokens, np.zeros(len(tokens.shapes), np.float32), weight, turn_weight)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows turned into arrays; n rows.

    ``texts`` are each row's: as it was written, then in other ways.  ``task`` int (n,), -1 unknown;
    ``level`` (n, 4), NaN unknown.
    """

    rows: list[LabelledRow]
    texts: list[tuple[Text, ...]]
    task: NDArray[np.int64]
    level: Floats

    def take(self, where: NDArray[np.intp]) -> Dataset:
        """Return some of the rows."""
        return Dataset(
            [self.rows[i] for i in where],
            [self.texts[i] for i in where],
            self.task[where],
            self.level[where],
        )

    @property
    def tokens(self) -> list[HashedText]:
        """Each row as it was written."""
        return [texts[0].tokens for texts in self.texts]


@dataclass(frozen=True, slots=True)
class Scaler:
    """Mean of surface counts and what a deviation is multiplied by, (len(SURFACE),) each.

    Training sees all of them spread alike, so that none is learned late because it is small; what serves sees
    them as they are counted, with the weights ``folded``, which is exact.
    """

    mean: NDArray[np.float32]
    step: NDArray[np.float32]

    @classmethod
    def of(cls, texts: Sequence[HashedText]) -> Self:
        """Measure it on texts."""
        surfaces = np.array([text.surface for text in texts])
        step = SURFACE_SPREAD / np.maximum(surfaces.std(axis=0), LEAST_SPREAD)
        return cls(surfaces.mean(axis=0), step.astype(np.float32))

    def brought(self, surface: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return surface counts as training sees them."""
        return (surface - self.mean) * self.step

    def folded(self, network: Network) -> Network:
        """Return the network that says of counts what ``network`` says of counts brought to one spread."""
        w1 = network.w1.copy()
        rows = slice(len(w1) - DENSE, len(w1) - DENSE + len(SURFACE))
        w1[rows] *= self.step[:, None]
        return replace(network, w1=w1, b1=network.b1 - self.mean @ w1[rows])


@dataclass(frozen=True, slots=True)
class Trained:
    """A fitted model: vocabulary and weights with temperatures folded in."""

    vocabulary: Vocabulary
    weights: Weights

    def read(self, text: str) -> TextReading:
        """Read one text."""
        return self.read_tokens(tokenize(text))

    def read_tokens(self, tokens: HashedText) -> TextReading:
        """Read a hashed text."""
        return self.weights.read(*self.vocabulary.vectors(tokens), tokens.surface, tokens.shapes)

    def predict(self, tokens: Sequence[HashedText]) -> tuple[Floats, Floats]:
        """Return p_type (n, types) and p_level (n, 4)."""
        read = [self.read_tokens(t) for t in tokens]
        return (
            np.array([r.p_type for r in read], dtype=float),
            np.array([r.p_level for r in read], dtype=float),
        )


def prepare(rows: list[LabelledRow], *, copies: bool = True) -> Dataset:
    """Turn rows into arrays; raises BadData when there are too few to learn from."""
    if len(rows) < MIN_TRAINING_ROWS:
        raise BadData(f"{len(rows)} labelled rows; training takes at least {MIN_TRAINING_ROWS}")
    data = tokenised(rows, copies=copies)
    if len(set(data.task[data.task >= 0].tolist())) < 2:
        raise BadData("all rows have the same task; training takes at least two types")
    return data


def tokenised(rows: list[LabelledRow], *, copies: bool = False) -> Dataset:
    """Tokenise rows, with ``copies`` also said in other ways, and gather their labels."""
    unknown = (float("nan"),) * N_LEVELS
    rng = random.Random(SEED)
    pastes = [row for row in rows if row.public and PASTE_CHARS[0] < len(row.text) < PASTE_CHARS[1]]
    return Dataset(
        rows=rows,
        texts=[_texts(row, rng, pastes, copies=copies) for row in rows],
        task=np.array([TYPES.index(row.task) if row.task else -1 for row in rows], dtype=np.int64),
        level=np.array([row.p_level or unknown for row in rows], dtype=float).reshape(-1, N_LEVELS),
    )


def _texts(
    row: LabelledRow, rng: random.Random, pastes: Sequence[LabelledRow], *, copies: bool
) -> tuple[Text, ...]:
    """Return a row as it was written and, if it is an ask, in other ways."""
    turn_weight = 0.0 if row.public else FRESH_TURN_WEIGHT if not row.before else 1.0
    weight = row.weight * TYPE_OF_TURN.get(row.turn, 1.0)
    found = [Text.plain(tokenize(row.text), weight, turn_weight)]
    if copies and weight and not row.public:
        paste = rng.choice(pastes) if pastes else None
        lent = (paste.text,) if paste else ()
        said: list[Saying | None] = [vary(row.text, row.lang, rng, pastes=lent)]
        if rng.random() < PASTED:
            said.append(pasted(row.text, row.lang, rng, lent))
        if rng.random() < IN_CONTEXT:
            said.append(in_context(row.text, row.lang, rng))
        said += [other_language(row.text, row.lang, rng) for _ in range(OTHER_LANGUAGES)]
        for copy in said:
            if copy is None:
                continue
            tokens = tokenize(copy.text)
            own = own_segments(copy.text, copy.own, len(tokens.shapes))
            group = paste.group if paste and paste.text in copy.text else ""
            found.append(Text(tokens, own, weight * COPY_WEIGHT, 0.0, group))
    return tuple(found)


def fit(
    data: Dataset, *, temperatures: tuple[float, float] = (1.0, 1.0), seed: int = SEED
) -> Trained:
    """Fit the network on all of ``data`` and fold the temperatures in.

    A copy with a paste is learned from where a row like the one that lent it is.
    """
    groups = {row.group for row in data.rows} | {""}
    learned = [
        (i, text) for i, row in enumerate(data.texts) for text in row if text.paste in groups
    ]
    texts = [text for _, text in learned]
    of_row = np.array([i for i, _ in learned])
    tokens = [text.tokens for text in texts]
    weight = np.array([text.weight for text in texts], np.float32)
    min_rows = min(MIN_ROWS, max(FEWEST_ROWS, float(weight.sum()) / ROWS_A_ROW))
    vocabulary = build_vocabulary(tokens, weight.tolist(), min_rows=min_rows)
    if not vocabulary.size:
        raise BadData(
            f"{len(data.rows)} rows share no words (a word counts when rows of weight {min_rows:g} "
            "together have it): training takes more rows, or larger weights"
        )
    scaler = Scaler.of(tokens)
    x = segments_of(vocabulary, tokens, [text.own for text in texts], scaler)
    network = fit_network(x, _heads(data, of_row, weight, texts), seed=seed)
    return Trained(vocabulary, quantise(scaler.folded(network), temperatures))


def _heads(
    data: Dataset, of_row: Ints, weight: NDArray[np.float32], texts: Sequence[Text]
) -> tuple[Head, Head, Head]:
    """Return what the three outputs learn of each text: type, level, turn."""
    nowhere = np.zeros(len(of_row), np.int64)
    typed = np.asarray(data.task >= 0)
    levelled = np.asarray(np.isfinite(data.level).all(axis=1))
    turn = [TURNS.index(row.turn or FRESH) for row in data.rows]
    benchmarks: dict[str, int] = {}
    place = [
        benchmarks.setdefault(row.source, len(benchmarks) + 1) if row.public else 0
        for row in data.rows
    ]
    return (
        Head(
            np.eye(len(TYPES), dtype=np.float32)[data.task][of_row], weight * typed[of_row], nowhere
        ),
        Head(
            np.nan_to_num(data.level).astype(np.float32)[of_row],
            weight * levelled[of_row] * np.float32(LEVEL_SHARE),
            np.array(place, np.int64)[of_row],
        ),
        Head(
            np.eye(len(TURNS), dtype=np.float32)[turn][of_row],
            np.array([text.turn_weight for text in texts], np.float32),
            nowhere,
        ),
    )


def segments_of(
    vocabulary: Vocabulary,
    texts: Sequence[HashedText],
    own: Sequence[NDArray[np.float32]],
    scaler: Scaler,
) -> Segments:
    """Stack the segments of texts; behind its columns each has the surface of its text and its shape."""
    from scipy import sparse

    seen = np.arange(vocabulary.size, vocabulary.size + DENSE, dtype=np.int32)
    data, indices, ends, starts = [], [], [0], [0]
    for text in texts:
        columns, values = vocabulary.vectors(text)
        surface = scaler.brought(text.surface)
        for segment, shape in zip(values, text.shapes, strict=True):
            held = np.flatnonzero(segment)
            data += [segment[held], surface, shape]
            indices += [columns[held].astype(np.int32), seen]
            ends.append(ends[-1] + len(held) + DENSE)
        starts.append(starts[-1] + len(values))
    x: Any = sparse.csr_matrix(
        (np.concatenate(data), np.concatenate(indices), np.array(ends)),
        (starts[-1], vocabulary.size + DENSE),
    )
    shapes = np.concatenate([text.shapes for text in texts])
    return Segments(x, shapes, np.array(starts, dtype=np.int64), np.concatenate(own))
