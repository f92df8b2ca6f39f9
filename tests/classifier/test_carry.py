"""What newest words do to a task is told from signs that are finite, bounded and cheap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.carry import (
    ALTERS,
    OFF_EDGES,
    OUTCOME_OF,
    OUTCOMES,
    REPLACES,
    SIGNS,
    TURNS,
    Carry,
    TextReading,
    _last_question,
    probes,
    signs,
)
from classifier.model import follow
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
    assert np.abs(seen).max() < 6


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
        (("Which one?", "12"), ("Which one?", "twelve")),
        (("Here it is:", "go"), ("Here it is", "go")),
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


SPOILT = {
    "w1 of fewer signs": ("w1", lambda w: w[:-1]),
    "w1 a number": ("w1", lambda w: w[0, 0]),
    "w2 of fewer outcomes": ("w2", lambda w: w[:, :-1]),
    "w2 no numbers": ("w2", lambda w: w * np.nan),
    "b1 of fewer units": ("b1", lambda w: w[:-1]),
    "b2 of fewer outcomes": ("b2", lambda w: w[:-1]),
    "b2 a column": ("b2", lambda w: w[:, None]),
}


@pytest.mark.parametrize("how", SPOILT)
def test_weights_for_other_signs_and_weights_that_are_none_are_refused(how):
    (name, spoil), card = SPOILT[how], carry().card()
    with pytest.raises(ValueError, match="weights"):
        Carry.of(card | {name: spoil(np.array(card[name])).tolist()})


def test_without_conversations_every_ask_is_a_new_wish():
    seen = signs(BIG, "Shall I?", CHAT, "yes")
    assert fresh().outcome(seen).argmax() == REPLACES


def test_signs_of_the_longest_words_stay_bounded():
    words = " ".join(f"word{i}x?" for i in range(200_000))
    assert np.abs(signs(BIG, words, CHAT, words)).max() < 6


def test_only_the_end_of_a_reply_is_looked_at():
    end = "Shall I go on with the migration? " * 50
    assert np.array_equal(
        signs(BIG, end, CHAT, "yes"), signs(BIG, "1. this\n" * 99 + end, CHAT, "yes")
    )


@given(st.lists(st.floats(-6, 6, width=32), min_size=SIGNS, max_size=SIGNS), st.integers(0, 99))
def test_outcomes_of_any_signs_are_probabilities(seen, seed):
    odds = carry(seed).outcome(np.array(seen, np.float32))
    assert odds.shape == (OUTCOMES,)
    assert (odds >= 0).all()
    assert odds.sum() == pytest.approx(1, abs=1e-5)


@given(st.integers(0, 999), st.integers(1, 30))
def test_what_a_card_says_is_said_again(seed, hidden):
    card = carry(seed, hidden).card()
    assert Carry.of(card).card() == card


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [
        ("Two ways: keep it. Or drop it. Which one? I would keep it.", "Which one?"),
        ("好的。要哪一个？都可以。", "要哪一个？"),
        ("All done. Tests pass.", "Tests pass."),
        ("see https://a.b/?x=1", "see https://a.b/?x=1"),
        ("", ""),
    ],
)
def test_the_last_question_is_found_and_else_the_last_sentence(reply, wanted):
    assert _last_question(reply).strip() == wanted


def test_other_forms_of_the_words_that_were_asked_with_are_seen():
    reply = "Shall I add an index, or do you want the query itself rewritten?"
    near, far = (signs(BIG, reply, CHAT, ask) for ask in ("rewrite. no indexes", "buy some milk"))
    assert (near > far).sum() > (near < far).sum()
    assert near[33] > far[33] == 0


def test_no_sign_is_the_same_in_all_probes_and_none_is_at_an_edge_of_rounding():
    seen = np.array(probes(), float)
    assert (np.ptp(seen, axis=0) > 1e-3).all()
    hundredths = (seen + float(OFF_EDGES)) * 100
    assert np.abs(hundredths - np.floor(hundredths) - 0.5).min() > 5e-3


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("先做甲。再做乙。然后做丙", "First this. Then that. Then those"),
        ("一、二，三", "one, two, three"),
        ("نعم، الثاني", "yes, the second"),
    ],
)
def test_sentences_commas_and_openings_are_seen_in_other_scripts(one, other):
    here, there = (signs(BIG, "Which one?", CHAT, ask) for ask in (one, other))
    for sign in (45, 46, 50):
        assert here[sign] == there[sign]


def test_a_name_that_the_reply_quoted_is_seen_without_its_quotes():
    reply = "Shall I change `src/b.py` too?"
    assert [signs(BIG, reply, CHAT, ask)[51] for ask in ("src/b.py", "`src/b.py`", "yes")] == [
        1,
        1,
        0,
    ]


def test_an_altered_task_is_read_between_both_and_cannot_be_changed():
    only = np.array([-9, 9, -9], np.float32)  # ALTERS
    zeros = (np.zeros((SIGNS, 1), np.float32), np.zeros(1, np.float32))
    carry = Carry(*zeros, np.zeros((1, OUTCOMES), np.float32), only)
    made = follow(carry, BIG, "Done.", CHAT, "and the reports too")
    assert made.outcome == ALTERS
    for mixed, before, own in zip(made.reading, BIG, CHAT, strict=True):
        assert mixed == pytest.approx((before + own) / 2, abs=1e-3)
        assert not mixed.flags.writeable
