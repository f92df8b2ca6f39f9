"""The cost-quality table: laws of its two models, of the artefact, and of what it is built from."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from benchmarks.kinds import BENCHMARKS
from benchmarks.outcomes import OutcomeSet
from benchmarks.schema import ITEM_COLUMNS, OUTCOME_COLUMNS
from benchmarks.table.build import (
    assemble,
    changes,
    diff,
    fit_pool,
    rounded,
    show,
    to_bytes,
    version_of,
)
from benchmarks.table.costs import Priced, cell_costs, fit_costs
from benchmarks.table.evidence import select, to_problem
from benchmarks.table.item_response import sigmoid
from benchmarks.table.pricing import cell_weights
from benchmarks.table.quality import Problem, draw_cells, fit_quality
from benchmarks.table.shrinkage import METHODS, SCENARIOS, compare, count_methods
from benchmarks.table.time_scale import place_evidence
from benchmarks.table.traffic import Readings
from classifier.tasks import N_LEVELS, TYPES
from router.evidence.catalogue import MODELS_DIR, Catalogue, load_catalogue
from router.evidence.table import DEFAULT_EFFORT, Table, load_table, table_from_json
from router.values import Unit

FIX = TYPES.index("debugging/bug_fixing")
TESTS = TYPES.index("testing/test_creation")
CHEAP, MIDDLE, STRONG = "minimax/minimax-m2.7", "openai/gpt-5.4", "anthropic/claude-opus-4.7"
ABILITY = {CHEAP: 0.4, MIDDLE: 1.0, STRONG: 1.6}
AS_NAMED = {CHEAP: "MiniMax-M2.7", MIDDLE: "GPT-5.4", STRONG: "claude-opus-4-7"}
COST = {CHEAP: 0.1, MIDDLE: 0.5, STRONG: 1.5}


def simulated_frame(n: int, seed: int = 0, gap: float = 1.2) -> pl.DataFrame:
    """Two units on n items; costs of 0.1 and 1.0 dollars, a little noisy."""
    rng = np.random.default_rng(seed)
    b = rng.normal(0, 1, n)
    rows = []
    for name, ability, cost in (("weak", 0.0, 0.1), ("strong", gap, 1.0)):
        score = rng.random(n) < sigmoid(ability - b)
        rows.append(
            pl.DataFrame(
                {
                    "item": np.arange(n),
                    "unit": [name] * n,
                    "score": score.astype(float),
                    "cost_usd": cost * rng.lognormal(0, 0.2, n),
                }
            )
        )
    return pl.concat(rows)


def views(n: int, kind: int = FIX, level: int = 1) -> dict[str, np.ndarray]:
    """A classifier that is sure: every item is of one kind and level."""
    return {
        "p_type": np.tile(np.eye(len(TYPES))[kind], (n, 1)),
        "p_level": np.tile(np.eye(N_LEVELS)[level], (n, 1)),
    }


POOL = (Unit("weak"), Unit("strong"))


@pytest.fixture(scope="module")
def pool() -> Table:
    return fit_pool(simulated_frame(600), units=POOL, **views(600)).table()


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue(MODELS_DIR / "catalogue.toml")


ISSUES = {"openhands-swe-bench": 0.0, "openhands-swt-bench": 0.3}
"""Benchmark → how much harder its items are than their level says."""

SINGLE_ANSWERS = ("gsm8k", "humaneval", "bbh", "bfcl-v2", "livecodebench-codegeneration")
MINUTES = {1: 7.5, 2: 37.5, 3: 150.0}
OUTSIDER = "elsewhere/unknown"


def an_item(benchmark: str, number: int, level: int) -> dict[str, object]:
    return dict.fromkeys(ITEM_COLUMNS) | {
        "item": f"{benchmark}/{number}",
        "benchmark": benchmark,
        "group": f"g{number}",
        "text": "t",
        "human_minutes": MINUTES[level],
        "task": BENCHMARKS[benchmark].task,
        "level": level,
        "timed": True,
        "train_ok": True,
    }


def an_outcome(item: str, benchmark: str, model: str, **known: object) -> dict[str, object]:
    """One run of a model on an item: solved for a dollar by the agent of the table, if not said."""
    return dict.fromkeys(OUTCOME_COLUMNS) | {
        "item": item,
        "benchmark": benchmark,
        "agent": "OpenHands",
        "model": AS_NAMED.get(model, "unknown"),
        "model_key": model.split("/")[1],
        "effort": "default",
        "score": 1.0,
        "trials": 1.0,
        "cost_usd": 1.0,
        "source": "s",
        "date": "2026-01-02",
        "train_ok": True,
        **known,
    }


def evidence() -> OutcomeSet:
    """A small world: three models of the catalogue and one outside it, on two benchmarks.

    Beside them one answer to each benchmark of single answers, for the tokens it takes.
    """
    rng = np.random.default_rng(0)
    items, outcomes = [], []
    for benchmark, harder in ISSUES.items():
        for number in range(80):
            level = 1 + number % 3
            item = an_item(benchmark, number, level)
            items.append(item)
            difficulty = rng.normal(level - 2 + harder, 0.7)
            for model, ability in {**ABILITY, OUTSIDER: 0.5}.items():
                solved = rng.random() < sigmoid(ability - difficulty)
                usd = COST.get(model, 1.0) * level
                outcomes.append(
                    an_outcome(item["item"], benchmark, model, score=float(solved), cost_usd=usd)
                )
    outcomes += [
        an_outcome("x", benchmark, CHEAP, agent="o", input_tokens=100.0, output_tokens=200.0)
        for benchmark in SINGLE_ANSWERS
    ]
    return OutcomeSet(
        pl.DataFrame(items, schema=ITEM_COLUMNS),
        pl.DataFrame(outcomes, schema=OUTCOME_COLUMNS),
        {"prompts": "0"},
    )


def a_total(model: str, percent: float, usd: float) -> dict[str, object]:
    """One published total of DeepSWE."""
    return {
        "source": "s",
        "benchmark": "deepswe-1.1",
        "model": AS_NAMED[model],
        "model_id": model,
        "effort": None,
        "agent": "mini-swe-agent",
        "metric": "pass@1_pct",
        "value": percent,
        "cost_usd": usd,
        "cost_unit": "per task",
        "input_tokens": 9e6,
        "output_tokens": 6e4,
        "date": "2026-06-15",
        "note": "official",
    }


def totals() -> pl.DataFrame:
    """The cheap model solves almost none of the long tasks, the strong one half."""
    rows = [a_total(CHEAP, percent=1.0, usd=0.7), a_total(STRONG, percent=55.0, usd=9.0)]
    return pl.DataFrame(rows, schema_overrides={"effort": pl.String})


def prices() -> pl.DataFrame:
    """The list price of the cheap model that its runs were computed at: twice the catalogue's."""
    price = load_catalogue().model(CHEAP).price
    row = {
        "provider": "openhands-index (list price used)",
        "model_id": AS_NAMED[CHEAP],
        "input_per_m": 2 * price.input,
        "output_per_m": 2 * price.output,
    }
    return pl.DataFrame([row])


