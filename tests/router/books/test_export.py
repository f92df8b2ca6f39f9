"""CSV, JSON lines and Parquet say what the table says."""

from __future__ import annotations

import csv
import json

import pytest
from pyarrow.parquet import read_table

from router.books.entries import entry_of
from router.books.export import COLUMNS, as_csv, write_out
from tests.books_rig import REFUSED, put, record, rows_of

ODD = 'a "quoted", comma\nline ☃'


@pytest.fixture
def filled(books):
    told = [
        record(),
        record(**REFUSED),
        record(why=ODD),
        record(mode="=HYPERLINK(1)", streams=False),
    ]
    put(books, *(entry_of(one, keep_ask=True) for one in told))
    return books


def test_json_lines_are_the_rows(filled, tmp_path):
    path = tmp_path / "out.jsonl"
    assert [*write_out(filled, path)] == [4]
    assert [json.loads(line) for line in path.read_text("utf-8").splitlines()] == rows_of(filled)


def test_parquet_is_the_rows(filled, tmp_path):
    path = tmp_path / "out.parquet"
    assert [*write_out(filled, path)] == [4]
    found = read_table(path)
    assert found.column_names == COLUMNS
    assert found.to_pylist() == rows_of(filled)


def test_csv_is_the_rows_with_no_formula(filled, tmp_path):
    path = tmp_path / "out.csv"
    assert [*write_out(filled, path)] == [4]
    with path.open(encoding="utf-8", newline="") as file:
        found = [*csv.DictReader(file)]
    expected = [{k: "" if v is None else str(v) for k, v in r.items()} for r in rows_of(filled)]
    expected[3]["mode"] = "'=HYPERLINK(1)"
    assert found == expected


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_empty_books_make_an_empty_file_with_its_head(books, tmp_path, ending):
    path = tmp_path / f"out{ending}"
    assert [*write_out(books, path)] == []
    assert (path.read_bytes() == b"") is (ending == ".jsonl")


def test_another_ending_is_refused(books, tmp_path):
    with pytest.raises(ValueError, match=r"ends with \.xls; use"):
        write_out(books, tmp_path / "out.xls")


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\tx", "\rx"])
def test_no_cell_begins_as_a_formula(text):
    [_, row] = csv.reader(as_csv([dict.fromkeys(COLUMNS, text)]).splitlines(keepends=True))
    assert {cell[0] for cell in row} == {"'"}
