"""docs/cli.md: every command, argument and option, from the console command itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import typer

from benchmarks.docs.pages import Block, Sources, code, fenced, grid, prose

NAME: Final = "auto-efficient"


def commands(sources: Sources) -> str:
    """Describe every command."""
    return "\n\n".join(_described(*found) for found in walk(root(sources.app), (NAME,)))


def root(app: typer.Typer) -> Any:
    """Return the command that holds all others."""
    return typer.main.get_command(app)


def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """Yield a command and everything below it, each with the words that call it."""
    yield command, words
    for name, below in getattr(command, "commands", {}).items():
        yield from walk(below, (*words, name))


def parameters(command: Any) -> list[Any]:
    """Return what a command takes, without what is hidden."""
    return [p for p in command.params if not getattr(p, "hidden", False)]


def _described(command: Any, words: tuple[str, ...]) -> str:
    below = getattr(command, "commands", {})
    arguments = [p for p in parameters(command) if p.param_type_name == "argument"]
    options = [p for p in parameters(command) if p.param_type_name == "option"]
    usage = [*words, *["[OPTIONS]"] * bool(options), *map(_placed, arguments)]
    parts = [
        f"## `{' '.join(words)}`",
        prose(command.help or ""),
        fenced(" ".join([*usage, *["COMMAND"] * bool(below)]), "console"),
    ]
    if below:
        rows = [[f"`{' '.join(words)} {n}`", prose(c.help or "")] for n, c in below.items()]
        parts.append(grid(("command", "what it does"), rows))
    if arguments:
        rows = [[code(_named(p)), prose(p.help or ""), _default(p)] for p in arguments]
        parts.append(grid(("argument", "meaning", "default"), rows))
    if options:
        rows = [[_spelt(p), _meaning(p), _default(p)] for p in options]
        parts.append(grid(("option", "meaning", "default"), rows))
    return "\n\n".join(parts)


def _named(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _placed(argument: Any) -> str:
    return _named(argument) if argument.required else f"[{_named(argument)}]"


def _spelt(option: Any) -> str:
    longest = max(option.opts, key=len)
    value = "" if option.is_flag else f" {longest.lstrip('-').replace('-', '_').upper()}"
    return ", ".join(code(name + value * (name == longest)) for name in option.opts)


def _meaning(option: Any) -> str:
    also = f" Also read from `{option.envvar}`." if option.envvar else ""
    return prose(option.help or "") + also


def _default(parameter: Any) -> str:
    value = parameter.default
    if value in (None, "", False) or (value == 0 and not parameter.required):
        return ""
    if isinstance(value, Path) and value.is_absolute():
        return "as shipped"
    return code(value)


BLOCKS: Final[dict[str, Block]] = {"commands": commands}