def readings() -> Readings:
    """Four asks of two types, each read right and surely."""
    task, level = np.array([FIX, FIX, TESTS, TESTS]), np.array([0, 1, 0, 1])
    return Readings(
        rows=(),
        p_type=np.eye(len(TYPES), dtype=np.float32)[task],
        p_level=np.eye(N_LEVELS, dtype=np.float32)[level],
        task=task,
        level=level,
    )


@pytest.fixture(scope="module")
def artefact(catalogue: Catalogue) -> dict[str, object]:
    inputs = {"prompts": "0"}
    return assemble(
        evidence(), catalogue, totals(), prices(), readings(), n_draws=40, inputs=inputs
    )


@pytest.fixture(scope="module")
def table(artefact: dict[str, object]) -> Table:
    return table_from_json(json.loads(to_bytes(artefact)))


def test_the_providers_own_effort_is_a_word_in_files_and_nothing_in_memory(
    artefact: dict[str, Any], table: Table
) -> None:
    assert {unit["effort"] for unit in artefact["units"]} == {DEFAULT_EFFORT}
    assert {unit.effort for unit in table.units} == {None}


# --- any pool -----------------------------------------------------------------------------------


def test_the_gain_between_units_is_recovered(pool: Table) -> None:
    scores = simulated_frame(600)
    mean = dict(scores.group_by("unit").agg(pl.col("score").mean()).iter_rows())
    gain = pool.quality[FIX, 1, 1] - pool.quality[FIX, 1, 0]
    assert gain == pytest.approx(mean["strong"] - mean["weak"], abs=0.02)


def test_units_keep_their_order_and_cells_their_counts(pool: Table) -> None:
    assert pool.units == POOL
    assert pool.items[FIX, 1].tolist() == [600, 600]
    assert pool.items.sum() == 1200


def test_mean_costs_are_those_measured(pool: Table) -> None:
    assert pool.cost_usd[FIX, 1, 1] == pytest.approx(1.02, rel=0.05)
    assert pool.cost_usd[FIX, 1, 0] == pytest.approx(0.102, rel=0.05)
    assert (pool.cost_upper_usd >= pool.cost_usd).all()


