"""How well is difficulty read from text?  Our recipe beside that of the first study.

The target is the mean score of the models that met a prompt; the prompts, the measures and the
first recipe are those of ``shared/notes/classifier-study.md``.  Two measures, because they can
disagree: R² over all prompts together rewards telling easy benchmarks from hard ones, the rank
correlation *within* a benchmark, averaged over benchmarks, only telling its prompts apart.

Folds are what makes such numbers honest.  SWE-bench and SWT-Bench hold the same issues, and in
random folds a prompt's twin sits in training; so the folds here are

    grouped               look-alikes (``cluster_id``) share a fold: the number to quote
    ungrouped             random folds, to show what the twins are worth
    benchmark left out    one benchmark at a time, with every look-alike of its prompts

Ours is ``classifier.training.fit.fit`` itself, the int8 rows included: the ends of the level scale stand
for "no model solves it" and "all do", and one temperature is fitted, as in training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.frames import Column, read_columns
from benchmarks.judge.evaluate import Progress
from benchmarks.judge.measures import Floats, Ints
from benchmarks.output import json_text
from benchmarks.studies.study import Options, Study
from classifier.features import HashedText, tokenize
from classifier.tasks import N_LEVELS
from classifier.training.calibrate import best_temperature, cooled
from classifier.training.dataset import LabelledRow, grouped_folds
from classifier.training.evaluate import spearman
from classifier.training.fit import Dataset, Text, fit
from classifier.training.rows import as_flag, as_key, as_score, as_text

Step = Callable[[str, float], None]
"""Called with what is being done and the share done, 0 to 1."""

MIN_MODELS: Final = 7
MAX_ITEMS: Final = 900
MIN_ITEMS: Final = 20
FOLDS: Final = 5

FIRST_STUDY: Final = "hashed ridge + LSA kNN (weighted)"
OURS: Final = "ours"

GROUPED: Final = "grouped"
UNGROUPED: Final = "ungrouped"
LEFT_OUT: Final = "benchmark left out"

HASHED_COLUMNS: Final = 2**16
RIDGE_ALPHA: Final = 1.0
LSA_SIZE: Final = 256
NEIGHBOURS: Final = 50
SHARPNESS: Final = 8.0
"""A neighbour counts exp(SHARPNESS * cosine): within rho .245 where equal counts gave .234."""

READ_CHARS: Final = 2000
"""The first study read this much of either end of a text."""


@dataclass(frozen=True, slots=True)
class Prompts:
    """Prompts and how hard they were.

    ``score`` float64 (n,), mean over models, in [0, 1]; ``rows`` hold text, benchmark
    (``source``) and look-alikes (``group``).
    """

    rows: tuple[LabelledRow, ...]
    tokens: tuple[HashedText, ...]
    score: Floats

    @property
    def benchmark(self) -> NDArray[np.str_]:
        """Each prompt's benchmark, (n,)."""
        return np.array([row.source for row in self.rows])


@dataclass(frozen=True, slots=True)
class RecipeReading:
    """What one recipe read on one kind of folds.

    ``r2`` over all prompts together; ``rank``, the mean over benchmarks of Spearman's correlation
    within one, which ``rank_by_benchmark`` holds; a benchmark of constant scores is left out.
    """

    recipe: str
    folds: str
    r2: float
    rank: float
    rank_by_benchmark: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class DifficultyStudy:
    """The whole table, and how many prompts and benchmarks it stands on."""

    prompts: int
    benchmarks: int
    readings: tuple[RecipeReading, ...]

    def to_json(self) -> str:
        """Write as indented JSON."""
        return json_text(asdict(self), indent=2)

    def reading(self, recipe: str, folds: str) -> RecipeReading:
        """Return one row of the table; raises KeyError."""
        return {(r.recipe, r.folds): r for r in self.readings}[recipe, folds]


Recipe = Callable[[Prompts, Ints, Ints], Floats]
"""(prompts, training rows, test rows) → the reading of each test row, float64 (n_test,)."""


def study(
    shared: Path,
    *,
    max_items: int = MAX_ITEMS,
    left_out: bool = True,
    progress: Step = lambda _what, _share: None,
) -> DifficultyStudy:
    """Measure both recipes on the prompts in ``shared``; takes some minutes of one core.

    ``left_out``: also leave out one benchmark at a time, which takes most of that time.
    """
    progress("reading prompts", 0.0)
    return study_prompts(
        read_scored(shared, max_items=max_items), left_out=left_out, progress=progress
    )


