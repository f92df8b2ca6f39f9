"""A file is read the same whatever wrote it, and what is wrong with it is said with its place."""

from __future__ import annotations

import gzip
import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.training.rows import (
    BadData,
    Misfit,
    as_flag,
    as_key,
    as_number,
    as_score,
    as_text,
    name_of,
    read_rows,
)

ROWS = [{"id": 1, "text": "héllo"}, {"id": 2, "text": "a\nb\u2028c"}, {"id": 0, "text": ""}]

PLAIN = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()

BOM = b"\xef\xbb\xbf"

WRITTEN = {
    "plain.jsonl": PLAIN,
    "upper.JSONL": PLAIN,
    "no.suffix": PLAIN,
    "bom.jsonl": BOM + PLAIN,
    "windows.jsonl": BOM + PLAIN.replace(b"\n", b"\r\n"),
    "blank.jsonl": b"\n \r\n" + PLAIN.replace(b"\n", b"\n\n\t\n"),
    "open.jsonl": PLAIN.rstrip(b"\n"),
    "packed.jsonl.gz": gzip.compress(PLAIN),
    "packed.jsonl": gzip.compress(BOM + PLAIN),
    "members.gz": gzip.compress(PLAIN[:20]) + gzip.compress(PLAIN[20:]),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_rows_are_the_same_whatever_wrote_them(tmp_path, name):
    (tmp_path / name).write_bytes(WRITTEN[name])
    assert [row.values for row in read_rows(tmp_path / name)] == ROWS


def test_parquet_is_read_as_lines_are_whatever_it_is_called(tmp_path):
    pl = pytest.importorskip("polars", reason="Parquet needs the train extra")
    pl.DataFrame(ROWS).write_parquet(tmp_path / "rows.bin")
    found = list(read_rows(tmp_path / "rows.bin"))
    assert [row.values for row in found] == ROWS
    assert found[1].place == "row 2"


def test_a_pipe_is_read_too():
    out, into = os.pipe()
    os.write(into, PLAIN)
    os.close(into)
    assert [row.values for row in read_rows(Path(f"/dev/fd/{out}"))] == ROWS


def test_lines_are_counted_with_the_blank_ones(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"\n" + PLAIN)
    assert [row.place for row in read_rows(tmp_path / "a.jsonl")] == ["line 2", "line 3", "line 4"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (PLAIN + b'{"text": "\xe9"}\n', "line 4: not UTF-8 (byte 11 of it is 0xe9)"),
        (PLAIN + b"{oops\n", "line 4: not JSON"),
        (b"[1, 2]\n", "line 1: not a JSON object but a list (pandas"),
        (b'"a"\n', "line 1: not a JSON object but the value 'a'"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}\n', "line 1: names 'c' twice"),
        (b"[" * 100_000 + b"\n", "line 1: not JSON"),
        (b'{"a": ' + b"9" * 5_000 + b"}\n", "line 1: not JSON that can be read"),
        (b"id,text\n1,a\n", "line 1: not JSON"),
        (PLAIN.decode().encode("utf-16"), "is UTF-16 text"),
        (b"PK\x03\x04rest", "a zip archive or a spreadsheet"),
        (b"\x28\xb5\x2f\xfdrest", "compressed with zstd"),
        (gzip.compress(PLAIN * 999)[:-9], "the compressed file is damaged"),
        (b"\x1f\x8bnonsense", "the compressed file is damaged"),
        (b"PAR1 nonsense", "the Parquet file cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_said_in_one_line(tmp_path, content, said):
    path = tmp_path / "given.jsonl"
    path.write_bytes(content)
    with pytest.raises(BadData) as refused:
        list(read_rows(path))
    assert str(refused.value).startswith(str(path))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_no_file_is_named(tmp_path):
    for path in (tmp_path, tmp_path / "nothing.jsonl"):
        with pytest.raises(BadData, match=path.name):
            list(read_rows(path))


@pytest.mark.parametrize("cell", [as_text, as_key, as_number, as_score, as_flag])
@pytest.mark.parametrize("missing", [None, "", "  ", math.nan])
def test_null_blank_and_nan_are_missing_in_every_kind_of_cell(cell, missing):
    assert cell(missing) is None


@pytest.mark.parametrize(
    ("cell", "value", "read"),
    [
        (as_key, 0, "0"), (as_key, 3, "3"), (as_key, 3.0, "3"), (as_key, "3", "3"), (as_key, 3.5, "3.5"),
        (as_key, "03", "03"), (as_key, math.inf, "inf"), (as_number, 0, 0.0), (as_number, "0", 0.0),
        (as_number, " 0.5 ", 0.5), (as_number, "1e-3", 0.001), (as_number, "nan", None),
        (as_score, True, 1.0), (as_score, False, 0.0), (as_score, 0, 0.0), (as_flag, False, False),
        (as_flag, 0, False), (as_flag, 1, True), (as_flag, "False", False), (as_flag, "true", True),
        (as_text, "a\ud800", "a\ufffd\ufffd\ufffd"), (as_text, "0", "0"),
    ],
    ids=lambda part: part.__name__ if callable(part) else repr(part)[:20],
)  # fmt: skip
def test_zero_and_false_are_values(cell, value, read):
    found = cell(value)
    assert found == read
    assert type(found) is type(read)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (as_text, 3), (as_text, ["a"]), (as_key, True), (as_key, ["a"]), (as_key, {}), (as_number, True),
        (as_number, "0,01"), (as_number, "$1"), (as_number, math.inf), (as_number, "inf"),
        (as_number, [1]), (as_number, 10**400), (as_score, "C"), (as_flag, "yes"), (as_flag, 2),
        (as_flag, []),
    ],
    ids=lambda part: part.__name__ if callable(part) else repr(part)[:20],
)  # fmt: skip
def test_a_value_of_another_kind_is_a_misfit(cell, value):
    with pytest.raises(Misfit, match="expected"):
        cell(value)


SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = SCALAR | st.lists(SCALAR, max_size=2) | st.dictionaries(st.text(), SCALAR, max_size=2)


@given(JSON)
def test_any_value_is_read_or_refused_as_a_misfit(value):
    for cell in (as_text, as_key, as_number, as_score, as_flag):
        try:
            cell(value)
        except Misfit as error:
            assert str(error).startswith("expected")


def test_a_source_is_named_by_its_file_without_what_says_the_format(tmp_path):
    names = ("mine.jsonl", "mine.JSONL", "mine.jsonl.gz", "mine.parquet", "mine")
    assert {name_of(tmp_path / name) for name in names} == {"mine"}
    assert name_of(tmp_path / "v1.2.jsonl") == "v1.2"
