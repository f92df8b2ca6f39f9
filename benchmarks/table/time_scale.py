"""Place every item on the human-time scale: P(level 1..4) and expected log-minutes.

All models' outcomes, old ones included, are fitted with one ability per model, so that items of
different benchmarks share a scale; a model's luck with one benchmark's prompt format is an effect
of its own (``context``) and does not drag the items along.  The scale is then tied to time on the
items whose human time is known: SWE-bench Verified's annotations and METR's measured minutes.
Items with a known or a hinted level keep it.

An item that many models met and none solved is as likely broken as hard (a third of SWE-bench
Multimodal is called unsolvable by the index that runs it), so it is placed by its benchmark alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks.outcomes import OWN_ALONE, OutcomeSet, load_evidence
from benchmarks.table.item_response import (
    Design,
    Fit,
    Floats,
    Observations,
    Tie,
    fit,
    one_hot_levels,
    place,
    tie,
)
from classifier.tasks import N_LEVELS
from classifier.training.rows import BadData
from router.evidence.table import DEFAULT_EFFORT

TYPICAL_MINUTES: Final = (7.5, 37.5, 150.0, 360.0)
"""Of each level, as shared/data turns SWE-bench's annotation into minutes."""

MANY_MODELS: Final = 20

TIED_BY: Final = ("openhands-swe-bench", "metr-hcast")
"""Benchmarks whose human times carry the tie.  SWT-Bench has the same times for another task."""

MIN_TIED: Final = 3
"""Fewer points do not make a line with an error."""

