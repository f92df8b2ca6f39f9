"""Recorded outcomes: who did what on which item, at what cost, as tidy polars frames.

Two dialects are read, Parquet or JSON lines (``.jsonl``) with the same columns; unknown columns
are ignored and optional ones may be absent.

Prompts, one row per item:
    prompt_id   text, required        benchmark   text, required
    prompt_text text or null          group_key | cluster_id   look-alikes, for splits
    category, licence, human_minutes, difficulty, meta (JSON text), canary, train_ok: optional

Outcomes, one row per item, model and agent:
    prompt_id   text, required        model       text, required
    score       0 to 1, required      agent | harness   text; null is one unnamed agent
    benchmark, effort, model_id | model_norm, n_trials | n_samples, cost_usd (null or 0: unknown),
    input_tokens, output_tokens, source, date, train_ok: optional

A malformed row is refused with its number; numbers start at 1.

``load_evidence`` joins the two sets of ``shared/data`` on the item, so that nothing is counted
twice, drops broken runs (``benchmarks.kinds.BROKEN``), and marks what must not be fitted: a
do-not-train canary bars its item in both sets, ``train_ok = false`` bars the row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from benchmarks.kinds import (
    AGENTS,
    BENCHMARKS,
    BROKEN,
    COUNTED_IN_CODING,
    COUNTED_IN_GENERAL,
    SAME_ITEM,
    SAME_TASK,
)
from benchmarks.table.item_response import level_of_minutes
from router.evidence.table import DEFAULT_EFFORT

ITEM_COLUMNS: Final[dict[str, pl.DataType]] = {
    "item": pl.String(), "benchmark": pl.String(), "group": pl.String(), "text": pl.String(),
    "category": pl.String(), "human_minutes": pl.Float64(), "level": pl.Int8(),
    "train_ok": pl.Boolean(), "licence": pl.String(),
}  # fmt: skip

OUTCOME_COLUMNS: Final[dict[str, pl.DataType]] = {
    "item": pl.String(), "benchmark": pl.String(), "agent": pl.String(), "model": pl.String(),
    "model_key": pl.String(), "effort": pl.String(), "score": pl.Float64(),
    "trials": pl.Float64(), "cost_usd": pl.Float64(), "input_tokens": pl.Float64(),
    "output_tokens": pl.Float64(), "source": pl.String(), "date": pl.String(),
    "train_ok": pl.Boolean(),
}  # fmt: skip

HUMAN_LEVELS: Final = {
    "<15 min fix": 1, "15 min - 1 hour": 2, "1-4 hours": 3, ">4 hours": 4,
}  # fmt: skip
"""SWE-bench Verified's annotation → level."""


class BadOutcomes(ValueError):
    """A file of prompts or outcomes cannot be used; the message names the row and the reason."""


@dataclass(frozen=True, slots=True)
class Alias:
    """A name of the evidence → the catalogue's model, and the effort the name states or ""."""

    model: str
    effort: str


@dataclass(frozen=True, slots=True)
class OutcomeSet:
    """``items`` (ITEM_COLUMNS) and ``outcomes`` (OUTCOME_COLUMNS); ``inputs`` name → sha256."""

    items: pl.DataFrame
    outcomes: pl.DataFrame
    inputs: Mapping[str, str]


def load_evidence(shared: Path) -> OutcomeSet:
    """Read and join both sets of ``shared`` (a folder laid out like ``shared/data``)."""
    files = {
        name: shared / name
        for name in (
            "prompts.parquet", "outcomes.parquet", "coding/prompts.parquet",
            "coding/outcomes.parquet",
        )
    }  # fmt: skip
    general = read_prompts(files["prompts.parquet"])
    coding = read_prompts(files["coding/prompts.parquet"])
    ids = pl.concat([general, coding]).select("prompt_id", "item").unique("prompt_id")
    rows = pl.concat(
        [
            read_outcomes(files["outcomes.parquet"], ids).filter(
                ~pl.col("origin").is_in(list(COUNTED_IN_CODING))
            ),
            read_outcomes(files["coding/outcomes.parquet"], ids).filter(
                ~pl.col("benchmark").is_in(list(COUNTED_IN_GENERAL))
            ),
        ]
    )
    items = merge_items(pl.concat([coding, general]))
    of_item = items.select("item", item_ok="train_ok", item_benchmark="benchmark")
    outcomes = (
        rows.join(of_item, on="item", how="left")
        .with_columns(
            train_ok=pl.col("train_ok") & pl.col("item_ok").fill_null(True),
            benchmark=pl.coalesce("item_benchmark", "benchmark"),
        )
        .pipe(without_broken)
        .select(list(OUTCOME_COLUMNS))
    )
    return OutcomeSet(items, merge_repeats(outcomes), {n: sha256(p) for n, p in files.items()})


def read_frame(path: Path) -> pl.DataFrame:
    """Read Parquet or JSON lines."""
    if not path.exists():
        raise BadOutcomes(f"{path}: no such file")
    try:
        if path.suffix in {".jsonl", ".ndjson", ".json"}:
            return pl.read_ndjson(path, infer_schema_length=None)
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadOutcomes(f"{path}: cannot be read: {error}") from error


