"""Columns are read the same from every type that a file may hold them in."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from benchmarks.frames import Column, read_columns, read_csv
from classifier.training.rows import BadData, as_flag, as_key, as_number, as_score, as_text

COLUMNS = (
    Column("id", as_key, required=True),
    Column("text", as_text, ("prompt", "text")),
    Column("usd", as_number, otherwise=0.5, within=(0, 9), expected="dollars up to 9"),
    Column("score", as_score),
    Column("ok", as_flag, otherwise=True),
)


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    "given",
    [
        pl.Series([1, 2]), pl.Series([1.0, 2.0]), pl.Series(["1", "2"]),
        pl.Series(["1", "2"], dtype=pl.Categorical), pl.Series([Decimal(1), Decimal(2)]),
        pl.Series([1, 2], dtype=pl.UInt8),
    ],
    ids=lambda series: str(series.dtype),
)  # fmt: skip
def test_ids_are_the_same_of_any_type(tmp_path: Path, given: pl.Series) -> None:
    pl.DataFrame({"id": given}).write_parquet(tmp_path / "a.parquet")
    assert read_columns(tmp_path / "a.parquet", COLUMNS).frame["id"].to_list() == ["1", "2"]


@pytest.mark.parametrize(
    "given",
    [
        pl.Series([0, 1]), pl.Series([0.0, 1.0]), pl.Series(["0", "1"]), pl.Series([False, True]),
        pl.Series([Decimal(0), Decimal(1)]),
    ],
    ids=lambda series: str(series.dtype),
)  # fmt: skip
def test_scores_are_the_same_of_any_type(tmp_path: Path, given: pl.Series) -> None:
    pl.DataFrame({"id": ["a", "b"], "score": given}).write_parquet(tmp_path / "a.parquet")
    assert read_columns(tmp_path / "a.parquet", COLUMNS).frame["score"].to_list() == [0.0, 1.0]


def test_lines_parquet_and_csv_give_the_same_frame(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "prompt": "x", "usd": 0.0, "score": 1.0, "ok": False},
        {"id": "b", "prompt": None, "usd": None, "score": None, "ok": None},
    ]
    frame = pl.DataFrame(rows)
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_csv(tmp_path / "a.csv")
    read = [
        read_columns(lines(tmp_path / "a.jsonl", rows), COLUMNS),
        read_columns(tmp_path / "a.parquet", COLUMNS),
        read_csv(tmp_path / "a.csv", COLUMNS),
    ]
    assert all(tidy.frame.equals(read[0].frame) for tidy in read)
    assert read[0].frame["usd"].to_list() == [0.0, 0.5]
    assert read[0].frame["ok"].to_list() == [False, True]


def test_dates_are_text(tmp_path: Path) -> None:
    pl.DataFrame({"id": [datetime.date(2026, 1, 2)]}).write_parquet(tmp_path / "a.parquet")
    assert read_columns(tmp_path / "a.parquet", COLUMNS).frame["id"].to_list() == ["2026-01-02"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"id": None}, "`id`: expected a value, and there is none"),
        ({"id": "a", "prompt": ["x"]}, "`prompt`: expected text, not a list"),
        ({"id": "a", "text": {"x": 1}}, "`text`: expected text, not an object"),
        ({"id": "a", "usd": 10}, "`usd`: expected dollars up to 9, not 10.0"),
        ({"id": "a", "usd": -0.5}, "`usd`: expected dollars up to 9, not -0.5"),
        ({"id": "a", "ok": "oui"}, "`ok`: expected true or false, not 'oui'"),
    ],
    ids=repr,
)
def test_a_bad_cell_is_said_with_its_place_and_how_many_there_are(
    tmp_path: Path, row: dict[str, Any], said: str
) -> None:
    good = {"id": "a"}
    with pytest.raises(BadData) as refused:
        read_columns(lines(tmp_path / "a.jsonl", [good, row, good, row]), COLUMNS)
    assert str(refused.value) == f"{tmp_path / 'a.jsonl'}, line 2: {said} (2 such rows)"


def test_a_list_in_parquet_is_refused_with_its_row(tmp_path: Path) -> None:
    pl.DataFrame({"id": ["a"], "prompt": [["x", "y"]]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(BadData, match="row 1: `prompt`: expected text, not a list"):
        read_columns(tmp_path / "a.parquet", COLUMNS)


def test_a_missing_column_is_named_with_what_there_is_and_what_may_be_meant(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"no column id; there are idx, n; is 'idx' meant"):
        read_columns(lines(tmp_path / "a.jsonl", [{"idx": 1, "n": 2}]), COLUMNS)


def test_what_is_not_read_is_kept_in_mind(tmp_path: Path) -> None:
    tidy = read_columns(
        lines(tmp_path / "a.jsonl", [{"id": 1, "x": 2}, {"id": 2, "y": 3}]), COLUMNS
    )
    assert tidy.unread == ("x", "y")
