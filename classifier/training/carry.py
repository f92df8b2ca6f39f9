"""Fit what tells an answer from a new wish (``classifier.carry``), on readings of texts not trained on.

The signs lean on how texts read, and a reader is surer of what it was trained on than of what it
will meet; so the readings here are those of cross-validation, each by a model that saw nothing of
the row's writer.  Beside the conversations as they were written stand *made* ones: any single ask, put
behind what an assistant said elsewhere, is a new wish there; a short answer answers other questions too.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from classifier.ask import clip
from classifier.carry import (
    KEEPS,
    OUTCOME_OF,
    OUTCOMES,
    REPLACES,
    SIGNS,
    TURNS,
    Carry,
    TextReading,
    Vector,
    signs,
)
from classifier.training.calibrate import Readings
from classifier.training.dataset import LabelledRow, grouped_folds

HIDDEN: Final = 24
LEAST_SPREAD: Final = 0.05
"""Standard deviation of a sign, below which it is not looked at: nothing was learned of what hardly ever differed."""

NETWORKS: Final = 5
"""So many are fitted and their logits averaged, which is one network of as many times the units."""

SEED: Final = 1
EPOCHS: Final = 60

MADE_WISHES: Final = 4
WISH_WEIGHT: Final = 0.12
"""New wishes made of each conversation, and what one weighs beside a written turn."""

ALPHA: Final = 0.2
"""Penalty of the weights: of 1e-3 to 0.4, 0.1 to 0.4 were the best on writers left out (benchmarks/LOG.md, 2026-11-30)."""

KEEP_WEIGHT: Final = 1.25
"""Weight of answers and go-aheads: one that is read as a new wish costs more than a new wish that is read as one, as a
migration goes to the smallest model then."""

NEVER: Final = -1e3
"""Logit of an outcome that no turn has."""

SHORT_ANSWER: Final = 24
ANSWER_WEIGHT: Final = 0.4
"""Answers this short (characters) answer other questions as well."""


@dataclass(frozen=True, slots=True)
class Turns:
    """Newest words to learn from: ``seen`` (n, SIGNS), ``outcome`` (n,), ``weight`` (n,).

    ``row`` (n,) is the row that a turn was written in, and ``other`` the row that its words are of.
    """

    seen: Vector
    outcome: NDArray[np.int64]
    weight: Vector
    row: NDArray[np.int64]
    other: NDArray[np.int64]

    def take(self, where: NDArray[np.bool_]) -> Turns:
        """Return some of them."""
        return Turns(*(getattr(self, f.name)[where] for f in fields(self)))


def turns_of(rows: Sequence[LabelledRow], read: Readings) -> Turns:
    """Gather the turns of ``rows``, as written and made."""
    rng = random.Random(SEED)
    talks = [i for i, row in enumerate(rows) if row.before]
    wishes: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        if not row.before and "followup" not in row.tags and (row.group, row.text) in read:
            wishes.setdefault(row.lang, []).append(i)
    every = [i for of_lang in wishes.values() for i in of_lang]
    short = [
        i for i in talks if OUTCOME_OF[rows[i].turn] == KEEPS and len(rows[i].text) <= SHORT_ANSWER
    ]
    found: list[tuple[Vector, int, float, int, int]] = []

    def add(i: int, j: int, outcome: int, weight: float) -> None:
        before, text = rows[i].before, rows[j].text
        task = under_way(rows[i], read)
        own = read.get((rows[j].group, text))
        if task is not None and own is not None:
            seen = signs(task, before[-1].reply, own, clip(text.strip()))
            found.append((seen, outcome, weight, i, j))

    for i in talks:
        outcome = OUTCOME_OF[rows[i].turn]
        add(i, i, outcome, 1.0)
        for _ in range(MADE_WISHES if every else 0):
            near = wishes.get(rows[i].lang, every)
            add(i, rng.choice(near if rng.random() < 0.8 else every), REPLACES, WISH_WEIGHT)
        if rows[i].turn in ("answer", "go_ahead") and short:
            other = rng.choice(short)
            if other != i and rows[other].turn == rows[i].turn:
                add(i, other, KEEPS, ANSWER_WEIGHT)
    return Turns(
        np.array([f[0] for f in found], np.float32).reshape(-1, SIGNS),
        np.array([f[1] for f in found], np.int64),
        np.array([f[2] for f in found], np.float32),
        np.array([f[3] for f in found], np.int64),
        np.array([f[4] for f in found], np.int64),
    )


def under_way(row: LabelledRow, read: Readings) -> TextReading | None:
    """Return how the task reads that a row's newest words meet: its last ask that sets one."""
    asks = [read[key] for e in row.before if (key := (row.group, e.ask)) in read]
    new = TURNS.index("new")
    setting = [r for r in asks if r.p_turn[new] >= 0.5]
    found = setting or asks
    return found[-1] if found else None


