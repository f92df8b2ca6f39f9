"""Open the database: SQLite in a file by default, PostgreSQL by URL, each at its newest version.

SQLite runs in WAL mode: readers never wait for the one writer, and what was committed outlives the
death of the process (not of the machine: ``synchronous`` is NORMAL).  A transaction that will write
says so at its beginning, so that two processes queue rather than fail half-way.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from router.errors import BadArtefact

NEWEST: Final = "0003"
"""The last of the migrations."""

BUSY_S: Final = 10.0
"""How long a write waits for another process's; one takes milliseconds, a retention run a second."""

TODO: Final = {
    "postgresql": "start the database, or correct `database`",
    "sqlite": "make its folder writable, or name another by `state_dir` or `database`",
}
"""What helps when a database cannot be used."""

WRITES: Final = "auto_writes"

PATIENCE: Final = (
    "SET LOCAL lock_timeout = '10s'; SET LOCAL idle_in_transaction_session_timeout = '30s'"
)
"""How long PostgreSQL lets a write wait for another's, as ``BUSY_S``, and one whose process is gone hold
its locks."""

CONNECTS: Final = {
    "connect_timeout": 3,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""How psycopg connects: a server whose machine is gone is noticed within half a minute, not a quarter of
an hour."""

LOCK: Final = 7_204_116_551
"""Names, in PostgreSQL's advisory locks, who migrates; any number that nobody else uses."""


def open_database(url: str, *, pool: int = 5) -> Engine:
    """Open a database and bring it to its newest version; raises BadArtefact, which names no password."""
    parsed = url_of(url)
    try:
        engine = _engine(parsed, pool)
        _migrate(engine)
    except (SQLAlchemyError, OSError) as error:
        todo = TODO[parsed.get_backend_name()]
        told = f"{shown(url)} cannot be used: {said_of(error)}; {todo}"
        raise BadArtefact(f"database: {told}") from error
    return engine


def url_of(url: str) -> URL:
    """Read a database's URL; raises BadArtefact."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise BadArtefact(
            "database: that is no URL of a database; it looks like sqlite:////folder/books.db or "
            "postgresql://user:password@host/name"
        ) from None
    name = parsed.get_backend_name()
    if name == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if name != "sqlite":
        raise BadArtefact(f"database: {name} is not supported; there are sqlite and postgresql")
    if not parsed.database or ":memory:" in parsed.database:
        raise BadArtefact(
            "database: name a file, as sqlite:////folder/books.db; memory is not shared"
        )
    return parsed


def shown(url: str) -> str:
    """Return a URL as it may stand in a log."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return "the URL"


def said_of(error: Exception) -> str:
    """Say in one line what went wrong, without the values of any row."""
    lines = str(getattr(error, "orig", None) or error).splitlines()
    return lines[0] if lines and lines[0] else type(error).__name__


def file_url(path: Path) -> str:
    """Return the URL of an SQLite file."""
    return URL.create("sqlite", database=str(path)).render_as_string()


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Run a transaction that writes; it is committed at the end, or rolled back."""
    with engine.connect() as connection:
        connection = connection.execution_options(**{WRITES: True})
        with connection.begin():
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(PATIENCE)
            yield connection


def alone(connection: Connection, lock: int) -> None:
    """Be the only transaction that holds a lock, to its end; on SQLite one that writes always is."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})


def private_file(path: Path) -> None:
    """See that a file is there, for its owner's eyes only where it is new; raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600, exist_ok=True)


def _engine(url: URL, pool: int) -> Engine:
    if url.get_backend_name() == "sqlite":
        if url.database and not url.database.startswith("file:"):
            private_file(Path(url.database))
        engine = create_engine(
            url, pool_size=pool, connect_args={"timeout": BUSY_S}, hide_parameters=True
        )
        event.listen(engine, "connect", _set_up)
        event.listen(engine, "begin", _begin)
        return engine
    try:
        return create_engine(
            url,
            pool_size=pool,
            pool_pre_ping=True,  # a server that was restarted costs a reconnection, not a request
            connect_args=CONNECTS,
            hide_parameters=True,  # what users ask for may be among them
        )
    except (ModuleNotFoundError, NoSuchModuleError):
        raise BadArtefact(
            "database: psycopg is not installed; install auto-efficient with its postgres extra"
        ) from None


def _set_up(connection: Any, record: object) -> None:
    """Prepare a new connection to SQLite; transactions are begun by ``_begin``."""
    assert isinstance(connection, sqlite3.Connection)
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


# Versions.


def version_of(engine: Engine) -> str | None:
    """Return a database's version; None for one that is empty."""
    with engine.connect() as connection:
        try:
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        except SQLAlchemyError:
            return None
    return str(found) if found else None


def _migrate(engine: Engine) -> None:
    """Bring a database to the newest version; of several processes one does.

    Raises BadArtefact for a database of a newer gateway, which may hold what this one would lose.
    """
    version = version_of(engine)
    if version == NEWEST:
        return
    if version is not None and version > NEWEST:
        raise BadArtefact(
            f"database: it is of version {version} and this gateway knows {NEWEST}; run the newer one"
        )
    from alembic import command  # heavy, and needed once
    from alembic.config import Config

    config = Config()
    folder = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL lock_timeout = 0")  # it takes what it takes
        alone(connection, LOCK)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
