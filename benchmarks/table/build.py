"""Build the cost-quality table: ``models/table.json``, or a table in memory for any pool.

    evidence -> units and cells -> item response (quality), additive log cost (dollars)
             -> the dial's prices, on a mix of asks and on outcomes left out -> artefact

The artefact is a function of its inputs: sorted keys, rounded numbers, fixed seeds, no clock.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks import kinds
from benchmarks.frames import read_csv
from benchmarks.kinds import BENCHMARKS, BROKEN
from benchmarks.outcomes import OWN_ALONE, OutcomeSet, load_evidence, sha256
from benchmarks.schema import PRICE_COLUMNS, TOTAL_COLUMNS
from benchmarks.table.calibrate import COMPRESSED, ROOM, Calibrated, LeftOut, calibrate
from benchmarks.table.evidence import Selected, item_groups, select, to_problem
from benchmarks.table.item_response import Floats, Ints
from benchmarks.table.pricing import price_cells
from benchmarks.table.quality import (
    Problem,
    Quality,
    direct_counts,
    draw_cells,
    fit_quality,
    summary,
)
from benchmarks.table.time_scale import Placement, codes, place_evidence
from benchmarks.table.traffic import MIX_WRITERS, Readings, held_parts, read_writers, traffic_of
from benchmarks.table.view import changes, diff, show
from classifier.model import ARTEFACT_FILES, Classifier
from classifier.tasks import N_LEVELS, TYPES, taxonomy_fingerprint
from classifier.training.rows import BadData
from router.decision.engine import classifier_folder
from router.evidence.catalogue import (
    CATALOGUE_FILE,
    MODELS_DIR,
    Catalogue,
    Model,
    file_of,
    load_catalogue,
)
from router.evidence.table import COLUMNS, DEFAULT_EFFORT, FORMAT, Stop, Table
from router.values import Unit

__all__ = ["assemble", "build", "changes", "diff", "fit_pool", "show"]

SHARED: Final = Path("../shared/data")
N_DRAWS: Final = 160
SEED: Final = 20261125

CODE_FORMAT: Final = 4
"""Part of the version: raise it when the same inputs should give another table."""


def build(
    shared: Path = SHARED,
    *,
    models: Path = MODELS_DIR,
    n_draws: int = N_DRAWS,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Build the artefact from ``shared``, for catalogue and classifier of ``models``.

    Raises BadData, BadArtefact.
    """
    catalogue_path = file_of(models, CATALOGUE_FILE)
    catalogue = load_catalogue(models / CATALOGUE_FILE)
    folder = classifier_folder(models)
    progress("reading the evidence")
    evidence = load_evidence(shared)
    extra = {name: shared / f"coding/{name}" for name in ("aggregates.csv", "prices.csv")}
    inputs = {
        **evidence.inputs,
        **{f"coding/{name}": sha256(path) for name, path in extra.items()},
        "catalogue.toml": sha256(catalogue_path),
        "benchmarks/kinds.py": sha256(Path(kinds.__file__)),
        **{name: sha256(folder / name) for name in ARTEFACT_FILES},
    }
    totals = read_csv(extra["aggregates.csv"], TOTAL_COLUMNS).frame
    prices = read_csv(extra["prices.csv"], PRICE_COLUMNS).frame
    readings = read_writers(Classifier.load(folder), MIX_WRITERS)
    return assemble(
        evidence, catalogue, totals, prices, readings,
        n_draws=n_draws, inputs=inputs, progress=progress,
    )  # fmt: skip


