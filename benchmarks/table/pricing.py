"""Price the table's cells: realised dollars, rescaled to the catalogue's list prices.

OpenHands states the list price that its costs were computed at; where the catalogue's differs,
a model's realised costs are scaled by the ratio of the two, blended over an agent's token mix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks.outcomes import Alias, OutcomeSet
from benchmarks.table.costs import SINGLE_TURN, Costs, Priced, cell_costs, fit_costs
from benchmarks.table.evidence import Selected, aliases_of
from benchmarks.table.item_response import Floats
from benchmarks.table.time_scale import codes
from classifier.tasks import N_LEVELS, TYPES
from router.decision.economics import TABLE_READ
from router.evidence.catalogue import Catalogue, Model

STATED_BY: Final = "OpenHands"
"""The agent whose costs were computed at the stated list prices."""

TOKENS_PER_OUTPUT: Final = 125.0
CACHED_SHARE: Final = 0.9
"""An agent's bill: input tokens per output token (the median of DeepSWE's totals, whose tokens
are published), nine tenths of them read from the cache at TABLE_READ of the price."""


@dataclass(frozen=True, slots=True)
class CellCosts:
    """Mean and upper cost, (T, L, U) in dollars per task, and what to say of them."""

    mean: Floats
    upper: Floats
    meta: dict[str, Any]


def price_cells(
    selected: Selected, catalogue: Catalogue, prices: pl.DataFrame, evidence: OutcomeSet
) -> CellCosts:
    """Fit the costs of ``selected`` at the catalogue's prices."""
    models = {model.id: model for model in catalogue.models}
    ratio = price_ratios(models, aliases_of(catalogue), prices)
    priced = priced_rows(selected, ratio)
    names = priced["benchmark"].unique().sort().to_list()
    per_mtok = np.array([list_usd(models[u.model]) for u in selected.units])
    free = np.array([models[u.model].costs_nothing for u in selected.units])
    unlisted = per_mtok.sum(axis=1) == 0
    per_mtok[unlisted] = np.exp(np.log(per_mtok[~unlisted]).mean(axis=0))
    fitted = fit_costs(_to_priced(priced, names, selected, per_mtok @ blend_weights()))
    tokens = median_tokens(evidence)
    mean, upper = cell_costs(fitted, cell_weights(selected, names), per_mtok / 1e6, tokens, names)
    mean[:, :, free] = upper[:, :, free] = 0.0
    return CellCosts(mean, upper, _meta(fitted, ratio, names, tokens, selected))


def priced_rows(selected: Selected, ratio: Mapping[str, float]) -> pl.DataFrame:
    """Mean cost at the catalogue's price per benchmark, level and unit: mean, cv, n (tasks)."""
    factor = pl.col("catalogue").replace_strict(dict(ratio), default=1.0, return_dtype=pl.Float64)
    stated = pl.col("agent") == STATED_BY
    scaled = pl.col("cost_usd") * pl.when(stated).then(factor).otherwise(1.0)
    return (
        selected.rows.filter(pl.col("cost_usd") > 0)
        .with_columns(scaled=scaled)
        .group_by("benchmark", "level", "unit")
        .agg(
            mean=pl.col("scaled").mean(),
            cv=(pl.col("scaled").std() / pl.col("scaled").mean()).fill_null(1.0),
            n=pl.col("tasks").sum(),
        )
        .sort("benchmark", "level", "unit")
    )


def _to_priced(
    priced: pl.DataFrame, names: list[str], selected: Selected, blended: Floats
) -> Priced:
    """Number the rows for the fit."""
    unit = {str(u): i for i, u in enumerate(selected.units)}
    return Priced(
        unit=np.array([unit[name] for name in priced["unit"]]),
        benchmark=np.array([names.index(name) for name in priced["benchmark"]]),
        level=priced["level"].to_numpy().astype(np.int64),
        mean_usd=priced["mean"].to_numpy(),
        n=priced["n"].to_numpy(),
        cv=priced["cv"].to_numpy(),
        model=codes(pl.Series([u.model for u in selected.units]))[0],
        list_usd=blended,
        n_benchmarks=len(names),
    )


