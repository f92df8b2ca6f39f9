"""The commands over the books: export, forget, sweep, and what they say where that cannot be."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from auto_efficient.ledger import ledger
from router.books.entries import entry_of
from tests.books_rig import books_in, put, record, rows_of


@pytest.fixture
def config(tmp_path):
    with books_in(tmp_path) as engine:
        put(engine, *(entry_of(record(caller=who), keep_ask=False) for who in ("anna", "ben")))
        put(engine, entry_of(record(caller="ben", at_s=0.0), keep_ask=False))
    path = tmp_path / "auto-efficient.toml"
    path.write_text(f'state_dir = "{tmp_path}"\nkeep_requests_days = 365000\n')
    return path


def says(*arguments, code=0) -> str:
    done = CliRunner().invoke(ledger, [*map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.output


def test_rows_are_exported(config, tmp_path):
    out = tmp_path / "out.jsonl"
    assert "3 rows in" in says("export", out, "--config", config)
    assert [json.loads(line)["caller"] for line in out.read_text().splitlines()] == [
        "anna", "ben", "ben",
    ]  # fmt: skip
    said = says("export", tmp_path / "out.xls", "--config", config, code=2)
    assert "use .csv, .jsonl, .parquet" in said


def test_a_caller_is_forgotten(config, tmp_path):
    assert "2 rows of ben are deleted" in says("forget", "ben", "--config", config)
    with books_in(tmp_path) as engine:
        assert [row["caller"] for row in rows_of(engine)] == ["anna"]


def test_what_is_old_is_deleted(config, tmp_path):
    config.write_text(f'state_dir = "{tmp_path}"\nkeep_requests_days = 10000\n')
    assert "rows are deleted" in says("sweep", "--config", config)
    with books_in(tmp_path) as engine:
        assert len(rows_of(engine)) == 2


def test_where_nothing_is_kept_that_is_said(tmp_path):
    path = tmp_path / "auto-efficient.toml"
    path.write_text('state_dir = ""\n')
    assert "nothing is kept" in says("sweep", "--config", path, code=2)
