"""Reports: the page names every policy, the figures are drawn, the numbers are right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="figures need the plots extra")

from benchmarks.judge import report
from benchmarks.judge.findings import Difference, Evaluation, PolicyStanding
from benchmarks.judge.measures import Interval

PNG = b"\x89PNG"


def an_evaluation() -> Evaluation:
    near = Interval(0.8, 0.78, 0.82)
    curve = ((0.1, 0.6), (0.5, 0.8), (1.0, 0.85))
    names = (
        "ours",
        "ours, refitted",
        "shuffled self (ours, refitted)",
        "kNN",
        "hull of single models",
    )
    standings = tuple(PolicyStanding(n, {"aiq": near, "quality": near}, curve) for n in names)
    stop = PolicyStanding("ours: balanced", {"aiq": near, "quality": near}, ((0.4, 0.79),))
    return Evaluation(
        name="tiny, test",
        models=("a/small", "b/middle", "c/large"),
        n_items=100,
        n_groups=90,
        seeds=(0, 1),
        cost_unit="usd",
        standings=(*standings, stop),
        differences=(Difference("ours", "kNN", "aiq", Interval(0.02, 0.01, 0.03)),),
        notes=("3 items were dropped.",),
    )


def test_the_page_names_every_policy_and_note(tmp_path: Path) -> None:
    page = report.write_report(an_evaluation(), tmp_path / "made")
    text = page.read_text()
    for standing in an_evaluation().standings:
        assert f"| {standing.policy} |" in text
    assert "0.800 [0.780, 0.820]" in text
    assert "+0.020 [+0.010, +0.030] | yes" in text
    assert "- 3 items were dropped." in text
    assert (tmp_path / "made" / "tiny-test-frontier.png").read_bytes().startswith(PNG)
    assert (tmp_path / "made" / "tiny-test.json").exists()


def test_every_row_of_a_table_has_as_many_cells(tmp_path: Path) -> None:
    for block in report.markdown(an_evaluation()).split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1


def test_calibration_error_by_hand(tmp_path: Path) -> None:
    """Two bins: .95 sure and right half the time, .65 sure and always right."""
    sure = np.array([0.95, 0.95, 0.65, 0.65])
    probabilities = np.stack((sure, 1 - sure), axis=1)
    error = report.draw_reliability(np.array([0, 1, 0, 0]), probabilities, tmp_path / "r.png")
    assert error == pytest.approx(0.5 * 0.45 + 0.5 * 0.35)
    assert (tmp_path / "r.png").read_bytes().startswith(PNG)


def test_a_confusion_matrix_is_drawn_for_classes_never_seen(tmp_path: Path) -> None:
    probabilities = np.eye(3)[[0, 0, 1]]
    path = tmp_path / "deep" / "c.png"
    report.draw_confusion(np.array([0, 1, 1]), probabilities, ["a/one_two", "a/b", "c/d"], path)
    assert path.read_bytes().startswith(PNG)
