"""From recorded outcomes to a pool: read, average repeats, price, and say what was left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.judge.measures import Floats
from benchmarks.judge.pool import CannotEvaluate, Pool
from benchmarks.judge.readers import Assesses, read_texts
from benchmarks.outcomes import (
    merge_items,
    read_frame,
    read_outcomes,
    read_prompts,
    without_broken,
)
from router.evidence.table import DEFAULT_EFFORT

MIN_ITEMS: Final = 20


@dataclass(frozen=True, slots=True)
class Recorded:
    """Items and outcomes as read: ``items`` has ``family``, ``outcomes`` one row per item, unit."""

    items: pl.DataFrame
    outcomes: pl.DataFrame
    notes: tuple[str, ...]


def read_recorded(prompts: Path, outcomes: Path, *, where: pl.Expr | None = None) -> Recorded:
    """Read both files; ``where`` filters outcome rows (OUTCOME_COLUMNS and ``origin``).

    A unit is a model as named in the data, with ``@effort`` where one is given.  Several rows
    of one item and unit (agents, repeats) are averaged, and that is noted.
    """
    asked = read_prompts(prompts)
    categories = _categories(prompts)
    items = merge_items(asked).join(
        asked.select("prompt_id", "item").join(categories, on="prompt_id", how="left")
        .group_by("item").agg(pl.col("family").drop_nulls().first()),
        on="item", how="left",
    )  # fmt: skip
    raw = read_outcomes(outcomes, asked.select("prompt_id", "item"))
    kept = without_broken(raw if where is None else raw.filter(where))
    named = kept.with_columns(
        unit=pl.when(pl.col("effort") == DEFAULT_EFFORT)
        .then("model")
        .otherwise(pl.format("{}@{}", "model", "effort"))
    )
    merged = named.group_by("item", "unit").agg(
        pl.col("score").mean(), pl.col("cost_usd").mean(), rows=pl.len()
    )
    notes = []
    if repeated := int((merged["rows"] > 1).sum()):
        notes.append(f"{repeated} (item, model) pairs were measured more than once and averaged.")
    return Recorded(items, merged, tuple(notes))


def _categories(prompts: Path) -> pl.DataFrame:
    """The finest family a prompts file states: benchmark and category."""
    raw = read_frame(prompts)
    category = pl.col("category") if "category" in raw.columns else pl.lit(None)
    return raw.select(
        pl.col("prompt_id").cast(pl.String),
        family=pl.concat_str(
            pl.col("benchmark").cast(pl.String), category.cast(pl.String).fill_null(""),
            separator="/",
        ),
    )  # fmt: skip


def make_pool(
    recorded: Recorded,
    classifier: Assesses,
    *,
    models: Sequence[str] | None = None,
    usd_per_item: Mapping[str, float] | None = None,
    ask: Callable[[str, str], str] | None = None,
) -> tuple[Pool, tuple[str, ...]]:
    """Build the complete matrix of a pool.  Returns it and notes on what was dropped or filled.

    ``models`` None takes every model with a cost that covers at least 80% as many items as the
    best-covered one.  ``usd_per_item`` prices models of data that carry no cost; two models
    without any are counted by the share of strong calls.  ``ask`` (benchmark, text) → the prompt
    an agent's user would have sent.  Raises CannotEvaluate.
    """
    units = tuple(models) if models else covering(recorded.outcomes)
    _check_units(units, recorded.outcomes)
    score = _pivot(recorded.outcomes, units, "score")
    complete = score.drop_nulls()
    if len(complete) < MIN_ITEMS:
        raise CannotEvaluate(_too_few(units, recorded.outcomes, len(complete)))
    notes = [*recorded.notes]
    if dropped := len(score) - len(complete):
        notes.append(f"{dropped} of {len(score)} items lack an outcome of some model: dropped.")
    items = complete.select("item").join(recorded.items, on="item", how="left")
    items = items.with_columns(pl.col("text").fill_null(""), pl.col("group").fill_null("item"))
    quality = complete.select(units).to_numpy()
    cost = complete.select("item").join(
        _pivot(recorded.outcomes, units, "cost_usd"), on="item", how="left"
    ).select(units).to_numpy()  # fmt: skip
    cost, unit, remarks = _priced(units, quality, cost, usd_per_item or {})
    texts = tuple(
        ask(benchmark, text) if ask and text else text
        for benchmark, text in items.select("benchmark", "text").iter_rows()
    )
    if unread := sum(not text for text in texts):
        remarks.append(f"{unread} items have no text: they get the mean reading of the others.")
    p_type, p_level = read_texts(classifier, texts)
    pool = Pool(
        items=tuple(complete["item"]),
        texts=texts,
        families=tuple(items["family"].fill_null("")),
        groups=np.unique(items["group"].to_numpy(), return_inverse=True)[1].astype(np.int64),
        models=units,
        quality=quality,
        cost=cost,
        p_type=p_type,
        p_level=p_level,
        cost_unit=unit,
    )
    return pool, (*notes, *remarks)


def covering(outcomes: pl.DataFrame) -> tuple[str, ...]:
    """Name the models with cost that cover most items."""
    counts = (
        outcomes.filter(pl.col("cost_usd").is_not_null())
        .group_by("unit").agg(n=pl.col("item").n_unique()).sort("unit")
    )  # fmt: skip
    if counts.is_empty():
        raise CannotEvaluate("no outcome carries a cost; name the pool with --models")
    return tuple(counts.filter(pl.col("n") >= 0.8 * pl.col("n").max())["unit"])


def _check_units(units: tuple[str, ...], outcomes: pl.DataFrame) -> None:
    if len(set(units)) < 2:
        raise CannotEvaluate(f"a pool needs two models at least, not {', '.join(units) or 'none'}")
    known = outcomes["unit"].unique().sort().to_list()
    if missing := [u for u in units if u not in set(known)]:
        raise CannotEvaluate(
            f"no outcomes of {', '.join(missing)}; the data name {', '.join(known[:12])}"
            f"{' …' if len(known) > 12 else ''}"
        )


def _too_few(units: tuple[str, ...], outcomes: pl.DataFrame, n: int) -> str:
    counts = outcomes.filter(pl.col("unit").is_in(units)).group_by("unit").len().sort("len")
    least = ", ".join(f"{u} ({k})" for u, k in counts.head(3).iter_rows())
    return (
        f"{n} items have outcomes of all {len(units)} models, {MIN_ITEMS} are needed; "
        f"fewest items: {least}. Leave those out with --models"
    )


def _pivot(outcomes: pl.DataFrame, units: tuple[str, ...], value: str) -> pl.DataFrame:
    """One row per item that any of the models did, one column per model."""
    rows = outcomes.filter(pl.col("unit").is_in(units))
    return rows.pivot(on="unit", index="item", values=value).select("item", *units).sort("item")


def _priced(
    units: tuple[str, ...], quality: Floats, cost: Floats, usd_per_item: Mapping[str, float]
) -> tuple[Floats, str, list[str]]:
    """Complete the costs: measured, stated by the caller, or the share of strong calls."""
    known: NDArray[np.bool_] = np.isfinite(cost)
    measured = [bool(column.any()) for column in known.T]
    if all(measured):
        means = np.nanmean(cost, axis=0)
        filled = int((~known).sum())
        remarks = (
            [f"{filled} costs are not recorded: the model's mean stands in."] if filled else []
        )
        return np.where(known, cost, means), "usd", remarks
    if all(unit in usd_per_item for unit in units):
        stated = np.array([usd_per_item[unit] for unit in units])
        return np.tile(stated, (len(cost), 1)), "usd", ["Costs are the stated prices per item."]
    if len(units) == 2:
        strong = int(quality.mean(axis=0).argmax())
        calls = np.tile(np.eye(2)[strong], (len(cost), 1))
        return calls, "calls", [f"No costs: cost is the share of calls to {units[strong]}."]
    lacking = ", ".join(u for u, k in zip(units, measured, strict=True) if not k)
    raise CannotEvaluate(
        f"no cost is recorded for {lacking}; state a price per item, or name a pool of two"
    )
