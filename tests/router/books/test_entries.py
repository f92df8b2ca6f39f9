"""A record as it is written: every field a column, and no text that a database would refuse."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.books.entries import WIDTHS, BookEntry, clean, entry_of, fit_text, packed, unpacked
from router.books.record import as_row
from router.storage.schema import asks, requests, workings
from tests.books_rig import REFUSED, put, record, records, rows_of

CHOSEN = ("asked_model", "mode", "agent", "caller", "team", "session", "task", "why", "answer_id")


def entry(**changes) -> BookEntry:
    return entry_of(record(**changes), keep_ask=True)


def test_every_field_of_a_record_is_a_column():
    assert {*as_row(record()), "seq", "candidates"} == {column.name for column in requests.columns}
    assert {*entry().row} == {*as_row(record()), "candidates"}


@given(record=records)
def test_an_entry_survives_the_spool(record):
    made = entry_of(record, keep_ask=True)
    assert unpacked(packed(made)) == made


def test_an_entry_of_another_version_lacks_what_it_did_not_know():
    old = entry()
    kept = {name: value for name, value in old.row.items() if name != "agent"}
    found = unpacked(packed(old._replace(row=kept | {"colour": "red"})))
    assert found.row == old.row | {"agent": None}


def test_an_entry_is_read_again_as_it_was_told(either):
    made = entry()
    put(either, made)
    [row] = rows_of(either)
    assert row | {"seq": 0} == made.row | {"seq": 0}
    assert row["candidates"] == "openai/gpt-5.5@low 0.80 $0.02"
    assert [row["made"] for row in rows_of(either, workings)] == [made.made]
    assert [row["text"] for row in rows_of(either, asks)] == ["Fix it"]


def test_what_was_not_known_is_empty(either):
    made = entry(**REFUSED)
    put(either, made)
    [row] = rows_of(either)
    assert {row[name] for name in ("caller", "model", "usd", "why", "input_tokens")} == {None}
    assert not rows_of(either, workings)


@pytest.mark.parametrize(
    "text",
    ["\0", "\ud800 half", "x" * 100_000, "☃" * 1000, "'; DROP TABLE requests; --", "\r\n\x1b"],
)
def test_any_text_of_a_client_is_taken(either, text):
    put(either, entry(**dict.fromkeys(CHOSEN, text)))
    [row] = rows_of(either)
    for name in CHOSEN:
        assert row[name] == fit_text(text, WIDTHS[name])
        assert len(row[name]) <= (WIDTHS[name] or math.inf)


@given(st.text(st.characters()), st.integers(0, 50))
def test_a_fitted_text_is_utf8_without_nul_and_short(text, chars):
    fitted = fit_text(text, chars)
    assert "\0" not in fitted.encode().decode()
    assert len(fitted) <= chars
    assert fit_text(fitted, chars) == fitted


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_no_number_that_is_none_reaches_a_sum(either, number):
    put(either, entry(usd=number, saved_usd=number, first_s=number))
    [row] = rows_of(either)
    assert (row["usd"], row["saved_usd"], row["first_s"]) == (None, None, None)
    assert clean("usd", number) is None


def test_workings_that_fail_cost_no_row(caplog):
    def fails():
        raise ValueError("no")

    made = entry(workings=fails)
    assert (made.made, made.ask) == (None, None)
    assert "cannot be kept" in caplog.text


def test_asks_are_kept_only_where_that_is_on():
    assert entry_of(record(), keep_ask=False).ask is None
