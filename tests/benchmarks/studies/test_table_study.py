"""The study of what ships, on a small invented world whose truth is known."""

from __future__ import annotations

import base64
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

pytest.importorskip("matplotlib", reason="figures need the plots extra")

from benchmarks.studies.shipped import cells, efforts, hidden, mixes, page, sources, thinned
from benchmarks.studies.shipped.before import DRAW_SCALE, kept, picks_before, posterior_of, stops
from benchmarks.studies.shipped.ground import Shipped, interval, one_hot, parts_of, resampled
from benchmarks.studies.table import STUDY, TableStudy
from benchmarks.table.item_response import sigmoid
from benchmarks.table.quality import Problem
from benchmarks.table.traffic import Readings
from classifier.tasks import N_LEVELS, TYPES
from router.values import DIALS, Support, Unit
from tests.evidence import catalogue, model, table

FIX, TESTS = TYPES.index("debugging/bug_fixing"), TYPES.index("testing/test_creation")
UNITS = tuple(Unit(f"m{i}") for i in range(4))
ABILITY = np.array([-0.6, 0.0, 0.5, 1.0])
USD = np.array([0.01, 0.1, 0.3, 1.0])
SOURCES = (("issues", FIX, 0, 90), ("hard issues", FIX, 1, 60), ("tests", TESTS, 1, 110))
READ_AS = tuple((kind, level) for kind in (FIX, TESTS) for level in range(N_LEVELS))


@pytest.fixture(scope="module")
def ground() -> Shipped:
    """Four units of rising ability and price, all run on three benchmarks; nothing has a text."""
    rng = np.random.default_rng(0)
    names = np.repeat([name for name, *_ in SOURCES], [n for *_, n in SOURCES])
    group = np.repeat(np.arange(len(SOURCES)), [n for *_, n in SOURCES])
    difficulty = (
        rng.normal(0, 0.7, len(group)) + np.array([level for *_, level, _ in SOURCES])[group]
    )
    item, unit = (a.ravel() for a in np.indices((len(group), len(UNITS))))
    score = (rng.random(len(item)) < sigmoid(ABILITY[unit] - difficulty[item])).astype(float)
    problem = Problem(
        unit=unit, item=item, score=score, trials=np.ones(len(item)), model=np.arange(len(UNITS)),
        group=group, tasks=np.ones(len(group)),
        group_type=np.array([kind for _, kind, *_ in SOURCES]),
        group_level=np.array([level for *_, level, _ in SOURCES]),
        log_price=np.log(USD),
    )  # fmt: skip
    groups = pl.DataFrame({"benchmark": [name for name, *_ in SOURCES], "agent": ["a"] * 3})
    dollars = np.broadcast_to(USD, (len(TYPES), N_LEVELS, len(UNITS))).copy()
    return Shipped(
        catalogue=catalogue(*(model(unit.model) for unit in UNITS)),
        units=UNITS,
        problem=problem,
        groups=groups,
        source=names,
        agent=np.array(["a"] * len(group)),
        text=(None,) * len(group),
        look_alike=np.arange(len(group)) // 2,
        usd=np.tile(USD, (len(group), 1)),
        mix=readings(),
        serves=np.arange(len(UNITS)),
        costs_without=lambda source: (dollars, dollars),
    )


def readings() -> Readings:
    """One sure ask of every cell that anything is known of."""
    kind, level = (np.array(column) for column in zip(*READ_AS, strict=True))
    return Readings((), *one_hot(kind, level), kind, level)


def told() -> list[str]:
    return []


def drawn(ground: Shipped) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return *ground.mix.drawn(*ground.cell, 0), np.zeros(len(ground.text), dtype=bool)


