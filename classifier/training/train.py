"""Fit, calibrate, judge and export the classifier: labelled rows → artefact and card."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from classifier.ask import clip
from classifier.features import fingerprint
from classifier.model import (
    BOUND,
    CARD_FILE,
    MODEL_FILE,
    VOCABULARY_FILE,
    Classifier,
    fingerprint_of,
    read_views,
)
from classifier.tasks import N_LEVELS, TYPES, taxonomy_fingerprint
from classifier.training.calibrate import Progress, cross_validate, part_of
from classifier.training.dataset import HELD_OUT_WRITERS, LabelledRow
from classifier.training.evaluate import Scores, score
from classifier.training.export import write_onnx
from classifier.training.fit import Dataset, Trained, fit, prepare, tokenised
from classifier.training.rows import BadData
from classifier.training.staged import replacing
from classifier.vector import save_vocabulary


def train(
    rows: list[LabelledRow],
    out: Path,
    *,
    temperatures: tuple[float, float] | None = None,
    step: Progress = lambda _what, _share: None,
) -> dict[str, Any]:
    """Fit on ``rows`` and write model, vocabulary and card into ``out``; returns the card.

    Held-out writers, where present, are only tested on.  Temperatures and left-out-source scores
    come from folds over sources, in-domain scores from folds over groups; given ``temperatures``,
    both are skipped, which is ten times as fast and measures less.  What was in ``out`` stays
    until all three are written; that they can be is found out first.  Raises BadData, CannotWrite.
    """
    with replacing(out, *ARTEFACT_ORDER) as made:
        return _train(rows, made, temperatures, step)


ARTEFACT_ORDER: Final = (*BOUND, CARD_FILE)
"""The card vouches for the other two, so it comes last."""


def _train(
    rows: list[LabelledRow], out: Path, temperatures: tuple[float, float] | None, step: Progress
) -> dict[str, Any]:
    """Fit, measure and write, as ``train`` says."""
    step("reading texts", 0.0)
    held_out = {f"corpus/{writer}" for writer in HELD_OUT_WRITERS}
    learned = [row for row in rows if row.source not in held_out]
    data = prepare(learned)
    test = tokenised([row for row in rows if row.source in held_out])
    measured: dict[str, Scores] = {}
    if temperatures is None:
        temperatures, measured = cross_validate(data, part_of(step, "", 0.05, 0.85))
    step("fitting on everything", 0.85)
    model = fit(data, temperatures=temperatures)
    measured |= _held_out(test, model.read)
    step("writing", 0.97)
    return write(model, data, out, measured=measured, temperatures=temperatures, test=test)


def rescore(rows: list[LabelledRow], folder: Path) -> dict[str, Any]:
    """Measure an artefact on the held-out writers again and rewrite its card; returns it.

    For a change of how texts are read, not of the weights.
    """
    with replacing(folder, CARD_FILE) as made:
        classifier = Classifier.load(folder)
        card = dict(classifier.card)
        test = tokenised([row for row in rows if row.source in card["test_rows"]])
        if not test.rows:
            problem = "its card names no held-out writers; there is nothing to measure"
            raise BadData(problem, path=folder)
        measured = _held_out(test, classifier.read_once)
        card["scores"] |= {name: _rounded(asdict(found)) for name, found in measured.items()}
        _write_card(card, made)
    return card


def _held_out(test: Dataset, read: Callable[[str], Any]) -> dict[str, Scores]:
    """Score each held-out writer, read as serving reads."""
    measured = {}
    for writer in sorted({row.source for row in test.rows}):
        part = test.take(np.flatnonzero([row.source == writer for row in test.rows]))
        pairs = [read_views(read, clip(row.text)) for row in part.rows]
        p_type, p_level = (np.array(p, dtype=float) for p in zip(*pairs, strict=True))
        found = score(p_type, part.task, p_level, part.level)
        measured[f"held_out_{writer.removeprefix('corpus/')}"] = found
    return measured


def write(
    model: Trained,
    data: Dataset,
    out: Path,
    *,
    measured: dict[str, Scores],
    temperatures: tuple[float, float],
    test: Dataset,
) -> dict[str, Any]:
    """Write the three files of the artefact; returns the card."""
    out.mkdir(parents=True, exist_ok=True)
    save_vocabulary(model.vocabulary, out / VOCABULARY_FILE)
    write_onnx(model.weights, out / MODEL_FILE)
    card = {
        "files": {name: fingerprint_of((out / name).read_bytes()) for name in BOUND},
        "features": fingerprint(),
        "taxonomy": taxonomy_fingerprint(),
        "rows": dict(sorted(Counter(row.source for row in data.rows).items())),
        "test_rows": dict(sorted(Counter(row.source for row in test.rows).items())),
        "languages": dict(Counter(row.lang for row in data.rows).most_common()),
        "tasks": dict(sorted(Counter(row.task for row in data.rows).items())),
        "columns": model.vocabulary.size,
        "temperatures": [round(t, 4) for t in temperatures],
        "level_of_type": _level_of_type(data),
        "scores": {name: _rounded(asdict(s)) for name, s in measured.items()},
    }
    _write_card(card, out)
    return card


def _write_card(card: Mapping[str, Any], folder: Path) -> None:
    text = json.dumps(card, indent=1, sort_keys=True, allow_nan=False) + "\n"
    (folder / CARD_FILE).write_text(text, "utf-8")


def _level_of_type(data: Dataset) -> list[list[float]]:
    """Mean difficulty distribution of each type over the corpus, (types, 4), one row added to each."""
    known = np.isfinite(data.level).all(axis=1)
    overall = data.level[known].mean(axis=0) if known.any() else np.full(N_LEVELS, 1 / N_LEVELS)
    means = []
    for task in range(len(TYPES)):
        mine = known & (data.task == task) & (data.weight >= 1)
        total = data.level[mine].sum(axis=0) + overall
        means.append([round(float(x), 4) for x in total / total.sum()])
    return means


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: round(v, 4)
        if isinstance(v, float) and np.isfinite(v)
        else v
        if isinstance(v, int)
        else None
        for key, v in values.items()
    }