def study_prompts(
    prompts: Prompts,
    *,
    left_out: bool = True,
    progress: Step = lambda _what, _share: None,
) -> DifficultyStudy:
    """Measure both recipes on any prompts."""
    grouped = list(_splits(grouped_folds(list(prompts.rows), FOLDS)))
    random = np.random.default_rng(0).permutation(len(prompts.rows)) % FOLDS
    plan: list[tuple[str, Recipe, str, list[tuple[Ints, Ints]]]] = [
        (FIRST_STUDY, first_study, GROUPED, grouped),
        (FIRST_STUDY, first_study, UNGROUPED, list(_splits(random))),
        (OURS, ours, GROUPED, grouped),
    ]
    if left_out:
        plan.append((OURS, ours, LEFT_OUT, list(leave_out(prompts))))
    total, done, readings = sum(len(splits) for *_, splits in plan), 0, []
    for name, recipe, folds, splits in plan:
        read = np.full(len(prompts.rows), np.nan)
        for train, test in splits:
            progress(f"{name}, {folds}", done / total)
            read[test] = recipe(prompts, train, test)
            done += 1
        if recipe is ours:
            read = _calibrated(read, prompts.score)
        readings.append(measure(name, folds, prompts, read))
    names = set(prompts.benchmark.tolist())
    return DifficultyStudy(len(prompts.rows), len(names), tuple(readings))


SCORE_COLUMNS: Final = (
    Column("prompt_id", as_key, required=True),
    Column("model", as_key, required=True),
    Column("score", as_score, required=True, within=(0, 1), expected="a number from 0 to 1"),
)

TEXT_COLUMNS: Final = (
    Column("prompt_id", as_key, required=True),
    Column("benchmark", as_key, required=True),
    Column("cluster_id", as_key),
    Column("prompt_text", as_text),
    Column("train_ok", as_flag, otherwise=True),
)


def read_scored(
    shared: Path, *, max_items: int = MAX_ITEMS, min_models: int = MIN_MODELS
) -> Prompts:
    """Read the prompts that may be trained on and at least ``min_models`` models met.

    At most ``max_items`` of a benchmark are taken, by hash, and none of one below MIN_ITEMS.
    """
    by_model = (
        read_columns(shared / "outcomes.parquet", SCORE_COLUMNS)
        .frame.group_by("prompt_id", "model")
        .agg(pl.col("score").mean())
    )
    scores = by_model.group_by("prompt_id").agg(pl.col("score").mean(), n_models=pl.len())
    known = (
        read_columns(shared / "prompts.parquet", TEXT_COLUMNS)
        .frame.filter(pl.col("train_ok") & pl.col("prompt_text").is_not_null())
        .join(scores.filter(pl.col("n_models") >= min_models), on="prompt_id")
        .with_columns(order=pl.col("prompt_id").map_elements(_digest, return_dtype=pl.String))
        .sort("order")
        .filter(pl.int_range(pl.len()).over("benchmark") < max_items)
        .filter(pl.len().over("benchmark") >= MIN_ITEMS)
    )
    rows = [
        LabelledRow(text, "", None, benchmark, prompt if group is None else group)
        for prompt, text, benchmark, group in known.select(
            "prompt_id", "prompt_text", "benchmark", "cluster_id"
        ).iter_rows()
    ]
    return scored(rows, known["score"].to_numpy())


def scored(rows: Sequence[LabelledRow], score: Floats) -> Prompts:
    """Tokenise rows and keep them with their scores."""
    return Prompts(
        tuple(rows), tuple(tokenize(row.text) for row in rows), np.asarray(score, dtype=float)
    )


def leave_out(prompts: Prompts) -> Iterator[tuple[Ints, Ints]]:
    """Yield (train, test) for each benchmark: no look-alike of a tested prompt is trained on."""
    benchmark, group = prompts.benchmark, np.array([row.group for row in prompts.rows])
    for name in np.unique(benchmark):
        tested = benchmark == name
        alike = np.isin(group, group[tested])
        yield np.flatnonzero(~tested & ~alike), np.flatnonzero(tested)