def read_prompts(path: Path) -> pl.DataFrame:
    """Read prompts as ITEM_COLUMNS and ``prompt_id``; raises BadOutcomes."""
    raw = read_frame(path)
    _require(path, raw, ("prompt_id", "benchmark"))
    frame = raw.select(
        pl.col("prompt_id").cast(pl.String),
        pl.col("benchmark").cast(pl.String),
        _first(raw, ("group_key", "cluster_id", "group_id"), pl.String).alias("group"),
        _first(raw, ("prompt_text", "text"), pl.String).alias("text"),
        _first(raw, ("domain", "category"), pl.String).alias("category"),
        _first(raw, ("human_minutes",), pl.Float64).alias("human_minutes"),
        _first(raw, ("difficulty",), pl.String).alias("difficulty"),
        _first(raw, ("train_ok",), pl.Boolean).fill_null(True).alias("row_ok"),
        _first(raw, ("canary",), pl.Boolean).alias("canary"),
        _first(raw, ("licence",), pl.String).alias("licence"),
        _first(raw, ("meta",), pl.String).alias("meta"),
    )
    _refuse(path, frame, pl.col("prompt_id").is_null(), "prompt_id is missing")
    _refuse(path, frame, pl.col("benchmark").is_null(), "benchmark is missing")
    _refuse(path, frame, pl.col("human_minutes") <= 0, "human_minutes is not above zero")
    # With a canary column only the canary bars the item; the rest is about a site's rows.
    barred = pl.col("canary") if "canary" in raw.columns else ~pl.col("row_ok")
    items = [_canonical(r) for r in frame.select("prompt_id", "benchmark", "meta").iter_rows()]
    return frame.with_columns(
        item=pl.Series([i for i, _ in items], dtype=pl.String),
        benchmark=pl.Series([b for _, b in items], dtype=pl.String),
        group=pl.coalesce("group", "prompt_id"),
        level=pl.col("difficulty").replace_strict(HUMAN_LEVELS, default=None, return_dtype=pl.Int8),
        train_ok=~barred.fill_null(False),
    ).select("prompt_id", *ITEM_COLUMNS)


def _canonical(row: tuple[str, str, str | None]) -> tuple[str, str]:
    """Return an item's key and benchmark, the same in both sets."""
    prompt_id, benchmark, meta = row
    if benchmark in SAME_ITEM and meta:
        name, key = SAME_ITEM[benchmark]
        return f"{name}/{json.loads(meta)[key]}", name
    name = SAME_TASK.get(benchmark, benchmark)
    return prompt_id.replace(f"{benchmark}/", f"{name}/", 1), name


def merge_items(items: pl.DataFrame) -> pl.DataFrame:
    """One row per item: the first known value of each column, barred if any row bars it.

    A bar on part of a benchmark bars the whole: its items may carry other ids in the other set.
    """
    known = {c: pl.col(c).drop_nulls().first() for c in ITEM_COLUMNS if c != "item"}
    known["train_ok"] = pl.col("train_ok").all()
    merged = items.group_by("item", maintain_order=True).agg(**known).sort("item")
    barred = merged.filter(~pl.col("train_ok"))["benchmark"].unique().to_list()
    minutes = pl.col("human_minutes").map_elements(level_of_minutes, return_dtype=pl.Int8)
    fixed = {name: kind.level for name, kind in BENCHMARKS.items() if kind.level}
    by_benchmark = pl.col("benchmark").replace_strict(fixed, default=None, return_dtype=pl.Int8)
    return merged.with_columns(
        level=pl.coalesce("level", by_benchmark, minutes),
        train_ok=~pl.col("benchmark").is_in(barred),
    ).select(list(ITEM_COLUMNS))