def assemble(
    evidence: OutcomeSet,
    catalogue: Catalogue,
    totals: pl.DataFrame,
    prices: pl.DataFrame,
    readings: Readings,
    *,
    n_draws: int,
    inputs: Mapping[str, str],
    progress: Callable[[str], None] = lambda _: None,
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
    problem, groups = to_problem(selected, catalogue)
    progress(f"fitting {len(selected.units)} units to {len(problem.item):,} outcomes")
    quality = fit_quality(problem)
    draws = np.minimum.accumulate(draw_cells(quality, n_draws, SEED), axis=1).astype(np.float32)
    items, successes = direct_counts(problem)
    costs = price_cells(selected, catalogue, prices, evidence)
    posterior = Posterior(
        selected.units, draws, costs.mean, costs.upper, items, successes, quality.fit.scales
    )
    progress("setting the dial")
    held = held_parts(
        problem, groups, item_groups(selected, placement), posterior.table(), readings,
        n_draws=n_draws, seed=SEED,
    )  # fmt: skip
    dial = set_dial(posterior, catalogue, readings, list(held))
    table = posterior.table()
    cells = {name: getattr(table, name).astype(float) for name in COLUMNS}
    artefact = {
        "format": FORMAT,
        "taxonomy": taxonomy_fingerprint(),
        "version": version_of(inputs),
        "inputs": dict(inputs),
        "newest_evidence": selected.rows["date"].max(),
        "units": [_unit_meta(unit, selected) for unit in selected.units],
        "cells": {name: values.ravel().tolist() for name, values in cells.items()},
        "dial": dial,
        "quality_model": _quality_meta(quality, placement, groups),
        "cost_model": costs.meta,
        "sources": _sources(selected),
        "excluded_runs": [asdict(run) for run in BROKEN],
        "left_out": selected.left_out,
    }
    return dict(rounded(artefact))


def set_dial(
    posterior: Posterior, catalogue: Catalogue, readings: Readings, held: Sequence[LeftOut]
) -> dict[str, Any]:
    """Set the price of worth at each stop; raises BadData where outcomes belie what is expected.

    The traffic is decided among the units that serve it by default: sold today, by providers that do
    not log prompts.
    """
    serves = [
        i for i, unit in enumerate(posterior.units) if _by_default(catalogue.model(unit.model))
    ]
    traffic = traffic_of(
        posterior.table().kept(serves), posterior.draws[:, :, serves], readings, readings.uniform()
    )
    found = calibrate(traffic, held)
    for name, stop in found.items():
        if stop.belied:
            raise BadData(
                f"dial {name}: on tasks that were left out the picks fall short of the best model by "
                f"{stop.outcome_gap:.3f}, and the table expects {stop.outcome_gap_expected:.3f}: over "
                f"{COMPRESSED} times as much, beyond luck.  The evidence contradicts itself: look at what "
                "came in last"
            )
    return {
        "mix": f"asks of {' and '.join(MIX_WRITERS)}, read as served, every type alike",
        "asks": len(readings.task),
        "outcomes": sum(len(part.outcomes) for part in held),
        "room": ROOM,
        "stops": [stop.as_json(name) for name, stop in sorted(found.items(), key=_margin)],
    }


def _margin(named: tuple[str, Calibrated]) -> float:
    return named[1].stop.margin


def _by_default(model: Model | None) -> bool:
    if model is None or model.retired is not None:
        return False
    presumed = model.data_policy == "unknown" and model.id.endswith(":free")
    return not (presumed or model.data_policy == "may_log")


def version_of(inputs: Mapping[str, str]) -> str:
    """Return 16 hex digits over the inputs' hashes, the taxonomy and the code's format."""
    text = json.dumps([dict(inputs), taxonomy_fingerprint(), FORMAT, CODE_FORMAT], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def to_bytes(artefact: Mapping[str, Any]) -> bytes:
    """Serialise the artefact; equal artefacts give equal bytes."""
    return (json.dumps(artefact, sort_keys=True, indent=0, allow_nan=False) + "\n").encode()


@dataclass(frozen=True, slots=True)
class Posterior:
    """What was fitted of U units: ``draws`` float32 (T, L, U, K), costs and counts (T, L, U)."""

    units: tuple[Unit, ...]
    draws: NDArray[np.float32]
    cost_usd: Floats
    cost_upper_usd: Floats
    items: Ints
    successes: Floats
    scales: Mapping[str, float]

    def table(self, stops: Sequence[Stop] = (), version: str = "in memory") -> Table:
        """Summarise it."""
        columns: dict[str, Any] = dict(summary(self.draws))
        return Table(
            units=self.units,
            cost_usd=self.cost_usd.astype(np.float32),
            cost_upper_usd=self.cost_upper_usd.astype(np.float32),
            items=self.items.astype(np.float32),
            successes=self.successes.astype(np.float32),
            version=version,
            meta={"scales": self.scales},
            stops=tuple(sorted(stops)),
            **columns,
        )


def fit_pool(
    frame: pl.DataFrame,
    *,
    units: Sequence[Unit],
    p_type: Floats,
    p_level: Floats,
    seed: int = SEED,
    n_draws: int = 200,
    log_price: Floats | None = None,
) -> Posterior:
    """Fit any pool from training outcomes.

    ``frame``, one row per item and unit: ``item`` int, the row of ``p_type`` (n, T) and
    ``p_level`` (n, L) that holds the classifier's view of the item; ``unit`` as ``str(unit)``;
    ``score``; optional ``trials`` and ``cost_usd``.  Quality is fitted to the whole of each view;
    the counts and costs of an item go to its most probable cell.  ``log_price`` (U,): log of what
    each unit's vendor asked when it was released.
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
        p_type=p_type[at],
        p_level=p_level[at],
        log_price=log_price,
    )
    quality = fit_quality(problem, steps=25)
    counts, successes = direct_counts(problem)
    cost, upper = pool_costs(frame, unit, cell[item], cells.to_numpy(), len(units))
    return Posterior(
        units=tuple(units),
        draws=draw_cells(quality, n_draws, seed).astype(np.float32),
        cost_usd=cost,
        cost_upper_usd=upper,
        items=counts,
        successes=successes,
        scales=quality.fit.scales,
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
        "line": fitted.coefficients.tolist(),
        "groups_off_line": fitted.group_scale,
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
