"""The registry: every study is found by its name, says what it asks, and prints what it found."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("matplotlib", reason="figures need the plots extra")

from benchmarks.studies import NAMES, difficulty, load_study, reading
from benchmarks.studies.study import Options
from classifier.tasks import TYPES


@pytest.mark.parametrize("name", NAMES)
def test_a_study_is_found_by_its_name_and_says_what_it_asks(name):
    study = load_study(name)
    assert study.name == name
    assert study.doc.endswith(".")
    assert "\n" not in study.doc


def test_an_unknown_study_is_not_looked_for():
    with pytest.raises(KeyError):
        load_study("study")


@pytest.mark.slow
def test_the_shipped_classifier_reads_the_held_out_writers(tmp_path):
    """Run, print and draw the one study that needs no shared data."""
    told = []
    found = reading.STUDY.run(Options(shared=tmp_path), told.append)
    read = json.loads(found.to_json())
    assert read["family_f1"] > 0.8
    assert set(read["f1"]) <= set(TYPES)
    assert told
    page = reading.STUDY.report(found, tmp_path / "made")
    assert page.read_text("utf-8").startswith("## Reading people never seen")
    assert {p.suffix for p in page.parent.iterdir()} == {".md", ".png"}


def test_the_difficulty_study_keeps_its_numbers(tmp_path):
    found = difficulty.DifficultyStudy(prompts=3, benchmarks=1, readings=())
    path = difficulty.STUDY.report(found, tmp_path / "made")
    assert json.loads(path.read_text("utf-8")) == {"prompts": 3, "benchmarks": 1, "readings": []}
