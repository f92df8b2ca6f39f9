"""What newest words do to a task is told from signs that are finite, bounded and cheap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.carry import (
    OUTCOME_OF,
    OUTCOMES,
    REPLACES,
    SIGNS,
    TURNS,
    Carry,
    TextReading,
    signs,
)
from classifier.tasks import N_LEVELS, TYPES
from classifier.training.carry import fresh
from tests.growth import assert_linear


def reading(task="refactoring/migration", level=4, turn="new"):
    def sure(names, name):
        p = np.full(len(names), 0.1 / (len(names) - 1), np.float32)
        p[list(names).index(name)] = 0.9
        return p

    return TextReading(sure(TYPES, task), sure(range(1, N_LEVELS + 1), level), sure(TURNS, turn))


BIG, CHAT = reading(), reading("general/conversation", 1, "answer")


@given(st.text(), st.text())
def test_signs_of_any_words_are_finite_and_bounded(reply, ask):
    seen = signs(BIG, reply, CHAT, ask)
    assert seen.shape == (SIGNS,)
    assert np.isfinite(seen).all()
    assert np.abs(seen).max() < 8


@pytest.mark.parametrize("piece", ["?", "1. ", "- ", "a/", "`", "x", "é ", "yes ", "\n", "(a) "])
def test_signs_take_time_that_grows_with_the_words_at_most(piece):
    assert_linear(
        lambda text: signs(BIG, text, CHAT, text), lambda n: piece * (n // len(piece)), 30_000
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("Shall I go on?", "yes"), ("All of it is done.", "yes")),
        (("Pick one:\n1. this\n2. that", "2"), ("Pick one, this or that", "2")),
        (("Where is it?", "src/main.py"), ("Where is it?", "somewhere")),
        (("Which one?", "B"), ("Which one?", "Bravo")),
        (("Postgres or MySQL?", "postgres"), ("Postgres or MySQL?", "bananas")),
        (("Shall I?", "sure"), ("Shall I?", "sure?")),
    ],
)
def test_questions_options_picks_names_and_what_both_share_are_seen(one, other):
    assert not np.array_equal(
        signs(BIG, one[0], CHAT, one[1]), signs(BIG, other[0], CHAT, other[1])
    )


def test_every_turn_has_an_outcome():
    assert set(OUTCOME_OF) == set(TURNS)
    assert set(OUTCOME_OF.values()) == set(range(OUTCOMES))


def carry(seed=1, hidden=5):
    rng = np.random.default_rng(seed)
    shapes = ((SIGNS, hidden), (hidden,), (hidden, OUTCOMES), (OUTCOMES,))
    return Carry(*(rng.normal(size=shape).astype(np.float32) for shape in shapes))


def test_it_travels_in_a_card():
    made = carry()
    again = Carry.of(made.card())
    seen = signs(BIG, "Shall I?", CHAT, "yes")
    assert again.outcome(seen) == pytest.approx(made.outcome(seen), abs=1e-3)
    assert made.outcome(seen).sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", ["w1", "w2"])
def test_weights_for_other_signs_are_refused(name):
    card = carry().card()
    wrong = card | {name: (np.array(card[name])[:, :-1] if name == "w2" else card[name][:-1])}
    with pytest.raises(ValueError, match="signs"):
        Carry.of(wrong)


def test_without_conversations_every_ask_is_a_new_wish():
    seen = signs(BIG, "Shall I?", CHAT, "yes")
    assert fresh().outcome(seen).argmax() == REPLACES
