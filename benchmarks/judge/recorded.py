"""From recorded outcomes to a pool: read, average repeats, price, and say what was left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.frames import Tidy, read_columns
from benchmarks.judge.measures import Floats
from benchmarks.judge.pool import CannotEvaluate, Pool
from benchmarks.judge.readers import Assesses, read_texts
from benchmarks.outcomes import matched, merge_items, outcomes_of, prompts_of, without_broken
from benchmarks.schema import PROMPT_COLUMNS, RECORDED_COLUMNS
from classifier.training.alike import joined, same_text
from router.evidence.table import DEFAULT_EFFORT

MIN_ITEMS: Final = 20

NAMED: Final = 12
"""So many names are listed where the data hold more."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """Items and outcomes as read: ``items`` has ``family``, ``outcomes`` one row per item, unit."""

    items: pl.DataFrame
    outcomes: pl.DataFrame
    notes: tuple[str, ...]


def read_recorded(prompts: Path, outcomes: Path, *, public: pl.Expr | None = None) -> Recorded:
    """Read both files; raises BadData.

    ``public`` picks rows (OUTCOME_COLUMNS and ``origin``) of the public evidence, whose broken runs
    are left out; without it the files are a user's own, and what of them is not used is noted.
    A unit is a model as named in the data, with ``@effort`` where one is given.  Several rows
    of one item and unit (agents, repeats) are averaged, and that is noted.
    """
    asked_tidy = read_columns(prompts, PROMPT_COLUMNS)
    tidy = read_columns(outcomes, RECORDED_COLUMNS)
    asked = prompts_of(asked_tidy)
    items = merge_items(asked).join(
        asked.group_by("item").agg(pl.col("family").drop_nulls().first()), on="item", how="left"
    )
    rows = outcomes_of(tidy)
    raw, lost = matched(rows, asked.select("prompt_id", "item"), outcomes, may_lack=len(rows) - 1)
    kept = raw if public is None else without_broken(raw.filter(public))
    named = kept.with_columns(
        unit=pl.when(pl.col("effort") == DEFAULT_EFFORT)
        .then("model")
        .otherwise(pl.format("{}@{}", "model", "effort"))
    )
    merged = named.group_by("item", "unit").agg(
        pl.col("score").mean(), pl.col("cost_usd").mean(), rows=pl.len()
    )
    notes = [] if public is not None else [*_unused((asked_tidy, tidy)), *_unmet(asked, raw)]
    if lost:
        notes.append(f"{lost} outcomes are of prompts that {prompts.name} does not have: left out.")
    if repeated := int((merged["rows"] > 1).sum()):
        notes.append(f"{repeated} (item, model) pairs were measured more than once and averaged.")
    return Recorded(items, merged, tuple(notes))


def _unused(files: Sequence[Tidy]) -> list[str]:
    """Say which columns were not read, as one of them may be misspelt."""
    return [
        f"Columns of {tidy.path.name} that are not read: {', '.join(tidy.unread)}."
        for tidy in files
        if tidy.unread
    ]


def _unmet(asked: pl.DataFrame, raw: pl.DataFrame) -> list[str]:
    """Say what of the prompts is there twice, and what no model was asked."""
    notes = []
    if again := len(asked) - asked["prompt_id"].n_unique():
        notes.append(f"{again} prompts are there more than once and counted once.")
    items = asked["item"].unique()
    if idle := int((~items.is_in(raw["item"].unique().to_list())).sum()):
        notes.append(f"{idle} prompts have no outcome: left out.")
    return notes


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
    best-covered one.  ``usd_per_item`` prices models where their outcomes carry no cost; two models
    without any are counted by the share of strong calls.  ``ask`` (benchmark, text) → the prompt
    an agent's user would have sent.  Raises CannotEvaluate.
    """
    prices = usd_per_item or {}
    units, left_out = (tuple(models), []) if models else covering(recorded.outcomes, prices)
    _check_units(units, recorded.outcomes)
    score = _pivot(recorded.outcomes, units, "score")
    complete = score.drop_nulls()
    if len(complete) < MIN_ITEMS:
        raise CannotEvaluate(_too_few(units, recorded.outcomes, len(complete)))
    notes = [*recorded.notes, *left_out]
    if dropped := len(score) - len(complete):
        notes.append(f"{dropped} of {len(score)} items lack an outcome of some model: dropped.")
    items = complete.select("item").join(recorded.items, on="item", how="left").sort("item")
    quality = complete.select(units).to_numpy()
    cost = complete.select("item").join(
        _pivot(recorded.outcomes, units, "cost_usd"), on="item", how="left"
    ).sort("item").select(units).to_numpy()  # fmt: skip
    cost, unit, remarks = priced(units, quality, cost, prices, items["benchmark"].to_list())
    plain = [same_text(text or "") for text in items["text"]]
    texts = tuple(
        "" if shared is None else ask(benchmark, text) if ask else text
        for shared, benchmark, text in zip(plain, items["benchmark"], items["text"], strict=True)
    )
    if unread := plain.count(None):
        remarks.append(f"{unread} items have no text: they get the mean reading of the others.")
    groups = np.unique(joined(items["group"].to_list(), plain), return_inverse=True)[1]
    if alike := items["group"].n_unique() - len(np.unique(groups)):
        remarks.append(f"{alike} groups share a text with another and are kept together with it.")
    p_type, p_level = read_texts(classifier, texts)
    pool = Pool(
        items=tuple(complete["item"]),
        texts=texts,
        families=tuple(items["family"].fill_null("")),
        groups=groups.astype(np.int64),
        models=units,
        quality=quality,
        cost=cost,
        p_type=p_type,
        p_level=p_level,
        cost_unit=unit,
    )
    return pool, (*notes, *remarks)


