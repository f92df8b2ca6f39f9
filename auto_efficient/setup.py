"""``auto-efficient setup``: point a client at the gateway, and back."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from auto_efficient.changed_files import BACKUP, NotChanged, change, create, undo
from auto_efficient.clients import ClientFile, ClientRow, Filling, load_clients
from auto_efficient.config_text import SYNTAXES

DEFAULT_URL: Final = "http://127.0.0.1:4000"

DEFAULT_MODEL: Final = "kilo-auto/efficient"

OTHERS: Final = 0o044
"""Rights of others than its owner to read a file."""

MASKED: Final = "YOUR-KEY"
"""Stands for a key where it is shown."""


def setup(
    client: Annotated[str, typer.Argument(help="Which client; `list` names them.")],
    url: Annotated[str, typer.Option(help="Address of the gateway.")] = DEFAULT_URL,
    key: Annotated[
        str | None, typer.Option(envvar="AUTO_EFFICIENT_KEY", help="Key that the client is to use.")
    ] = None,
    model: Annotated[str, typer.Option(help="Tier or model that it asks for.")] = DEFAULT_MODEL,
    write: Annotated[bool, typer.Option("--write", help="Write the client's own file.")] = False,
    undone: Annotated[bool, typer.Option("--undo", help="Take back what was written.")] = False,
    project: Annotated[
        Path | None, typer.Option(help="Folder of one project, instead of the user's own file.")
    ] = None,
    everywhere: Annotated[
        bool, typer.Option("--global", help="The user's own file, which is the default.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file that is not edited here.")
    ] = False,
) -> None:
    """Print what a client needs to use the gateway, or write it into the client's own file."""
    rows = load_clients()
    if client == "list":
        for name, row in rows.items():
            typer.echo(f"{name:14} {row.title}")
        return
    if client not in rows:
        _fail(f"there is no client {client!r}; there are {', '.join(rows)}")
    if (write and undone) or (everywhere and project is not None):
        _fail("--write and --undo, and --global and --project, exclude each other")
    row, filling = rows[client], Filling(_root(url), model, key or None)
    placed = _placed(row, project)
    if (write or undone) and not placed:
        where = "the user's own folder; give --project" if project is None else "a project"
        _fail(f"{row.title} has no file that is written in {where if row.files else 'any folder'}")
    if undone:
        _for_each(placed, _undo)
    elif write:
        _for_each(placed, lambda file, path: _write(file, path, filling, force))
        typer.echo(f"now: {row.start}")
    else:
        _show(row, placed, filling)


def _root(url: str) -> str:
    """Return the address without a path: clients add their own."""
    return url.rstrip("/").removesuffix("/v1")


def _placed(row: ClientRow, project: Path | None) -> list[tuple[ClientFile, Path]]:
    """Return a client's files with where they are."""
    found = ((file, file.path(os.environ, project)) for file in row.files)
    return [(file, path) for file, path in found if path is not None]


def _for_each(
    placed: list[tuple[ClientFile, Path]], do: Callable[[ClientFile, Path], None]
) -> None:
    for file, path in placed:
        try:
            do(file, path)
        except (NotChanged, OSError) as error:
            _fail(f"{path}: {error}")


def _write(file: ClientFile, path: Path, filling: Filling, force: bool) -> None:
    existed = path.exists()
    if file.whole:
        changed = create(path, file.syntax, _content(file, filling), force=force)
    else:
        changed = change(path, file.syntax, partial(file.settings, filling))
    kept = f"; what it was is in {path.name}{BACKUP}" if existed else ""
    typer.echo(f"wrote {path}{kept}" if changed else f"{path} is as it should be")
    if filling.key and path.stat().st_mode & OTHERS:
        typer.echo(f"others on this machine can read the key there: chmod 600 {path}", err=True)


def _undo(file: ClientFile, path: Path) -> None:
    left = undo(path)
    typer.echo(f"undid {path}" if path.exists() else f"removed {path}")
    for said in left:
        typer.echo(f"{path}: {said}", err=True)


def _show(row: ClientRow, placed: list[tuple[ClientFile, Path]], filling: Filling) -> None:
    """Print what a client needs; never a key."""
    shown = replace(filling, key=MASKED) if filling.key else filling
    for file, path in placed:
        typer.echo(f"# {path}\n{_content(file, shown).rstrip()}\n")
    for command in row.commands:
        typer.echo(shown.fill(command))
    env = (
        dict(row.env) if placed or row.env else {k: v for f in row.files for k, v in f.set.items()}
    )
    for name, value in env.items():
        typer.echo(f"export {name}={shlex.quote(shown.fill(value))}")
    typer.echo(
        f"# {row.title}: {row.docs} (compared {row.checked}, tried with {row.tried})", err=True
    )
    if placed:
        typer.echo("# --write puts this there and keeps the rest, --undo takes it back", err=True)


def _content(file: ClientFile, filling: Filling) -> str:
    """Return a file that holds only what is ours."""
    if file.whole:
        return str(filling.fill(file.whole)).lstrip("\n")
    syntax, text = SYNTAXES[file.syntax], ""
    for path, value in file.settings(filling).items():
        text = syntax.put(text, path, syntax.written(value))
    return text


def _fail(message: str) -> None:
    typer.echo(f"auto-efficient setup: {message}", err=True)
    raise typer.Exit(2)
