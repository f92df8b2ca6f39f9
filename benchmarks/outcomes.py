"""Recorded outcomes: who did what on which item, at what cost, as tidy polars frames.

What the two files of a set hold is said in ``benchmarks.schema``.  ``load_evidence`` joins the sets
of ``shared/data`` on the item, so that nothing is counted twice, drops broken runs
(``benchmarks.kinds.BROKEN``), and marks what must not be fitted: a do-not-train canary bars its
item in every set, ``train_ok = false`` bars the row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from benchmarks.frames import Tidy, read_columns
from benchmarks.kinds import (
    AGENTS,
    BENCHMARKS,
    BROKEN,
    COUNTED_IN_CODING,
    COUNTED_IN_GENERAL,
    SAME_ITEM,
    SAME_TASK,
)
from benchmarks.schema import ITEM_COLUMNS, OUTCOME_COLUMNS, PROMPT_COLUMNS, RECORDED_COLUMNS
from benchmarks.table.item_response import level_of_minutes
from classifier.tasks import TYPES
from classifier.training.rows import BadData, shown
from router.evidence.table import DEFAULT_EFFORT

HUMAN_LEVELS: Final = {
    "<15 min fix": 1, "15 min - 1 hour": 2, "1-4 hours": 3, ">4 hours": 4,
}  # fmt: skip
"""SWE-bench Verified's annotation → level."""

GENERAL: Final = ""
CODING: Final = "coding"
MORE: Final = "more"
SETS: Final = (GENERAL, CODING, MORE)
"""Folders of ``shared/data`` that hold a set each; the last may be absent."""


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


OWN_ALONE: Final = (
    "Outcomes of your own are judged with `evaluate --prompts FILE --outcomes FILE`; docs/retrain.md "
    "says what a table is built from."
)


def load_evidence(shared: Path, sets: Sequence[str] = SETS) -> OutcomeSet:
    """Read and join ``sets`` of ``shared`` (a folder laid out like ``shared/data``); raises BadData."""
    kept = [name for name in sets if name != MORE or (shared / MORE).exists()]
    files = {
        (Path(name) / f"{kind}.parquet").as_posix(): shared / name / f"{kind}.parquet"
        for name in kept
        for kind in ("prompts", "outcomes")
    }
    if missing := [name for name, path in files.items() if not path.exists()]:
        raise BadData(f"there is no {', '.join(missing)}. {OWN_ALONE}", path=shared)
    prompts = [read_prompts(shared / name / "prompts.parquet") for name in kept]
    ids = pl.concat(prompts).select("prompt_id", "item").unique("prompt_id")
    rows = pl.concat(
        [
            _all_matched(shared / name / "outcomes.parquet", ids).filter(_counted_in(name))
            for name in kept
        ]
    )
    items = merge_items(pl.concat(prompts[::-1]))
    of_item = items.select("item", item_ok="train_ok", item_benchmark="benchmark")
    outcomes = (
        rows.join(of_item, on="item", how="left")
        .with_columns(
            train_ok=pl.col("train_ok") & pl.col("item_ok").fill_null(True),
            benchmark=pl.coalesce("item_benchmark", "benchmark"),
        )
        .pipe(without_broken)
        .pipe(without_twice_graded)
        .select(list(OUTCOME_COLUMNS))
    )
    if strange := sorted(set(outcomes["benchmark"].unique()) - set(BENCHMARKS)):
        raise BadData(
            f"nothing says what task {', '.join(strange)} measures: add a row to benchmarks/kinds.py. "
            f"{OWN_ALONE}",
            path=shared,
        )
    return OutcomeSet(items, merge_repeats(outcomes), {n: sha256(p) for n, p in files.items()})


def _counted_in(name: str) -> pl.Expr:
    """Say which rows of a set are not counted in another."""
    if name == GENERAL:
        return ~pl.col("origin").is_in(list(COUNTED_IN_CODING))
    return ~pl.col("benchmark").is_in(list(COUNTED_IN_GENERAL))


def _all_matched(path: Path, ids: pl.DataFrame) -> pl.DataFrame:
    """Read outcomes, every one of a known prompt; raises BadData."""
    rows = read_outcomes(path)
    return matched(rows, ids, path, may_lack=0)[0]


