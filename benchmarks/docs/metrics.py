"""docs/metrics.md: every metric, from the table by which they are made."""

from __future__ import annotations

from typing import Final

from benchmarks.docs.pages import Block, Sources, code, grid, listed, prose
from router.books.metrics import FAMILIES


def metrics(sources: Sources) -> str:
    """List the metrics."""
    rows = [
        [code(f.full_name), f.kind.__name__.lower(), listed(f.labels) or "–", prose(f.says)]
        for f in FAMILIES
    ]
    return grid(("metric", "type", "labels", "what it says"), rows)


BLOCKS: Final[dict[str, Block]] = {"metrics": metrics}