@pytest.fixture(scope="module")
def found(ground: Shipped) -> TableStudy:
    """All of it, thinned to what a small world has."""
    progress = told().append
    gaps, over_all = sources.leave_sources_out(ground, drawn(ground), progress)
    shipped = table([[0.9, 0.8], [0.8, 0.7], [0.7, 0.6], [0.6, 0.5]], [1.0, 0.1])
    chosen = cells.picks_after(shipped)
    passed = cells.passed_over(shipped, chosen)
    on, singles = mixes.on_mixes([mix()], shipped, None, catalogue(model("m0"), model("m1")))
    return TableStudy(
        version="test", outcomes=len(ground.problem.score), sources=gaps, stops=over_all,
        hidden=hidden.hide_types(ground, progress), thinned=(),
        senses=(cells.sense("after", shipped, chosen, passed),),
        picks={"after": tuple(cells.written(shipped, chosen))}, passed=tuple(passed),
        mixes=on, singles=singles, efforts=(),
    )  # fmt: skip


def mix() -> mixes.AskMix:
    read = readings()
    n = len(read.task)
    return mixes.AskMix(
        "two types", read.p_type, read.p_level, read.task, read.level, np.full(n, 1 / n)
    )


# --- sources left out ---------------------------------------------------------------------------


def test_every_benchmark_is_left_out_at_every_stop(found: TableStudy) -> None:
    assert Counter(gap.source for gap in found.sources) == {name: 3 for name, *_ in SOURCES}
    assert {gap.task for gap in found.sources} == {TYPES[FIX], TYPES[TESTS]}


def test_the_best_unit_is_known_without_the_benchmark(found: TableStudy) -> None:
    assert {gap.single for gap in found.sources} == {"m3"}


def test_a_gap_lies_in_its_interval_and_a_stricter_stop_gives_up_no_more(found: TableStudy) -> None:
    for gap in found.sources:
        assert gap.gap.low <= gap.gap.value <= gap.gap.high
        assert gap.cost_share is not None
        assert 0 < gap.cost_share.value <= 1
        assert gap.broken or not gap.refuted
    by_dial = [stop.gap.value for stop in found.stops]
    assert [stop.dial for stop in found.stops] == list(DIALS)
    assert by_dial[0] <= by_dial[-1] + 1e-9


def test_few_items_and_single_units_are_no_part(ground: Shipped) -> None:
    few = ground.source != "tests"
    few |= np.arange(len(few)) >= len(few) - 15
    kept_items = np.isin(ground.problem.item, np.flatnonzero(few))
    problem = ground.problem
    smaller = replace(
        ground,
        problem=replace(
            problem, unit=problem.unit[kept_items], item=problem.item[kept_items],
            score=problem.score[kept_items], trials=problem.trials[kept_items],
        ),
    )  # fmt: skip
    assert {part.source for part in parts_of(smaller)} == {"issues", "hard issues"}


def test_look_alikes_are_weighed_together() -> None:
    weight = resampled(np.array([0, 0, 1]))
    assert (weight[:, 0] == weight[:, 1]).all()
    assert (weight[:, 0] != weight[:, 2]).any()
    assert interval(0.5, [0.4, 0.5, 0.6]).low < 0.5


# --- types hidden, units thinned ----------------------------------------------------------------


def test_every_measured_type_is_hidden(found: TableStudy) -> None:
    by_cell = {row.task: row for row in found.hidden if row.by == "cell"}
    assert set(by_cell) == {TYPES[FIX], TYPES[TESTS], hidden.OVERALL}
    assert by_cell[hidden.OVERALL].samples == 4 * len(SOURCES)
    for row in found.hidden:
        assert 0 <= row.covered <= 1
        assert row.near_wrongly <= row.near
        assert row.rank == 1 or row.rank > 0.5  # abilities are far apart


def test_intervals_cover_what_they_were_drawn_from() -> None:
    rng = np.random.default_rng(1)
    draws = rng.beta(5, 3, (400, 200))
    truth = rng.beta(5, 3, 400)
    n = np.full(400, 40)
    inside, *_ = hidden.covering(draws, n, rng.binomial(n, truth) / n)
    assert inside.mean() == pytest.approx(0.9, abs=0.04)


