"""Labelled rows → arrays → a fitted model: vocabulary, networks, one set of weights.

The model is a few small networks over one vector: hashed words, word pairs, character n-grams and
edge tokens (TF-IDF), and surface counts.  Two read the task type and, beside it, the difficulty
level; a third reads the level alone, from few directions, and has most of the say there.  A row
may teach either or both, and benchmark items teach difficulty softly, with the probabilities that
item response gives them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from classifier.features import SURFACE, HashedText, tokenize
from classifier.tasks import N_LEVELS, TYPES
from classifier.training.dataset import LabelledRow
from classifier.training.export import Weights, quantise
from classifier.training.network import LEVEL_SHARE, Network, fit_level_network, fit_network
from classifier.training.rows import BadData
from classifier.vector import BLOCK_WEIGHTS, MIN_ROWS, Vocabulary, build_vocabulary

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

SEEDS: Final = (1, 2)
"""Networks that are averaged; cross-validation fits the first alone, for time."""

MIN_TRAINING_ROWS: Final = 50
"""Fewer rows than this cannot be split and judged."""

MIN_WORDS: Final = 2
"""Directions of difficulty are found among words: fewer than two have none."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows turned into arrays; n rows.  ``task`` int (n,), -1 unknown; ``level`` (n, 4), NaN unknown."""

    rows: list[LabelledRow]
    tokens: list[HashedText]
    task: NDArray[np.int64]
    level: Floats
    weight: Floats

    def take(self, where: NDArray[np.intp]) -> Dataset:
        """Return some of the rows."""
        return Dataset(
            [self.rows[i] for i in where],
            [self.tokens[i] for i in where],
            self.task[where],
            self.level[where],
            self.weight[where],
        )


@dataclass(frozen=True, slots=True)
class Trained:
    """A fitted model: vocabulary and weights with temperatures folded in."""

    vocabulary: Vocabulary
    weights: Weights

    def read(self, text: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return p_type and p_level of one text."""
        tokens = tokenize(text)
        return self.weights.predict(*self.vocabulary.vector(tokens), tokens.surface)

    def predict(self, tokens: Sequence[HashedText]) -> tuple[Floats, Floats]:
        """Return p_type (n, types) and p_level (n, 4)."""
        pairs = [self.weights.predict(*self.vocabulary.vector(t), t.surface) for t in tokens]
        p_type, p_level = zip(*pairs, strict=True)
        return np.array(p_type, dtype=float), np.array(p_level, dtype=float)


def prepare(rows: list[LabelledRow]) -> Dataset:
    """Turn rows into arrays; raises BadData when there are too few to learn from."""
    if len(rows) < MIN_TRAINING_ROWS:
        raise BadData(f"{len(rows)} labelled rows; training takes at least {MIN_TRAINING_ROWS}")
    data = tokenised(rows)
    if len(set(data.task[data.task >= 0].tolist())) < 2:
        raise BadData("all rows have the same task; training takes at least two types")
    return data


def tokenised(rows: list[LabelledRow]) -> Dataset:
    """Tokenise rows and gather their labels."""
    unknown = (float("nan"),) * N_LEVELS
    return Dataset(
        rows=rows,
        tokens=[tokenize(row.text) for row in rows],
        task=np.array([TYPES.index(row.task) if row.task else -1 for row in rows], dtype=np.int64),
        level=np.array([row.p_level or unknown for row in rows], dtype=float).reshape(-1, N_LEVELS),
        weight=np.array([row.weight for row in rows], dtype=float),
    )


def fit(
    data: Dataset,
    *,
    temperatures: tuple[float, float] = (1.0, 1.0),
    seeds: Sequence[int] = SEEDS,
) -> Trained:
    """Fit networks on all of ``data`` and fold the temperatures in."""
    vocabulary = build_vocabulary(data.tokens, data.weight.tolist())
    if len(vocabulary.keys[0]) < MIN_WORDS:
        raise BadData(
            f"{len(data.rows)} rows share {len(vocabulary.keys[0])} words (a word counts when rows of "
            f"weight {MIN_ROWS:g} together have it); training takes at least {MIN_WORDS}: more rows, "
            "or larger weights"
        )
    typed = data.task >= 0
    levelled = np.isfinite(data.level).all(axis=1)
    one_hot = np.eye(len(TYPES), dtype=np.float32)[data.task]
    targets = (one_hot, np.nan_to_num(data.level).astype(np.float32))
    weights = (
        (data.weight * typed).astype(np.float32),
        (data.weight * levelled * LEVEL_SHARE).astype(np.float32),
    )
    x = _matrix(vocabulary, data.tokens)
    networks = [fit_network(x, targets, weights, seed=seed) for seed in seeds]
    level = _level_network(vocabulary, x, targets[1], weights[1], seed=seeds[0])
    return Trained(vocabulary, quantise(networks, level, temperatures))


LEVEL_BLOCKS: Final = (1.0, 0.0, 0.0)
"""Weights of words, characters and edges where the level network takes its directions from."""

LEVEL_FREE: Final = (0.5, 0.3, 0.3, 0.3)
"""Of words, characters, edges and surface as the level network reads them besides, a weight each."""


def _level_network(
    vocabulary: Vocabulary, x: Any, target: Any, weight: Any, *, seed: int
) -> Network:
    """Fit the level network and return it for columns of the usual weights."""
    from scipy import sparse

    sizes = [*map(len, vocabulary.keys), len(SURFACE)]
    usual = np.repeat((*BLOCK_WEIGHTS, 1.0), sizes)
    directed = (np.repeat((*LEVEL_BLOCKS, 0.0), sizes) / usual)[: vocabulary.size]
    free = np.repeat(LEVEL_FREE, sizes) / usual
    read = np.flatnonzero(free)
    found = fit_level_network(
        (x[:, : vocabulary.size] @ sparse.diags(directed)).tocsr().astype(np.float32),
        (x[:, read] @ sparse.diags(free[read])).tocsr().astype(np.float32),
        target,
        weight,
        seed=seed,
    )
    w1 = np.zeros((x.shape[1], found.w1.shape[1]))
    w1[: vocabulary.size] = directed[:, None] * found.w1[: vocabulary.size]
    w1[read] += free[read, None] * found.w1[vocabulary.size :]
    return Network(w1.astype(np.float32), found.b1, found.w2, found.b2)


def _matrix(vocabulary: Vocabulary, texts: Sequence[HashedText]) -> Any:
    """Stack sparse vectors and surface counts, scipy csr float32 (n, columns + surface)."""
    from scipy import sparse

    vectors = [vocabulary.vector(t) for t in texts]
    lengths = np.cumsum([0] + [len(columns) for columns, _ in vectors])
    tokens = sparse.csr_matrix(
        (
            np.concatenate([values for _, values in vectors]),
            np.concatenate([columns for columns, _ in vectors]),
            lengths,
        ),
        shape=(len(texts), vocabulary.size),
    )
    surface = sparse.csr_matrix(np.array([t.surface for t in texts], dtype=np.float32))
    return sparse.hstack([tokens, surface]).tocsr()