def fit_carry(turns: Turns, *, seed: int = SEED) -> Carry:
    """Fit the small networks, as one; with turns of one outcome alone, one that takes every ask as a new wish.

    An outcome that no turn has is never told.
    """
    told = np.unique(turns.outcome)
    if len(told) < 2:
        return fresh()
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    mean, spread = turns.seen.mean(axis=0), turns.seen.std(axis=0)
    scale = np.maximum(spread, LEAST_SPREAD)
    seen = (turns.seen - mean) / scale
    weight = turns.weight * np.where(turns.outcome == KEEPS, KEEP_WEIGHT, 1.0)
    w1s, b1s, w2s, b2s = [], [], [], []
    for k in range(NETWORKS):
        fitted = MLPClassifier(
            (HIDDEN,), alpha=ALPHA, max_iter=EPOCHS, n_iter_no_change=EPOCHS, random_state=seed + k
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # EPOCHS are all it is given
            fitted.fit(seen, turns.outcome, sample_weight=weight)
        (w1, w2), (b1, b2) = fitted.coefs_, fitted.intercepts_
        if len(told) == 2:  # scikit-learn gives two classes one output
            w2, b2 = np.hstack((0 * w2, w2)), np.append(0 * b2, b2)
        w1 = np.where(spread < LEAST_SPREAD, 0, w1.T / scale).T
        w1s.append(w1)
        b1s.append(b1 - mean @ w1)
        w2s.append(w2 / NETWORKS)
        b2s.append(b2 / NETWORKS)
    w2, b2 = np.zeros((HIDDEN * NETWORKS, OUTCOMES)), np.full(OUTCOMES, NEVER)
    w2[:, told], b2[told] = np.vstack(w2s), sum(b2s)
    parts = (np.hstack(w1s), np.concatenate(b1s), w2, b2)
    return Carry(*(np.asarray(part, dtype=np.float32) for part in parts))


def fresh() -> Carry:
    """Return what takes every ask as a new wish: for training rows that hold no conversations."""
    only = np.zeros(OUTCOMES, np.float32)
    only[REPLACES] = 10.0
    zeros = np.zeros((SIGNS, 1), np.float32), np.zeros(1, np.float32)
    return Carry(*zeros, np.zeros((1, OUTCOMES), np.float32), only)


def by_fold(turns: Turns, rows: Sequence[LabelledRow], folds: int = 5) -> Vector:
    """Return the outcomes of all turns, (n, OUTCOMES), each by a network that saw nothing of its writer.

    With conversations of one writer alone, nothing of their look-alikes.
    """
    several = len({rows[i].source for i in turns.row}) > 1
    fold = grouped_folds(list(rows), folds, by="source" if several else "group")
    odds = np.zeros((len(turns.outcome), OUTCOMES), np.float32)
    for k in range(folds):
        tested = fold[turns.row] == k
        known = ~tested & (fold[turns.other] != k)
        if tested.any():
            carry = fit_carry(turns.take(known))
            odds[tested] = [carry.outcome(seen) for seen in turns.seen[tested]]
    return odds


def turn_scores(
    rows: Sequence[LabelledRow], turns: Turns, odds: Vector
) -> dict[str, dict[str, float]]:
    """How turns as they were written are taken: kind → rows, share kept, altered, replaced."""
    written = turns.row == turns.other
    kinds = np.array([rows[i].turn for i in turns.row])
    picked = odds.argmax(axis=1)
    found = {}
    for kind in TURNS:
        mine = picked[written & (kinds == kind)]
        if len(mine):
            shares = np.bincount(mine, minlength=OUTCOMES) / len(mine)
            names = ("kept", "altered", "replaced")
            found[kind] = {"rows": len(mine)} | {
                name: round(float(share), 4) for name, share in zip(names, shares, strict=True)
            }
    return found
