"""docs/embed.md: what the package offers to import, each name with its first line."""

from __future__ import annotations

import ast
import inspect
from importlib import import_module
from types import ModuleType
from typing import Final

from benchmarks.docs.pages import Block, Sources, code, first_line, grid, prose


def names(sources: Sources) -> str:
    """List the public names."""
    return grid(
        ("name", "what it is"),
        [[code(name), _meaning(sources.package, name)] for name in sources.package.__all__],
    )


def _meaning(package: ModuleType, name: str) -> str:
    found = getattr(package, name)
    if inspect.isclass(found) or inspect.isroutine(found):
        return first_line(found)
    if name == "__version__":
        return "The version of what is installed."
    return _of_constant(import_module(package._HOMES[name]), name)


def _of_constant(home: ModuleType, name: str) -> str:
    """Return the first sentence of the text under a constant, in the module where it lives."""
    body = ast.parse(inspect.getsource(home)).body
    for statement, below in zip(body, body[1:], strict=False):
        targets = [getattr(statement, "target", None), *getattr(statement, "targets", ())]
        named = any(isinstance(target, ast.Name) and target.id == name for target in targets)
        if named and isinstance(below, ast.Expr):
            return prose(ast.literal_eval(below.value).partition(".  ")[0].rstrip(".") + ".")
    raise LookupError(f"{name} has no text under it in {home.__name__}")


BLOCKS: Final[dict[str, Block]] = {"names": names}
