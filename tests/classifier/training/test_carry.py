"""Answers are told from wishes where the signs tell them, and judged by networks that saw neither."""

from __future__ import annotations

from dataclasses import replace

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
    carry, asked = fit_carry(told_by_signs(3000)), told_by_signs(300, seed=2)
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
    asks = [(row.group, e.ask) for row in rows for e in row.before]
    fresh_asks = {(row.group, row.text): reading("general/knowledge", 1) for row in rows}
    answers = {(row.group, row.text): CHAT for row in rows if row.turn == "answer"}
    return dict.fromkeys(asks, BIG) | fresh_asks | answers


def test_the_same_words_of_two_writers_are_each_read_by_who_saw_nothing_of_him():
    rows = [replace(row, text="yes") for row in rows_of("ab", each=1) if row.turn == "answer"]
    read = {(row.group, row.before[0].ask): BIG for row in rows}
    own = {(rows[0].group, "yes"): CHAT, (rows[1].group, "yes"): reading("general/writing", 2)}
    turns = turns_of(rows, read | own)
    mine = turns.seen[turns.row == turns.other]
    assert len(mine) == 2
    assert not np.array_equal(*mine)


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


@pytest.mark.parametrize("missing", [KEEPS, ALTERS, REPLACES])
def test_an_outcome_that_no_turn_has_is_never_told_and_the_others_are(missing):
    turns, asked = told_by_signs(1500), told_by_signs(300, seed=2)
    carry = fit_carry(turns.take(turns.outcome != missing))
    there = asked.take(asked.outcome != missing)
    picked = np.array([carry.outcome(seen).argmax() for seen in there.seen])
    assert missing not in picked
    assert np.mean(picked == there.outcome) > 0.85


def test_the_turns_of_one_writer_alone_are_judged_by_look_alikes_left_out():
    rows = rows_of("a", each=30)
    turns = turns_of(rows, readings_of(rows))
    scores = turn_scores(rows, turns, by_fold(turns, rows))
    assert scores["answer"]["kept"] > 0.5


def test_no_network_sees_words_of_a_writer_whose_turns_it_judges():
    """Words of the writer's that stand in turns of others count as the writer's."""
    rows = rows_of("abcdef")
    turns = turns_of(rows, readings_of(rows))
    written_by = np.array([row.source for row in rows])
    of_a = written_by == "corpus/a"
    borrowed = of_a[turns.other] & ~of_a[turns.row]
    assert borrowed.any()
    gone = turns.take(~borrowed)
    mine = of_a[turns.row]
    assert by_fold(gone, rows)[of_a[gone.row]] == pytest.approx(by_fold(turns, rows)[mine])


def test_the_turns_of_one_writer_beside_single_asks_of_another_are_judged_as_his_alone():
    rows, other = rows_of("a", each=30), [row for row in rows_of("b") if not row.before]
    alone, beside = (
        turn_scores(all_rows, turns, by_fold(turns, all_rows))
        for all_rows in (rows, [*rows, *other])
        for turns in [turns_of(all_rows, readings_of(all_rows))]
    )
    assert beside["answer"]["kept"] == alone["answer"]["kept"] > 0.5


def test_a_sign_that_never_differed_in_training_is_not_looked_at():
    turns, asked = told_by_signs(300), told_by_signs(30, seed=2)
    turns.seen[:, 5] = 0
    carry = fit_carry(turns)
    plain = np.array([carry.outcome(seen) for seen in asked.seen])
    asked.seen[:, 5] += 1
    assert np.array_equal(plain, [carry.outcome(seen) for seen in asked.seen])


def test_words_are_looked_at_as_serving_looks_at_them():
    rows = rows_of("ab", each=1)
    spoken = [replace(row, text=f"  {row.text}\n") for row in rows]
    assert np.array_equal(
        turns_of(rows, readings_of(rows)).seen, turns_of(spoken, readings_of(spoken)).seen
    )
