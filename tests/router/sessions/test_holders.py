"""Whose an answer is that its provider keeps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.sessions.holders import give, is_anothers
from router.sessions.session import Session
from router.sessions.store import MemorySessions


def store() -> MemorySessions:
    return MemorySessions(limit=1000, idle_s=100.0, clock=lambda: 0.0)


NAMES = st.sampled_from(["anna", "ben", "owner", "anonymous 1.2.3.4", "several", ""])


@given(st.lists(st.tuples(NAMES, st.sampled_from("xyz"))))
async def test_an_id_is_anothers_where_one_other_alone_was_given_it(given_ids):
    answers = store()
    for caller, kept in given_ids:
        await give(answers, [kept], caller)
    for caller in ("anna", "ben", "several"):
        for kept in "xyz":
            holders = {who for who, what in given_ids if what == kept}
            others = len(holders) == 1 and caller not in holders
            assert await is_anothers(answers, kept, caller) is others


async def test_a_store_of_several_processes_carries_it():
    answers = store()
    await give(answers, ["resp_1"], "anna")
    [(key, (changed_s, session))] = answers._awake.items()
    held = Session.load(session.dump())
    assert held.holder
    assert "anna" not in held.holder
    answers._awake[key] = (changed_s, held)
    assert await is_anothers(answers, "resp_1", "ben")
    assert not await is_anothers(answers, "resp_1", "anna")


class DownStore:
    """A shared store that is down."""

    async def get(self, key):
        raise ConnectionError

    async def update(self, key, change):
        raise ConnectionError


async def test_a_store_that_is_down_refuses_nobody():
    await give(DownStore(), ["resp_1"], "anna")
    assert not await is_anothers(DownStore(), "resp_1", "ben")