def measure(recipe: str, folds: str, prompts: Prompts, read: Floats) -> RecipeReading:
    """Compare readings (n,) with the scores."""
    y, benchmark = prompts.score, prompts.benchmark
    ranks = {
        str(name): spearman(read[benchmark == name], y[benchmark == name])
        for name in np.unique(benchmark)
    }
    ranks = {name: rank for name, rank in ranks.items() if np.isfinite(rank)}
    error, spread = ((y - read) ** 2).sum(), ((y - y.mean()) ** 2).sum()
    mean = float(np.mean(list(ranks.values()))) if ranks else float("nan")
    return RecipeReading(recipe, folds, float(1 - error / spread), mean, ranks)


def first_study(prompts: Prompts, train: Ints, test: Ints) -> Floats:
    """Average a ridge on hashed words and word pairs with neighbours in their 256-d LSA."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import normalize

    words = HashingVectorizer(
        n_features=HASHED_COLUMNS,
        ngram_range=(1, 2),
        token_pattern=r"\w+|[^\w\s]",
        alternate_sign=False,
        norm=None,
    )
    idf = TfidfTransformer(sublinear_tf=True)
    x = idf.fit_transform(words.transform([_ends(prompts.rows[i].text) for i in train]))
    z = idf.transform(words.transform([_ends(prompts.rows[i].text) for i in test]))
    y = prompts.score[train]
    ridge = Ridge(alpha=RIDGE_ALPHA, solver="sparse_cg", tol=1e-3).fit(x, y).predict(z)
    seen = np.unique(x.indices)
    lsa = TruncatedSVD(min(LSA_SIZE, *x[:, seen].shape), n_iter=3, random_state=0)
    near = _neighbours(
        normalize(lsa.fit_transform(x[:, seen])), normalize(lsa.transform(z[:, seen])), y
    )
    return np.asarray((ridge + near) / 2)


def _neighbours(known: Floats, asked: Floats, y: Floats) -> Floats:
    """Mean score of the nearest known rows, nearer ones counting more."""
    cosine = asked @ known.T
    k = min(NEIGHBOURS, len(y))
    nearest = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
    weight = np.exp(SHARPNESS * np.take_along_axis(cosine, nearest, axis=1))
    return np.asarray((weight * y[nearest]).sum(axis=1) / weight.sum(axis=1))


def _ends(text: str) -> str:
    if len(text) <= 2 * READ_CHARS:
        return text
    return f"{text[:READ_CHARS]}\n{text[-READ_CHARS:]}"


def ours(prompts: Prompts, train: Ints, test: Ints) -> Floats:
    """Fit what ships, and return the probability of the scale's end, (n_test,)."""
    level = np.zeros((len(train), N_LEVELS))
    level[:, 0], level[:, -1] = 1 - prompts.score[train], prompts.score[train]
    data = Dataset(
        rows=[prompts.rows[i] for i in train],
        texts=[(Text.plain(prompts.tokens[i]),) for i in train],
        task=np.full(len(train), -1),
        level=level,
    )
    _, p_level = fit(data).predict([prompts.tokens[i] for i in test])
    return np.asarray(p_level[:, -1] / (p_level[:, 0] + p_level[:, -1]))


def _calibrated(read: Floats, score: Floats) -> Floats:
    """Fit one temperature on predictions for rows left out, as training does, and apply it."""
    p, target = np.stack((1 - read, read), axis=1), np.stack((1 - score, score), axis=1)
    return np.asarray(cooled(p, best_temperature(p, target, np.ones(len(p))))[:, 1])


def _splits(folds: Ints) -> Iterator[tuple[Ints, Ints]]:
    for fold in np.unique(folds):
        yield np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def run(options: Options, progress: Progress) -> DifficultyStudy:
    """Measure both recipes on every kind of folds."""
    return study(options.shared, progress=lambda what, share: progress(f"{what} ({share:.0%})"))


def report(found: DifficultyStudy, folder: Path) -> Path:
    """Write the numbers into a folder; there is no page."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "difficulty.json"
    path.write_text(found.to_json() + "\n", "utf-8")
    return path


STUDY = Study(
    "difficulty",
    "How well difficulty is read from text, beside the recipe of the first study.",
    run,
    report,
    draws=False,
)
