"""Write what the documentation says of the code and the artefacts: ``auto-efficient docs``.

A page is written by people, but for its blocks: what stands between ``<!-- begin NAME -->`` and
``<!-- end NAME -->`` is written from where it is true.  Each module here holds the blocks of some
pages; only the model card is generated whole.  A test fails when anything is stale.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Final

import typer

from benchmarks.docs import (
    api,
    capacity,
    card,
    claims,
    commands,
    evidence,
    example,
    headers,
    index,
    metrics,
    names,
    settings,
)
from benchmarks.docs.pages import Block, Sources, blocks_named, filled
from router.decision.engine import Engine

ROOT: Final = Path(__file__).resolve().parents[2]

BLOCKS: Final[dict[str, Block]] = {
    **api.BLOCKS,
    **capacity.BLOCKS,
    **claims.BLOCKS,
    **commands.BLOCKS,
    **evidence.BLOCKS,
    **example.BLOCKS,
    **headers.BLOCKS,
    **index.BLOCKS,
    **metrics.BLOCKS,
    **names.BLOCKS,
    **settings.BLOCKS,
}
"""Every block by its name."""

CARD: Final = "models/README.md"


def refresh(
    root: Path = ROOT, *, app: typer.Typer, package: ModuleType, check: bool = False
) -> list[str]:
    """Rewrite stale files; with ``check`` only name them.  Returns the stale files' names."""
    stale = []
    for name, text in rendered(root, app=app, package=package).items():
        path = root / name
        if not path.exists() or path.read_text("utf-8") != text:
            stale.append(name)
            if not check:
                path.write_text(text, "utf-8")
    return stale


def rendered(root: Path = ROOT, *, app: typer.Typer, package: ModuleType) -> dict[str, str]:
    """Return the fresh text of every file that holds something generated, by its path.

    ``app`` is the console command and ``package`` what embedders import: both stand above this layer.
    Raises BadArtefact where the artefacts do not fit each other, LookupError for a block that nothing here writes.
    """
    sources = Sources(root, app, package)
    Engine.load(sources.models)
    texts = {name: (root / name).read_text("utf-8") for name in index.page_names(root)}
    wanted = {name for text in texts.values() for name in blocks_named(text)}
    if strange := sorted(wanted - set(BLOCKS)):
        raise LookupError(f"nothing writes the block {', '.join(strange)}")
    written = {name: BLOCKS[name](sources) for name in sorted(wanted)}
    return {name: filled(text, written) for name, text in texts.items()} | {
        CARD: card.model_card(sources)
    }
