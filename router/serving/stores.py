"""What a gateway remembers between requests, and where: in memory, beside its workers, on disk."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from router.books.ledger import Ledger, Retention
from router.books.spool import Spool
from router.callers.rates import Rates, Window
from router.callers.seal import Seal, seal_of
from router.callers.shared_rates import SharedWindow
from router.errors import BadArtefact
from router.sessions.file import FileSessions
from router.sessions.store import Closes, MemorySessions, Sessions
from router.settings import Settings
from router.storage.database import file_url, open_database

log = logging.getLogger(__name__)

ANSWERS_FILE: Final = "answers.db"
SESSIONS_FILE: Final = "sessions.db"
RATES_FILE: Final = "rates.db"

BOOKS_FILE: Final = "books.db"
SPOOL_FILE: Final = "spool.db"

ANSWERS_IDLE_S: Final = 30 * 86_400.0
"""How long who gave an answer is remembered: OpenAI keeps answers for 30 days
(https://platform.openai.com/docs/guides/your-data, read 2026-11)."""


ANSWERS: Final = 200_000
"""How many rows of that are kept, two for an answer: some 100 MB of disk."""


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


@dataclass(frozen=True, slots=True)
class Stores:
    """What outlives a request.  What sessions hold is dated by ``time.time``."""

    sessions: Sessions
    answers: Sessions
    """The sessions of answers that their provider keeps, under the answers' names."""
    rates: Rates
    books: Books | None = None
    """None where nothing is kept: neither a state folder nor a database is set."""
    problem: str | None = None
    """What cannot be kept, and what follows from it."""

    async def aclose(self) -> None:
        """Let go of all of them."""
        for store in {id(store): store for store in (self.sessions, self.answers)}.values():
            if isinstance(store, Closes):
                await store.aclose()
        if self.books is not None:
            await asyncio.to_thread(self.books.close)


def stores_of(settings: Settings, sessions: Sessions | None, shared: Path | None) -> Stores:
    """Make the stores; raises BadArtefact for a ``session_store`` that cannot be made.

    ``sessions`` and the settings' store serve for answers too; else these are in the settings'
    ``state_dir``.  ``shared`` is the folder of a gateway with several workers.
    """
    sessions = sessions or _named(settings)
    problem: str | None = None
    answers = sessions
    if answers is None and settings.state_dir is not None:
        try:
            answers = FileSessions(
                settings.state_dir / ANSWERS_FILE, limit=ANSWERS, idle_s=ANSWERS_IDLE_S
            )
        except (OSError, sqlite3.Error) as error:
            problem = f"stored answers are forgotten on a restart: {settings.state_dir}: {error}"
            log.warning("%s", problem)
    limit, idle_s = settings.sessions, settings.session_idle_s
    if sessions is None and shared is not None:
        sessions = FileSessions(shared / SESSIONS_FILE, limit=limit, idle_s=idle_s)
    sessions = sessions or MemorySessions(limit=limit, idle_s=idle_s, clock=time.time)
    per_hour = settings.anonymous_per_hour
    rates = SharedWindow(shared / RATES_FILE, per_hour) if shared else Window(per_hour)
    return Stores(sessions, answers or sessions, rates, books_of(settings), problem)


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


def _named(settings: Settings) -> Sessions | None:
    """Make the store that the settings name."""
    if settings.session_store is None:
        return None
    try:
        return settings.session_store()
    except Exception as error:
        raise BadArtefact(f"settings: session_store: it cannot be made: {error!r}") from error
