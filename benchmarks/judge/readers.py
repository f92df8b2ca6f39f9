"""Readers: who says of each item of a pool what it asks for, and how hard it is.

"Ours" is the classifier as it ships; "ours, refitted" reads the difficulty from the training part
of the pool alone.  Readers that are told the truth in part show what reading the text loses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
import polars as pl
import scipy.sparse as sp
from sklearn.linear_model import Ridge

from benchmarks.judge.measures import Floats, Ints
from benchmarks.judge.pool import Array32, Pool
from benchmarks.judge.text_space import TextSpace, neighbours
from classifier.model import Assessment
from classifier.tasks import N_LEVELS, TYPES
from classifier.turns import Conversation

OURS: Final = "ours"
REFITTED: Final = "ours, refitted"

RIDGE_ALPHA: Final = 10.0
N_FOLDS: Final = 5

KNOTS: Final = (0.05, 0.35, 0.65, 0.95)
"""Quantiles of the predicted need where the four levels sit; the outer ones far out, so that the
hardest and the easiest tenth are still told apart."""


class Assesses(Protocol):
    """What the replay asks of a classifier."""

    def assess(self, conversation: Conversation) -> Assessment:
        """Read one conversation."""
        ...


def read_texts(classifier: Assesses, texts: Sequence[str]) -> tuple[Array32, Array32]:
    """Read prompts as a client's only turn.  Returns p_type (n, 23) and p_level (n, 4).

    An item without text gets the mean reading of the others: it is known to be of this pool
    and nothing else is.
    """
    read = [classifier.assess(Conversation(ask=t)) if t else None for t in texts]
    known = [a for a in read if a is not None] or [classifier.assess(Conversation(ask=""))]
    unread_type = np.mean([a.p_type for a in known], axis=0)
    unread_level = np.mean([a.p_level for a in known], axis=0)
    return (
        np.array([unread_type if a is None else a.p_type for a in read], dtype=np.float32),
        np.array([unread_level if a is None else a.p_level for a in read], dtype=np.float32),
    )


Reads = Callable[[Pool, Pool], tuple[Pool, Pool]]
"""(train, target) → the two with their p_type and p_level set."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A way to read a pool's items, by name."""

    name: str
    read: Reads


def as_shipped(train: Pool, target: Pool) -> tuple[Pool, Pool]:
    """Read as the shipped classifier does."""
    return train, target


def refitted(train: Pool, target: Pool) -> tuple[Pool, Pool]:
    """Read the type as shipped and the difficulty as refitted on the training part."""
    levels = refit_levels(train, target)
    return replace(train, p_level=levels[0]), replace(target, p_level=levels[1])


READERS: Final = (Reader(OURS, as_shipped), Reader(REFITTED, refitted))


def refit_levels(train: Pool, *others: Pool) -> list[Array32]:
    """Read the difficulty level anew from a pool's own training outcomes; p_level per pool.

    What "retrain on your own requests" does to the second half of an assessment, and free of
    any look at the other parts.  The target is how much an item needs the best model: its
    score less the others' mean.  A ridge on TF-IDF and the 100 nearest on LSA are averaged (the
    best recipe of the first study); predictions for the training part are out of fold; a knot
    per level at quantiles of those turns a prediction into level weights, linear in between.
    """
    best = train.best
    gain = train.quality[:, best] - np.delete(train.quality, best, axis=1).mean(axis=1)
    space = TextSpace(train.texts)
    words, concepts = space.words(train.texts), space.concepts(train.texts)
    near = neighbours(concepts, concepts, train.groups, train.groups)
    inside = (_out_of_fold(words, gain, train.groups) + gain[near].mean(axis=1)) / 2
    head = Ridge(alpha=RIDGE_ALPHA, solver="sparse_cg").fit(words, gain)
    knots = np.quantile(inside, KNOTS)
    read = [_hats(inside, knots)]
    for pool in others:
        near = neighbours(concepts, space.concepts(pool.texts), None, None)
        linear = head.predict(space.words(pool.texts))
        read.append(_hats((linear + gain[near].mean(axis=1)) / 2, knots))
    return read


def _out_of_fold(words: sp.csr_matrix, target: Floats, groups: Ints) -> Floats:
    fold = np.unique(groups, return_inverse=True)[1] % N_FOLDS
    predicted = np.full(len(target), target.mean())
    for k in range(N_FOLDS):
        inside, outside = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        if len(inside) and len(outside):
            head = Ridge(alpha=RIDGE_ALPHA, solver="sparse_cg").fit(words[inside], target[inside])
            predicted[outside] = head.predict(words[outside])
    return predicted


def _hats(values: Floats, knots: Floats) -> Array32:
    """Write each value as weights of its two neighbouring knots, float32 (n, len(knots))."""
    rising = knots + 1e-9 * np.arange(len(knots))
    columns = [np.interp(values, rising, row) for row in np.eye(len(knots))]
    return np.array(columns, dtype=np.float32).T


def told_readers(pool: Pool, items: pl.DataFrame) -> tuple[Reader, ...]:
    """Readers of items whose type and human level are known, told in part or in full."""
    known = dict(items.select("item", "level").iter_rows())
    tasks = dict(items.select("item", "task").iter_rows())
    types = {i: np.eye(len(TYPES))[TYPES.index(tasks[i])] for i in pool.items}
    levels = {i: np.eye(N_LEVELS)[(known[i] or 2) - 1] for i in pool.items}

    def told(read_level: Reads | None) -> Reads:
        def read(train: Pool, target: Pool) -> tuple[Pool, Pool]:
            if read_level:
                train, target = read_level(train, target)
            return (
                _told(train, types, None if read_level else levels),
                _told(target, types, None if read_level else levels),
            )

        return read

    return (
        Reader("told type and level", told(None)),
        Reader("told type, level as shipped", told(as_shipped)),
        Reader("told type, level refitted", told(refitted)),
        Reader("told type only", told(_without_level)),
    )


def _told(pool: Pool, types: Mapping[str, Floats], levels: Mapping[str, Floats] | None) -> Pool:
    p_type = np.array([types[i] for i in pool.items], dtype=np.float32)
    if levels is None:
        return replace(pool, p_type=p_type)
    p_level = np.array([levels[i] for i in pool.items], dtype=np.float32)
    return replace(pool, p_type=p_type, p_level=p_level)


def _without_level(train: Pool, target: Pool) -> tuple[Pool, Pool]:
    """Know nothing of the level but how common each is: all items in the same cell."""
    flat = np.eye(N_LEVELS, dtype=np.float32)[1]
    return (
        replace(train, p_level=np.tile(flat, (len(train), 1))),
        replace(target, p_level=np.tile(flat, (len(target), 1))),
    )