def covering(
    outcomes: pl.DataFrame, prices: Mapping[str, float] | None = None
) -> tuple[tuple[str, ...], list[str]]:
    """Name the models with a cost or a stated price that cover most items, and say who is left out."""
    has_cost = pl.col("cost_usd").is_not_null() | pl.col("unit").is_in(list(prices or {}))
    counts = (
        outcomes.filter(has_cost).group_by("unit").agg(n=pl.col("item").n_unique()).sort("unit")
    )
    if counts.is_empty():
        raise CannotEvaluate("no outcome carries a cost; name the pool with --models")
    most = int(counts["n"].cast(pl.Int64).to_numpy().max())
    units = tuple(counts.filter(pl.col("n") >= 0.8 * most)["unit"])
    notes = []
    if rest := sorted(set(outcomes["unit"].unique()) - set(units)):
        few = ", ".join(rest[:NAMED]) + (" …" if len(rest) > NAMED else "")
        notes.append(
            f"Not in the pool, as they have no cost or cover less than 80% of {most} items: {few}; "
            "--models takes them in."
        )
    return units, notes


def _check_units(units: tuple[str, ...], outcomes: pl.DataFrame) -> None:
    if twice := sorted({unit for unit in units if units.count(unit) > 1}):
        raise CannotEvaluate(f"the pool names {', '.join(twice)} twice")
    if len(units) < 2:
        raise CannotEvaluate(f"a pool needs two models at least, not {', '.join(units) or 'none'}")
    known = outcomes["unit"].unique().sort().to_list()
    if missing := [u for u in units if u not in set(known)]:
        raise CannotEvaluate(
            f"no outcomes of {', '.join(missing)}; the data name {', '.join(known[:NAMED])}"
            f"{' …' if len(known) > NAMED else ''}"
        )


def _too_few(units: tuple[str, ...], outcomes: pl.DataFrame, n: int) -> str:
    counts = outcomes.filter(pl.col("unit").is_in(units)).group_by("unit").len().sort("len", "unit")
    least = ", ".join(f"{u} ({k})" for u, k in counts.head(3).iter_rows())
    return (
        f"{n} items have outcomes of all {len(units)} models, {MIN_ITEMS} are needed; "
        f"fewest items: {least}. Leave those out with --models"
    )


