"""Training from the console: which rows, how far it is, what came out."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace

import pytest
from rich.console import Console

from classifier.model import ARTEFACT_FILES, CARD_FILE, MODEL_FILE
from classifier.training.carry import fresh
from classifier.training.cli import gather_rows, scores_grid, train_and_report
from classifier.training.dataset import LabelledRow, agreed, read_corpus
from classifier.training.fit import prepare
from classifier.training.rows import BadData
from classifier.training.train import rescore
from router.evidence.catalogue import MODELS_DIR

PUBLIC = [LabelledRow("a public row", "debugging/bug_fixing", None, "public", "g")]


@pytest.fixture(scope="module")
def corpus():
    return read_corpus()


def shown(what):
    console = Console(file=io.StringIO(), width=200)
    console.print(what)
    return console.file.getvalue()


def test_ones_own_rows_are_trained_on_alone(tmp_path):
    for name in ("a", "b"):
        row = {"text": name, "task": "debugging/bug_fixing", "difficulty": 2}
        (tmp_path / name).write_text(json.dumps(row))
    rows, notes = gather_rows([tmp_path / "a", tmp_path / "b"], PUBLIC)
    assert [row.text for row in rows] == ["a", "b"]
    assert "without the shipped corpus" in notes[0]


def test_without_ones_own_the_corpus_and_the_public_rows_are_trained_on(corpus):
    rows, notes = gather_rows([], PUBLIC)
    assert [replace(row, group="") for row in rows] == [
        replace(row, group="") for row in [*corpus, *PUBLIC]
    ]
    assert notes == []


def test_a_source_that_is_not_there_cannot_be_left_out(tmp_path):
    row = {"text": "a", "task": "debugging/bug_fixing", "difficulty": 2}
    (tmp_path / "mine.jsonl").write_text(json.dumps(row))
    with pytest.raises(BadData, match="called yours; there are mine"):
        gather_rows([tmp_path / "mine.jsonl"], [], ["yours"])


def test_a_file_named_twice_is_refused_by_whatever_name(tmp_path):
    (tmp_path / "mine.jsonl").write_text("{}")
    (tmp_path / "again.jsonl").symlink_to(tmp_path / "mine.jsonl")
    with pytest.raises(BadData, match="names this file twice"):
        gather_rows([tmp_path / "mine.jsonl", tmp_path / "again.jsonl"], [])


def test_one_text_in_two_files_is_one_group_and_a_note(tmp_path):
    for name, level in (("a", 1), ("b", 2)):
        row = {
            "text": "fix  it",
            "task": "debugging/bug_fixing",
            "difficulty": level,
            "group": name,
        }
        other = row | {"text": f"only in {name}"}
        (tmp_path / name).write_text(
            f"{json.dumps(row)}\n{json.dumps(other)}".replace("  ", " " * level)
        )
    rows, notes = gather_rows([tmp_path / "a", tmp_path / "b"], [])
    assert len({row.group for row in rows}) == 1
    assert "1 rows have the text of another row" in notes[1]
    assert "labelled otherwise" in notes[2]


def test_scores_are_shown_in_a_line_for_each_measure():
    scores = {"rows": 1234, "family_f1": 0.5, "type_f1": None, "family_ece": 0.125,
              "level_spearman": 0.25, "level_ece": 1.0}  # fmt: skip
    lines = shown(scores_grid({"scores": {"held_out_wanda": scores}})).splitlines()
    assert " ".join(lines[0].split()).startswith("measured on rows family f1 type f1 family ece")
    assert lines[1].split() == ["held", "out", "wanda", "1,234", "0.500", "–", "0.125", "0.250", "1.000"]  # fmt: skip


@pytest.mark.slow
def test_a_training_says_what_it_wrote_and_how_good_it_is(corpus, tmp_path):
    rows = [row for row in corpus if row.source in ("corpus/amara", "corpus/wanda")][::12]
    console = Console(file=io.StringIO(), width=200)
    card = train_and_report(
        rows, tmp_path, console, {"temperatures": (1.0, 1.0), "carry": fresh().card()}
    )
    said = console.file.getvalue()
    assert "held out wanda" in said
    assert f"{card['scores']['held_out_wanda']['family_f1']:.3f}" in said
    assert said.rstrip().endswith(str(tmp_path))
    assert (tmp_path / MODEL_FILE).is_file()


def test_scoring_again_changes_only_the_scores_of_the_card(corpus, tmp_path):
    for path in MODELS_DIR.glob("*"):
        if path.is_file():
            shutil.copy(path, tmp_path)
    before = json.loads((tmp_path / CARD_FILE).read_text())
    mine = [row for row in agreed(corpus) if row.source == "corpus/wanda"]
    few = [row for row in mine if row.turn == "new"][:60]
    after = rescore(few, tmp_path)
    assert after == json.loads((tmp_path / CARD_FILE).read_text())
    assert after["scores"]["held_out_wanda"]["rows"] == 60
    assert after["scores"]["held_out_xavier"] == before["scores"]["held_out_xavier"]
    assert after | {"scores": {}} == before | {"scores": {}}


def test_a_card_without_held_out_writers_cannot_be_scored_again(corpus, tmp_path):
    for name in ARTEFACT_FILES:
        shutil.copy(MODELS_DIR / name, tmp_path)
    card = json.loads((tmp_path / CARD_FILE).read_text()) | {"test_rows": {}}
    (tmp_path / CARD_FILE).write_text(json.dumps(card))
    with pytest.raises(BadData, match="nothing to measure"):
        rescore(corpus[:9], tmp_path)


def test_too_few_rows_and_a_single_task_are_refused(corpus):
    with pytest.raises(BadData, match="at least 50"):
        prepare(corpus[:49])
    with pytest.raises(BadData, match="at least two types"):
        prepare([row for row in corpus if row.task == "debugging/bug_fixing"][:60])