def cell_weights(selected: Selected, names: list[str]) -> Floats:
    """Items of each benchmark in each cell: (benchmarks, T, L).

    A benchmark says nothing of the cost of those of its tasks that it has no bill for.
    """
    weight = np.zeros((len(names), len(TYPES), N_LEVELS))
    counts = selected.rows.filter(pl.col("benchmark").is_in(names), pl.col("tasks") == 1)
    billed = selected.rows.filter(pl.col("cost_usd") > 0)
    counts = counts.join(billed, on=["benchmark", "task"], how="semi")
    counts = counts.group_by("benchmark", "task", "level").agg(pl.col("item").n_unique())
    for name, task, level, n in counts.iter_rows():
        weight[names.index(name), TYPES.index(task), level] = n
    return weight


def _meta(
    fitted: Costs,
    ratio: Mapping[str, float],
    names: list[str],
    tokens: Mapping[str, tuple[float, float]],
    selected: Selected,
) -> dict[str, Any]:
    """Say how the costs came about."""
    return {
        "form": "log mean cost = log list price x (1 + tilt) + benchmark + level + model + effort"
        " + unit x benchmark + model x level + cell; shrunk, see benchmarks/table/costs.py",
        "scales": fitted.scales,
        "list_price_ratio": {k: v for k, v in sorted(ratio.items()) if v != 1.0},
        "list_price_ratio_is": "the catalogue's price over the list price OpenHands states for its"
        f" runs, blended over {TOKENS_PER_OUTPUT:.0f} input tokens per output token,"
        f" {CACHED_SHARE:.0%} of them cached at {TABLE_READ:.0%} of the price",
        "priced_by": names,
        "single_turn": {
            "formula": "(input tokens x input price + output tokens x output price) x the unit's"
            " realised-over-list factor x exp(level share); borrowed",
            "tokens": {k: list(v) for k, v in sorted(tokens.items())},
            "types": {k: list(v) for k, v in SINGLE_TURN.items()},
            "level_share": fitted.level.tolist(),
            "factor": {
                str(u): f for u, f in zip(selected.units, fitted.factor.tolist(), strict=True)
            },
        },
    }


def blend_weights() -> Floats:
    """Uncached-equivalent input tokens, and output tokens, of an agent's bill: (2,)."""
    return np.array([TOKENS_PER_OUTPUT * (1 - CACHED_SHARE + CACHED_SHARE * TABLE_READ), 1.0])


def list_usd(model: Model) -> tuple[float, float]:
    """Input and output price in dollars per million tokens; zero where free or unknown."""
    return (model.price.input, model.price.output) if model.price else (0.0, 0.0)


def price_ratios(
    models: Mapping[str, Model], aliases: Mapping[str, Alias], prices: pl.DataFrame
) -> dict[str, float]:
    """Catalogue price over the list price that OpenHands computed its costs at, per model."""
    stated = prices.filter(pl.col("provider") == "openhands-index (list price used)")
    ratio: dict[str, float] = {}
    for name, a, b in stated.select("model_id", "input_per_m", "output_per_m").iter_rows():
        alias = aliases.get(name)
        if alias is None:
            continue
        own = np.array(list_usd(models[alias.model]))
        if own[0] > 0:
            ratio[alias.model] = float(blend_weights() @ own / (blend_weights() @ [a, b]))
    return ratio


def median_tokens(evidence: OutcomeSet) -> dict[str, tuple[float, float]]:
    """Median input and output tokens of single-turn benchmarks that recorded them."""
    wanted = sorted({name for names in SINGLE_TURN.values() for name in names})
    frame = (
        evidence.outcomes.filter(
            pl.col("benchmark").is_in(wanted), pl.col("train_ok"), pl.col("output_tokens") > 0
        )
        .group_by("benchmark")
        .agg(pl.col("input_tokens").median(), pl.col("output_tokens").median())
    )
    return {name: (a, b) for name, a, b in frame.iter_rows()}
