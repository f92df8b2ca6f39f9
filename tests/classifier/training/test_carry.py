"""Answers are told from wishes where the signs tell them, and judged by networks that saw neither."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.carry import ALTERS, KEEPS, OUTCOMES, REPLACES, SIGNS
from classifier.training.carry import Turns, by_fold, fit_carry, fresh, turn_scores, turns_of
from classifier.training.dataset import LabelledRow
from classifier.turns import Exchange
from tests.classifier.test_carry import BIG, CHAT, reading


def told_by_signs(n, seed=1):
    """Turns whose outcome shows in two of the signs."""
    rng = np.random.default_rng(seed)
    seen = rng.normal(size=(n, SIGNS)).astype(np.float32)
    outcome = np.where(seen[:, 0] > 0.3, KEEPS, np.where(seen[:, 1] > 0, ALTERS, REPLACES))
    rows = np.arange(n)
    return Turns(seen, outcome, np.ones(n, np.float32), rows, rows)


def test_outcomes_that_the_signs_tell_are_learned():
    carry, asked = fit_carry(told_by_signs(1500)), told_by_signs(300, seed=2)
    picked = [carry.outcome(seen).argmax() for seen in asked.seen]
    assert np.mean(picked == asked.outcome) > 0.85


def test_turns_of_one_outcome_make_every_ask_a_new_wish():
    turns = told_by_signs(200)
    alike = turns.take(turns.outcome == KEEPS)
    assert fit_carry(alike).card() == fresh().card()


def rows_of(writers, each=8):
    """Conversations of some writers, and single asks."""
    found = []
    for writer in writers:
        for k in range(each):
            before = (Exchange(f"migrate {writer} {k}", "Shall I?"),)
            for turn in ("answer", "follow_up", "new"):
                found.append(
                    LabelledRow(f"{turn} {writer} {k}", "refactoring/migration", (0, 0, 0, 1.0),
                                f"corpus/{writer}", f"{writer}{k}{turn}", before=before, turn=turn)
                )  # fmt: skip
            found.append(
                LabelledRow(f"ask {writer} {k}", "general/knowledge", (1.0, 0, 0, 0),
                            f"corpus/{writer}", f"{writer}{k}")
            )  # fmt: skip
    return found


def readings_of(rows):
    asks = [e.ask for row in rows for e in row.before]
    fresh_asks = {row.text: reading("general/knowledge", 1) for row in rows}
    answers = {row.text: CHAT for row in rows if row.turn == "answer"}
    return dict.fromkeys(asks, BIG) | fresh_asks | answers


def test_wishes_are_made_of_single_asks_and_weigh_less():
    rows = rows_of("abcdef")
    turns = turns_of(rows, readings_of(rows))
    written = turns.row == turns.other
    assert written.sum() == sum(bool(row.before) for row in rows)
    assert (turns.weight[written] == 1).all()
    assert (turns.weight[~written] < 1).all()
    made = ~written & (turns.outcome == REPLACES)
    assert made.any()
    assert all(not rows[i].before for i in turns.other[made])


def test_no_turn_is_judged_by_a_network_that_saw_its_writer():
    """The networks of two trainings differ only where a writer's own turns differ."""
    rows = rows_of("abcdef")
    turns = turns_of(rows, readings_of(rows))
    plain = by_fold(turns, rows)
    mine = np.array([rows[i].source == "corpus/a" for i in turns.row])
    theirs = mine | np.array([rows[i].source == "corpus/a" for i in turns.other])
    turned = Turns(turns.seen, np.where(theirs, (turns.outcome + 1) % OUTCOMES, turns.outcome),
                   turns.weight, turns.row, turns.other)  # fmt: skip
    again = by_fold(turned, rows)
    assert again[mine] == pytest.approx(plain[mine])
    assert np.abs(again[~mine] - plain[~mine]).max() > 1e-3


def test_only_turns_as_they_were_written_are_scored():
    rows = rows_of("abc")
    turns = turns_of(rows, readings_of(rows))
    odds = np.eye(OUTCOMES, dtype=np.float32)[np.zeros(len(turns.outcome), int)]
    scores = turn_scores(rows, turns, odds)
    assert set(scores) == {"answer", "follow_up", "new"}
    for found in scores.values():
        assert found == {"rows": 24, "kept": 1.0, "altered": 0.0, "replaced": 0.0}
