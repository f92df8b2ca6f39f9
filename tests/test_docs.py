"""What the documentation says is generated, complete and fresh."""

from __future__ import annotations

import re

import typer

from auto_efficient.cli import app
from benchmarks.docs import rendered
from classifier.tasks import TYPES
from router.values import DIALS
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text("utf-8")


def test_generated_numbers_are_fresh():
    """Run `auto-efficient docs` when this fails."""
    for name, text in rendered().items():
        assert (ROOT / name).read_text("utf-8") == text, (
            f"{name} is stale: run `auto-efficient docs`"
        )


def test_every_command_task_and_dial_stop_is_documented():
    names = typer.main.get_command(app).commands
    for word in [*(f"auto-efficient {name}" for name in names), *TYPES, *DIALS]:
        assert word in README, word


def test_the_two_commands_of_the_readme_are_targets():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"^\$ make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    assert "make test" in (ROOT / ".ci" / "run").read_text("utf-8")


def test_no_paths_of_one_machine_are_committed():
    for path in ROOT.glob("*.md"):
        assert not re.search(r"/home/|/tmp/|/work/", path.read_text("utf-8"))
