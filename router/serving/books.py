"""The books of a gateway as it runs: the database, and what is written to it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine

from router.books.ledger import Ledger, Retention
from router.books.spool import Spool
from router.callers.seal import Seal, seal_of
from router.errors import BadArtefact
from router.settings import Settings
from router.storage.database import file_url, open_database

BOOKS_FILE: Final = "books.db"
SPOOL_FILE: Final = "spool.db"


@dataclass(frozen=True, slots=True)
class Books:
    """The database, and what is written to it."""

    database: Engine
    ledger: Ledger
    seal: Seal

    def close(self) -> None:
        """Write what is left."""
        self.ledger.close()
        self.database.dispose()


def books_of(settings: Settings) -> Books | None:
    """Open the books; None where the settings keep nothing.  Raises BadArtefact."""
    url = database_url(settings)
    if url is None:
        return None
    folder = settings.state_dir
    database = open_database(url)
    try:
        away = database.dialect.name != "sqlite" and folder is not None
        spool = Spool(folder / SPOOL_FILE) if away and folder else None
    except (OSError, sqlite3.Error) as error:
        raise BadArtefact(f"settings: state_dir: {folder} cannot be used: {error}") from error
    ledger = Ledger(
        database,
        spool=spool,
        keep_asks=settings.keep_asks,
        retention=Retention(settings.keep_requests_days, settings.keep_workings_days),
    )
    return Books(database, ledger, seal_of(settings.secret_key.get_secret_value(), folder))


def database_url(settings: Settings) -> str | None:
    """Return where the books are; None where nothing is kept."""
    if settings.database is not None:
        return settings.database.get_secret_value()
    return file_url(settings.state_dir / BOOKS_FILE) if settings.state_dir else None
