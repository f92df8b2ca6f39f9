"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from router.values import DIALS

ModelsDir = Annotated[
    Path, typer.Option("--models", help="Folder with catalogue, table and classifier.")
]


def _known_dial(name: str) -> str:
    if name not in DIALS:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(DIALS)}")
    return name


DialName = Annotated[
    str, typer.Option("--dial", help=f"One of: {', '.join(DIALS)}.", callback=_known_dial)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a page for people.")]
