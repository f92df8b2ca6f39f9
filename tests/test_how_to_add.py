"""What docs/how-to-add.md names is there, and what it says must agree does."""

from __future__ import annotations

import re

import pytest

from benchmarks.table.costs import SINGLE_TURN
from router.evidence.catalogue import load_catalogue
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "how-to-add.md").read_text("utf-8")
PAGE_BYTES = 7168

KINDS = (
    "A model", "A provider", "A tier", "A task type", "A wire format", "A stop of the dial",
    "A limit", "A suite", "A page", "A session store",
)  # fmt: skip

CODE = re.findall(r"`([^`]+)`", PAGE)
FILES = sorted({part for code in CODE for part in code.split() if re.match(r"\w+/[\w/.]*$", part)})
CONSTANTS = sorted({code for code in CODE if re.fullmatch(r"[A-Z]+(_[A-Z]+)*", code)})
MADE_BY_THE_READER = {"NAME", "STUDY"}


def sections():
    _, *found = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    return {text.partition("\n")[0]: text for text in found}


def test_every_kind_of_change_has_its_steps_and_its_check():
    assert tuple(sections()) == KINDS
    for name, text in sections().items():
        assert "Checked by" in text, name
        assert re.search(r"^1\. ", text, re.MULTILINE), name


def test_the_page_is_short():
    assert len(PAGE.encode()) <= PAGE_BYTES


@pytest.mark.parametrize("file", FILES)
def test_files_that_are_named_are_there(file):
    assert (ROOT / file.replace("NAME.py", "")).exists()


@pytest.mark.parametrize("name", CONSTANTS)
def test_tables_that_are_named_are_defined(name):
    sources = (
        p.read_text("utf-8") for d in ("router", "benchmarks") for p in (ROOT / d).rglob("*.py")
    )
    pattern = re.compile(rf"^{name}\b[^=\n]*=", re.MULTILINE)
    assert name in MADE_BY_THE_READER or any(pattern.search(text) for text in sources)


def test_types_that_one_answer_settles_are_priced_so():
    assert SINGLE_TURN.keys() == load_catalogue().economics.single
