"""The console command answers people and programs, and says clearly what is wrong."""

from __future__ import annotations

import gzip
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
        "model", "effort", "successor", "fallbacks", "expected_quality", "evidence", "expected_cost_usd",
        "cost_of", "adequate", "move", "why", "excluded",
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


WAYS = {
    "a byte order mark": lambda plain: b"\xef\xbb\xbf" + plain,
    "Windows line ends": lambda plain: plain.replace(b"\n", b"\r\n"),
    "blank lines": lambda plain: plain.replace(b"\n", b"\n\n"),
    "gzip": gzip.compress,
}


@pytest.mark.parametrize("way", WAYS)
def test_lines_are_decided_the_same_whatever_wrote_them(tmp_path, way):
    plain = b'{"text": "rename a to b"}\n{"text": "thanks!"}\n'
    (tmp_path / "plain.jsonl").write_bytes(plain)
    (tmp_path / "other.JSONL").write_bytes(WAYS[way](plain))
    expected, found = (
        run.invoke(app, ["route", "--jsonl", str(tmp_path / name)])
        for name in ("plain.jsonl", "other.JSONL")
    )
    assert found.exit_code == 0
    assert answers(found) == answers(expected)


def test_a_line_says_what_it_means_or_is_refused(tmp_path):
    body = {"messages": [{"role": "user", "content": "hi"}]}
    good = [
        {"text": "dark mode", "headers": {"x-kilocode-mode": "title"}},
        {"body": body, "path": None, "headers": None},
        {"text": ""},
    ]
    bad = [
        {"text": "a", "body": body}, {"body": body, "headers": []}, {"body": body, "headers": 0},
        {"body": body, "path": 3}, {"text": None}, {"text": ["a"]}, '{"text": "a", "text": "b"}',
    ]  # fmt: skip
    path = tmp_path / "requests.jsonl"
    lines = [line if isinstance(line, str) else json.dumps(line) for line in [*good, *bad]]
    path.write_bytes("\n".join(lines).encode() + b'\n{"text": "\xe9"}\n')
    result = run.invoke(app, ["route", "--jsonl", str(path)])
    found = answers(result)
    assert result.exit_code == 1
    assert found[0]["task"]["type"] == "background/title"
    assert [a.get("line") for a in found] == [None] * len(good) + list(range(4, 12))
    assert "8 of 11 lines" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["route", "x", "--dial", "warp"], "quality"),
        (["route", "x", "-H", "nonsense"], "Name: value"),
        (["route", "x", "-H", "a: 1", "-H", "A: 2"], "given twice"),
        (["route", "x", "--mode", "plan", "-H", "X-KiloCode-Mode: ask"], "given twice"),
        (["route", "--jsonl", "/nowhere.jsonl"], "nowhere"),
        (["route", "x", "--models", "/nowhere"], "no models folder /nowhere"),
        (["table", "show", "--models", "/nowhere"], "no models folder /nowhere"),
        (["table", "build", "--shared", "/nowhere"], "nowhere"),
        (["train", "--data", "/nowhere.jsonl", "--out", "/dev/null"], "/dev/null"),
        (["table", "diff", "models/table.json", "--dial", "warp"], "quality"),
        (["table", "show", "nonsense", "--json"], "nonsense"),
        (["train", "--rescore", "--out", "/nowhere"], "nowhere"),
        (["route", "x", "--jsonl", "/nowhere.jsonl"], "headers"),
        (["evaluate"], "--study"),
        (["evaluate", "--study", "moon"], "routellm"),
        (["evaluate", "routellm", "--study", "eleven"], "two studies"),
        (["evaluate", "routellm", "--price", "a=1"], "leave out --price"),
        (["evaluate", "routellm", "--catalogue"], "does not heed it"),
        (["evaluate", "--prompts", "p", "--outcomes", "o", "--leave-one-out"], "does not heed it"),
        (["evaluate", "--prompts", "p", "--outcomes", "o", "--models", ","], "names no model"),
        (["evaluate", "--prompts", "p", "--outcomes", "o", "--report", "/dev/null"], "/dev/null"),
        *(
            (["evaluate", "--prompts", "p", "--outcomes", "o", "--price", price], "MODEL=USD")
            for price in ("a=nan", "a=inf", "a=-1", "a=free", "a", "=1")
        ),
        (
            ["evaluate", "--prompts", "p", "--outcomes", "o", "--price=a=1", "--price=a=1"],
            "priced twice",
        ),
        (["train", "--data", "a", "--corpus-only"], "--corpus-only"),
        (["train", "--data", "a", "--shared", "b"], "--shared"),
        (["train", "--rescore", "--quick"], "--rescore trains nothing"),
        (["train", "--out", "a", "--out", "b"], "given more than once"),
        (["route", "x", "--dial", "economy", "--dial", "quality"], "given more than once"),
        (["table", "show", "--level", "1", "--level", "2"], "given more than once"),
        (["table", "build", "--out", "/dev/null/table.json"], "/dev/null"),
        (["table", "build", "--check", "--out", "/nowhere.json"], "/nowhere.json"),
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
    assert sum(unit["picked"] for unit in cell["units"]) == 1
    assert any(unit["near"] for unit in cell["units"])


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
        (["matplotlib"], ["evaluate", "reading", "--report", "/dev/null"], "plots"),
        (["polars"], ["train", "--shared", "/nowhere"], "train"),
    ],
)
def test_a_missing_extra_is_one_line_that_names_it(missing, words, extra):
    code = WITHOUT.format(missing=missing, words=words)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"its {extra} extra" in line
    assert " ".join(words[: 1 + (words[0] == "table")]) in line


def test_parquet_without_its_reader_is_one_line_too(tmp_path):
    (tmp_path / "mine.parquet").write_bytes(b"PAR1")
    words = ["train", "--data", str(tmp_path / "mine.parquet"), "--out", str(tmp_path / "out")]
    code = WITHOUT.format(missing=["polars"], words=words)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    (line,) = done.stderr.splitlines()
    assert "polars is not installed" in line


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
