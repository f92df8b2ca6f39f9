"""Judge predictions: F1 at both levels, calibration, ranking of difficulty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from classifier.tasks import FAMILIES, N_LEVELS, TYPES, family_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BINS: Final = 10
"""Equal-width confidence bins of the calibration error (Guo et al. 2017, arXiv:1706.04599)."""

FAMILY_OF_TYPE: Final = np.array([FAMILIES.index(family_of(t)) for t in TYPES])


@dataclass(frozen=True, slots=True)
class Scores:
    """How well tasks and difficulty were read; NaN where nothing could be measured.

    ``rows`` with a task label and ``level_rows`` with a difficulty label.
    """

    rows: int
    type_f1: float
    family_f1: float
    family_accuracy: float
    family_ece: float
    level_rows: int
    level_spearman: float
    level_accuracy: float
    level_ece: float


def score(p_type: Floats, task: Ints, p_level: Floats, level: Floats) -> Scores:
    """Score predictions.

    ``p_type`` (n, types), ``task`` (n,) type index or -1; ``p_level`` (n, 4), ``level`` (n, 4)
    one-hot or soft, NaN rows where unknown.
    """
    typed = task >= 0
    levelled = np.isfinite(level).all(axis=1)
    p_family = families(p_type[typed])
    truth = FAMILY_OF_TYPE[task[typed]]
    picked = type_picks(p_type[typed])
    expected = p_level[levelled] @ np.arange(N_LEVELS)
    true_level = level[levelled] @ np.arange(N_LEVELS)
    hard = level[levelled].argmax(axis=1)
    return Scores(
        rows=int(typed.sum()),
        type_f1=macro_f1(task[typed], picked),
        family_f1=macro_f1(truth, p_family.argmax(axis=1)),
        family_accuracy=_mean(p_family.argmax(axis=1) == truth),
        family_ece=calibration_error(p_family, truth),
        level_rows=int(levelled.sum()),
        level_spearman=spearman(expected, true_level),
        level_accuracy=_mean(p_level[levelled].argmax(axis=1) == hard),
        level_ece=calibration_error(p_level[levelled], hard),
    )


def families(p_type: Floats) -> Floats:
    """Sum type probabilities into families, (n, families)."""
    return np.stack(
        [p_type[:, k == FAMILY_OF_TYPE].sum(axis=1) for k in range(len(FAMILIES))], axis=1
    )


def type_picks(p_type: Floats) -> Ints:
    """Pick the best type of the best family, as serving does."""
    best = families(p_type).argmax(axis=1)
    return np.asarray(np.where(FAMILY_OF_TYPE[None, :] == best[:, None], p_type, -1).argmax(axis=1))


def macro_f1(truth: Ints, picked: Ints) -> float:
    """Mean F1 over the classes that occur in ``truth``."""
    scores = []
    for label in np.unique(truth):
        hits = np.sum((truth == label) & (picked == label))
        scores.append(2 * hits / max(1, np.sum(truth == label) + np.sum(picked == label)))
    return float(np.mean(scores)) if scores else float("nan")


def calibration_error(p: Floats, truth: Ints) -> float:
    """Expected calibration error of the top label, in [0, 1]."""
    if not len(p):
        return float("nan")
    confidence, right = p.max(axis=1), p.argmax(axis=1) == truth
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [
        abs(confidence[bins == b].mean() - right[bins == b].mean()) * np.mean(bins == b)
        for b in np.unique(bins)
    ]
    return float(np.sum(gaps))


def probability_error(p: Floats, hit: NDArray[np.bool_]) -> float:
    """Expected calibration error of one event's probability ``p`` (n,), in [0, 1]."""
    if not len(p):
        return float("nan")
    bins = np.minimum((p * BINS).astype(int), BINS - 1)
    gaps = [
        abs(p[bins == b].mean() - hit[bins == b].mean()) * np.mean(bins == b)
        for b in np.unique(bins)
    ]
    return float(np.sum(gaps))


def f1_of_types(truth: Ints, picked: Ints) -> dict[str, float]:
    """F1 of every type that occurs in ``truth``."""
    found = {}
    for i, task in enumerate(TYPES):
        mine = truth == i
        if mine.any():
            both = int((mine | (picked == i)).sum())
            hits = int((mine & (picked == i)).sum())
            found[task] = round(2 * hits / (both + hits), 4)
    return found


def spearman(a: Floats, b: Floats) -> float:
    """Rank correlation with ties averaged; NaN for constant input."""
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _ranks(values: Floats) -> Floats:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def _mean(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")