def test_more_items_narrow_the_interval() -> None:
    wide, narrow = (fit_pool(simulated_frame(n), units=POOL, **views(n)).table() for n in (30, 480))
    width = [t.upper[FIX, 1, 1] - t.lower[FIX, 1, 1] for t in (wide, narrow)]
    assert width[1] < 0.5 * width[0]


def test_a_cell_without_items_is_wider_than_one_with_them(pool: Table) -> None:
    width = pool.upper - pool.lower
    assert width[TESTS, 1, 1] > 1.5 * width[FIX, 1, 1]


def test_draws_cover_the_truth_as_often_as_claimed() -> None:
    """90% intervals of quality hold the expected score of a fresh population of items."""
    inside, b = [], np.random.default_rng(1).normal(0, 1, 200_000)
    for seed in range(12):
        gap = np.random.default_rng(seed).normal(0, 0.5)
        fitted = fit_pool(simulated_frame(100, seed, gap), units=POOL, **views(100)).table()
        for unit, ability in ((0, 0.0), (1, gap)):
            truth = sigmoid(ability - b).mean()
            inside.append(fitted.lower[FIX, 1, unit] <= truth <= fitted.upper[FIX, 1, unit])
    assert np.mean(inside) >= 0.75


def test_unknown_units_are_refused() -> None:
    with pytest.raises(ValueError, match="outside the pool: strong"):
        fit_pool(simulated_frame(10), units=POOL[:1], **views(10))


def test_an_unsure_view_blurs_the_cells_it_spreads_over() -> None:
    """Half of the items are easy, half hard; an uninformative view finds no difference."""
    n = 400
    frame = simulated_frame(n)
    easy = pl.col("item") < n // 2
    frame = frame.with_columns(
        score=pl.when(easy).then(pl.max_horizontal("score", 0.9)).otherwise("score")
    )
    sure = np.eye(N_LEVELS)[np.repeat([0, 2], n // 2)]
    unsure = np.tile([0.5, 0.0, 0.5, 0.0], (n, 1))
    kinds = views(n)["p_type"]
    gaps = []
    for p_level in (sure, unsure):
        quality = fit_pool(frame, units=POOL, p_type=kinds, p_level=p_level).table().quality
        gaps.append(float(quality[FIX, 0, 0] - quality[FIX, 2, 0]))
    assert gaps[0] > 0.3
    assert gaps[1] < gaps[0]


# --- costs --------------------------------------------------------------------------------------


def priced(n_tasks: float = 100.0, cv: float = 0.5) -> Priced:
    """Three models on two benchmarks and two levels; the third was priced once only."""
    unit = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2])
    benchmark = np.array([0, 0, 1, 1, 0, 0, 1, 1, 0])
    level = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0])
    mean = np.array([1.0, 2.0, 3.0, 6.0]) * np.array([[1.0], [0.2]])
    return Priced(
        unit=unit, benchmark=benchmark, level=level,
        mean_usd=np.append(mean.ravel(), 0.5), n=np.full(9, n_tasks), cv=np.full(9, cv),
        model=np.arange(3), list_usd=np.array([5.0, 1.0, 2.0]), n_benchmarks=2,
    )  # fmt: skip


def test_priced_cells_keep_their_means() -> None:
    data = priced()
    found = np.exp(fit_costs(data).log_usd[data.benchmark, data.level, data.unit])
    assert np.allclose(found, data.mean_usd, rtol=0.05)


def test_an_unpriced_cell_borrows_the_benchmarks_scale() -> None:
    found = np.exp(fit_costs(priced()).log_usd)
    assert found[1, 1, 2] == pytest.approx(0.5 * 6, rel=0.5)


def test_an_unpriced_cell_is_less_certain() -> None:
    found = fit_costs(priced())
    assert found.sd[1, 1, 2] > 2 * found.sd[0, 0, 2]


def test_single_turn_costs_follow_tokens_and_price() -> None:
    fitted = fit_costs(priced())
    names = ("gsm8k", "bbh", "humaneval", "bfcl-v2", "livecodebench-codegeneration")
    per_token = np.array([[5e-6, 25e-6], [1e-6, 5e-6], [2e-6, 10e-6]])
    weight = np.zeros((2, len(TYPES), N_LEVELS))
    weight[:, FIX] = 1
    small, large = (
        cell_costs(
            fitted, weight, per_token, dict.fromkeys(names, (n, n)), ("agents' work", "more of it")
        )[0]
        for n in (100.0, 300.0)
    )
    knowledge = TYPES.index("general/knowledge")
    assert np.allclose(large[knowledge], 3 * small[knowledge])
    assert np.allclose(large[FIX], small[FIX])
    assert (small[knowledge] < small[FIX]).all()


