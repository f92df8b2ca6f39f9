"""Which pages there are: the index of docs/, and the README's links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.docs.pages import Block, Sources

ORDER: Final = (
    "quickstart", "setup", "clients", "decisions", "books", "callers", "pages", "metrics", "alerts", "deploy", "capacity",
    "configuration", "headers", "cli", "api", "evidence",
    "tasks", "embed", "how-to-add", "retrain", "architecture", "privacy",
)  # fmt: skip
"""The pages as one would read them; others follow."""

BESIDE: Final = {
    "CHANGELOG.md": "Changes",
    "CONTRIBUTING.md": "Contributing",
    "SECURITY.md": "Security",
    "models/README.md": "Model card",
    "benchmarks/LOG.md": "Experiments",
    "examples": "Examples",
}
"""What else a reader may want, as far as it is there."""


def page_names(root: Path) -> list[str]:
    """Return every page that may hold blocks."""
    return ["README.md", "docs/README.md", *(str(p.relative_to(root)) for p in pages(root))]


def pages(root: Path) -> list[Path]:
    """Return the pages of docs/ but its index, as one would read them."""
    found = {p.stem: p for p in sorted((root / "docs").glob("*.md")) if p.stem != "README"}
    return [*(found.pop(name) for name in ORDER if name in found), *found.values()]


def index(sources: Sources) -> str:
    """List the pages, a line each."""
    lines = [f"* [{_title(p)}]({p.name}): {_begins(p)}" for p in pages(sources.root)]
    decided = sorted((sources.root / "docs" / "adr").glob("*.md"))
    if decided:
        lines += ["", "Decisions that shaped it:", ""]
        lines += [f"* [{_title(p)}](adr/{p.name})" for p in decided]
    return "\n".join(lines)


def links(sources: Sources) -> str:
    """Link to every page, and to what lies beside them."""
    root = sources.root
    rows = (
        [(_title(p), f"docs/{p.name}") for p in pages(root)],
        [(name, path) for path, name in BESIDE.items() if (root / path).exists()],
    )
    return "\n\n".join(" · ".join(f"[{title}]({path})" for title, path in row) for row in rows)


def _lines(page: Path) -> Iterator[str]:
    """Yield a page's lines but comments."""
    text = re.sub(r"<!--.*?-->\n?", "", page.read_text("utf-8"), flags=re.DOTALL)
    yield from text.splitlines()


def _title(page: Path) -> str:
    return next((line[2:].strip() for line in _lines(page) if line.startswith("# ")), page.stem)


def _begins(page: Path) -> str:
    """Return the first sentence of a page."""
    text = "\n".join(line for line in _lines(page) if not line.startswith("#")).strip()
    paragraph = " ".join(text.partition("\n\n")[0].split())
    return re.split(r"(?<=[.!?]) ", paragraph)[0]


BLOCKS: Final[dict[str, Block]] = {"index": index, "links": links}
