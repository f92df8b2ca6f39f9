"""The recorder of refactorings: what is the same shows no difference, and one byte is found."""

from __future__ import annotations

import ast
import asyncio
import copy
import shlex
import sys

import pytest

from tests.conftest import ROOT
from tests.recording.compare import differences, report
from tests.recording.play import record

GATEWAY = shlex.join([sys.executable, "-m", "auto_efficient"])


@pytest.fixture(scope="module")
def recordings():
    """One small set-up, played twice by this checkout's gateway."""

    async def twice():
        runs = (record(GATEWAY, ROOT, ROOT / "models", "^no engine$") for _ in range(2))
        return await asyncio.gather(*runs)

    return asyncio.run(twice())


def test_two_recordings_of_one_gateway_are_alike(recordings):
    old, new = recordings
    answered = [entry for entry in old if entry.get("status") == 200 and entry["upstream"]]
    assert len(answered) == 3, "one in each format"
    assert list(differences(old, new)) == []
    assert report(old, new, most=9, lines=9) == ("7 and 7 entries, 0 differ", False)


def one_byte_other(text):
    middle = len(text) // 2
    return text[:middle] + chr(ord(text[middle]) ^ 1) + text[middle + 1 :]


def in_body(entry):
    entry["body"] = one_byte_other(entry["body"])


def in_header(entry):
    entry["headers"][0][1] = one_byte_other(entry["headers"][0][1])


def in_what_the_upstream_received(entry):
    entry["upstream"][0]["body"] = one_byte_other(entry["upstream"][0]["body"])


def a_space_in_json(entry):
    entry["body"] = entry["body"].replace(":", ": ", 1)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (in_body, "body"),
        (in_header, "headers"),
        (in_what_the_upstream_received, "upstream call 0, body"),
        (a_space_in_json, "body"),
    ],
)
def test_a_changed_byte_is_found(recordings, change, part):
    old, new = recordings[0], copy.deepcopy(recordings[0])
    changed = next(entry for entry in new if entry.get("upstream"))
    change(changed)
    [(name, where, lines)] = differences(old, new)
    assert (name, where) == (changed["name"], part)
    assert {line[0] for line in lines} >= {"-", "+"}, "both sides are shown"
    assert report(old, new, most=9, lines=9)[1]


def test_an_entry_too_few_is_found(recordings):
    old = recordings[0]
    assert [part for _, part, _ in differences(old, old[1:])] == ["names"]


def test_the_recorder_imports_nothing_that_it_records():
    """It has to run on any commit."""
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert "router" in packages
    for path in (ROOT / "tests" / "recording").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not packages & {name.split(".")[0] for name in names}, path
