"""The offline commands, put together; ``auto_efficient.cli`` adds them to the console command."""

from __future__ import annotations

import json as json_module
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from benchmarks.commands import docs, evaluate, table_build, table_diff, table_show, train

if TYPE_CHECKING:
    from benchmarks.judge.findings import Evaluation
    from classifier.training.dataset import LabelledRow

SHARED_DATA: Final = Path("../shared/data")

app = typer.Typer(
    no_args_is_help=True,
    help="Route each request to the cheapest model that benchmark evidence shows to be adequate.",
    pretty_exceptions_enable=False,
)


Shared = Annotated[Path, typer.Option(help="Folder with the public outcomes and labels.")]

tables = typer.Typer(no_args_is_help=True, help="Build, show and compare cost-quality tables.")
tables.command("build")(table_build)
tables.command("show")(table_show)
tables.command("diff")(table_diff)
app.add_typer(tables, name="table")
