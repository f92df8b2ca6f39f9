"""The database of the gateway that ``serve`` would run here, for commands."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from router.settings import Settings


@contextmanager
def kept_in(config: Path | None) -> Iterator[tuple[Settings, Engine]]:
    """Open the database of a configuration; raises RouterError where there is none, or it fails."""
    from router.errors import BadArtefact
    from router.serving.books import database_url
    from router.settings import Settings
    from router.storage.database import open_database

    settings = Settings.load(environ=os.environ, config=config)
    url = database_url(settings)
    if url is None:
        raise BadArtefact("nothing is kept: set `state_dir` (a folder) or `database` (a URL)")
    engine = open_database(url)
    try:
        yield settings, engine
    finally:
        engine.dispose()
