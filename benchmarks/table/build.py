"""Build the cost-quality table: ``models/table.json``, or a table in memory for any pool.

    evidence -> units and cells -> item response (quality), additive log cost (dollars) -> artefact

The artefact is a function of its inputs: sorted keys, rounded numbers, fixed seeds, no clock.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks import kinds
from benchmarks.frames import read_csv
from benchmarks.kinds import BENCHMARKS, BROKEN
from benchmarks.outcomes import OWN_ALONE, OutcomeSet, load_evidence, sha256
from benchmarks.schema import PRICE_COLUMNS, TOTAL_COLUMNS
from benchmarks.table.evidence import Selected, select, to_problem
from benchmarks.table.item_response import Floats
from benchmarks.table.pricing import price_cells
from benchmarks.table.quality import (
    Problem,
    Quality,
    direct_counts,
    draw_cells,
    fit_quality,
    level_slope,
)
from benchmarks.table.time_scale import Placement, codes, place_evidence
from benchmarks.table.view import changes, diff, show
from classifier.tasks import N_LEVELS, TYPES, taxonomy_fingerprint
from classifier.training.rows import BadData
from router.evidence.catalogue import MODELS_DIR, Catalogue, load_catalogue
from router.evidence.table import DEFAULT_EFFORT, DRAW_SCALE, FORMAT, Table
from router.values import Unit

__all__ = ["assemble", "build", "changes", "diff", "fit_table", "show"]

SHARED: Final = Path("../shared/data")
N_DRAWS: Final = 160
SEED: Final = 20261125

CODE_FORMAT: Final = 2
"""Part of the version: raise it when the same inputs should give another table."""


def build(
    shared: Path = SHARED,
    *,
    catalogue_path: Path = MODELS_DIR / "catalogue.toml",
    n_draws: int = N_DRAWS,
) -> dict[str, Any]:
    """Build the artefact from ``shared``; raises BadData, BadArtefact."""
    catalogue = load_catalogue(catalogue_path)
    evidence = load_evidence(shared)
    extra = {name: shared / f"coding/{name}" for name in ("aggregates.csv", "prices.csv")}
    inputs = {
        **evidence.inputs,
        **{f"coding/{name}": sha256(path) for name, path in extra.items()},
        "catalogue.toml": sha256(catalogue_path),
        "benchmarks/kinds.py": sha256(Path(kinds.__file__)),
    }
    totals = read_csv(extra["aggregates.csv"], TOTAL_COLUMNS).frame
    prices = read_csv(extra["prices.csv"], PRICE_COLUMNS).frame
    return assemble(evidence, catalogue, totals, prices, n_draws=n_draws, inputs=inputs)


def assemble(
    evidence: OutcomeSet,
    catalogue: Catalogue,
    totals: pl.DataFrame,
    prices: pl.DataFrame,
    *,
    n_draws: int,
    inputs: Mapping[str, str],
) -> dict[str, Any]:
    """Fit everything and lay the artefact out.

    Harder never comes out easier: where the items of a level happen to be harder than what the
    next level borrows, every draw of that one is lowered to it.
    """
    placement = place_evidence(evidence)
    selected = select(evidence, placement, catalogue, totals)
    if not selected.units:
        raise BadData(
            "no outcome is of a model of the catalogue, by name or alias, whose agent ran another of "
            f"them too. {OWN_ALONE}"
        )
    problem, groups = to_problem(selected)
    quality = fit_quality(problem)
    draws = draw_cells(quality, n_draws, SEED, type_centres(quality, selected, placement))
    draws = np.minimum.accumulate(draws, axis=1)
    tasks, successes = direct_counts(problem)
    costs = price_cells(selected, catalogue, prices, evidence)
    cells = {
        "quality": draws.mean(axis=-1),
        "lower": np.quantile(draws, 0.05, axis=-1),
        "upper": np.quantile(draws, 0.95, axis=-1),
        "cost_usd": costs.mean,
        "cost_upper_usd": costs.upper,
        "items": tasks,
        "successes": successes,
    }
    packed = np.round(np.clip(draws, 0, 1) * DRAW_SCALE).astype("<u2")
    artefact = {
        "format": FORMAT,
        "taxonomy": taxonomy_fingerprint(),
        "version": version_of(inputs),
        "inputs": dict(inputs),
        "newest_evidence": selected.rows["date"].max(),
        "units": [_unit_meta(unit, selected) for unit in selected.units],
        "cells": {name: values.ravel().tolist() for name, values in cells.items()},
        "draws": base64.b64encode(packed.tobytes()).decode(),
        "quality_model": _quality_meta(quality, placement, groups),
        "cost_model": costs.meta,
        "sources": _sources(selected),
        "excluded_runs": [asdict(run) for run in BROKEN],
        "left_out": selected.left_out,
    }
    return dict(rounded(artefact))


def version_of(inputs: Mapping[str, str]) -> str:
    """Return 16 hex digits over the inputs' hashes, the taxonomy and the code's format."""
    text = json.dumps([dict(inputs), taxonomy_fingerprint(), FORMAT, CODE_FORMAT], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def to_bytes(artefact: Mapping[str, Any]) -> bytes:
    """Serialise the artefact; equal artefacts give equal bytes."""
    return (json.dumps(artefact, sort_keys=True, indent=0, allow_nan=False) + "\n").encode()


def type_centres(quality: Quality, selected: Selected, placement: Placement) -> Floats:
    """Difficulty (T,) at the lowest level of types that only older models were measured on.

    Their items lie on the placement's scale, which is moved onto the table's by the items that
    both have; NaN where no item is of the type.
    """
    keys = selected.rows.filter(pl.col("score").is_not_null()).select(
        "item", key=pl.concat_str("item", "agent", separator="|")
    )
    keys = keys.unique().sort("key").with_columns(fitted=pl.Series(quality.fit.difficulty))
    both = keys.join(placement.items.select("item", "difficulty_logit"), on="item")
    shift = (both["fitted"] - both["difficulty_logit"]).to_numpy().mean()
    level = sum(pl.col(f"p{k + 1}") * k for k in range(N_LEVELS))
    slope = level_slope(quality)
    of_type = placement.items.group_by("task").agg(
        (pl.col("difficulty_logit") - slope * level).mean().alias("centre")
    )
    centre = dict(of_type.iter_rows())
    return np.array([float(centre.get(task, np.nan)) for task in TYPES]) + float(shift)


def fit_table(
    frame: pl.DataFrame,
    *,
    units: Sequence[Unit],
    p_type: Floats,
    p_level: Floats,
    seed: int = SEED,
    n_draws: int = 200,
) -> Table:
    """Fit a table for any pool from training outcomes.

    ``frame``, one row per item and unit: ``item`` int, the row of ``p_type`` (n, T) and
    ``p_level`` (n, L) that holds the classifier's view of the item; ``unit`` as ``str(unit)``;
    ``score``; optional ``trials`` and ``cost_usd``.  Quality is fitted to the whole of each view;
    the counts and costs of an item go to its most probable cell.
    """
    names = {str(unit): i for i, unit in enumerate(units)}
    if unknown := sorted(set(frame["unit"].unique()) - set(names)):
        raise ValueError(f"outcomes of units outside the pool: {', '.join(unknown)}")
    kind, level = p_type.argmax(axis=1), p_level.argmax(axis=1)
    item, items = codes(frame["item"])
    at = items.to_numpy()
    cell, cells = codes(pl.Series(kind[at] * N_LEVELS + level[at]))
    group_type, group_level = np.divmod(cells.to_numpy(), N_LEVELS)
    unit = np.array([names[name] for name in frame["unit"]])
    trials = frame["trials"].to_numpy() if "trials" in frame.columns else np.ones(len(frame))
    problem = Problem(
        unit=unit,
        item=item,
        score=frame["score"].to_numpy().astype(np.float64),
        trials=trials.astype(np.float64),
        model=codes(pl.Series([u.model for u in units]))[0],
        group=cell,
        tasks=np.ones(len(items)),
        group_type=group_type,
        group_level=group_level,
        group_family=group_type,
        p_type=p_type[at],
        p_level=p_level[at],
    )
    quality = fit_quality(problem, steps=25)
    draws = draw_cells(quality, n_draws, seed)
    counts, successes = direct_counts(problem)
    cost, upper = pool_costs(frame, unit, cell[item], cells.to_numpy(), len(units))
    return Table(
        units=tuple(units),
        draws=draws.astype(np.float32),
        quality=draws.mean(axis=-1).astype(np.float32),
        lower=np.quantile(draws, 0.05, axis=-1).astype(np.float32),
        upper=np.quantile(draws, 0.95, axis=-1).astype(np.float32),
        cost_usd=cost.astype(np.float32),
        cost_upper_usd=upper.astype(np.float32),
        items=counts.astype(np.float32),
        successes=successes.astype(np.float32),
        version="in memory",
        meta={"scales": quality.fit.scales},
    )


COST_PRIOR_TASKS: Final = 10.0
"""A cell's mean cost is shrunk to the unit's as if this many tasks at the unit's mean were seen."""


