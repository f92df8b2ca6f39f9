"""Which rows belong together: those of one group, and those of one text."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def joined(*labels: Sequence[Hashable | None]) -> list[int]:
    """Number n rows so that two share a number when any of their labels is the same.

    Each of ``labels`` has n entries; None is no label.  The number is that of the first such row.
    """
    parent = list(range(len(labels[0])))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for column in labels:
        first: dict[Hashable, int] = {}
        for row, label in enumerate(column):
            if label is not None:
                low, high = sorted((root(first.setdefault(label, row)), root(row)))
                parent[high] = low
    return [root(row) for row in range(len(parent))]


def same_text(text: str) -> str | None:
    """Return what texts share that differ in white space alone; None for a blank one."""
    return " ".join(text.split()) or None
