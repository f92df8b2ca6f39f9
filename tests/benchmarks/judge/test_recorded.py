"""From files to a pool: nothing is dropped, filled, priced or torn apart without a word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from benchmarks.judge.pool import CannotEvaluate, Pool, split
from benchmarks.judge.recorded import covering, make_pool, priced, read_recorded
from benchmarks.output import json_text
from classifier.model import Assessment
from classifier.tasks import N_LEVELS, TYPES
from classifier.training.rows import BadData
from classifier.turns import Conversation

UNKNOWN = float("nan")


class Indifferent:
    """Reads everything alike."""

    def assess(self, conversation: Conversation) -> Assessment:
        share = [np.full(n, 1 / n, np.float32) for n in (len(TYPES), N_LEVELS)]
        return Assessment(*share, ask=conversation.ask)


def prompts(**changes: Any) -> list[dict[str, Any]]:
    return [
        {"prompt_id": f"p{i}", "benchmark": "mine", "prompt_text": f"ask number {i}", **changes}
        for i in range(24)
    ]


def outcomes(**changes: Any) -> list[dict[str, Any]]:
    return [
        {"prompt_id": f"p{i}", "model": model, "score": float(i % 2), "cost_usd": usd, **changes}
        for i in range(24)
        for model, usd in (("large", 1.0), ("small", 0.1))
    ]


def write(
    folder: Path, asked: list[dict[str, Any]], done: list[dict[str, Any]]
) -> tuple[Path, Path]:
    paths = folder / "prompts.jsonl", folder / "outcomes.jsonl"
    for path, rows in zip(paths, (asked, done), strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return paths


def pooled(
    folder: Path, asked: list[dict[str, Any]], done: list[dict[str, Any]]
) -> tuple[Pool, str]:
    pool, notes = make_pool(read_recorded(*write(folder, asked, done)), Indifferent())
    return pool, " ".join(notes)


def test_a_plain_pool_needs_no_word(tmp_path: Path) -> None:
    pool, notes = pooled(tmp_path, prompts(), outcomes())
    assert (len(pool), pool.models, notes) == (24, ("large", "small"), "")
    assert len(set(pool.groups.tolist())) == 24


@pytest.mark.parametrize("first", [int, float, str])
@pytest.mark.parametrize("second", [int, float, str])
def test_a_number_is_one_id_however_it_is_written(
    tmp_path: Path, first: type, second: type
) -> None:
    def spelt(number: int, kind: type) -> object:
        return str(number) if kind is str else kind(number)

    asked = [row | {"prompt_id": spelt(i, first)} for i, row in enumerate(prompts())]
    done = [row | {"prompt_id": spelt(i // 2, second)} for i, row in enumerate(outcomes())]
    pool, notes = pooled(tmp_path, asked, done)
    assert (len(pool), notes) == (24, "")


def test_outcomes_of_no_prompt_are_counted(tmp_path: Path) -> None:
    pool, notes = pooled(tmp_path, prompts()[:21], outcomes())
    assert len(pool) == 21
    assert "6 outcomes are of prompts that prompts.jsonl does not have" in notes


def test_outcomes_that_meet_no_prompt_at_all_are_refused_with_ids_of_both(tmp_path: Path) -> None:
    asked = [row | {"prompt_id": f"q{i}"} for i, row in enumerate(prompts())]
    with pytest.raises(
        BadData, match=r"48 of 48 outcomes .*'p0', 'p1', 'p2', ….*'q0', 'q1', 'q2', …"
    ):
        read_recorded(*write(tmp_path, asked, outcomes()))


def test_what_is_there_twice_is_said_and_what_contradicts_is_refused(tmp_path: Path) -> None:
    _, notes = pooled(tmp_path, [*prompts(), prompts()[3]], [*outcomes(), outcomes()[5]])
    assert "1 prompts are there more than once" in notes
    assert "1 (item, model) pairs were measured more than once" in notes
    other = prompts()[3] | {"prompt_text": "another"}
    with pytest.raises(
        BadData, match="line 25: `prompt_id`: 'p3' stands for another prompt on line 4"
    ):
        read_recorded(*write(tmp_path, [*prompts(), other], outcomes()))


def test_prompts_and_columns_that_are_not_used_are_named(tmp_path: Path) -> None:
    extra = prompts()[0] | {"prompt_id": "x", "prompt_text": "never asked"}
    _, notes = pooled(tmp_path, [*prompts(), extra], outcomes(cost_used=1))
    assert "1 prompts have no outcome" in notes
    assert "Columns of outcomes.jsonl that are not read: cost_used." in notes


def test_one_text_under_two_ids_is_one_group(tmp_path: Path) -> None:
    asked = [row | {"prompt_text": f"ask  {i // 2}\n" if i % 2 else f"ask {i // 2}"}
             for i, row in enumerate(prompts())]  # fmt: skip
    pool, notes = pooled(tmp_path, asked, outcomes())
    assert "12 groups share a text" in notes
    home = dict(zip(pool.items, pool.groups.tolist(), strict=True))
    assert all(home[f"p{i}"] == home[f"p{i + 1}"] for i in range(0, 24, 2))


def test_a_group_of_zero_is_a_group_and_a_blank_one_is_none(tmp_path: Path) -> None:
    grouped = [row | {"group_key": 0 if i < 6 else ""} for i, row in enumerate(prompts())]
    pool, _ = pooled(tmp_path, grouped, outcomes())
    home = dict(zip(pool.items, pool.groups.tolist(), strict=True))
    assert len({home[f"p{i}"] for i in range(6)}) == 1
    assert len(set(home.values())) == 19


def test_a_model_of_ones_own_is_never_a_broken_run_of_ours(tmp_path: Path) -> None:
    done = [row | {"model": row["model"].replace("large", "claude-fable-5")} for row in outcomes()]
    pool, _ = pooled(tmp_path, prompts(), done)
    assert pool.models == ("claude-fable-5", "small")


def test_a_model_that_covers_too_little_or_has_no_cost_is_named(tmp_path: Path) -> None:
    few = outcomes(model="rare")[:6]
    free = outcomes(model="unpriced", cost_usd=None)[::2]
    pool, notes = pooled(tmp_path, prompts(), [*outcomes(), *few, *free])
    assert pool.models == ("large", "small")
    assert "Not in the pool" in notes
    assert "rare, unpriced" in notes


def test_a_model_named_twice_is_refused(tmp_path: Path) -> None:
    recorded = read_recorded(*write(tmp_path, prompts(), outcomes()))
    with pytest.raises(CannotEvaluate, match="names large twice"):
        make_pool(recorded, Indifferent(), models=["large", "small", "large"])


def test_groups_that_cannot_be_split_are_an_error_that_says_so() -> None:
    with pytest.raises(CannotEvaluate, match="1 groups"):
        split(np.zeros(40, dtype=np.int64), 0)


QUALITY = np.array([[1.0, 0.0]] * 3)
QUIZ = ["quiz"] * 3


def costs(large: list[float], small: list[float]) -> Any:
    return np.array([large, small]).T


def test_a_price_fills_what_is_not_recorded_and_nothing_else() -> None:
    cost = costs([1.0, 2.0, 3.0], [UNKNOWN, 0.0, UNKNOWN])
    filled, unit, notes = priced(("large", "small"), QUALITY, cost, {"small": 0.5}, QUIZ)
    assert unit == "usd"
    assert filled.tolist() == costs([1.0, 2.0, 3.0], [0.5, 0.0, 0.5]).tolist()
    assert "small (2 items)" in notes[0]
    assert "1 recorded costs are 0" in notes[1]


def test_a_missing_cost_is_the_models_mean_in_that_benchmark() -> None:
    cost = costs([1.0, UNKNOWN, 9.0, UNKNOWN, UNKNOWN], [0.1] * 5)
    where = ["easy", "easy", "hard", "hard", "none is known here"]
    quality = np.array([[1.0, 0.0]] * 5)
    filled, unit, notes = priced(("large", "small"), quality, cost, {}, where)
    assert unit == "usd"
    assert filled[:, 0].tolist() == [1.0, 1.0, 9.0, 9.0, 5.0]
    assert notes == ["3 costs are not recorded: the model's mean in that benchmark stands in."]


def test_a_price_of_zero_is_a_price() -> None:
    cost = costs([1.0] * 3, [UNKNOWN] * 3)
    filled, unit, _ = priced(("large", "small"), QUALITY, cost, {"small": 0.0}, QUIZ)
    assert (unit, filled[:, 1].tolist()) == ("usd", [0.0] * 3)
    assert covering(
        pl.DataFrame({"unit": ["a", "b"], "item": ["x", "x"], "cost_usd": [0.0, None]}), {"b": 0.0}
    ) == (("a", "b"), [])


@pytest.mark.parametrize(
    ("prices", "said"), [({"smal": 1.0}, "names smal"), ({"large": 1.0}, "of large has no use")]
)
def test_a_price_that_prices_nothing_is_refused(prices: dict[str, float], said: str) -> None:
    with pytest.raises(CannotEvaluate, match=said):
        priced(("large", "small"), QUALITY, costs([1.0] * 3, [UNKNOWN] * 3), prices, QUIZ)


def test_two_models_of_which_one_has_no_cost_are_counted_in_calls_and_that_is_said() -> None:
    cost = costs([1.0] * 3, [UNKNOWN] * 3)
    _, unit, notes = priced(("large", "small"), QUALITY, cost, {}, QUIZ)
    assert unit == "calls"
    assert notes == ["small has no costs: cost is the share of calls to large."]


def test_json_has_no_number_that_is_not_one() -> None:
    value = {"a": (UNKNOWN, 1.0, float("inf")), "b": {"c": -float("inf"), "d": [0.0, None, "NaN"]}}
    assert json_text(value) == '{"a": [null, 1.0, null], "b": {"c": null, "d": [0.0, null, "NaN"]}}'
