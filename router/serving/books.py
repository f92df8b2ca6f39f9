"""The books of a gateway as it runs: the database, and what is written to it."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine

from router.books.changes import keep
from router.books.ledger import Ledger
from router.books.retention import Retention
from router.books.spent import spent_usd
from router.books.spool import Spool
from router.callers.accounts import Base, nothing_spent
from router.callers.registry import Registry
from router.callers.seal import Seal, seal_of
from router.errors import BadArtefact
from router.evidence.changelog import Remapping
from router.settings import Settings
from router.storage.database import file_url, open_database

log = logging.getLogger(__name__)

BOOKS_FILE: Final = "books.db"
SPOOL_FILE: Final = "spool.db"


@dataclass(frozen=True, slots=True)
class Books:
    """The database, and what is written to it."""

    database: Engine
    ledger: Ledger
    seal: Seal
    registry: Registry

    def keep_changes(self, seen: Sequence[Remapping]) -> None:
        """Keep what of mappings and tables changed; called in a thread."""
        keep(self.database, seen, time.time())

    def close(self) -> None:
        """Write what is left."""
        self.ledger.close()
        self.database.dispose()


def books_of(settings: Settings) -> Books | None:
    """Open the books; None where the settings keep nothing, or the state folder cannot be made.

    Raises BadArtefact for a database that is there, or was asked for, and cannot be used: it may hold the
    keys without which everybody would be the owner.
    """
    url, folder = database_url(settings), settings.state_dir
    if url is None:
        return None
    try:
        database = open_database(url)
    except BadArtefact as error:
        if settings.database is not None or folder is None or (folder / BOOKS_FILE).exists():
            raise
        log.warning("no books are kept: %s", error)
        return None
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
    seal = seal_of(settings.secret_key.get_secret_value(), folder)
    return Books(database, ledger, seal, Registry(database, seal, fixed=settings.callers))


def spent_of(books: Books | None) -> Base:
    """Return what says how much an account spent since a time, by the books; nothing without any."""
    if books is None:
        return nothing_spent

    async def spent(account: str, since_s: float) -> float:
        return await asyncio.to_thread(spent_usd, books.database, account, since_s)

    return spent


def database_url(settings: Settings) -> str | None:
    """Return where the books are; None where nothing is kept."""
    if settings.database is not None:
        return settings.database.get_secret_value()
    return file_url(settings.state_dir / BOOKS_FILE) if settings.state_dir else None
