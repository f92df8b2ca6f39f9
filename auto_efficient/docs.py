"""``auto-efficient docs``: write the generated parts of the documentation."""

from __future__ import annotations

from typing import Annotated

import typer


def docs(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if stale.")] = False,
) -> None:
    """Rewrite the generated parts of README.md, docs/ and models/README.md (in a checkout)."""
    import auto_efficient
    from auto_efficient.cli import app
    from benchmarks.docs import refresh
    from classifier.model import BadClassifier
    from router.errors import RouterError

    try:
        stale = refresh(app=app, package=auto_efficient, check=check)
    except (OSError, RouterError, BadClassifier, ValueError, LookupError) as error:
        said = f"{error} is not there" if isinstance(error, KeyError) else str(error)
        typer.echo(f"auto-efficient docs: {said}", err=True)
        raise typer.Exit(2) from error
    for name in stale:
        typer.echo(f"{'stale' if check else 'wrote'} {name}")
    raise typer.Exit(1 if check and stale else 0)