def pool_costs(
    frame: pl.DataFrame, unit: Any, cell: Any, cells: Any, n_units: int
) -> tuple[Floats, Floats]:
    """Mean and upper cost (T, L, U) of a pool: cell means shrunk to unit mean x cell scale.

    A unit without a recorded cost costs nothing: the caller states its price.
    """
    shape = (len(TYPES) * N_LEVELS, n_units)
    if "cost_usd" not in frame.columns:
        zero = np.zeros((len(TYPES), N_LEVELS, n_units))
        return zero, zero
    cost = frame["cost_usd"].to_numpy().astype(np.float64)
    known = np.isfinite(cost)
    where = (cells[cell[known]], unit[known])
    n, total, square = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    np.add.at(n, where, 1)
    np.add.at(total, where, cost[known])
    np.add.at(square, where, cost[known] ** 2)
    per_unit = total.sum(axis=0) / np.maximum(n.sum(axis=0), 1)
    relative = total.sum(axis=1) / np.maximum(n @ per_unit, 1e-12)
    seen = n.sum(axis=1)
    scale = (seen * relative + COST_PRIOR_TASKS) / (seen + COST_PRIOR_TASKS)
    prior = scale[:, None] * per_unit[None, :]
    mean = (total + COST_PRIOR_TASKS * prior) / (n + COST_PRIOR_TASKS)
    spread = square.sum(axis=0) / np.maximum(n.sum(axis=0), 1) - per_unit**2
    upper = mean + 1.645 * np.sqrt(np.maximum(spread, 0) / (n + COST_PRIOR_TASKS))
    full = (len(TYPES), N_LEVELS, n_units)
    return mean.reshape(full), upper.reshape(full)