def matched(
    rows: pl.DataFrame, ids: pl.DataFrame, path: Path, *, may_lack: int
) -> tuple[pl.DataFrame, int]:
    """Name the item of each outcome by ``ids`` (prompt_id, item); returns them and how many had none.

    Raises BadData where more than ``may_lack`` are of a prompt that is not there.
    """
    known = ids.unique("prompt_id").rename({"item": "of_prompt"})
    joined = rows.join(known, left_on="item", right_on="prompt_id", how="left")
    lost = joined.filter(pl.col("of_prompt").is_null())
    if len(lost) > may_lack:
        raise BadData(
            f"{len(lost):,} of {len(rows):,} outcomes are of prompts that no file of prompts has: their "
            f"prompt_id is {_some(lost['item'])}, that of prompts {_some(ids['prompt_id'])}",
            path=path,
        )
    found = joined.filter(pl.col("of_prompt").is_not_null()).drop("item")
    return found.rename({"of_prompt": "item"}).select(rows.columns), len(lost)


def _some(ids: pl.Series) -> str:
    """Show a few ids."""
    first = ids.unique(maintain_order=True)
    return ", ".join(shown(i) for i in first[:3]) + (", …" if len(first) > 3 else "")


def read_prompts(path: Path) -> pl.DataFrame:
    """Read prompts as ITEM_COLUMNS, ``timed`` aside, with three columns more; raises BadData.

    These are ``prompt_id``, ``level_hint`` and ``family``, the finest that the file states,
    ``benchmark/category``.  An id may be there twice with the same values, never with others.
    """
    return prompts_of(read_columns(path, PROMPT_COLUMNS))


def prompts_of(tidy: Tidy) -> pl.DataFrame:
    """Turn a file's columns into what ``read_prompts`` returns."""
    frame = tidy.frame
    tidy.refuse(
        ~pl.col("task_hint").is_in(list(TYPES)), "task_hint", "expected one of the task types"
    )
    # With a canary column only the canary bars the item; the rest is about a site's rows.
    says = frame["canary"].is_not_null().any()
    barred = pl.col("canary").fill_null(False) if says else ~pl.col("row_ok")
    items = [
        _canonical(tidy, n, row)
        for n, row in enumerate(frame.select("prompt_id", "benchmark", "meta").iter_rows())
    ]
    found = frame.with_columns(
        family=pl.concat_str("benchmark", "kind", separator="/"),
        item=pl.Series([i for i, _ in items], dtype=pl.String),
        benchmark=pl.Series([b for _, b in items], dtype=pl.String),
        group=pl.coalesce("group", "prompt_id"),
        level=pl.col("difficulty").replace_strict(HUMAN_LEVELS, default=None, return_dtype=pl.Int8),
        train_ok=~barred,
        task=pl.col("task_hint"),
        level_hint=pl.col("level_hint").cast(pl.Int8),
    ).select("prompt_id", *(c for c in ITEM_COLUMNS if c != "timed"), "level_hint", "family")
    _refuse_two_meanings(tidy, found)
    return found


def _refuse_two_meanings(tidy: Tidy, found: pl.DataFrame) -> None:
    """Refuse an id that stands for two prompts."""
    if found["prompt_id"].is_unique().all():
        return
    rows = found.with_row_index("at").unique(found.columns, keep="first", maintain_order=True)
    if len(again := rows.filter(~pl.col("prompt_id").is_first_distinct())):
        name, at = again["prompt_id"][0], again["at"][0]
        first = tidy.place(int(rows.filter(pl.col("prompt_id") == name)["at"][0]))
        problem = f"{shown(name)} stands for another prompt on {first}; make ids unique"
        raise tidy.bad(int(at), "prompt_id", problem, len(again))


def _canonical(tidy: Tidy, number: int, row: tuple[str, str, str | None]) -> tuple[str, str]:
    """Return an item's key and benchmark, the same in both sets; raises BadData."""
    prompt_id, benchmark, meta = row
    if benchmark in SAME_ITEM and meta is not None:
        name, key = SAME_ITEM[benchmark]
        try:
            return f"{name}/{json.loads(meta)[key]}", name
        except (ValueError, KeyError, TypeError):
            raise tidy.bad(number, "meta", f"expected a JSON object with {key!r}") from None
    name = SAME_TASK.get(benchmark, benchmark)
    return prompt_id.replace(f"{benchmark}/", f"{name}/", 1), name


