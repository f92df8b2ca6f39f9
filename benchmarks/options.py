"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand

from router.values import STOPS, dial_named

OWN_MODELS: Final = Path("my-models")
"""Where what is made is written when nobody says where: never over what was shipped."""


class GivenOnce(TyperCommand):
    """A command that refuses a value given twice for an option that takes one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Look at the options in the order in which they are given, then parse as usual."""
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        single = [p for p in given if not (getattr(p, "is_flag", True) or p.multiple)]
        for parameter in single:
            if single.count(parameter) > 1:
                problem = "given more than once, and takes one value"
                raise typer.BadParameter(problem, param_hint=parameter.opts[0])
        return super().parse_args(ctx, args)


ModelsDir = Annotated[
    Path, typer.Option("--models", help="Folder with catalogue, table and classifier.")
]


def _known_dial(name: str) -> str:
    try:
        return dial_named(name).name
    except ValueError as error:
        raise typer.BadParameter(f"{error}; it takes {STOPS}") from None


DialName = Annotated[
    str, typer.Option("--dial", help=f"{STOPS.capitalize()}.", callback=_known_dial)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a page for people.")]
