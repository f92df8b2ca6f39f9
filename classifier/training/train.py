"""Fit, calibrate, judge and export the classifier: labelled rows → artefact and card."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from classifier.ask import clip
from classifier.carry import Carry, TextReading, carry_fingerprint
from classifier.features import fingerprint
from classifier.model import (
    BOUND,
    CARD_FILE,
    MODEL_FILE,
    VOCABULARY_FILE,
    Classifier,
    fingerprint_of,
)
from classifier.tasks import N_LEVELS, TYPES, taxonomy_fingerprint
from classifier.training.calibrate import OWN_TURNS, Progress, cross_validate, part_of
from classifier.training.carry import by_fold, fit_carry, fresh, turn_scores, turns_of
from classifier.training.dataset import (
    CORPUS_PREFIX,
    HELD_OUT_WRITERS,
    LabelledRow,
    agreed,
    under_way,
)
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
    quick: Mapping[str, Any] | None = None,
    step: Progress = lambda _what, _share: None,
) -> dict[str, Any]:
    """Fit on ``rows`` and write model, vocabulary and card into ``out``; returns the card.

    Held-out writers, where present, are only tested on.  Temperatures, what tells an answer from a new
    wish, and the headline scores come from folds over writers and sources; given ``quick``, the card of another
    training, they are skipped and its temperatures and turns kept, which is five times as fast and measures
    less.  What was in ``out`` stays until all three are written; that they can be is found out first.
    Raises BadData, CannotWrite.
    """
    with replacing(out, *ARTEFACT_ORDER) as made:
        return _train(rows, made, quick, step)


ARTEFACT_ORDER: Final = (*BOUND, CARD_FILE)
"""The card vouches for the other two, so it comes last."""


def _train(
    rows: list[LabelledRow], out: Path, quick: Mapping[str, Any] | None, step: Progress
) -> dict[str, Any]:
    """Fit, measure and write, as ``train`` says."""
    step("saying asks in other ways", 0.0)
    held_out = {f"{CORPUS_PREFIX}{writer}" for writer in HELD_OUT_WRITERS}
    written = [row for row in rows if row.source not in held_out]
    learned = agreed(written)
    data = prepare([*learned, *under_way(learned)])
    test = [row for row in agreed(rows) if row.source in held_out]
    if quick:
        temperatures = tuple(quick["temperatures"])
        talks = any(row.before for row in data.rows)
        carry = Carry.of(quick["carry"]) if talks else fresh()
        measured: dict[str, Any] = {}
    else:
        found = cross_validate(data, part_of(step, "", 0.1, 0.85))
        step("telling answers from new wishes", 0.85)
        turns = turns_of(data.rows, found.readings)
        carry, temperatures = fit_carry(turns), found.temperatures
        measured = {
            "scores": found.scores,
            "by": found.by,
            "f1": found.f1,
            "level_ece": found.level_ece,
            "within_benchmarks": found.within,
            "turns": turn_scores(data.rows, turns, by_fold(turns, data.rows)),
        }
    step("fitting on everything", 0.87)
    model = fit(data, temperatures=temperatures)
    measured["scores"] = measured.get("scores", {}) | held_out_scores(test, model.read)
    step("writing", 0.98)
    return write(
        model,
        carry,
        data,
        out,
        written=written,
        measured=measured,
        temperatures=temperatures,
        test=test,
    )


def rescore(rows: list[LabelledRow], folder: Path) -> dict[str, Any]:
    """Measure an artefact on the held-out writers again and rewrite its card; returns it.

    For a change of how texts are read, not of the weights.
    """
    with replacing(folder, CARD_FILE) as made:
        classifier = Classifier.load(folder)
        card = dict(classifier.card)
        test = [row for row in agreed(rows) if row.source in card["test_rows"]]
        if not test:
            problem = "its card names no held-out writers; there is nothing to measure"
            raise BadData(problem, path=folder)
        card["scores"] |= _plain(held_out_scores(test, classifier.read))
        _write_card(card, made)
    return card


def held_out_scores(
    test: list[LabelledRow], read: Callable[[str], TextReading]
) -> dict[str, Scores]:
    """Score each held-out writer on the rows whose words alone tell what is wanted."""
    measured = {}
    for writer in sorted({row.source for row in test}):
        part = tokenised([row for row in test if row.source == writer and row.turn in OWN_TURNS])
        readings = [read(clip(row.text)) for row in part.rows]
        p_type = np.array([r.p_type for r in readings], dtype=float)
        p_level = np.array([r.p_level for r in readings], dtype=float)
        found = score(p_type, part.task, p_level, part.level)
        measured[f"held_out_{writer.removeprefix(CORPUS_PREFIX)}"] = found
    return measured


def write(
    model: Trained,
    carry: Carry,
    data: Dataset,
    out: Path,
    *,
    written: list[LabelledRow],
    measured: Mapping[str, Any],
    temperatures: tuple[float, float],
    test: list[LabelledRow],
) -> dict[str, Any]:
    """Write the three files of the artefact; returns the card."""
    out.mkdir(parents=True, exist_ok=True)
    save_vocabulary(model.vocabulary, out / VOCABULARY_FILE)
    write_onnx(model.weights, out / MODEL_FILE)
    card = {
        "files": {name: fingerprint_of((out / name).read_bytes()) for name in BOUND},
        "features": fingerprint(),
        "taxonomy": taxonomy_fingerprint(),
        "turns_fingerprint": carry_fingerprint(),
        "rows": dict(sorted(Counter(row.source for row in data.rows).items())),
        "test_rows": dict(sorted(Counter(row.source for row in test).items())),
        "languages": dict(Counter(row.lang for row in data.rows).most_common()),
        "tasks": dict(sorted(Counter(row.task for row in data.rows).items())),
        "agreement": agreement(written),
        "columns": model.vocabulary.size,
        "temperatures": [round(t, 4) for t in temperatures],
        "carry": carry.card(),
        "level_of_type": _level_of_type(data),
        "scores": {},
        **_plain(measured),
    }
    _write_card(card, out)
    return card


def agreement(rows: list[LabelledRow]) -> dict[str, list[float]]:
    """How often a second, blind reader gave the same label: type → rows, same type, same level of those.

    Of rows that were read twice.
    """
    found = {}
    for task in TYPES:
        twice = [row for row in rows if row.task == task and row.second]
        if twice:
            same = [row for row in twice if row.second and row.second[0] == task]
            level = np.mean([max(row.p_level or (0.0,)) == 1.0 for row in same]) if same else 0.0
            found[task] = [len(twice), round(len(same) / len(twice), 4), round(float(level), 4)]
    return found


def _write_card(card: Mapping[str, Any], folder: Path) -> None:
    text = json.dumps(card, indent=1, sort_keys=True, allow_nan=False) + "\n"
    (folder / CARD_FILE).write_text(text, "utf-8")


def _level_of_type(data: Dataset) -> list[list[float]]:
    """Mean difficulty distribution of each type over the corpus, (types, 4), one row added to each."""
    known = np.isfinite(data.level).all(axis=1)
    overall = data.level[known].mean(axis=0) if known.any() else np.full(N_LEVELS, 1 / N_LEVELS)
    weight = np.array([row.weight for row in data.rows])
    means = []
    for task in range(len(TYPES)):
        mine = known & (data.task == task) & (weight >= 1)
        total = data.level[mine].sum(axis=0) + overall
        means.append([round(float(x), 4) for x in total / total.sum()])
    return means


def _plain(value: Any) -> Any:
    """Turn scores within a mapping into what JSON holds, rounded."""
    if isinstance(value, Mapping):
        return {key: _plain(held) for key, held in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return _rounded(asdict(value))
    return value


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: round(v, 4)
        if isinstance(v, float) and np.isfinite(v)
        else v
        if isinstance(v, int)
        else None
        for key, v in values.items()
    }
