"""What a gateway remembers between requests, and where: in memory, beside its workers, on disk."""

from __future__ import annotations

import logging
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from router.callers.accounts import Accounts, Base, MemoryAccounts, nothing_spent
from router.callers.accounts_file import FileAccounts
from router.callers.accounts_redis import RedisAccounts
from router.errors import BadArtefact
from router.sessions.file import FileSessions
from router.sessions.store import Closes, MemorySessions, Sessions
from router.settings import Settings

log = logging.getLogger(__name__)

ANSWERS_FILE: Final = "answers.db"
SESSIONS_FILE: Final = "sessions.db"
ACCOUNTS_FILE: Final = "accounts.db"

ANSWERS_IDLE_S: Final = 30 * 86_400.0
"""How long who gave an answer is remembered: OpenAI keeps answers for 30 days
(https://platform.openai.com/docs/guides/your-data, read 2026-11)."""


ANSWERS: Final = 200_000
"""How many rows of that are kept, two for an answer: some 100 MB of disk."""


@dataclass(frozen=True, slots=True)
class Stores:
    """What outlives a request.  What they hold is dated by ``time.time``."""

    sessions: Sessions
    answers: Sessions
    """The sessions of answers that their provider keeps, under the answers' names."""
    accounts: Accounts
    """What was used of budgets and rates."""
    problem: str | None = None
    """What cannot be kept, and what follows from it."""

    async def aclose(self) -> None:
        """Let go of all of them."""
        for store in {id(store): store for store in (self.sessions, self.answers)}.values():
            if isinstance(store, Closes):
                await store.aclose()
        await self.accounts.aclose()


def stores_of(
    settings: Settings,
    sessions: Sessions | None,
    shared: Path | None,
    base: Base = nothing_spent,
) -> Stores:
    """Make the stores; raises BadArtefact for a ``session_store`` or ``store`` that cannot be made.

    ``sessions`` and the settings' store serve for answers too; else these are in the settings'
    ``state_dir``.  ``shared`` is the folder of a gateway with several workers.
    ``base`` is what the ledger knows to be spent.
    """
    sessions = sessions or _named(settings)
    problems: list[str] = []
    answers = sessions
    if answers is None and settings.state_dir is not None:
        try:
            answers = FileSessions(
                settings.state_dir / ANSWERS_FILE, limit=ANSWERS, idle_s=ANSWERS_IDLE_S
            )
        except (OSError, sqlite3.Error) as error:
            problems.append(
                f"stored answers are forgotten on a restart: {settings.state_dir}: {error}"
            )
    limit, idle_s = settings.sessions, settings.session_idle_s
    if sessions is None and shared is not None:
        sessions = FileSessions(shared / SESSIONS_FILE, limit=limit, idle_s=idle_s)
    sessions = sessions or MemorySessions(limit=limit, idle_s=idle_s, clock=time.time)
    try:
        accounts = _accounts(settings, settings.state_dir or shared, base)
    except (OSError, sqlite3.Error) as error:
        problems.append(
            f"what was counted is forgotten on a restart: {settings.state_dir}: {error}"
        )
        accounts = _accounts(settings, shared, base)
    for problem in problems:
        log.warning("%s", problem)
    return Stores(sessions, answers or sessions, accounts, "; ".join(problems) or None)


def _accounts(settings: Settings, folder: Path | None, base: Base) -> Accounts:
    """Make what counts for replicas, for the processes of this machine, or for this one."""
    if settings.store is not None:
        url = settings.store.get_secret_value()
        return RedisAccounts(url, base, away_share=settings.away_share)
    return FileAccounts(folder / ACCOUNTS_FILE, base) if folder else MemoryAccounts(base)


def _named(settings: Settings) -> Sessions | None:
    """Make the store that the settings name."""
    if settings.session_store is None:
        return None
    try:
        return settings.session_store()
    except Exception as error:
        raise BadArtefact(f"settings: session_store: it cannot be made: {error!r}") from error
