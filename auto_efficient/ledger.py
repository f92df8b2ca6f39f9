"""``auto-efficient ledger``: export the books, delete a person's rows, delete what is old."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from auto_efficient.kept import kept_in
from auto_efficient.keys import Config

ledger = typer.Typer(no_args_is_help=True, help="Export the books, and delete from them.")


@ledger.command("export")
def export(
    out: Annotated[Path, typer.Argument(help="File; ends with .csv, .jsonl or .parquet.")],
    config: Config = None,
) -> None:
    """Write every row of the ledger to a file."""
    from rich.progress import Progress, SpinnerColumn, TextColumn

    from router.books.export import write_out
    from router.errors import RouterError

    try:
        with (
            kept_in(config) as (_, engine),
            Progress(SpinnerColumn(), TextColumn("{task.description}")) as shown,
        ):
            task, n = shown.add_task("0 rows"), 0
            for n in write_out(engine, out):
                shown.update(task, description=f"{n:,} rows")
    except ImportError as error:
        typer.echo("auto-efficient ledger export: Parquet needs pyarrow; install it", err=True)
        raise typer.Exit(2) from error
    except (RouterError, OSError, ValueError) as error:
        typer.echo(f"auto-efficient ledger export: {error}", err=True)
        raise typer.Exit(2) from error
    typer.echo(f"{n:,} rows in {out}")


@ledger.command("forget")
def forget_caller(
    caller: Annotated[str, typer.Argument(help="The name of a key, as `keys list` shows it.")],
    config: Config = None,
) -> None:
    """Delete everything that the books hold of a caller: rows, workings, asks, feedback, sums."""
    from auto_efficient.keys import actor, registry_of
    from router.books.find import forget
    from router.errors import RouterError

    try:
        with kept_in(config) as (settings, engine):
            n = forget(engine, caller)
            registry_of(settings, engine).forgotten(caller, actor(), n)
    except RouterError as error:
        typer.echo(f"auto-efficient ledger forget: {error}", err=True)
        raise typer.Exit(2) from error
    typer.echo(f"{n:,} rows of {caller} are deleted, with all that hung on them")


@ledger.command("sweep")
def sweep_old(config: Config = None) -> None:
    """Delete what is older than the settings keep it; the running gateway does so every hour."""
    from router.books.retention import Retention, sweep
    from router.errors import RouterError

    try:
        with kept_in(config) as (settings, engine):
            kept = Retention(settings.keep_requests_days, settings.keep_workings_days)
            n = sweep(engine, kept, time.time())
    except RouterError as error:
        typer.echo(f"auto-efficient ledger sweep: {error}", err=True)
        raise typer.Exit(2) from error
    typer.echo(f"{n:,} rows are deleted")