def _unit_meta(unit: Unit, selected: Selected) -> dict[str, Any]:
    """A unit, and where its evidence comes from, benchmark by benchmark.

    ``total`` marks a published total, ``judged`` grades by a judge; costs are as the source recorded
    them.
    """
    scored = pl.col("score").is_not_null()
    tasks = pl.col("tasks").filter(scored)
    per = (
        selected.rows.filter(pl.col("unit") == str(unit))
        .group_by("benchmark", "agent")
        .agg(
            items=tasks.sum(),
            score=(pl.col("score") * pl.col("tasks")).sum() / tasks.sum(),
            total=(tasks > 1).any(),
            cost_usd=pl.col("cost_usd").mean(),
            input_tokens=pl.col("input_tokens").mean(),
            output_tokens=pl.col("output_tokens").mean(),
            date=pl.col("date").max(),
            source=pl.col("source").unique().sort().str.join("; "),
        )
        .sort("benchmark", "agent")
    )
    evidence = [
        {k: v for k, v in row.items() if v is not None}
        | ({"judged": True} if BENCHMARKS[row["benchmark"]].judged else {})
        for row in per.iter_rows(named=True)
    ]
    return {"model": unit.model, "effort": unit.effort or DEFAULT_EFFORT, "evidence": evidence}


def _quality_meta(quality: Quality, placement: Placement, groups: pl.DataFrame) -> dict[str, Any]:
    """Hyperparameters of the quality model, and how levels were placed."""
    fitted = quality.fit
    table = groups.select("benchmark", "task", pl.col("level") + 1, "items").with_columns(
        difficulty=pl.Series(fitted.group_mean), spread=pl.Series(fitted.group_spread)
    )
    return {
        "form": "item response with shrunk unit effects; see benchmarks/table/quality.py",
        "scales": fitted.scales,
        "level_slope": level_slope(quality),
        "groups": table.to_dicts(),
        "tie": asdict(placement.line),
        "tie_checks": placement.checks,
    }


def _sources(selected: Selected) -> list[dict[str, Any]]:
    """Every source behind a unit: benchmark, agent, repository at commit, date, rows."""
    frame = (
        selected.rows.group_by("benchmark", "agent", "source")
        .agg(first=pl.col("date").min(), last=pl.col("date").max(), rows=pl.len())
        .sort("benchmark", "agent", "source")
    )
    return [{**row, "licence": _licence(row["source"])} for row in frame.iter_rows(named=True)]


LICENCES: Final = {
    "OpenHands/openhands-index-results": "none stated in the repository; Apache-2.0 as published",
    "Whamp/deep-swe-bench": "tasks Apache-2.0 (datacurve-ai/deep-swe); table of rates: none stated",
    "lprhodes/deepswe-tracker": "none stated; published totals",
    "khromov/svelte-bench": "none stated",
    "mogottsch/aoc-agent": "none stated",
    "get-convex/convex-evals": "Apache-2.0",
    "waynchi/editbench": "Apache-2.0",
    "microsoft/BC-Bench": "MIT",
    "MattJColes/lgtmaybe-benchmarks": "none stated",
    "aarora79/agentic-coding-harness-benchmarks": "MIT-0, as its README says",
    "morganlinton/VulcanBench": "Apache-2.0",
    "akitaonrails/llm-coding-benchmark": "none stated",
    "OskarsEzerins/llm-benchmarks": "MIT",
    "everruns/bashkit": "MIT",
    "state-alchemists/zrb": "AGPL",
    "state-alchemists/llm-challenges": "none stated",
    "DeirhX/llm-coding-bench": "none stated",
    "drakegriffith/model-eval": "MIT",
    "jahala/tilth": "MIT",
    "robusta-dev/holmesgpt": "Apache-2.0",
    "vfarcic/dot-ai": "MIT",
    "Fortitude-Group/OmnisBench": "Apache-2.0",
    "ljoukov/llm": "MIT",
}
"""Of each source, from shared/data's SOURCES files; only aggregated facts enter the table."""


def _licence(source: str) -> str:
    return next((text for name, text in LICENCES.items() if name in source), "see SOURCES.md")


def rounded(value: Any) -> Any:
    """Round every number within to four significant digits; whole numbers stay whole."""
    if isinstance(value, Mapping):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(inner) for inner in value]
    if not isinstance(value, float):
        return value
    short = float(f"{value:.4g}")
    return int(short) if short.is_integer() and abs(short) < 1e6 else short
