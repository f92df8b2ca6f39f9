"""Judge and calibrate: predict rows by models that saw nothing of them, and cool what is too sure.

Probabilities are calibrated by one temperature per head, fitted on predictions for *writers and
sources left out*, because what counts is being honest about people never seen; folded into the
weights, it survives export exactly.  The same predictions are the leave-one-source-out result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from classifier.tasks import N_LEVELS, TYPES
from classifier.training.dataset import grouped_folds
from classifier.training.evaluate import Scores, score
from classifier.training.fit import MIN_TRAINING_ROWS, SEEDS, Dataset, Floats, Ints, fit
from classifier.training.rows import BadData

Progress = Callable[[str, float], None]
"""Called with what is being done and the share done, 0 to 1."""

FOLDS: Final = 5

TEMPERATURES: Final = np.geomspace(0.4, 4.0, 61)


def cross_validate(data: Dataset, step: Progress) -> tuple[tuple[float, float], dict[str, Scores]]:
    """Return the temperatures, and scores with sources left out and in domain."""
    corpus = np.array([row.source.startswith("corpus/") for row in data.rows])
    by_group = parts_of(data, grouped_folds(data.rows, FOLDS))
    if len(by_group) < 2:
        raise BadData(
            "all rows are of one group, and cross-validation takes two at least: give look-alikes "
            "alone the same `group`, or skip it with --quick"
        )
    n_sources = len({row.source for row in data.rows})
    by_source = parts_of(data, grouped_folds(data.rows, min(FOLDS, n_sources), by="source"))
    if min(len(known) for known, _ in by_source) < MIN_TRAINING_ROWS // 2:
        by_source = by_group
    outside = cross_predict(data, by_source, part_of(step, "sources left out", 0.0, 0.5))
    temperatures = _temperatures(data, outside, corpus if corpus.any() else ~corpus)
    inside = cross_predict(data, by_group, part_of(step, "in domain", 0.5, 1.0))
    measured = {
        f"{name}_{part}": _scores(data, predicted, temperatures, where)
        for name, predicted in (("in_domain", inside), ("left_out", outside))
        for part, where in (("corpus", corpus), ("public", ~corpus))
    }
    return temperatures, measured


def parts_of(data: Dataset, folds: NDArray[np.int64]) -> list[tuple[Ints, Ints]]:
    """Return (train, test) of each fold; a group that is tested is trained on in no other fold."""
    group = np.array([row.group for row in data.rows])
    parts = []
    for fold in np.unique(folds):
        tested = folds == fold
        alike = np.isin(group, group[tested])
        parts.append((np.flatnonzero(~tested & ~alike), np.flatnonzero(tested)))
    return parts


def cross_predict(
    data: Dataset, parts: Sequence[tuple[Ints, Ints]], step: Progress
) -> tuple[Floats, Floats]:
    """Predict every row by a model that saw nothing of its part, at temperature 1."""
    p_type = np.full((len(data.rows), len(TYPES)), np.nan)
    p_level = np.full((len(data.rows), N_LEVELS), np.nan)
    for done, (known, out) in enumerate(parts):
        step(f"fold {done + 1} of {len(parts)}", done / len(parts))
        model = fit(data.take(known), seeds=SEEDS[:1])
        p_type[out], p_level[out] = model.predict([data.tokens[i] for i in out])
    return p_type, p_level


def best_temperature(p: Floats, target: Floats, weight: Floats) -> float:
    """Return the temperature with the least log loss; ``target`` (n, classes), soft or one-hot."""
    logits = np.log(np.maximum(p, 1e-12))
    losses = []
    for t in TEMPERATURES:
        z = logits / t
        log_p = (
            z
            - np.log(np.exp(z - z.max(1, keepdims=True)).sum(1, keepdims=True))
            - z.max(1, keepdims=True)
        )
        losses.append(-(weight[:, None] * target * log_p).sum())
    return float(TEMPERATURES[int(np.argmin(losses))])


def cooled(p: Floats, temperature: float) -> Floats:
    """Apply a temperature to probabilities."""
    z = np.log(np.maximum(p, 1e-12)) / temperature
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def _temperatures(
    data: Dataset, predicted: tuple[Floats, Floats], where: NDArray[np.bool_]
) -> tuple[float, float]:
    p_type, p_level = predicted
    typed = where & (data.task >= 0)
    levelled = np.isfinite(data.level).all(axis=1)
    return (
        best_temperature(p_type[typed], np.eye(len(TYPES))[data.task[typed]], data.weight[typed]),
        best_temperature(p_level[levelled], data.level[levelled], data.weight[levelled]),
    )


def _scores(
    data: Dataset,
    predicted: tuple[Floats, Floats],
    temperatures: tuple[float, float],
    where: NDArray[np.bool_],
) -> Scores:
    p_type, p_level = (cooled(p, t)[where] for p, t in zip(predicted, temperatures, strict=True))
    return score(p_type, data.task[where], p_level, data.level[where])


def part_of(step: Progress, name: str, start: float, end: float) -> Progress:
    """Return the progress of a part of the work, as progress of the whole."""
    prefix = f"{name}: " if name else ""
    return lambda what, share: step(prefix + what, start + share * (end - start))
