"""The difficulty study: its folds keep look-alikes apart, and it tells signal from none."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.studies import difficulty
from benchmarks.studies.difficulty import FIRST_STUDY, GROUPED, LEFT_OUT, OURS, UNGROUPED
from classifier.training.dataset import LabelledRow

pytestmark = pytest.mark.slow

EASY = ("add", "print", "sort", "count", "sum", "list")
HARD = ("prove", "optimise", "concurrent", "compiler", "lattice", "deadlock")
FILLER = tuple(f"w{k}" for k in range(60))


def some_prompts(n=240, *, told=True, twins=False, seed=0):
    """Prompts of three benchmarks; where ``told`` their words say how hard they are."""
    rng = np.random.default_rng(seed)
    rows, scores = [], []
    for k in range(n // 2 if twins else n):
        score = rng.random()
        hard = rng.random(6) > score if told else rng.random(6) > 0.5
        said = [rng.choice(HARD if h else EASY) for h in hard]
        text = " ".join((*said, *rng.choice(FILLER, 6), f"n{k}" * twins))
        for copy in range(2 if twins else 1):
            benchmark = f"b{(k + copy) % 3}"
            rows.append(LabelledRow(text, "", None, benchmark, f"g{k}"))
            scores.append(score)
    return difficulty.scored(rows, np.array(scores))


@pytest.fixture(scope="module")
def told():
    steps = []
    found = difficulty.study_prompts(
        some_prompts(), progress=lambda what, share: steps.append((what, share))
    )
    return found, steps


def test_both_recipes_read_what_the_words_tell(told):
    found, _ = told
    for recipe, folds in ((FIRST_STUDY, GROUPED), (OURS, GROUPED), (OURS, LEFT_OUT)):
        reading = found.reading(recipe, folds)
        assert reading.rank > 0.4, (recipe, folds)
        assert reading.r2 > 0.15, (recipe, folds)
        assert reading.rank_by_benchmark.keys() == {"b0", "b1", "b2"}


def test_nothing_is_read_where_nothing_is_told():
    found = difficulty.study_prompts(some_prompts(180, told=False), left_out=False)
    assert all(abs(reading.rank) < 0.25 for reading in found.readings)
    assert OURS in {r.recipe for r in found.readings}
    assert LEFT_OUT not in {r.folds for r in found.readings}


def test_twins_only_help_where_folds_do_not_keep_them_together():
    """The reason for grouped folds, and the error of the first study."""
    prompts = some_prompts(told=False, twins=True)
    found = difficulty.study_prompts(prompts, left_out=False)
    grouped = found.reading(FIRST_STUDY, GROUPED).rank
    assert found.reading(FIRST_STUDY, UNGROUPED).rank > grouped + 0.2


def test_leaving_out_a_benchmark_leaves_out_its_look_alikes():
    prompts = some_prompts(n=60, twins=True)
    group = np.array([row.group for row in prompts.rows])
    splits = list(difficulty.leave_out(prompts))
    assert len(splits) == 3
    for train, test in splits:
        assert len(set(prompts.benchmark[test])) == 1
        assert not set(group[train]) & set(group[test])
        assert len(train)


def test_measures_of_perfect_and_constant_readings():
    prompts = some_prompts(n=30)
    perfect = difficulty.measure("r", "f", prompts, prompts.score)
    assert perfect.r2 == pytest.approx(1)
    assert perfect.rank == pytest.approx(1)
    constant = difficulty.measure("r", "f", prompts, np.full(30, prompts.score.mean()))
    assert constant.r2 == pytest.approx(0)
    assert not constant.rank_by_benchmark


def test_the_study_is_written_as_json_and_says_how_far_it_is(told):
    found, steps = told
    read = json.loads(found.to_json())
    assert read["prompts"] == 240
    assert read["benchmarks"] == 3
    assert len(read["readings"]) == 4
    shares = [share for _, share in steps]
    assert shares == sorted(shares)
    assert shares[0] >= 0 and shares[-1] < 1


def test_the_recorded_prompts_are_those_of_the_study(shared):
    """Real data, read but not fitted: enough benchmarks, none too small, none too large."""
    prompts = difficulty.read_scored(shared / "data", max_items=30)
    names, counts = np.unique(prompts.benchmark, return_counts=True)
    assert len(names) >= 25
    assert counts.min() >= difficulty.MIN_ITEMS
    assert counts.max() <= 30
    assert prompts.score.min() >= 0 and prompts.score.max() <= 1
