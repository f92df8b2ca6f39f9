"""Books for the tests of several packages: in a file, and in either database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.books_rig import books_in, emptied
from tests.services import Service, postgres_server


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Engine]:
    """Books in a file, with nothing in them."""
    with books_in(tmp_path) as engine:
        yield engine


@pytest.fixture(scope="module")
def postgres() -> Iterator[Service]:
    """A server for the tests of a module."""
    with postgres_server() as service:
        yield service


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Books in either database, with nothing in them."""
    if request.param == "sqlite":
        yield request.getfixturevalue("books")
        return
    with emptied(request.getfixturevalue("postgres").url) as engine:
        yield engine
