"""Nested tables as paths and values."""

from __future__ import annotations

Keys = tuple[str, ...]
"""Keys that lead from the top to a value."""


def leaves(tree: object, path: Keys = ()) -> dict[Keys, object]:
    """Return the values of nested tables by their paths; an empty table is a value."""
    if not isinstance(tree, dict) or (not tree and path):
        return {path: tree}
    found: dict[Keys, object] = {}
    for key, value in tree.items():
        found |= leaves(value, (*path, str(key)))
    return found
