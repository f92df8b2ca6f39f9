"""The offline commands as processes: pipes, code pages, full disks, and what they leave behind."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest

import auto_efficient
from auto_efficient.cli import app
from benchmarks.docs import refresh
from classifier.model import ARTEFACT_FILES, Classifier
from router.errors import BadArtefact
from router.evidence.catalogue import MODELS_DIR

WORDS = ["sort", "parse", "cache", "retry", "login", "index", "graph", "queue", "table", "socket"]
ASKS = {
    "debugging/bug_fixing": "fix the bug in the {}",
    "implementation/code_generation": "write code for the {}",
    "general/writing": "write a letter about the {}",
}


def labelled(n=60, more=""):
    tasks = list(ASKS)
    return [
        {"text": f"{more}{ASKS[tasks[i % 3]].format(WORDS[i % 10])} {i}", "task": tasks[i % 3],
         "difficulty": 1 + i % 4}
        for i in range(n)
    ]  # fmt: skip


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def command(*words, **more):
    return subprocess.run(
        [sys.executable, "-m", "auto_efficient", *words],
        capture_output=True, stdin=subprocess.DEVNULL, **more,
    )  # fmt: skip


def held(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.skipif(os.name != "posix", reason="no such signal")
def test_a_reader_that_has_seen_enough_ends_the_command_quietly(tmp_path):
    asks = lines(tmp_path / "asks.jsonl", [{"text": f"fix bug {i}"} for i in range(300)])
    with subprocess.Popen(
        [sys.executable, "-m", "auto_efficient", "route", "--jsonl", asks],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as made:  # fmt: skip
        assert made.stdout.readline()
        made.stdout.close()
        assert made.stderr.read() == b""
    assert made.returncode == -signal.SIGPIPE


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_of_another_code_page_is_no_fault(encoding):
    done = command("route", "修复 the crash …", env=os.environ | {"PYTHONIOENCODING": encoding})
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"decision" in done.stdout


@pytest.mark.slow
def test_a_write_that_fails_keeps_the_old_artefact(tmp_path):
    out = tmp_path / "out"
    first, other = (
        lines(tmp_path / f"{name}.jsonl", labelled(more=name)) for name in ("", "please ")
    )
    assert command("train", "--quick", "--data", first, "--out", str(out)).returncode == 0
    before = held(out)
    assert set(before) == set(ARTEFACT_FILES)
    Classifier.load(out)
    full = command(
        "train", "--quick", "--data", other, "--out", str(out),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000)),
    )  # fmt: skip
    assert full.returncode == 2
    assert f"cannot write {out}".encode() in full.stderr
    assert held(out) == before


@pytest.mark.slow
def test_an_end_in_the_middle_keeps_the_old_artefact(tmp_path):
    for name in ARTEFACT_FILES:
        shutil.copy(MODELS_DIR / name, tmp_path)
    before = held(tmp_path)
    mine = lines(tmp_path.with_suffix(".jsonl"), labelled(400))
    with subprocess.Popen(
        [sys.executable, "-m", "auto_efficient", "train", "--data", mine, "--out", str(tmp_path)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as made:  # fmt: skip
        until = time.monotonic() + 120
        while not any(path.is_dir() for path in tmp_path.iterdir()) and time.monotonic() < until:
            time.sleep(0.05)
        made.kill()
    assert held_files(tmp_path) == before


def held_files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.slow
def test_training_never_writes_over_what_was_shipped_unasked(tmp_path):
    mine = lines(tmp_path / "mine.jsonl", labelled())
    before = held_files(MODELS_DIR)
    done = command("train", "--quick", "--data", mine, "--json", cwd=tmp_path)
    assert done.returncode == 0
    assert b"without the shipped corpus" in done.stderr
    assert json.loads(done.stdout)["rows"] == {"mine": 60}
    assert set(held_files(tmp_path / "my-models")) == set(ARTEFACT_FILES)
    assert held_files(MODELS_DIR) == before


def test_outcomes_of_ones_own_make_no_table_and_are_told_where_to_go(tmp_path):
    lines(tmp_path / "prompts.parquet", [{"prompt_id": "a", "benchmark": "mine"}])
    done = command("table", "build", "--shared", str(tmp_path), "--out", str(tmp_path / "t.json"))
    *_, line = done.stderr.decode().splitlines()
    assert done.returncode == 2
    assert "coding/outcomes.parquet" in line
    assert "evaluate --prompts" in line
    assert not (tmp_path / "t.json").exists()


def test_documents_of_artefacts_that_do_not_fit_are_refused(tmp_path):
    root = MODELS_DIR.parent
    for name in ("docs", "models"):
        shutil.copytree(root / name, tmp_path / name)
    for path in root.glob("*.md"):
        shutil.copy(path, tmp_path)
    table = json.loads((tmp_path / "models" / "table.json").read_text())
    (tmp_path / "models" / "table.json").write_text(json.dumps(table | {"taxonomy": "other"}))
    with pytest.raises(BadArtefact, match="taxonomy"):
        refresh(tmp_path, app=app, package=auto_efficient)