def merge_items(items: pl.DataFrame) -> pl.DataFrame:
    """One row per item: the first known value of each column, barred if any row bars it.

    What an item's own people say of its level, in words or minutes, and what its benchmark says,
    comes before the hint.  A bar on part of a benchmark bars the whole: its items may carry other
    ids in the other set.
    """
    said = (set(ITEM_COLUMNS) | {"level_hint"}) - {"item", "timed"}
    known = {c: pl.col(c).drop_nulls().first() for c in sorted(said)}
    known["train_ok"] = pl.col("train_ok").all()
    merged = items.group_by("item", maintain_order=True).agg(**known).sort("item")
    barred = merged.filter(~pl.col("train_ok"))["benchmark"].unique().to_list()
    minutes = pl.col("human_minutes").map_elements(level_of_minutes, return_dtype=pl.Int8)
    fixed = {name: kind.level for name, kind in BENCHMARKS.items() if kind.level}
    by_benchmark = pl.col("benchmark").replace_strict(fixed, default=None, return_dtype=pl.Int8)
    tasks = {name: kind.task for name, kind in BENCHMARKS.items() if kind.task}
    measures = pl.col("benchmark").replace_strict(tasks, default=None, return_dtype=pl.String)
    timed = pl.coalesce("level", by_benchmark, minutes)
    return merged.with_columns(
        task=pl.coalesce("task", measures),
        level=pl.coalesce(timed, "level_hint"),
        timed=timed.is_not_null(),
        train_ok=~pl.col("benchmark").is_in(barred),
    ).select(list(ITEM_COLUMNS))


def read_outcomes(path: Path) -> pl.DataFrame:
    """Read outcomes as OUTCOME_COLUMNS plus ``origin``, ``item`` being the prompt's id; raises BadData."""
    return outcomes_of(read_columns(path, RECORDED_COLUMNS))


def outcomes_of(tidy: Tidy) -> pl.DataFrame:
    """Turn a file's columns into what ``read_outcomes`` returns."""
    return (
        tidy.frame.rename({"prompt_id": "item"})
        .with_columns(pl.col("source").fill_null(tidy.path.name))
        .with_columns(
            origin=pl.col("source"),
            agent=_agent(),
            model_key=_model_key(pl.coalesce("model_id", "model")),
        )
        .select(*OUTCOME_COLUMNS, "origin")
    )


def _agent() -> pl.Expr:
    """Map versions of an agent to the agent."""
    expr = pl.col("agent")
    for pattern, name in AGENTS:
        expr = expr.str.replace(pattern, name)
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


def without_twice_graded(outcomes: pl.DataFrame) -> pl.DataFrame:
    """Of a task that was graded in parts and as a whole, keep the one or the other.

    The whole where its parts are dimensions of one task (``Kind.one_task``), else the parts, and the
    whole of those runs only whose parts nobody published, without its bill: that is for all parts.
    """
    wholes = {name: kind.whole for name, kind in BENCHMARKS.items() if kind.whole}
    one_task = [name for name, kind in BENCHMARKS.items() if kind.one_task]
    run = ["task_of", "benchmark", "agent", "model_key", "effort"]
    concerned = pl.col("benchmark").is_in(list(wholes))
    parts = pl.col("item").str.split("/")
    marked = (
        outcomes.filter(concerned)
        .with_columns(
            task_of=parts.list.head(parts.list.len() - 1).list.join("/"),
            is_whole=parts.list.last() == pl.col("benchmark").replace_strict(wholes, default=""),
            is_one=pl.col("benchmark").is_in(one_task),
        )
        .with_columns(in_parts=(~pl.col("is_whole")).any().over(run))
    )
    for_all = pl.col("is_whole") & ~pl.col("is_one")
    kept = marked.filter(
        (pl.col("is_whole") == pl.col("is_one")) | (for_all & ~pl.col("in_parts"))
    ).with_columns(cost_usd=pl.when(~for_all).then("cost_usd"))
    return pl.concat([outcomes.filter(~concerned), kept.select(outcomes.columns)])


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
