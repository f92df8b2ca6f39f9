"""How the house is kept: one name for one idea, nothing written that nobody reads."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("auto_efficient", "benchmarks", "classifier", "router")

READ_WHOLE = {
    "DifficultyStudy": "written as JSON",
    "Evidence": "compared as one",
    "Failure": "part of a record",
    "Load": "its medians are taken by name",
    "Markers": "names the client of a row, for who reads the table",
    "RecipeReading": "written as JSON",
    "Record": "written to a ledger as one row",
    "Scores": "dumped into the model card",
    "Situation": "read by name from the table of transitions",
    "Table": "its columns are filled and dumped by name",
    "Tie": "dumped into the table's artefact",
    "Tokens": "unpacked",
    "Timed": "written as JSON",
    "Told": "docs/headers.md is written from it",
    "Usage": "part of a record",
    "Wish": "docs/headers.md is written from it",
}
"""Classes whose fields are read in another way than by attribute, and how."""


def trees():
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text("utf-8"))


def classes():
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                yield path, node


def test_a_class_name_means_one_thing():
    names = Counter(node.name for _, node in classes())
    assert [name for name, n in names.items() if n > 1] == []


def fields_of(node):
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            yield line.target.id


def read_by_templates():
    """Names after a dot in what draws pages."""
    for path in (ROOT / "router" / "serving" / "pages" / "templates").glob("*.html"):
        yield from re.findall(r"\.(\w+)", path.read_text("utf-8"))


def test_every_field_is_read():
    read = set(read_by_templates()) | {
        node.attr
        for _, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    unread = [
        f"{path}: {node.name}.{field}"
        for path, node in classes()
        if node.name not in READ_WHOLE
        for field in fields_of(node)
        if field not in read
    ]
    assert unread == []


def test_what_is_read_whole_is_there():
    assert set(READ_WHOLE) <= {node.name for _, node in classes()}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_types_are_told_to_who_installs_it(package):
    assert (ROOT / package / "py.typed").is_file()


def test_tests_lie_where_what_they_test_lies():
    """Every folder of tests mirrors one of the packages."""
    for path in (ROOT / "tests").rglob("test_*.py"):
        room = path.parent.relative_to(ROOT / "tests")
        assert (ROOT / room).is_dir(), f"{path}: there is no {room}/"