@pytest.mark.slow
def test_a_thinned_unit_is_scored_on_what_was_hidden(ground: Shipped) -> None:
    ways = ("none", thinned.HARDEST, "50 at random")
    rows = thinned.thin_units(ground, price=1.0, progress=told().append, ways=ways)
    assert [(row.kept, row.priced) for row in rows] == [
        (kept, priced) for priced in (True, False) for kept in ways
    ]
    all_of, ten = rows[0], rows[1]
    assert all_of.models == 4
    assert all_of.outcomes - ten.outcomes == 40
    for row in rows:
        assert 0 < row.brier < row.log_loss < 1
        assert row.wrong <= row.picked
    assert rows[2].log_loss < rows[3].log_loss  # fifty outcomes say more than nothing at all


# --- cells --------------------------------------------------------------------------------------


def breaches(quality: list[list[float]], cost: list[float]) -> cells.Sense:
    shipped = table(quality, cost)
    chosen = cells.picks_after(shipped)
    return cells.sense("t", shipped, chosen, cells.passed_over(shipped, chosen))


def test_where_one_unit_is_best_everywhere_nothing_is_absurd() -> None:
    counted = breaches([[0.9, 0.5], [0.8, 0.4], [0.7, 0.3], [0.6, 0.2]], [1.0, 0.1])
    assert counted.picks == len(TYPES) * N_LEVELS * len(DIALS)
    assert (counted.cheaper_when_harder, counted.weaker_when_harder) == (0, 0)
    assert (counted.cheaper_when_stricter, counted.passed_over, counted.costs_fall) == (0, 0, 0)


def test_a_harder_task_that_goes_to_a_cheaper_unit_is_counted() -> None:
    counted = breaches([[0.9, 0.5], [0.7, 0.7], [0.7, 0.3], [0.6, 0.2]], [1.0, 0.1])
    assert counted.cheaper_when_harder == len(TYPES) * len(DIALS)
    assert counted.weaker_when_harder == 0


def test_a_better_and_cheaper_unit_is_passed_over_for_its_few_items() -> None:
    shipped = table([[0.9, 0.9], [0.8, 0.8], [0.7, 0.7], [0.6, 0.6]], [1.0, 0.1])
    shipped.items[..., 1] = 0
    chosen = cells.picks_after(shipped)
    (passed,) = cells.passed_over(shipped, chosen)
    assert (passed.unit, passed.why) == ("m1", "fewer than ten items")
    assert passed.cells == len(TYPES) * N_LEVELS * len(DIALS)


def test_an_effort_that_is_dearer_and_worse_is_out_of_order() -> None:
    names = ("a", "a@medium", "a@high")
    units = tuple(Unit(*name.split("@")) for name in names)
    shipped = table([[0.5, 0.7, 0.6]] * N_LEVELS, [2.0, 1.0, 0.5], units=units)
    assert [(e.what, e.unit, e.beside) for e in efforts.efforts_of(shipped)] == [
        ("dominated", "a", "a@medium"),
        ("dominated", "a", "a@high"),
        ("worse with more effort", "a@high", "a@medium"),
        ("cheaper with more effort", "a@high", "a@medium"),
    ]


# --- mixes, before and after --------------------------------------------------------------------


def old_artefact() -> dict[str, object]:
    """Two units: the cheap one is within every margin."""
    quality = np.broadcast_to([0.80, 0.78], (len(TYPES), N_LEVELS, 2))
    noise = np.random.default_rng(0).normal(0, 0.005, (*quality.shape, 40))
    draws = (np.clip(quality[..., None] + noise, 0, 1) * DRAW_SCALE).astype("<u2")
    flat = {
        "cost_usd": np.broadcast_to([1.0, 0.1], quality.shape),
        "items": np.full_like(quality, 50),
    }
    flat |= {"cost_upper_usd": flat["cost_usd"], "successes": 50 * quality, "quality": quality}
    return {
        "units": [{"model": "m0", "effort": "default"}, {"model": "m1", "effort": "low"}],
        "cells": {name: column.ravel().tolist() for name, column in flat.items()},
        "draws": base64.b64encode(draws.tobytes()).decode(),
    }


