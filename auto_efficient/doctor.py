"""``auto-efficient doctor``: look at what a gateway needs, and say what to do."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from auto_efficient.checks import Finding

COLOURS: Final = {"ok": "green", "warning": "yellow", "failure": "bold red"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print findings for machines.")] = False,
    config: Annotated[
        Path | None, typer.Option(help="Settings file (TOML); ./auto-efficient.toml if it exists.")
    ] = None,
) -> None:
    """Check settings, models, port, providers and stores; exit 1 when something fails."""
    from auto_efficient.checks import Health, examine
    from auto_efficient.examined import examined_here

    logging.disable(logging.ERROR)  # what is logged is found, and told in the table
    try:
        findings = [*examine(examined_here(config))]
    finally:
        logging.disable(logging.NOTSET)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        _show(findings)
    if any(finding.health is Health.FAILURE for finding in findings):
        raise typer.Exit(1)


def _show(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in ("check", "", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        health = Text(finding.health.value, style=COLOURS[finding.health.value])
        table.add_row(finding.about, health, Text(finding.found), Text(finding.do))
    Console().print(table)