def _pivot(outcomes: pl.DataFrame, units: tuple[str, ...], value: str) -> pl.DataFrame:
    """One row per item that any of the models did, one column per model."""
    rows = outcomes.filter(pl.col("unit").is_in(units))
    return rows.pivot(on="unit", index="item", values=value).select("item", *units).sort("item")


def priced(
    units: tuple[str, ...],
    quality: Floats,
    cost: Floats,
    usd_per_item: Mapping[str, float],
    benchmarks: Sequence[str],
) -> tuple[Floats, str, list[str]]:
    """Complete the costs (n, m): measured, else stated, else the model's mean; or calls for dollars.

    The mean is that of the item's benchmark, of ``benchmarks`` (n,), and of all of them only where
    the model has no cost in it: what a task costs differs tenfold between benchmarks.  Returns the
    costs, their unit and what to say of them.  Raises CannotEvaluate, also for a price of a model
    that is not in the pool or whose every cost is measured.
    """
    known: NDArray[np.bool_] = np.isfinite(cost)
    _check_prices(units, known, usd_per_item)
    lacking = [u for u, k in zip(units, known.T, strict=True) if not k.any()]
    lacking = [unit for unit in lacking if unit not in usd_per_item]
    if not lacking:
        return _in_dollars(units, cost, known, usd_per_item, np.array(benchmarks))
    if len(units) == 2:
        strong = units[int(quality.mean(axis=0).argmax())]
        calls = np.tile([float(unit == strong) for unit in units], (len(cost), 1))
        none = "No costs" if not known.any() else f"{lacking[0]} has no costs"
        return calls, "calls", [f"{none}: cost is the share of calls to {strong}."]
    raise CannotEvaluate(
        f"no cost is recorded for {', '.join(lacking)}; state a price per item with --price, or name "
        "a pool of two"
    )


def _check_prices(
    units: tuple[str, ...], known: NDArray[np.bool_], usd_per_item: Mapping[str, float]
) -> None:
    if strange := [name for name in usd_per_item if name not in units]:
        raise CannotEvaluate(
            f"--price names {', '.join(strange)}, which is not in the pool ({', '.join(units)})"
        )
    whole = [u for u, k in zip(units, known.T, strict=True) if k.all()]
    if idle := [unit for unit in whole if unit in usd_per_item]:
        raise CannotEvaluate(
            f"--price of {', '.join(idle)} has no use: every outcome of it records its cost"
        )


def _in_dollars(
    units: tuple[str, ...],
    cost: Floats,
    known: NDArray[np.bool_],
    usd_per_item: Mapping[str, float],
    benchmarks: NDArray[np.str_],
) -> tuple[Floats, str, list[str]]:
    """Fill what is not recorded, model by model, and say so."""
    filled, stated, meant = cost.copy(), [], 0
    for column, unit in enumerate(units):
        unknown = ~known[:, column]
        if unit in usd_per_item:
            filled[unknown, column] = usd_per_item[unit]
            stated.append(f"{unit} ({int(unknown.sum())} items)")
        elif unknown.any():
            for name in np.unique(benchmarks[unknown]):
                inside = benchmarks == name
                alike = inside & ~unknown if (inside & ~unknown).any() else ~unknown
                filled[inside & unknown, column] = cost[alike, column].mean()
            meant += int(unknown.sum())
    remarks = []
    if stated:
        remarks.append(
            f"Costs that are not recorded are the stated price per item: {', '.join(stated)}."
        )
    if meant:
        remarks.append(
            f"{meant} costs are not recorded: the model's mean in that benchmark stands in."
        )
    if free := int((cost == 0).sum()):
        remarks.append(
            f"{free} recorded costs are 0 and taken as such; leave out what is not known."
        )
    return filled, "usd", remarks