# --- the artefact -------------------------------------------------------------------------------


def test_identical_inputs_give_identical_bytes(
    artefact: dict[str, object], catalogue: Catalogue
) -> None:
    again = assemble(
        evidence(), catalogue, totals(), prices(), readings(), n_draws=40, inputs={"prompts": "0"}
    )
    assert to_bytes(artefact) == to_bytes(again)


def test_another_input_is_another_version() -> None:
    assert version_of({"a": "0"}) != version_of({"a": "1"})


def test_a_model_without_evidence_never_appears(table: Table) -> None:
    assert {unit.model for unit in table.units} == set(ABILITY)


def test_quality_and_cost_order_as_planted(table: Table) -> None:
    at = [table.units.index(Unit(name)) for name in (CHEAP, MIDDLE, STRONG)]
    assert (np.diff(table.quality[FIX, 1][at]) > 0).all()
    assert (np.diff(table.cost_usd[FIX, 1][at]) > 0).all()
    assert (np.diff(table.cost_usd[FIX, :3, at[2]]) > 0).all()


def test_direct_cells_are_near_what_was_measured(table: Table) -> None:
    direct = table.items >= 25
    raw = table.successes[direct] / table.items[direct]
    assert direct.sum() > 10
    assert abs(table.quality[direct] - raw).mean() < 0.06


def test_a_published_total_separates_models_on_long_work(table: Table) -> None:
    long = TYPES.index("implementation/feature_development"), N_LEVELS - 1
    cheap, strong = (table.units.index(Unit(name)) for name in (CHEAP, STRONG))
    assert table.items[long][cheap] == 113
    assert table.quality[long][cheap] < 0.1
    assert table.quality[long][strong] > 0.4


def test_list_price_changes_rescale_realised_cost(artefact: dict[str, object]) -> None:
    """The catalogue lists half of what the runs were computed at."""
    assert artefact["cost_model"]["list_price_ratio"][CHEAP] == pytest.approx(0.5, abs=0.01)


def test_every_unit_names_its_evidence(artefact: dict[str, object]) -> None:
    for unit in artefact["units"]:
        assert unit["evidence"], unit["model"]
        assert all({"benchmark", "agent", "source", "date"} <= set(e) for e in unit["evidence"])


def test_what_is_written_is_what_is_read(tmp_path: Path, artefact: dict[str, object]) -> None:
    path = tmp_path / "table.json"
    path.write_bytes(to_bytes(artefact))
    assert load_table(path).version == artefact["version"]


def with_hinted_items(**changes: object) -> OutcomeSet:
    """The small world, and items of one benchmark that each say their own task, or none."""
    world = evidence()
    hinted = [
        an_item("zrb-challenges", number, 2) | {"task": task, "timed": False} | changes
        for number, task in enumerate(("general/writing", "refactoring/migration", None))
    ]
    outcomes = [
        an_outcome(item["item"], "zrb-challenges", model, agent="zrb", cost_usd=None)
        for item in hinted
        for model in (CHEAP, STRONG)
    ]
    return OutcomeSet(
        pl.concat([world.items, pl.DataFrame(hinted, schema=ITEM_COLUMNS)]),
        pl.concat([world.outcomes, pl.DataFrame(outcomes, schema=OUTCOME_COLUMNS)]),
        world.inputs,
    )


def test_items_of_one_benchmark_count_each_under_its_own_task(catalogue: Catalogue) -> None:
    world = with_hinted_items()
    placement = place_evidence(world)
    problem, groups = to_problem(select(world, placement, catalogue, totals()), catalogue)
    hinted = groups.filter(pl.col("benchmark") == "zrb-challenges")
    assert hinted["task"].to_list() == ["general/writing", "refactoring/migration"]
    assert hinted["items"].to_list() == [1, 1]
    types = {TYPES[kind] for kind in problem.group_type}
    assert {"general/writing", "refactoring/migration"} < types


def test_an_item_of_no_known_task_is_placed_and_fills_no_cell(catalogue: Catalogue) -> None:
    world = with_hinted_items()
    placement = place_evidence(world)
    assert "zrb-challenges/2" in placement.items["item"]
    rows = select(world, placement, catalogue, totals()).rows
    assert "zrb-challenges/1" in rows["item"]
    assert "zrb-challenges/2" not in rows["item"]


