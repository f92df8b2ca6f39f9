"""The database: both kinds reach the newest version as the schema has it, and nothing tells a password."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import make_url, text

from router.errors import BadArtefact
from router.storage.database import (
    NEWEST,
    file_url,
    open_database,
    shown,
    version_of,
    writing,
)
from router.storage.schema import metadata
from tests.services import program

OPENS = (
    "import sys; from router.storage.database import open_database, version_of; "
    "print(version_of(open_database(sys.argv[1])))"
)
MIGRATIONS = Path(sys.modules["router.storage.database"].__file__ or "").parent / "migrations"


def test_the_newest_version_is_the_last_migration():
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [NEWEST]


def test_a_fresh_database_is_what_the_schema_says(either):
    assert version_of(either) == NEWEST
    with either.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_number_is_never_given_twice_by_sqlite(tmp_path):
    engine = open_database(file_url(tmp_path / "books.db"))
    with engine.connect() as connection:
        made = connection.execute(text("SELECT sql FROM sqlite_master WHERE name = 'requests'"))
        assert "AUTOINCREMENT" in made.scalar_one()
    engine.dispose()


def test_opening_again_changes_nothing(either):
    again = open_database(either.url.render_as_string(hide_password=False))
    assert version_of(again) == NEWEST
    again.dispose()


def test_a_newer_database_is_refused(tmp_path):
    url = file_url(tmp_path / "books.db")
    engine = open_database(url)
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(BadArtefact, match=f"version 9999 and this gateway knows {NEWEST}"):
        open_database(url)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_processes_that_open_at_once_migrate_once(kind, request, tmp_path):
    url = file_url(tmp_path / "books.db")
    if kind == "postgresql":
        url = request.getfixturevalue("postgres").url.rpartition("/")[0] + "/fresh"
        subprocess.run([program("createdb"), "-U", "postgres", *of(url), "fresh"], check=True)
    with ExitStack() as stack:
        for process in [stack.enter_context(_opening(url)) for _ in range(3)]:
            said, problem = process.communicate()
            assert (said.decode().strip(), problem.decode()) == (NEWEST, "")


def of(url: str) -> list[str]:
    return ["-h", "127.0.0.1", "-p", str(make_url(url).port)]


def _opening(url: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", OPENS, url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://anna:s3cret@127.0.0.1:1/books",
        "postgresql://anna:s3cret@nowhere.invalid/books",
        "postgresql://anna:s3cret@127.0.0.1:1/books?sslmode=s0so",
        "postgresql://anna:s3cret/x@127.0.0.1/books",
        "postgresql://anna:4@host:s3cret/books",
        "mysql://anna:s3cret@127.0.0.1/books",
        "anna:s3cret",
        "sqlite://",
        "sqlite:///:memory:",
    ],
)
def test_a_database_that_cannot_be_used_says_so_without_a_password(url):
    with pytest.raises(BadArtefact, match="^database: ") as raised:
        open_database(url)
    assert "s3cret" not in str(raised.value)
    assert "s3cret" not in shown(url)


def test_a_wrong_password_is_not_told(postgres):
    url = f"postgresql://nobody:s3cret@127.0.0.1:{postgres.port}/postgres"
    with pytest.raises(BadArtefact, match="nobody") as raised:
        open_database(url)
    assert "s3cret" not in str(raised.value)


def test_a_file_is_for_its_owner_only(tmp_path):
    open_database(file_url(tmp_path / "below" / "books.db")).dispose()
    mode = (tmp_path / "below" / "books.db").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_values_of_rows_are_in_no_error(either):
    with pytest.raises(Exception, match="asks") as raised, writing(either) as connection:
        connection.execute(
            metadata.tables["asks"].insert(),
            [{"decision_id": "1", "at_s": None, "text": "a private question"}],
        )
    assert "private question" not in str(raised.value).partition("DETAIL")[0]


def test_a_transaction_that_fails_is_undone(either):
    teams = metadata.tables["teams"]
    with pytest.raises(ZeroDivisionError), writing(either) as connection:
        connection.execute(teams.insert(), [{"name": "web", "created_s": 1.0}])
        raise ZeroDivisionError
    with either.connect() as connection:
        assert connection.execute(teams.select()).all() == []
