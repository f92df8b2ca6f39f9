"""The console command: every layer's subcommands, put together at the front door."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from auto_efficient.docs import docs
from auto_efficient.gateway import serve
from auto_efficient.route import route
from benchmarks.commands import evaluate, table_build, table_diff, table_show, train
from router import __version__

EXTRAS: Final = {
    "matplotlib": "plots",
    "onnx": "train",
    "polars": "train",
    "scipy": "train",
    "sklearn": "train",
}
"""Module → the extra that brings it; the server needs none of them."""

app = typer.Typer(
    no_args_is_help=True,
    help="Route each request to the cheapest model that benchmark evidence shows to be adequate.",
    pretty_exceptions_enable=False,
)
for command in (serve, route, train, evaluate, docs):
    app.command()(command)

tables = typer.Typer(no_args_is_help=True, help="Build, show and compare cost-quality tables.")
tables.command("build")(table_build)
tables.command("show")(table_show)
tables.command("diff")(table_diff)
app.add_typer(tables, name="table")


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Say the version."),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def main() -> None:
    """Run the command; a missing extra is one line that names it."""
    try:
        app()
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        words = sys.argv[1:3] if sys.argv[1:2] == ["table"] else sys.argv[1:2]
        command = " ".join(["auto-efficient", *words])
        typer.echo(
            f"{command}: {error.name} is not installed; install auto-efficient with its {extra} extra, "
            f"in a checkout `pip install '.[{extra}]'`",
            err=True,
        )
        raise SystemExit(2) from None
