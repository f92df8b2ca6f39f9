"""What a decision does to its session: every situation there is, and the laws between them."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.decision.moves import TRANSITIONS, Situation, lock_of, move_of, saves
from router.sessions.session import NEW, Session, Wishes
from router.values import Candidate, Move, Needs, Support, Unit

ALL = [Situation(*facts) for facts in product((False, True), repeat=8)]

WHEN = {
    Move.BEGIN: lambda s: not s.begun,
    Move.REPLACE: lambda s: s.begun and not s.can_stay,
    Move.LOCKED: lambda s: held(s) and (s.locked or s.bound),
    Move.ESCALATE: lambda s: free(s) and (not s.tolerable or s.pays),
    Move.SWITCH: lambda s: content(s) and not s.under_way and s.saves,
    Move.STAY: lambda s: content(s) and (s.under_way or not s.saves),
}
"""The same rules said the other way round: each move, and when it is made."""


def held(s):
    return s.begun and s.can_stay


def free(s):
    return held(s) and not (s.locked or s.bound)


def content(s):
    return free(s) and s.tolerable and not s.pays


def moves(**facts):
    """Return the moves of all situations in which these facts hold."""
    return {move_of(s) for s in ALL if facts.items() <= s._asdict().items()}


def test_in_every_situation_there_is_exactly_one_move():
    assert len(ALL) == 256
    assert WHEN.keys() == set(Move)
    for s in ALL:
        assert [move for move, holds in WHEN.items() if holds(s)] == [move_of(s)], s


def test_without_an_incumbent_it_begins_and_never_again():
    assert moves(begun=False) == {Move.BEGIN}
    assert Move.BEGIN not in moves(begun=True)


def test_who_cannot_serve_is_replaced_whatever_binds_and_nobody_else_is():
    assert moves(begun=True, can_stay=False) == {Move.REPLACE}
    assert Move.REPLACE not in moves(begun=True, can_stay=True)


@pytest.mark.parametrize("lock", ["locked", "bound"])
def test_a_lock_never_switches(lock):
    assert moves(begun=True, can_stay=True, **{lock: True}) == {Move.LOCKED}


def test_nothing_switches_for_price_while_a_task_is_under_way():
    assert Move.SWITCH not in moves(under_way=True)


def test_nothing_switches_for_a_price_that_saves_nothing():
    assert Move.SWITCH not in moves(saves=False)


def test_failure_does_not_wait_for_the_task_to_end():
    assert Move.ESCALATE in moves(under_way=True)
    assert Move.ESCALATE in moves(under_way=True, tolerable=True, pays=True)
    assert Move.ESCALATE not in moves(tolerable=True, pays=False)


def test_every_row_of_the_table_decides_something():
    for i, (fact, value, move) in enumerate(TRANSITIONS):
        above = [(f, not v) for f, v, _ in TRANSITIONS[:i]]
        assert moves(**dict([*above, (fact, value)])) == {move}, fact


# The facts.


@pytest.mark.parametrize(
    ("needs", "session", "lock"),
    [
        (Needs(open_tool_call=True), NEW, "a tool call is open"),
        (Needs(provider_state=True), NEW, "its provider keeps the conversation"),
        (Needs(), Session(wishes=Wishes(stays=True)), "switching is off for this session"),
        (Needs(signed_reasoning=True), Session(wishes=Wishes(pin="a/x")), None),
    ],
)
def test_what_locks_says_so(needs, session, lock):
    assert lock_of(needs, session) == lock


def candidate(name, usd):
    return Candidate(
        unit=Unit(name), quality=0.8, lower=0.7, evidence=Support.MEASURED, p_near=0.9, near=True,
        tolerable=True, ordinary_usd=usd, task_usd=usd, plan_usd=usd, score=usd, second=None,
    )  # fmt: skip


@given(st.floats(0, 100), st.floats(0, 100), st.integers(0, 20))
def test_a_toll_only_ever_holds_back(stay_usd, usd, toll):
    stay, cheapest = candidate("a", stay_usd), candidate("b", usd)
    if saves(stay, cheapest, toll + 1):
        assert saves(stay, cheapest, toll)
    if saves(stay, cheapest, toll):
        assert usd < stay_usd
    assert not saves(stay, stay, toll)
