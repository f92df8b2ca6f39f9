"""The evaluation end to end on tiny pools written as files, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.judge import evaluate
from benchmarks.judge.evaluate import Lineup
from benchmarks.judge.findings import Evaluation
from benchmarks.judge.pool import CannotEvaluate
from benchmarks.judge.readers import OURS, REFITTED
from benchmarks.judge.shared_pools import question_pool
from classifier.model import Assessment
from classifier.tasks import N_LEVELS, TYPES
from classifier.training.rows import BadData
from classifier.turns import Conversation
from router.values import DIALS

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"

pytestmark = pytest.mark.slow

needs_shared = pytest.mark.skipif(
    not (SHARED / "outcomes.parquet").exists(), reason="../shared/data is not here"
)


class ByWord:
    """Reads the level off the word that the tiny pool plants in a prompt."""

    def assess(self, conversation: Conversation) -> Assessment:
        p_level = np.full(N_LEVELS, 0.02, np.float32)
        p_level[3 if "hard" in conversation.ask else 0] = 0.94
        p_type = np.full(len(TYPES), 0.001, np.float32)
        p_type[TYPES.index("general/knowledge")] = 1 - 0.001 * (len(TYPES) - 1)
        return Assessment(p_type, p_level)


def write_pool(
    folder: Path, *, n: int = 160, cost: bool = True, **changes: Any
) -> tuple[Path, Path]:
    """Write JSON lines of a pool where "hard" items need the dear model; half of it is hard."""
    rng = np.random.default_rng(0)
    chances = {"small": (0.9, 0.2), "large": (0.92, 0.9), "other": (0.5, 0.4)}
    usd = {"small": 0.01, "large": 1.0, "other": 0.4}
    prompts, outcomes = [], []
    for k in range(n):
        hard = k % 2
        text = (
            f"{'hard' if hard else 'easy'} question number {k} about {'proofs' if hard else 'pets'}"
        )
        prompts.append({
            "prompt_id": f"q{k}", "benchmark": "quiz", "cluster_id": f"c{k // 2}",
            "category": "hard" if hard else "easy",
            "prompt_text": None if k in changes.get("unread", ()) else text,
        })  # fmt: skip
        for model, chance in chances.items():
            if (k, model) in changes.get("missing", ()):
                continue
            outcomes.append({
                "prompt_id": f"q{k}", "benchmark": "quiz", "model": model,
                "score": float(rng.random() < chance[hard]),
                "cost_usd": usd[model] * (1 + hard) if cost else None,
            })  # fmt: skip
    paths = folder / "prompts.jsonl", folder / "outcomes.jsonl"
    for path, rows in zip(paths, (prompts, outcomes), strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return paths


def run(paths: tuple[Path, Path], **options: Any) -> Evaluation:
    return evaluate.evaluate(*paths, ByWord(), **{"seeds": (0, 1), **options})


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """Three models with cost, two items without text, three outcomes missing."""
    missing = {(4, "small"), (5, "other"), (7, "large")}
    folder = tmp_path_factory.mktemp("three")
    return run(write_pool(folder, missing=missing, unread={8, 9}))


def test_a_readable_difference_in_difficulty_beats_the_hull(three: Evaluation) -> None:
    ours, edge = (three.standing(n).measures["aiq"].value for n in (OURS, "hull of single models"))
    assert ours > edge + 0.02


def test_a_shuffle_of_our_picks_gains_nothing(three: Evaluation) -> None:
    by = {(d.policy, d.against, d.measure): d.by for d in three.differences}
    gain = by[(OURS, f"shuffled self ({OURS})", "aiq")]
    assert gain.excludes_zero
    assert gain.value > 0


def test_no_policy_has_a_better_curve_than_the_oracle(three: Evaluation) -> None:
    top = three.standing("oracle").measures["aiq"].value
    curves = [s.measures["aiq"].value for s in three.standings if "aiq" in s.measures]
    assert len(curves) > 5
    assert max(curves) == top


def test_a_dial_stop_saves_once_the_data_prove_it(tmp_path: Path) -> None:
    """Half the items are easy, and 500 of them show that the small model does those."""
    found = run(write_pool(tmp_path, n=1000), seeds=(0,), lineup=Lineup(dials=(DIALS["economy"],)))
    by = {(d.policy, d.against, d.measure): d.by for d in found.differences}
    stop = f"{OURS}: economy"
    assert by[(stop, "always best", "cost_share")].value < -0.2
    assert by[(stop, f"shuffled self ({stop})", "quality")].value > 0.1
    assert found.standing(stop).measures["over_hull"].low > 0.05


def test_what_was_dropped_and_filled_is_said(three: Evaluation) -> None:
    notes = " ".join(three.notes)
    assert three.n_items == 157
    assert "3 of 160 items lack an outcome" in notes
    assert "2 items have no text" in notes


def test_an_evaluation_is_json_and_repeats_itself(tmp_path: Path, three: Evaluation) -> None:
    raw = json.loads(three.to_json())
    assert raw["models"] == ["large", "other", "small"]
    paths = write_pool(tmp_path)
    assert run(paths, seeds=(0,)).to_json() == run(paths, seeds=(0,)).to_json()


def test_two_models_without_cost_are_counted_in_calls(tmp_path: Path) -> None:
    found = run(write_pool(tmp_path, cost=False), models=["small", "large"])
    assert found.cost_unit == "calls"
    assert "share of calls to large" in " ".join(found.notes)
    measures = found.standing(OURS).measures
    assert measures["apgr"].value > 0.7
    assert 0 <= measures["cpt50"].value <= measures["cpt80"].value <= 1
    assert "arena" not in measures
    assert found.standing("random").measures["apgr"].value == pytest.approx(0.5, abs=0.2)
    assert found.standing(REFITTED).measures["apgr"].value > 0.6


def test_stated_prices_stand_in_for_recorded_cost(tmp_path: Path) -> None:
    prices = {"small": 0.1, "large": 1.0, "other": 0.5}
    found = run(
        write_pool(tmp_path, cost=False), models=list(prices), usd_per_item=prices, seeds=(0,)
    )
    assert found.cost_unit == "usd"
    assert found.standing("always cheapest").measures["cost"].value == pytest.approx(0.1)


def test_three_models_without_cost_are_refused_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(CannotEvaluate, match="no cost is recorded for large, other, small; state"):
        run(write_pool(tmp_path, cost=False), models=["large", "other", "small"])


def test_no_cost_and_no_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotEvaluate, match="name the pool with --models"):
        run(write_pool(tmp_path, cost=False))


def test_an_unknown_model_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(
        CannotEvaluate, match="no outcomes of nano; the data name large, other, small"
    ):
        run(write_pool(tmp_path), models=["small", "nano"])


def test_one_model_is_no_pool(tmp_path: Path) -> None:
    with pytest.raises(CannotEvaluate, match="two models at least"):
        run(write_pool(tmp_path), models=["small"])


def test_tiny_data_are_refused_with_the_thinnest_model(tmp_path: Path) -> None:
    missing = {(k, "other") for k in range(150)}
    with pytest.raises(CannotEvaluate, match=r"10 items have outcomes of all 3 .* other \(10\)"):
        run(write_pool(tmp_path, missing=missing), models=["small", "large", "other"])


def test_a_bad_row_is_refused_with_its_number(tmp_path: Path) -> None:
    prompts, outcomes = write_pool(tmp_path)
    lines = outcomes.read_text().splitlines()
    lines[1] = json.dumps({**json.loads(lines[1]), "score": 7})
    outcomes.write_text("\n".join(lines))
    with pytest.raises(BadData, match="line 2: `score`"):
        run((prompts, outcomes))


@needs_shared
def test_the_anchors_of_the_notes_reproduce() -> None:
    """Hull .823, family table .849, length .836, kNN .847 on eleven models (notes: all items)."""
    pool, _ = question_pool(SHARED, ByWord(), "routerbench_mirror")
    found = evaluate.evaluate_pool(
        pool, name="eleven", seeds=(0, 1), lineup=Lineup(readers=(), dials=()), n_bootstrap=2
    )
    notes = {
        "hull of single models": 0.823, "true family": 0.849, "prompt length": 0.836, "kNN": 0.847,
    }  # fmt: skip
    for policy, value in notes.items():
        assert found.standing(policy).measures["aiq"].value == pytest.approx(value, abs=0.015)