def test_the_old_artefact_is_read_and_its_rule_repeated() -> None:
    before = posterior_of(old_artefact())
    assert [str(unit) for unit in before.units] == ["m0", "m1@low"]
    assert before.draws.mean() == pytest.approx(0.79, abs=1e-3)
    picks = picks_before(before, *one_hot(np.array([FIX]), np.array([0])), DIALS["quality"])
    assert picks.tolist() == [1]
    assert [unit.model for unit in kept(before, np.array([0])).units] == ["m0"]


def test_before_and_after_are_valued_by_the_new_table() -> None:
    """The old table's second unit is a model that the new one does not know: its own word stands."""
    before = posterior_of(old_artefact())
    shipped = table([[0.9, 0.5], [0.9, 0.5], [0.9, 0.5], [0.9, 0.5]], [2.0, 0.2])
    known = catalogue(model("m0"), model("m1"))
    on, (single,) = mixes.on_mixes([mix()], shipped, before, known)
    was = next(row for row in on if row.table == "before" and row.dial == "balanced")
    assert (was.usd, was.quality) == (pytest.approx(0.1, abs=1e-3), pytest.approx(0.78, abs=5e-3))
    assert was.measured == 1
    assert (single.unit, single.usd) == ("m0", 2)
    assert single.quality == pytest.approx(0.9, abs=1e-4)
    for row in on:
        assert row.measured + row.related + row.prior == pytest.approx(1)
        assert sum(share.share for share in row.top) == pytest.approx(1, abs=1e-3)


def test_a_successor_adds_success_to_who_begins() -> None:
    shipped = table([[0.7, 0.6]] * N_LEVELS, [0.5, 0.1], price=5.0)
    on, _ = mixes.on_mixes([mix()], shipped, None, catalogue(model("m0"), model("m1")))
    alone, planned = (
        next(row for row in on if row.dial == "balanced" and row.seen == seen)
        for seen in (0.0, mixes.SEEN)
    )
    assert planned.quality > alone.quality


def test_what_is_offered_free_and_retired_does_not_serve() -> None:
    before = table([[0.9, 0.5]] * N_LEVELS, [2.0, 0.2], units=(Unit("m0:free"), Unit("m1")))
    known = catalogue(model("m0:free"), model("m1"))
    on, _ = mixes.on_mixes([mix()], before, None, known)
    assert {share.unit for row in on for share in row.top} == {"m1"}


def test_a_stated_mix_is_read(tmp_path) -> None:
    path = tmp_path / mixes.EVERYDAY
    path.write_text(f"task,level,asks\n{TYPES[FIX]},1,2\n{TYPES[TESTS]},4,1\n", "utf-8")
    read = mixes.everyday(path, readings())
    assert read.name == "3 everyday asks"
    assert read.task.tolist() == [FIX, FIX, TESTS]
    assert read.level.tolist() == [0, 0, 3]
    assert read.p_level.argmax(axis=1).tolist() == [0, 0, 3]
    assert read.weight.sum() == pytest.approx(1)


# --- the page -----------------------------------------------------------------------------------


def test_the_report_holds_every_question(found: TableStudy, tmp_path) -> None:
    written = STUDY.report(found, tmp_path / "made")
    assert {path.name for path in written.parent.iterdir()} == {
        "table.md", "table.json", page.SOURCES_FIGURE, page.MIXES_FIGURE,
    }  # fmt: skip
    text = written.read_text("utf-8")
    assert text.count("\n### ") == 7
    for task in TYPES:
        assert text.count(f"| {task} | ") >= N_LEVELS
    raw = json.loads((written.parent / "table.json").read_text("utf-8"))
    assert {"broken", "refuted"} <= raw["sources"][0].keys()
    assert {kind.value for kind in Support} <= raw["mixes"][0].keys()
    assert stops()[0].margin == DIALS["quality"].margin