PLACED_COLUMNS: Final = (
    "item", "benchmark", "group", "text", "task", "timed", "p1", "p2", "p3", "p4", "log_minutes",
    "difficulty_logit", "sd", "mean_score", "n_models", "train_ok",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Placement:
    """``items``: PLACED_COLUMNS; ``line`` the tie, ``checks`` its correlations by benchmark."""

    items: pl.DataFrame
    line: Tie
    checks: dict[str, float]


def placed_items(shared: Path, sets: Sequence[str]) -> pl.DataFrame:
    """Return every item of ``sets`` that may be fitted, placed; columns PLACED_COLUMNS."""
    return place_evidence(load_evidence(shared, sets)).items


def place_evidence(evidence: OutcomeSet) -> Placement:
    """Fit difficulties on everything that may be fitted, tie them to time, and place."""
    rows = evidence.outcomes.filter(pl.col("train_ok"))
    difficulty = item_difficulties(rows)
    items = evidence.items.join(difficulty, on="item", how="inner").sort("item")
    line, checks = tie_to_time(items)
    return Placement(_placed(items, line), line, checks)


def item_difficulties(rows: pl.DataFrame) -> pl.DataFrame:
    """Return item, difficulty_logit, sd, mean_score, n_models."""
    model = pl.when(pl.col("effort") == DEFAULT_EFFORT).then("model_key")
    rows = rows.with_columns(who=model.otherwise(pl.col("model_key") + "@" + pl.col("effort")))
    rows = rows.with_columns(
        context=pl.concat_str("who", "agent", "benchmark", separator="|", ignore_nulls=True)
    )
    item, items = codes(rows["item"])
    context, contexts = codes(rows["context"])
    of_item = rows.group_by("item").agg(pl.col("benchmark").first()).sort("item")
    group, _ = codes(of_item["benchmark"])
    who = rows.group_by("context").agg(pl.col("who").first()).sort("context")["who"]
    fitted = fit(
        Observations(
            context=context,
            item=item,
            score=rows["score"].to_numpy(),
            trials=rows["trials"].to_numpy(),
            item_group=group,
            item_tasks=np.ones(len(items)),
        ),
        _ability_design(who),
        steps=15,
        tolerance=0.02,
        nodes=3,
        exact=False,
    )
    return _difficulty_frame(rows, items, fitted)


def _ability_design(who: pl.Series) -> Design:
    """One ability per model, and one deviation per model, agent and benchmark."""
    from scipy import sparse

    model, models = codes(who)
    n = len(who)
    ability = sparse.csr_matrix((np.ones(n), (np.arange(n), model)), shape=(n, len(models)))
    component = np.repeat([0, 1], [len(models), n])
    columns: Any = sparse.hstack([ability, sparse.identity(n)]).tocsr()
    return Design(columns, component, ("model", "context"))


def _difficulty_frame(rows: pl.DataFrame, items: pl.Series, fitted: Fit) -> pl.DataFrame:
    seen = rows.group_by("item").agg(
        mean_score=pl.col("score").mean(), n_models=pl.col("model_key").n_unique()
    )
    return pl.DataFrame(
        {"item": items, "difficulty_logit": fitted.difficulty, "sd": fitted.difficulty_sd}
    ).join(seen, on="item")


def codes(values: pl.Series) -> tuple[Any, pl.Series]:
    """Number the distinct values in sorted order: the numbers (n,) and the values."""
    levels = values.unique().sort()
    numbers = values.replace_strict(levels, pl.arange(len(levels), eager=True))
    return numbers.to_numpy().astype(np.int64), levels


def tie_to_time(items: pl.DataFrame) -> tuple[Tie, dict[str, float]]:
    """Tie difficulty to log-minutes on the items of ``TIED_BY`` with a human time.

    The checks: Pearson's correlation within each benchmark, and with that benchmark left out of
    the tie, the mean error and the root mean square error on it, in log-minutes.
    """
    known = items.filter(
        pl.col("benchmark").is_in(list(TIED_BY)) & pl.col("human_minutes").is_not_null()
    )
    if len(known) < MIN_TIED:
        raise BadData(
            f"{len(known)} items of {' and '.join(TIED_BY)} have human minutes, and a table takes {MIN_TIED} "
            f"at least: levels are tied to human time by them. {OWN_ALONE}"
        )
    checks: dict[str, float] = {}
    for name in sorted(known["benchmark"].unique()):
        part, rest = (known.filter((pl.col("benchmark") == name) == keep) for keep in (True, False))
        b, minutes, _ = _tie_arrays(part)
        checks[f"{name}: correlation"] = float(np.corrcoef(b, np.log(minutes))[0, 1])
        if len(rest) >= 3:
            _, guess = place(b, 0 * b, np.full_like(b, b.mean()), tie(*_tie_arrays(rest)))
            error = guess - np.log(minutes)
            checks[f"{name}: mean error when left out"] = float(error.mean())
            checks[f"{name}: rms error when left out"] = float(np.sqrt((error**2).mean()))
            checks[f"{name}: rms around its own mean"] = float(np.log(minutes).std())
    return tie(*_tie_arrays(known)), checks


def _tie_arrays(known: pl.DataFrame) -> tuple[Floats, Floats, Any]:
    """Difficulty, minutes and the benchmark's number."""
    return (
        known["difficulty_logit"].to_numpy(),
        known["human_minutes"].to_numpy(),
        codes(known["benchmark"])[0],
    )


def _placed(items: pl.DataFrame, line: Tie) -> pl.DataFrame:
    """Add p1..p4 and log_minutes; a known level or time wins over the line."""
    centre = items.select(pl.col("difficulty_logit").mean().over("benchmark")).to_series()
    b, sd = items["difficulty_logit"].to_numpy(), items["sd"].to_numpy()
    hopeless = (items["mean_score"] == 0) & (items["n_models"] >= MANY_MODELS)
    b = np.where(hopeless, centre, b)
    p, log_minutes = place(b, sd, centre.to_numpy(), line)
    level = items["level"].fill_null(0).to_numpy()
    p[level > 0] = one_hot_levels(level[level > 0].tolist())
    typical = pl.col("level").replace_strict(
        dict(enumerate(TYPICAL_MINUTES, 1)), default=None, return_dtype=pl.Float64
    )
    known = pl.coalesce("human_minutes", typical).log()
    columns = {f"p{k + 1}": p[:, k] for k in range(N_LEVELS)}
    return items.with_columns(
        log_minutes=pl.coalesce(known, pl.Series(log_minutes)),
        **{name: pl.Series(values) for name, values in columns.items()},
    ).select(PLACED_COLUMNS)
