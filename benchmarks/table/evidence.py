"""Select the evidence that the table may rest on, and number it for the fits.

What counts: rows that may be fitted, of models in the catalogue, on items whose task type is known,
from agents that ran at least two of them (an agent that ran one says nothing of a difference), and
the published totals of DeepSWE for configurations whose tasks were not published.  An effort that
the catalogue does not offer cannot be served and is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks.kinds import BENCHMARKS
from benchmarks.outcomes import Alias, OutcomeSet, with_aliases
from benchmarks.table.item_response import Floats, Ints, level_of_minutes
from benchmarks.table.quality import Problem
from benchmarks.table.time_scale import Placement, codes
from classifier.tasks import TYPES
from router.evidence.catalogue import Catalogue, Model
from router.evidence.table import DEFAULT_EFFORT
from router.values import Unit

OUR_AGENTS: Final = ("acp-", "openhands_subagents")
"""Prefixes of agents left out: command-line clients and sub-agents, not the single agent."""

TOTALS: Final = {"deepswe-1.1": ("mini-swe-agent", 113, 4)}
"""Benchmarks whose published totals count → the agent, tasks, and attempts at each."""

TOTAL_NOTES: Final = ("official", "official launch board")
"""``note`` of the totals that count; third parties' and laboratories' own are left out."""


@dataclass(frozen=True, slots=True)
class Selected:
    """Evidence of the units, and why other names were left out.

    ``rows``: item, unit, benchmark, agent, task, level (from 0), score, trials, tasks, cost_usd,
    tokens, source, date.
    """

    units: tuple[Unit, ...]
    rows: pl.DataFrame
    left_out: dict[str, str]


def aliases_of(catalogue: Catalogue) -> dict[str, Alias]:
    """Map every name the evidence uses to a model of the catalogue and a stated effort."""
    names: dict[str, Alias] = {}
    for model in catalogue.models:
        for name in (model.id, *model.aliases):
            names[name] = Alias(model.id, "")
        for name, effort in model.efforts_as.items():
            names[name] = Alias(model.id, effort)
    return names


def select(
    evidence: OutcomeSet, placement: Placement, catalogue: Catalogue, totals: pl.DataFrame
) -> Selected:
    """Keep what the table may rest on; see the module's text."""
    in_table = [name for name, kind in BENCHMARKS.items() if kind.in_table]
    ours = pl.lit(True)
    for prefix in OUR_AGENTS:
        ours &= ~pl.col("agent").str.starts_with(prefix)
    rows = with_aliases(evidence.outcomes, aliases_of(catalogue)).filter(
        pl.col("train_ok"), pl.col("catalogue").is_not_null(), ours,
        pl.col("benchmark").is_in(in_table),
    )  # fmt: skip
    rows = rows.with_columns(tasks=pl.lit(1.0))
    rows = pl.concat([rows, total_rows(rows, totals, catalogue)], how="diagonal_relaxed")
    rows, left_out = served(rows, catalogue)
    rows = rows.join(item_cells(placement), on="item", how="left")
    fixed = {name: kind.level for name, kind in BENCHMARKS.items() if kind.level}
    level = pl.col("benchmark").replace_strict(fixed, default=None, return_dtype=pl.Int8) - 1
    tasks = {name: kind.task for name, kind in BENCHMARKS.items() if kind.task}
    task = pl.col("benchmark").replace_strict(tasks, default=None, return_dtype=pl.String)
    rows = rows.with_columns(task=pl.coalesce("task", task), level=pl.coalesce("level", level))
    rows = rows.filter(pl.col("task").is_not_null())
    several = pl.col("unit").n_unique().over("benchmark", "agent") > 1
    rows = rows.filter(several).sort("item", "agent", "unit")
    names = rows["unit"].unique().sort().to_list()
    return Selected(tuple(_unit_of(name) for name in names), rows, left_out)


def _unit_of(name: str) -> Unit:
    model, _, effort = name.partition("@")
    return Unit(model, effort or None)


def served(rows: pl.DataFrame, catalogue: Catalogue) -> tuple[pl.DataFrame, dict[str, str]]:
    """Name the unit of each row as it would be served; leave out what cannot be.

    A stated effort that the catalogue does not offer: on a model without efforts the run counts as
    the default if the same agent has no default run of it, and is otherwise left out.
    """
    models = {model.id: model for model in catalogue.models}
    found = rows.select("catalogue", "agent", "effort").unique().sort(pl.all())
    seen = set(found.iter_rows())
    becomes: list[Unit | None] = []
    left_out: dict[str, str] = {}
    for model_id, agent, effort in found.iter_rows():
        offered = models[model_id].efforts
        as_default = not offered and (model_id, agent, DEFAULT_EFFORT) not in seen
        if effort == DEFAULT_EFFORT or as_default:
            becomes.append(Unit(model_id))
        elif effort in offered:
            becomes.append(Unit(model_id, effort))
        else:
            becomes.append(None)
            left_out[f"{model_id}@{effort} under {agent}"] = (
                "an effort the catalogue does not offer"
            )
    names = found.with_columns(unit=pl.Series([u and str(u) for u in becomes], dtype=pl.String))
    joined = rows.join(names, on=["catalogue", "agent", "effort"], how="left", nulls_equal=True)
    return joined.filter(pl.col("unit").is_not_null()), left_out


