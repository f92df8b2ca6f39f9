"""What files of prompts and of outcomes hold, and what they are once read.

Two files are read, each Parquet or JSON lines with the same columns; columns that are not named
here are not read, and optional ones may be absent.

Prompts, one row per item:
    prompt_id   text, required        benchmark   text, required
    prompt_text text or null          group_key | cluster_id   look-alikes, for splits
    category, licence, human_minutes, difficulty, meta (JSON text), canary, train_ok: optional
    task_hint   ``family/type``, and level_hint, 1 to 4: a reader's opinion of this item, optional

Outcomes, one row per item, model and agent:
    prompt_id   text, required        model       text, required
    score       0 to 1, required      agent | harness   text; null is one unnamed agent
    benchmark, effort, model_id | model_norm, n_trials | n_samples, cost_usd (null: unknown; 0 is a
    price), input_tokens, output_tokens, source, date, train_ok: optional

Null, NaN and a blank text all say that a value is missing.  An id may be a number; 3 and 3.0 are
``3``.  A malformed row is refused with its place; rows and lines count from 1.
"""

from __future__ import annotations

import json
import math
import sys
from typing import Any, Final

import polars as pl

from benchmarks.frames import Column
from classifier.training.rows import Misfit, as_flag, as_key, as_number, as_score, as_text
from router.evidence.table import DEFAULT_EFFORT


def as_prompt(value: Any) -> str | None:
    """Read a prompt: a text, or a number that was one."""
    if isinstance(value, list | dict):
        raise Misfit("expected text (of a chat its last user message)")
    return as_key(value)


def as_meta(value: Any) -> str | None:
    """Read an object, or the JSON text of one, as text."""
    return json.dumps(value) if isinstance(value, dict) else as_key(value)


ITEM_COLUMNS: Final[dict[str, pl.DataType]] = {
    "item": pl.String(), "benchmark": pl.String(), "group": pl.String(), "text": pl.String(),
    "category": pl.String(), "human_minutes": pl.Float64(), "task": pl.String(),
    "level": pl.Int8(), "timed": pl.Boolean(), "train_ok": pl.Boolean(), "licence": pl.String(),
}  # fmt: skip
"""``task`` is the item's own hint, else its benchmark's type, else null.  ``timed`` says that the level
comes from people's annotation, measured minutes or the benchmark itself, not from a hint."""

OUTCOME_COLUMNS: Final[dict[str, pl.DataType]] = {
    "item": pl.String(), "benchmark": pl.String(), "agent": pl.String(), "model": pl.String(),
    "model_key": pl.String(), "effort": pl.String(), "score": pl.Float64(),
    "trials": pl.Float64(), "cost_usd": pl.Float64(), "input_tokens": pl.Float64(),
    "output_tokens": pl.Float64(), "source": pl.String(), "date": pl.String(),
    "train_ok": pl.Boolean(),
}  # fmt: skip

PROMPT_COLUMNS: Final = (
    Column("prompt_id", as_key, required=True),
    Column("benchmark", as_key, required=True),
    Column("group", as_key, ("group_key", "cluster_id", "group_id", "group")),
    Column("text", as_prompt, ("prompt_text", "text")),
    Column("category", as_key, ("domain", "category")),
    Column("kind", as_key, ("category",), otherwise=""),
    Column(
        "human_minutes",
        as_number,
        within=(sys.float_info.min, math.inf),
        expected="minutes above zero",
    ),
    Column("difficulty", as_key),
    Column("task_hint", as_key),
    Column("level_hint", as_number, within=(1, 4), expected="a level from 1 to 4"),
    Column("row_ok", as_flag, ("train_ok",), otherwise=True),
    Column("canary", as_flag),
    Column("licence", as_key),
    Column("meta", as_meta),
)

LABEL_COLUMNS: Final = (
    Column("text", as_text),
    Column("dataset", as_key, required=True),
    Column("task_label_as_source", as_key),
    Column("group_key", as_key),
    Column("train_ok", as_flag, required=True),
)
"""Of prompts with a label of their source's own: see ``classifier.training.dataset.public_rows``."""

TOTAL_COLUMNS: Final = (
    Column("source", as_key),
    Column("benchmark", as_key, required=True),
    Column("model", as_key, required=True),
    Column("model_id", as_key),
    Column("effort", as_key),
    Column("value", as_number),
    Column("cost_usd", as_number),
    Column("cost_unit", as_key),
    Column("input_tokens", as_number),
    Column("output_tokens", as_number),
    Column("date", as_key),
    Column("note", as_key),
)
"""Of published totals, one row per benchmark and model: ``coding/aggregates.csv``."""

PRICE_COLUMNS: Final = (
    Column("model_id", as_key, required=True),
    Column("provider", as_key, required=True),
    Column("input_per_m", as_number),
    Column("output_per_m", as_number),
)
"""Of list prices, US dollars per million tokens: ``coding/prices.csv``."""

RECORDED_COLUMNS: Final = (
    Column("prompt_id", as_key, required=True),
    Column("benchmark", as_key, otherwise=""),
    Column("agent", as_key, ("agent", "harness"), otherwise=""),
    Column("model", as_key, required=True),
    Column("model_id", as_key, ("model_id", "model_norm")),
    Column("effort", as_key, otherwise=DEFAULT_EFFORT),
    Column("score", as_score, required=True, within=(0, 1), expected="a number from 0 to 1"),
    Column(
        "trials", as_number, ("n_trials", "n_samples"), otherwise=1.0, within=(1, math.inf),
        expected="a number of trials, at least 1",
    ),
    Column("cost_usd", as_number, within=(0, math.inf), expected="dollars, zero or more"),
    Column("input_tokens", as_number),
    Column("output_tokens", as_number),
    Column("source", as_key),
    Column("date", as_key, otherwise=""),
    Column("train_ok", as_flag, otherwise=True),
)  # fmt: skip