def read_outcomes(path: Path, ids: pl.DataFrame | None = None) -> pl.DataFrame:
    """Read outcomes as OUTCOME_COLUMNS plus ``origin``; raises BadOutcomes.

    ``ids`` (prompt_id, item) maps a file's prompt ids to items; without it they are the items.
    """
    raw = read_frame(path)
    _require(path, raw, ("prompt_id", "model", "score"))
    cost = _first(raw, ("cost_usd",), pl.Float64)
    frame = raw.select(
        pl.col("prompt_id").cast(pl.String),
        _first(raw, ("benchmark",), pl.String).fill_null("").alias("benchmark"),
        _first(raw, ("agent", "harness"), pl.String).fill_null("").alias("agent"),
        pl.col("model").cast(pl.String),
        _first(raw, ("model_id", "model_norm"), pl.String).alias("model_id"),
        _first(raw, ("effort",), pl.String).fill_null(DEFAULT_EFFORT).alias("effort"),
        pl.col("score").cast(pl.Float64),
        _first(raw, ("n_trials", "n_samples"), pl.Float64).fill_null(1.0).alias("trials"),
        cost.alias("cost_usd"),
        _first(raw, ("input_tokens",), pl.Float64).alias("input_tokens"),
        _first(raw, ("output_tokens",), pl.Float64).alias("output_tokens"),
        _first(raw, ("source",), pl.String).fill_null(path.name).alias("source"),
        _first(raw, ("date",), pl.String).fill_null("").alias("date"),
        _first(raw, ("train_ok",), pl.Boolean).fill_null(True).alias("train_ok"),
    )
    _refuse(path, frame, pl.col("prompt_id").is_null(), "prompt_id is missing")
    _refuse(path, frame, pl.col("model").is_null(), "model is missing")
    in_range = pl.col("score").is_between(0, 1) & pl.col("score").is_not_nan()
    _refuse(path, frame, ~in_range.fill_null(False), "score is not within 0 and 1")
    _refuse(path, frame, pl.col("cost_usd") < 0, "cost_usd is negative")
    _refuse(path, frame, pl.col("trials") < 1, "n_trials is below one")
    named = frame.with_columns(
        origin=pl.col("source"),
        cost_usd=pl.when(pl.col("cost_usd") > 0).then("cost_usd"),
        agent=_agent(),
        model_key=_model_key(pl.coalesce("model_id", "model")),
    )
    if ids is None:
        return named.rename({"prompt_id": "item"}).select(*OUTCOME_COLUMNS, "origin")
    return named.join(ids, on="prompt_id", how="inner").select(*OUTCOME_COLUMNS, "origin")


def _agent() -> pl.Expr:
    """Map versions of an agent to the agent."""
    expr = pl.col("agent")
    for prefix, name in AGENTS:
        expr = pl.when(pl.col("agent").str.starts_with(prefix)).then(pl.lit(name)).otherwise(expr)
    return expr


def _model_key(name: pl.Expr) -> pl.Expr:
    """Reduce a model's name to what both sets share: no vendor, no ``:free``, lower case."""
    return name.str.to_lowercase().str.split("/").list.last().str.replace(":free$", "")


def without_broken(outcomes: pl.DataFrame) -> pl.DataFrame:
    """Drop the runs of ``BROKEN``."""
    bad = pl.lit(False)
    for run in BROKEN:
        of_model = pl.col("model_key") == run.model
        bad |= of_model & (pl.col("benchmark") == run.benchmark) if run.benchmark else of_model
    return outcomes.filter(~bad)


def merge_repeats(outcomes: pl.DataFrame) -> pl.DataFrame:
    """Merge rows of one item, agent, model and effort: mean score, summed trials, mean cost."""
    key = ["item", "agent", "model_key", "effort", "benchmark"]
    if not outcomes.select(pl.struct(key).is_duplicated().any()).item():
        return outcomes
    single = outcomes.filter(~pl.struct(key).is_duplicated())
    repeated = outcomes.filter(pl.struct(key).is_duplicated())
    mean = {c: pl.col(c).mean() for c in ("cost_usd", "input_tokens", "output_tokens")}
    merged = repeated.group_by(key, maintain_order=True).agg(
        score=(pl.col("score") * pl.col("trials")).sum() / pl.col("trials").sum(),
        trials=pl.col("trials").sum(),
        train_ok=pl.col("train_ok").all(),
        **mean,
        **{c: pl.col(c).first() for c in ("model", "source", "date")},
    )
    return pl.concat([single, merged.select(list(OUTCOME_COLUMNS))])


def with_aliases(outcomes: pl.DataFrame, aliases: Mapping[str, Alias]) -> pl.DataFrame:
    """Add ``catalogue`` (model id or null) and the effort that the model's name states."""
    models = {name: alias.model for name, alias in aliases.items()}
    efforts = {name: alias.effort for name, alias in aliases.items() if alias.effort}
    stated = pl.col("model").replace_strict(efforts, default=None, return_dtype=pl.String)
    return outcomes.with_columns(
        catalogue=pl.col("model").replace_strict(models, default=None, return_dtype=pl.String),
        effort=pl.when(pl.col("effort") == DEFAULT_EFFORT)
        .then(pl.coalesce(stated, "effort"))
        .otherwise("effort"),
    )


def sha256(path: Path) -> str:
    """Return a file's hash in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _first(frame: pl.DataFrame, names: tuple[str, ...], dtype: type[pl.DataType]) -> pl.Expr:
    """Take the first of ``names`` that the file has, or null."""
    for name in names:
        if name in frame.columns:
            return pl.col(name).cast(dtype)
    return pl.lit(None, dtype=dtype)


def _require(path: Path, frame: pl.DataFrame, names: tuple[str, ...]) -> None:
    if missing := [name for name in names if name not in frame.columns]:
        raise BadOutcomes(f"{path}: no column {', '.join(missing)}; see benchmarks/outcomes.py")


def _refuse(path: Path, frame: pl.DataFrame, bad: pl.Expr, reason: str) -> None:
    """Raise for the first row where ``bad`` holds."""
    rows = frame.select(bad.fill_null(False).arg_true()).to_series()
    if len(rows):
        raise BadOutcomes(f"{path}: row {rows[0] + 1}: {reason} ({len(rows)} such rows)")
