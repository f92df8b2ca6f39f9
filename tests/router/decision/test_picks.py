"""Whom a table picks in its cells, and how two tables are told apart."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from classifier.tasks import N_LEVELS, TYPES
from router.decision.engine import Engine
from router.decision.picks import picks, table_change
from router.values import Unit
from tests.evidence import table

CELLS = len(TYPES) * N_LEVELS
DAY = date(2026, 12, 24)


def test_the_cheapest_near_the_best_is_picked_in_every_cell():
    found = picks(table([[0.9, 0.89, 0.3]] * N_LEVELS, [2.0, 1.0, 0.1]))
    assert found == (Unit("m1"),) * CELLS


def test_the_shipped_table_picks_units_of_its_own():
    shipped = Engine.load().table
    assert len(picks(shipped)) == CELLS
    assert set(picks(shipped)) <= set(shipped.units)


def test_two_tables_differ_by_the_cells_that_pick_another():
    old = table([[0.9, 0.9]] * N_LEVELS, [2.0, 1.0])
    new = replace(table([[0.9, 0.3]] * N_LEVELS, [2.0, 1.0]), version="newer")
    assert table_change(old, old, "t", DAY) == []
    (change,) = table_change(old, new, "t", DAY)
    assert str(change) == "the table of t: test → newer"
    assert change.why == f"{CELLS} of {CELLS} cells changed pick."