def test_a_task_that_nobody_was_billed_for_is_not_priced_by_its_benchmark(
    catalogue: Catalogue,
) -> None:
    world = with_hinted_items()
    billed = pl.col("item") == "zrb-challenges/0"
    world = OutcomeSet(
        world.items,
        world.outcomes.with_columns(cost_usd=pl.when(billed).then(3.0).otherwise("cost_usd")),
        world.inputs,
    )
    selected = select(world, place_evidence(world), catalogue, totals())
    weight = cell_weights(selected, ["openhands-swe-bench", "zrb-challenges"])
    assert weight[1, TYPES.index("general/writing")].sum() == 1
    assert weight[1, TYPES.index("refactoring/migration")].sum() == 0
    assert weight[0].sum() == weight[0, FIX].sum() == 80


def test_a_judges_grade_is_marked_as_one(catalogue: Catalogue) -> None:
    world = with_hinted_items()
    graded = pl.col("benchmark").replace("zrb-challenges", "dot-ai-policy")
    world = OutcomeSet(
        world.items.with_columns(benchmark=graded),
        world.outcomes.with_columns(benchmark=graded),
        world.inputs,
    )
    built = assemble(world, catalogue, totals(), prices(), readings(), n_draws=40, inputs={})
    marks = {
        evidence["benchmark"]: evidence.get("judged", False)
        for unit in built["units"]
        for evidence in unit["evidence"]
    }
    assert marks["dot-ai-policy"] is True
    assert marks["openhands-swe-bench"] is False


@given(st.floats(-1e9, 1e9))
def test_rounding_keeps_four_digits(x: float) -> None:
    assert rounded(x) == pytest.approx(x, rel=5e-4, abs=1e-300)


def test_diff_of_a_table_with_itself_is_empty(table: Table) -> None:
    assert changes(table, table) == []


def test_show_and_diff_render(table: Table, pool: Table) -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(show(table, task="debugging", level=2))
    console.print(diff(table, pool))
    text = console.export_text()
    assert "debugging/bug_fixing" in text
    assert "unit gone: anthropic/claude-opus-4.7" in text


def test_show_refuses_an_unknown_task(table: Table) -> None:
    with pytest.raises(ValueError, match="no such task: nothing"):
        show(table, task="nothing")


# --- held-out comparison ------------------------------------------------------------------------


def problem(n_units: int = 12, n_items: int = 60, share: float = 0.3) -> Problem:
    rng = np.random.default_rng(0)
    ability = rng.normal(0, 1, n_units)
    kinds = np.array([FIX, TESTS])
    group = np.arange(2 * n_items) % 2
    b = rng.normal(0, 1, 2 * n_items)
    unit, item = (a.ravel() for a in np.indices((n_units, 2 * n_items)))
    keep = rng.random(len(unit)) < share
    unit, item = unit[keep], item[keep]
    score = (rng.random(len(unit)) < sigmoid(ability[unit] - b[item])).astype(float)
    return Problem(
        unit=unit, item=item, score=score, trials=np.ones(len(unit)), model=np.arange(n_units),
        group=group, tasks=np.ones(2 * n_items), group_type=kinds, group_level=np.array([1, 1]),
    )  # fmt: skip


@pytest.mark.slow
def test_item_response_beats_raw_means_on_patchy_evidence() -> None:
    frame = compare(problem(10, 50), seeds=1, n_draws=40)
    assert set(frame["method"]) == set(METHODS)
    assert set(frame["scenario"]) == set(SCENARIOS)
    loss = {(s, m): x for s, m, x in frame.select("scenario", "method", "log_loss").iter_rows()}
    assert loss["patchy", "item response"] < loss["patchy", "raw cell mean"]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 30), st.integers(0, 30))
def test_beta_binomial_lies_between_the_cell_and_its_parent(n: int, s: int) -> None:
    s = min(s, n)
    counts, wins = np.zeros((2, len(TYPES), N_LEVELS, 2))
    counts[FIX, 1], wins[FIX, 1] = n, (s, n - s)
    counts[FIX, 2], wins[FIX, 2] = 20, (10, 15)
    raw, family, shrunk = count_methods(counts, wins)
    low = np.minimum(raw, family)[counts > 0] - 1e-9
    high = np.maximum(raw, family)[counts > 0] + 1e-9
    assert ((low <= shrunk[counts > 0]) & (shrunk[counts > 0] <= high)).all()


def test_quality_is_a_probability() -> None:
    draws = draw_cells(fit_quality(problem()), 20, 0)
    assert draws.shape == (len(TYPES), N_LEVELS, 12, 20)
    assert ((draws >= 0) & (draws <= 1)).all()
