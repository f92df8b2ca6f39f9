"""The console command: every layer's subcommands, put together at the front door."""

from __future__ import annotations

import signal
import sys
from io import TextIOWrapper
from typing import Annotated, Final

import typer

from auto_efficient.docs import docs
from auto_efficient.doctor import doctor
from auto_efficient.gateway import serve
from auto_efficient.keys import keys, teams, terms
from auto_efficient.ledger import ledger
from auto_efficient.route import route
from auto_efficient.setup import setup
from benchmarks.commands import evaluate, table_build, table_diff, table_show, train
from benchmarks.options import GivenOnce
from router import __version__

EXTRAS: Final = {
    "matplotlib": "plots",
    "onnx": "train",
    "polars": "train",
    "psycopg": "postgres",
    "pyarrow": "parquet",
    "redis": "redis",
    "scipy": "train",
    "sklearn": "train",
}
"""Module → the extra that brings it; the server needs none of them."""

app = typer.Typer(
    no_args_is_help=True,
    help="Route each request to the cheapest model that benchmark evidence shows to be adequate.",
    pretty_exceptions_enable=False,
)
app.command()(serve)
for command in (route, doctor, setup, train, evaluate, docs):
    app.command(cls=GivenOnce)(command)

tables = typer.Typer(no_args_is_help=True, help="Build, show and compare cost-quality tables.")
tables.command("build", cls=GivenOnce)(table_build)
tables.command("show", cls=GivenOnce)(table_show)
tables.command("diff", cls=GivenOnce)(table_diff)
app.add_typer(tables, name="table")
for group, name in ((keys, "keys"), (teams, "teams"), (terms, "terms"), (ledger, "ledger")):
    app.add_typer(group, name=name)


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
    _print_anywhere()
    if sys.argv[1:2] != ["serve"]:
        _end_with_the_reader()
    try:
        app()
    except ImportError as error:
        module = error.name or ""
        extra = EXTRAS.get(module.partition(".")[0])
        if extra is None:
            raise
        words = sys.argv[1:3] if sys.argv[1:2] in (["table"], ["ledger"]) else sys.argv[1:2]
        command = " ".join(["auto-efficient", *words])
        missing = isinstance(error, ModuleNotFoundError)
        what = "is not installed" if missing else f"cannot be used ({error})"
        typer.echo(
            f"{command}: {module} {what}; install auto-efficient with its {extra} extra, "
            f"in a checkout `pip install '.[{extra}]'`",
            err=True,
        )
        raise SystemExit(2) from None


def _print_anywhere() -> None:
    """Print what a terminal's code page lacks as ``?``, rather than fail on it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _end_with_the_reader() -> None:
    """Have a pipe that its reader closes (``| head``) end the command as it ends others: quietly.

    Not a server, whose callers may hang up whenever they like.
    """
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
