"""What a gateway that cannot start says: one line, what to do, and no password."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT
from tests.services import free_port


def refused(**environ):
    """Start a gateway that must not come up; return what it says, and the seconds that took."""
    own = {f"AUTO_EFFICIENT_{name.upper()}": str(value) for name, value in environ.items()}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "auto_efficient", "serve", "--port", "0"],
        env=os.environ | own | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "s3cret" not in done.stderr
    return done.stderr, time.monotonic() - began


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_database_that_is_away_ends_the_start(workers, tmp_path):
    port = free_port()
    url = f"postgresql://anna:s3cret@127.0.0.1:{port}/books"
    said, took_s = refused(database=url, workers=workers, state_dir=tmp_path)
    [line] = said.splitlines()
    assert line.startswith("auto-efficient serve: database: postgresql://anna:***@127.0.0.1")
    assert "refused" in line
    assert "start the database, or correct `database`" in line
    assert took_s < 30


@pytest.mark.slow
def test_a_file_that_is_named_and_cannot_be_made_ends_the_start(tmp_path):
    (tmp_path / "file").touch()
    said, _ = refused(database=f"sqlite:///{tmp_path}/file/folder/books.db", state_dir="")
    assert "database: sqlite" in said.splitlines()[-1]
    assert "make its folder writable" in said.splitlines()[-1]