def total_rows(rows: pl.DataFrame, totals: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """Return published totals, each as one item that stands for all of the benchmark's tasks.

    Where the tasks themselves are in ``rows`` only the mean cost is taken (score null).
    """
    aliases = aliases_of(catalogue)
    frame = totals.filter(
        pl.col("benchmark").is_in(list(TOTALS)), pl.col("note").is_in(list(TOTAL_NOTES)),
        pl.col("cost_unit") == "per task",
    ).with_columns(effort=pl.col("effort").fill_null(DEFAULT_EFFORT))  # fmt: skip
    have = set(rows.select("benchmark", "catalogue", "effort").unique().iter_rows())
    out: list[dict[str, Any]] = []
    for row in frame.sort("benchmark", "model", "effort").iter_rows(named=True):
        alias = aliases.get(row["model"]) or aliases.get(row["model_id"] or "")
        if alias is None:
            continue
        agent, tasks, attempts = TOTALS[row["benchmark"]]
        measured = (row["benchmark"], alias.model, row["effort"]) in have
        out.append(
            {
                "item": f"{row['benchmark']}/total",
                "benchmark": row["benchmark"],
                "agent": agent,
                "model": row["model"],
                "catalogue": alias.model,
                "effort": row["effort"],
                "score": None if measured else row["value"] / 100,
                "trials": float(attempts),
                "tasks": float(tasks),
                "cost_usd": row["cost_usd"],
                "input_tokens": row["input_tokens"],
                "output_tokens": row["output_tokens"],
                "source": row["source"],
                "date": row["date"],
            }
        )
    return pl.DataFrame(out, schema_overrides={"score": pl.Float64}, infer_schema_length=None)


def item_cells(placement: Placement) -> pl.DataFrame:
    """Task and level, from 0, of every placed item.

    Where nobody said how long an item takes its level was read off its own outcomes, and a cell of
    those would be what models fail by definition: there all items of a benchmark and task have the
    usual level of these.
    """
    p = placement.items.select("p1", "p2", "p3", "p4").to_numpy()
    minutes = pl.col("log_minutes").mean().over("benchmark", "task").exp()
    usual = minutes.map_elements(level_of_minutes, return_dtype=pl.Int8) - 1
    known = pl.Series(p.max(axis=1) == 1.0)
    return placement.items.with_columns(own=pl.Series(p.argmax(axis=1), dtype=pl.Int8)).select(
        "item", "task", level=pl.when(known).then("own").otherwise(usual).cast(pl.Int8)
    )


def item_groups(selected: Selected, placement: Placement) -> Ints:
    """Number which items of ``to_problem`` look alike, (I,): in its order, an item under any agent."""
    keys = selected.rows.filter(pl.col("score").is_not_null()).select(
        "item", key=pl.concat_str("item", "agent", separator="|")
    )
    keys = (
        keys.unique("key")
        .sort("key")
        .join(placement.items.select("item", "group"), on="item", how="left", maintain_order="left")
    )
    number, _ = codes(keys.select(pl.coalesce("group", "item")).to_series())
    return np.asarray(number, dtype=np.int64)


def release_prices(units: Sequence[Unit], catalogue: Catalogue) -> Floats:
    """Log of what the vendor of each unit asked at its release, dollars per million tokens, (U,).

    Input counts three times as much as output, as price lists are usually blended.  A model that no
    list has a price of is taken for the mean of its vendor's, else of all: nothing is free to make.
    """
    models = [catalogue.model(unit.model) for unit in units]
    found = np.array([_release_usd(model) for model in models])
    vendors = np.array([model.vendor if model else "" for model in models])
    known = found > 0
    logs = np.log(np.where(known, found, 1.0))
    for i in np.flatnonzero(~known):
        kin = known & (vendors == vendors[i])
        logs[i] = logs[kin if kin.any() else known].mean() if known.any() else 0.0
    return logs


def _release_usd(model: Model | None) -> float:
    """Blend a model's price at release; the list's of today where that is not known, 0 without any."""
    price = (model.launch or model.price) if model else None
    return 0.0 if price is None else (3 * price.input + price.output) / 4


def to_problem(selected: Selected, catalogue: Catalogue) -> tuple[Problem, pl.DataFrame]:
    """Number units, items and groups (benchmark, agent, task, level) of the scored rows."""
    rows = selected.rows.filter(pl.col("score").is_not_null()).with_columns(
        key=pl.concat_str("item", "agent", separator="|"),
        group=pl.concat_str("benchmark", "agent", "task", "level", separator="|"),
    )
    unit = {str(u): i for i, u in enumerate(selected.units)}
    item, keys = codes(rows["key"])
    of_item = rows.group_by("key").agg(pl.col("group").first(), pl.col("tasks").first()).sort("key")
    group, names = codes(of_item["group"])
    parts = names.str.split("|")
    groups = pl.DataFrame(
        {
            "group": names,
            "benchmark": parts.list.get(0),
            "agent": parts.list.get(1),
            "task": parts.list.get(2),
            "level": parts.list.get(3).cast(pl.Int64),
        }
    )
    types = [TYPES.index(task) for task in groups["task"]]
    model, _ = codes(pl.Series([u.model for u in selected.units]))
    problem = Problem(
        unit=np.array([unit[name] for name in rows["unit"]]),
        item=item,
        score=rows["score"].to_numpy(),
        trials=rows["trials"].to_numpy(),
        model=model,
        group=group,
        tasks=of_item["tasks"].to_numpy(),
        group_type=np.array(types),
        group_level=groups["level"].to_numpy(),
        log_price=release_prices(selected.units, catalogue),
        group_agent=codes(groups["agent"])[0],
        judged=np.array([BENCHMARKS[name].judged for name in groups["benchmark"]]),
    )
    return problem, groups.with_columns(items=pl.Series(np.bincount(group)))
