"""Fit, calibrate, judge and export the classifier: labelled rows → artefact and card.

The model is a few small networks over one vector: hashed words, word pairs, character n-grams and
edge tokens (TF-IDF), and surface counts.  Two read the task type and, beside it, the difficulty
level; a third reads the level alone, from few directions, and has most of the say there.  A row
may teach either or both, and benchmark items teach difficulty softly, with the probabilities that
item response gives them.

Probabilities are calibrated by one temperature per head, fitted on predictions for *writers and
sources left out*, because what counts is being honest about people never seen; folded into the
weights, it survives export exactly.  The same predictions are the leave-one-source-out result.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from classifier.ask import clip
from classifier.features import SURFACE, HashedText, fingerprint, tokenize
from classifier.model import CARD_FILE, MODEL_FILE, VOCABULARY_FILE, Classifier, read_views
from classifier.tasks import N_LEVELS, TYPES, taxonomy_fingerprint
from classifier.training.dataset import HELD_OUT_WRITERS, BadData, LabelledRow, grouped_folds
from classifier.training.evaluate import Scores, score
from classifier.training.export import Weights, quantise, write_onnx
from classifier.training.network import LEVEL_SHARE, Network, fit_level_network, fit_network
from classifier.vector import (
    BLOCK_WEIGHTS,
    Vocabulary,
    build_vocabulary,
    save_vocabulary,
)

Floats = NDArray[np.float64]
Progress = Callable[[str, float], None]
"""Called with what is being done and the share done, 0 to 1."""

FOLDS: Final = 5

SEEDS: Final = (1, 2)
"""Networks that are averaged; cross-validation fits the first alone, for time."""

MIN_TRAINING_ROWS: Final = 50
"""Fewer rows than this cannot be split and judged."""

TEMPERATURES: Final = np.geomspace(0.4, 4.0, 61)


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


def cross_predict(data: Dataset, folds: NDArray[np.int64], step: Progress) -> tuple[Floats, Floats]:
    """Predict every row by a model that saw none of its fold, at temperature 1."""
    p_type = np.full((len(data.rows), len(TYPES)), np.nan)
    p_level = np.full((len(data.rows), N_LEVELS), np.nan)
    names = np.unique(folds)
    for done, fold in enumerate(names):
        step(f"fold {done + 1} of {len(names)}", done / len(names))
        out = np.flatnonzero(folds == fold)
        model = fit(data.take(np.flatnonzero(folds != fold)), seeds=SEEDS[:1])
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
    both are skipped, which is ten times as fast and measures less.
    """
    step("reading texts", 0.0)
    held_out = {f"corpus/{writer}" for writer in HELD_OUT_WRITERS}
    learned = [row for row in rows if row.source not in held_out]
    data = prepare(learned)
    test = tokenised([row for row in rows if row.source in held_out])
    measured: dict[str, Scores] = {}
    if temperatures is None:
        temperatures, measured = _cross_validate(data, _part(step, "", 0.05, 0.85))
    step("fitting on everything", 0.85)
    model = fit(data, temperatures=temperatures)
    measured |= _held_out(test, model.read)
    step("writing", 0.97)
    return write(model, data, out, measured=measured, temperatures=temperatures, test=test)


def rescore(rows: list[LabelledRow], folder: Path) -> dict[str, Any]:
    """Measure an artefact on the held-out writers again and rewrite its card; returns it.

    For a change of how texts are read, not of the weights.
    """
    card = json.loads((folder / CARD_FILE).read_text("utf-8"))
    test = tokenised([row for row in rows if row.source in card["test_rows"]])
    if not test.rows:
        raise BadData(f"{folder}: its card names no held-out writers; there is nothing to measure")
    measured = _held_out(test, Classifier.load(folder).read_once)
    card["scores"] |= {name: _rounded(asdict(found)) for name, found in measured.items()}
    _write_card(card, folder)
    return dict(card)


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


def _cross_validate(data: Dataset, step: Progress) -> tuple[tuple[float, float], dict[str, Scores]]:
    """Return the temperatures, and scores with sources left out and in domain."""
    corpus = np.array([row.source.startswith("corpus/") for row in data.rows])
    by_source = grouped_folds(data.rows, min(FOLDS, _distinct(data, "source")), by="source")
    if len(set(by_source.tolist())) < 2:
        by_source = grouped_folds(data.rows, FOLDS)
    outside = cross_predict(data, by_source, _part(step, "sources left out", 0.0, 0.5))
    temperatures = _temperatures(data, outside, corpus if corpus.any() else ~corpus)
    by_group = grouped_folds(data.rows, FOLDS)
    inside = cross_predict(data, by_group, _part(step, "in domain", 0.5, 1.0))
    measured = {
        f"{name}_{part}": _scores(data, predicted, temperatures, where)
        for name, predicted in (("in_domain", inside), ("left_out", outside))
        for part, where in (("corpus", corpus), ("public", ~corpus))
    }
    return temperatures, measured


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
    text = json.dumps(card, indent=1, sort_keys=True) + "\n"
    (folder / CARD_FILE).write_text(text, "utf-8")


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


def _distinct(data: Dataset, key: str) -> int:
    return len({getattr(row, key) for row in data.rows})


def _part(step: Progress, name: str, start: float, end: float) -> Progress:
    prefix = f"{name}: " if name else ""
    return lambda what, share: step(prefix + what, start + share * (end - start))


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: round(v, 4)
        if isinstance(v, float) and np.isfinite(v)
        else v
        if isinstance(v, int)
        else None
        for key, v in values.items()
    }
