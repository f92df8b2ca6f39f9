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
from router.providers.bulletin import Bulletin, FileBulletin, ValkeyBulletin
from router.sessions.file import FileSessions
from router.sessions.kept import KeptSessions
from router.sessions.store import Closes, MemorySessions, Sessions
from router.sessions.valkey import ValkeySessions
from router.settings import Settings
from router.storage.valkey import Valkey

log = logging.getLogger(__name__)

ANSWERS_FILE: Final = "answers.db"
SESSIONS_FILE: Final = "sessions.db"
ACCOUNTS_FILE: Final = "accounts.db"
BULLETIN_FILE: Final = "bulletin.db"

SESSIONS_OF: Final = "auto-efficient:session:"
ANSWERS_OF: Final = "auto-efficient:answer:"
BULLETIN_OF: Final = "auto-efficient:bulletin"
"""Under which names they lie in a server that replicas share."""

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
    bulletin: Bulletin | None = None
    """Where the processes of a gateway tell each other of failing providers; None: there is one."""
    server: Valkey | None = None
    """What replicas share."""
    unkept: str = ""
    """What cannot be kept, and what follows from it."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What is not as it should be now; what stands before the first colon may be told to anybody."""
        away = self.server.problem if self.server else ""
        return tuple(filter(None, (self.unkept, away)))

    async def aclose(self) -> None:
        """Let go of all of them."""
        held = (self.sessions, self.answers, self.bulletin, self.server)
        for store in {id(store): store for store in held}.values():
            if isinstance(store, Closes):
                await store.aclose()
        await self.accounts.aclose()


def stores_of(
    settings: Settings,
    sessions: Sessions | None,
    shared: Path | None,
    base: Base = nothing_spent,
) -> Stores:
    """Make the stores; raises BadArtefact for a ``store`` or ``session_store`` that cannot be made.

    ``sessions`` and the settings' stores serve for answers too; else these are in the settings'
    ``state_dir``.  ``shared`` is the folder of a gateway with several workers.
    ``base`` is what the ledger knows to be spent.
    """
    server = Valkey(settings.store.get_secret_value()) if settings.store else None
    bulletin = _bulletin(server, shared)
    own = sessions or _named(settings)
    if server:
        url = settings.store.get_secret_value() if settings.store else ""
        accounts: Accounts = RedisAccounts(url, base, away_share=settings.away_share)
        limit = settings.sessions
        held = ValkeySessions(server, SESSIONS_OF, limit=limit, idle_s=settings.session_idle_s)
        answers = ValkeySessions(server, ANSWERS_OF, limit=limit, idle_s=ANSWERS_IDLE_S)
        return Stores(own or held, own or answers, accounts, bulletin, server)
    unkept = ""
    if settings.state_dir is not None:
        try:
            accounts = FileAccounts(settings.state_dir / ACCOUNTS_FILE, base)
            if own:
                return Stores(own, own, accounts, bulletin)
            answers_file = settings.state_dir / ANSWERS_FILE
            kept = FileSessions(answers_file, limit=ANSWERS, idle_s=ANSWERS_IDLE_S)
            return Stores(_on_disk(settings, shared), kept, accounts, bulletin)
        except (OSError, sqlite3.Error) as error:
            unkept = (
                "pins, stored answers and what was counted are forgotten on a restart: "
                f"{settings.state_dir}: {error}"
            )
            log.warning("%s", unkept)
    accounts = FileAccounts(shared / ACCOUNTS_FILE, base) if shared else MemoryAccounts(base)
    here = own or _here(settings, shared)
    return Stores(here, here, accounts, bulletin, unkept=unkept)


def _bulletin(server: Valkey | None, shared: Path | None) -> Bulletin | None:
    if server:
        return ValkeyBulletin(server, BULLETIN_OF)
    return FileBulletin(shared / BULLETIN_FILE) if shared else None


def _on_disk(settings: Settings, shared: Path | None) -> Sessions:
    """Return sessions that outlive the gateway: several workers share the file, one keeps them in memory too."""
    assert settings.state_dir is not None
    limit, idle_s = settings.sessions, settings.session_idle_s
    file = FileSessions(settings.state_dir / SESSIONS_FILE, limit=limit, idle_s=idle_s)
    return file if shared else KeptSessions(file, limit=limit, idle_s=idle_s)


def _here(settings: Settings, shared: Path | None) -> Sessions:
    """Return sessions that end with the gateway."""
    limit, idle_s = settings.sessions, settings.session_idle_s
    if shared:
        return FileSessions(shared / SESSIONS_FILE, limit=limit, idle_s=idle_s)
    return MemorySessions(limit=limit, idle_s=idle_s, clock=time.time)


def _named(settings: Settings) -> Sessions | None:
    """Make the store that the settings name."""
    if settings.session_store is None:
        return None
    try:
        return settings.session_store()
    except Exception as error:
        raise BadArtefact(f"settings: session_store: it cannot be made: {error!r}") from error
