"""Judge and calibrate: predict rows by models that saw nothing of them, and cool what is too sure.

Probabilities are calibrated by one temperature per head, fitted on predictions for *writers and
sources left out*, because what counts is being honest about people never seen; folded into the
weights, it survives export exactly.  The same predictions are the headline: writers and sources left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from classifier.carry import TextReading
from classifier.tasks import N_LEVELS, TYPES
from classifier.training.dataset import LabelledRow, grouped_folds
from classifier.training.evaluate import (
    Scores,
    f1_of_types,
    probability_error,
    score,
    spearman,
    type_picks,
)
from classifier.training.fit import MIN_TRAINING_ROWS, Dataset, Floats, Ints, fit
from classifier.training.rows import BadData

Readings = Mapping[tuple[str, str], TextReading]
"""Group and text → how the text reads to a model that saw nothing of the group."""

Progress = Callable[[str, float], None]
"""Called with what is being done and the share done, 0 to 1."""

FOLDS: Final = 5

TEMPERATURES: Final = np.geomspace(0.4, 4.0, 61)


@dataclass(frozen=True, slots=True)
class CrossRead:
    """What models say of rows that they saw nothing of; n rows.

    ``p_type`` (n, types) and ``p_level`` (n, 4) at ``temperatures`` of type and level; ``readings`` of each
    text and of the asks before it, for the turns; ``scores`` by name; ``by`` the same in parts: what is
    split by → part → scores.  ``f1`` of each type and ``level_ece`` of each level's probability on written rows;
    ``within`` of each benchmark: its rows, and the rank correlation of its items' difficulty with the expected
    level and with the length of the text.
    """

    p_type: Floats
    p_level: Floats
    temperatures: tuple[float, float]
    readings: Readings
    scores: dict[str, Scores]
    by: dict[str, dict[str, Scores]]
    f1: dict[str, float]
    level_ece: list[float | None]
    within: dict[str, list[float]]


def cross_validate(data: Dataset, step: Progress) -> CrossRead:
    """Read every row by a model that saw nothing of its writer or source."""
    written = np.array([not row.public for row in data.rows])
    n_sources = len({row.source for row in data.rows})
    parts = parts_of(data, grouped_folds(data.rows, min(FOLDS, n_sources), by="source"))
    if n_sources < 2 or min(len(known) for known, _ in parts) < MIN_TRAINING_ROWS // 2:
        parts = parts_of(data, grouped_folds(data.rows, FOLDS))
    if len(parts) < 2:
        raise BadData(
            "all rows are of one group, and cross-validation takes two at least: give look-alikes "
            "alone the same `group`, or skip it with --quick"
        )
    p_type, p_level, readings = cross_predict(data, parts, step)
    own = np.array([row.turn in OWN_TURNS for row in data.rows])
    fitted_on = own & (written if written.any() else ~written)
    temperatures = _temperatures(data, (p_type, p_level), fitted_on)
    p_type, p_level = cooled(p_type, temperatures[0]), cooled(p_level, temperatures[1])
    readings = _cooled_readings(readings, temperatures)

    def scores(where: NDArray[np.bool_]) -> Scores:
        return score(p_type[where], data.task[where], p_level[where], data.level[where])

    return CrossRead(
        p_type,
        p_level,
        temperatures,
        readings,
        {"left_out_corpus": scores(own & written), "left_out_public": scores(~written)},
        {
            name: {part: scores(where & own & written) for part, where in held.items()}
            for name, held in _splits(data.rows).items()
        },
        f1_of_types(data.task[own & written], type_picks(p_type[own & written])),
        _level_errors(p_level[own & written], data.level[own & written]),
        within_benchmarks(data, p_level),
    )


def _cooled_readings(readings: Readings, temperatures: tuple[float, float]) -> Readings:
    """Return readings at the temperatures that serve, which is what turns are told from there."""
    if not readings:
        return readings
    p_type = cooled(np.array([r.p_type for r in readings.values()]), temperatures[0])
    p_level = cooled(np.array([r.p_level for r in readings.values()]), temperatures[1])
    return {
        key: TextReading(kind.astype(np.float32), level.astype(np.float32), read.p_turn)
        for (key, read), kind, level in zip(readings.items(), p_type, p_level, strict=True)
    }


def _level_errors(p_level: Floats, level: Floats) -> list[float | None]:
    """Calibration error of each level's probability, where the label is one level; None where none is."""
    sure = level.max(axis=1) == 1.0
    if not sure.any():
        return [None] * N_LEVELS
    return [
        round(probability_error(p_level[sure, k], level[sure, k] == 1.0), 4)
        for k in range(N_LEVELS)
    ]


