"""The console command answers people and programs, and says clearly what is wrong."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from auto_efficient.cli import app
from classifier.tasks import FAMILIES, TYPES

run = CliRunner()


def answers(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_text_is_routed_and_explained():
    result = run.invoke(app, ["route", "fix the crash in the pdf export"])
    assert result.exit_code == 0
    for word in ("ask", "task", "difficulty", "decision", "why", "debugging/bug_fixing"):
        assert word in result.stdout


def test_json_has_the_documented_fields():
    (answer,) = answers(run.invoke(app, ["route", "fix the crash in the pdf export", "--json"]))
    task, difficulty, decision = answer["task"], answer["difficulty"], answer["decision"]
    assert task["family"] in FAMILIES
    assert task["type"] in TYPES
    assert task["type"].startswith(task["family"])
    assert 0 <= task["p_type"] <= task["p_family"] + 1e-6 <= 1 + 1e-5
    assert sum(difficulty["p"]) == pytest.approx(1, abs=1e-3)
    assert difficulty["level"] in (1, 2, 3, 4)
    assert 1 <= difficulty["expected"] <= 4
    assert set(decision) == {
        "model", "effort", "fallbacks", "expected_quality", "expected_cost_usd", "adequate", "move", "why", "excluded",
    }  # fmt: skip
    assert answer["ask"] == "fix the crash in the pdf export"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi there"}]}),
        ("/v1/responses", {"input": "hi there"}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "hi there"}]}),
    ],
)
def test_a_body_on_stdin_is_read_in_each_format(path, body):
    result = run.invoke(app, ["route", "--path", path, "--json"], input=json.dumps(body))
    assert answers(result)[0]["ask"] == "hi there"


def test_mode_and_headers_are_heard():
    title = run.invoke(app, ["route", "dark mode", "--mode", "title", "--json"])
    assert answers(title)[0]["task"]["type"] == "background/title"
    header = run.invoke(app, ["route", "dark mode", "-H", "x-kilocode-mode: title", "--json"])
    assert answers(header) == answers(title)


def test_a_file_is_decided_line_by_line_in_order(tmp_path):
    lines = [
        {"text": "rename a to b"},
        {"path": "/v1/messages", "headers": {"x-kilocode-mode": "plan"},
         "body": {"messages": [{"role": "user", "content": "how do we roll this out?"}]}},
        {"path": "/v1/responses", "headers": {}, "body": json.dumps({"input": "thanks!"})},
    ]  # fmt: skip
    path = tmp_path / "requests.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), "utf-8")
    result = run.invoke(app, ["route", "--jsonl", str(path)])
    assert result.exit_code == 0
    assert [a["ask"] for a in answers(result)] == [
        "rename a to b",
        "how do we roll this out?",
        "thanks!",
    ]
    assert answers(result)[1]["moved"] == "mode plan"


def test_bad_lines_are_reported_in_their_place(tmp_path):
    path = tmp_path / "requests.jsonl"
    path.write_text(
        '{"text": "a"}\n{oops\n{"path": "/v1/nowhere", "body": {}}\n[1]\n{"text": "b"}\n'
    )
    result = run.invoke(app, ["route", "--jsonl", str(path)])
    assert result.exit_code == 1
    found = answers(result)
    assert [("error" in a) for a in found] == [False, True, True, True, False]
    assert [a["line"] for a in found if "error" in a] == [2, 3, 4]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["route", "x", "--dial", "warp"], "quality"),
        (["route", "x", "-H", "nonsense"], "Name: value"),
        (["route", "--jsonl", "/nowhere.jsonl"], "nowhere"),
        (["route", "x", "--models", "/nowhere"], "catalogue"),
        (["table", "show", "--models", "/nowhere"], "auto-efficient table build"),
        (["table", "build", "--shared", "/nowhere"], "nowhere"),
        (["train", "--data", "/nowhere.jsonl"], "nowhere"),
        (["table", "diff", "models/table.json", "--dial", "warp"], "quality"),
        (["table", "show", "nonsense", "--json"], "nonsense"),
        (["train", "--rescore", "--out", "/nowhere"], "nowhere"),
        (["route", "x", "--jsonl", "/nowhere.jsonl"], "headers"),
        (["evaluate"], "--study"),
        (["evaluate", "--study", "moon"], "routellm"),
    ],
)
def test_errors_say_what_to_do(arguments, word):
    result = run.invoke(app, arguments)
    assert result.exit_code == 2
    assert word in result.output


def test_bad_labels_are_refused_with_their_line(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"text": "a", "task": "debugging/bug_fixing", "difficulty": 9}\n')
    result = run.invoke(app, ["train", "--data", str(path), "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "line 1" in result.output


def test_limits_reach_the_decision():
    free = answers(run.invoke(app, ["route", "fix the crash", "--json"]))[0]["decision"]["model"]
    other = answers(run.invoke(app, ["route", "fix the crash", "--deny", free, "--json"]))
    assert other[0]["decision"]["model"] != free


def test_the_table_is_shown_for_programs_too():
    result = run.invoke(app, ["table", "show", "bug_fixing", "--level", "1", "--json"])
    (cell,) = answers(result)
    assert cell["task"] == "debugging/bug_fixing"
    assert any(unit["adequate"] for unit in cell["units"])


def test_a_table_does_not_differ_from_itself():
    from router.evidence.catalogue import MODELS_DIR

    result = run.invoke(app, ["table", "diff", str(MODELS_DIR / "table.json")])
    assert "no change" in result.stdout


WITHOUT = """
import sys
sys.modules.update(dict.fromkeys({missing!r}))  # as if they were not installed
sys.argv = ["auto-efficient", *{words!r}]
from auto_efficient.cli import main
main()
"""


@pytest.mark.parametrize(
    ("missing", "words", "extra"),
    [
        (["scipy"], ["train", "--corpus-only"], "train"),
        (["polars"], ["table", "build"], "train"),
        (["polars"], ["evaluate", "sessions"], "train"),
        (["sklearn"], ["evaluate", "difficulty"], "train"),
    ],
)
def test_a_missing_extra_is_one_line_that_names_it(missing, words, extra):
    code = WITHOUT.format(missing=missing, words=words)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"its {extra} extra" in line
    assert " ".join(words[: 1 + (words[0] == "table")]) in line


def test_a_port_in_use_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run.invoke(app, ["serve", "--port", str(port)])
    assert result.exit_code == 2
    assert f"127.0.0.1:{port}" in result.stderr
    assert "--port" in result.stderr


def test_the_shell_can_complete_it():
    done = subprocess.run(
        [sys.executable, "-m", "auto_efficient", "--show-completion", "bash"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0
    assert "complete" in done.stdout