def within_benchmarks(data: Dataset, p_level: Floats) -> dict[str, list[float]]:
    """Order each benchmark's items by what was read, and by length alone."""
    steps = np.arange(N_LEVELS)
    found = {}
    for source in sorted({row.source for row in data.rows if row.public}):
        mine = np.array([row.source == source for row in data.rows])
        mine &= np.isfinite(data.level).all(axis=1)
        if mine.sum() < MIN_PART:
            continue
        truth = data.level[mine] @ steps
        length = np.array(
            [float(len(row.text)) for row, held in zip(data.rows, mine, strict=True) if held]
        )
        ordered = spearman(p_level[mine] @ steps, truth), spearman(length, truth)
        if np.isfinite(ordered).all():
            found[source] = [int(mine.sum()), *(round(float(rho), 4) for rho in ordered)]
    return found


OWN_TURNS: Final = frozenset({"new", "thanks"})
"""Turns whose words alone tell what is wanted: those that reading a text can be judged by."""

STYLES: Final = (
    "terse",
    "courteous",
    "wordy",
    "pasted",
    "typos",
    "voice",
    "code",
    "trace",
    "injection",
)
MIN_PART: Final = 40
"""Parts of fewer rows are not scored."""


def _splits(rows: Sequence[LabelledRow]) -> dict[str, dict[str, NDArray[np.bool_]]]:
    """Return which rows are of each language, of each style, and of each writer."""
    langs = Counter(row.lang for row in rows if not row.public)
    writers = sorted({row.source for row in rows if not row.public})
    return {
        "language": {
            lang: np.array([row.lang == lang for row in rows])
            for lang, n in langs.most_common()
            if n >= MIN_PART
        },
        "style": {style: np.array([style in row.tags for row in rows]) for style in STYLES},
        "writer": {name: np.array([row.source == name for row in rows]) for name in writers},
    }


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
) -> tuple[Floats, Floats, Readings]:
    """Predict every row by a model that saw nothing of its part, at temperature 1.

    Returns p_type (n, types), p_level (n, 4), and the readings of rows' texts and of the asks before them, by
    group and text: two may say the same words, and each is read by who saw nothing of his group.
    """
    p_type = np.full((len(data.rows), len(TYPES)), np.nan)
    p_level = np.full((len(data.rows), N_LEVELS), np.nan)
    readings: dict[tuple[str, str], TextReading] = {}
    for done, (known, out) in enumerate(parts):
        step(f"fold {done + 1} of {len(parts)}", done / len(parts))
        model = fit(data.take(known))
        for i in out:
            read = model.read_tokens(data.texts[i][0].tokens)
            group = data.rows[i].group
            readings[group, data.rows[i].text] = read
            p_type[i], p_level[i] = read.p_type, read.p_level
            for exchange in data.rows[i].before:
                readings[group, exchange.ask] = model.read(exchange.ask)
    return p_type, p_level, readings


def best_temperature(p: Floats, target: Floats, weight: Floats) -> float:
    """Return the temperature with the least log loss; ``target`` (n, classes), soft or one-hot.

    1 where there is nothing to fit it to.
    """
    if not weight.sum() > 0:
        return 1.0
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
    weight = np.array([row.weight for row in data.rows])
    typed = where & (data.task >= 0)
    levelled = where & np.isfinite(data.level).all(axis=1)
    return (
        best_temperature(p_type[typed], np.eye(len(TYPES))[data.task[typed]], weight[typed]),
        best_temperature(p_level[levelled], data.level[levelled], weight[levelled]),
    )


def part_of(step: Progress, name: str, start: float, end: float) -> Progress:
    """Return the progress of a part of the work, as progress of the whole."""
    prefix = f"{name}: " if name else ""
    return lambda what, share: step(prefix + what, start + share * (end - start))
