"""A session's value, its changes, and the stores that keep it."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import BadRequest
from router.sessions.session import (
    COMPLAINT_FAILURES,
    FAILURES_A_STEP,
    MAX_CACHES,
    NEW,
    Cache,
    Evidence,
    Session,
    wishes_of,
)
from router.sessions.steps import (
    MAX_RUNS,
    foreign_items,
    key_of,
    on_request,
    on_serving,
    on_usage,
    on_wishes,
)
from router.sessions.store import MemorySessions
from router.values import Interface, Unit, Usage
from router.wire.request import parse
from tests.evidence import ECONOMICS, assessment

FAILED = "==== 2 failed, 3 passed in 0.4s ===="
PASSED = "==== 5 passed in 0.4s ===="


def talk(*turns):
    """Parse a chat from (role, text) pairs; "tool" is a call of bash and its result."""
    messages = []
    for i, (role, text) in enumerate(turns):
        if role == "tool":
            call = {"id": f"c{i}", "function": {"name": "bash", "arguments": f'{{"n": {i}}}'}}
            messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
            messages.append({"role": "tool", "tool_call_id": f"c{i}", "content": text})
        else:
            messages.append({"role": role, "content": text})
    body = {"model": "kilo-auto/efficient", "messages": messages, "tools": [{"name": "bash"}]}
    return parse(orjson.dumps(body), interface=Interface.CHAT)


def after(session, request, model="a/x", now_s=0.0):
    return on_serving(on_request(session, request), model, "", request, now_s)


FIRST = talk(("user", "Fix the crash in the parser"))


# What a new request changes.


def test_a_tool_result_continues_the_ask():
    began = after(NEW, FIRST)
    goes_on = on_request(began, talk(("user", "Fix the crash in the parser"), ("tool", "a file")))
    assert goes_on.evidence == began.evidence
    assert (goes_on.asks, goes_on.calls, goes_on.failures) == (1, 1, 0)


def test_failures_are_news_in_steps_and_success_undoes_them():
    session = after(NEW, FIRST)
    ask = ("user", "Fix the crash in the parser")
    steps = []
    for failed in range(5):
        request = talk(ask, *[("tool", FAILED)] * failed)
        steps.append(on_request(session, request).evidence.steps)
    assert steps == [n // FAILURES_A_STEP for n in range(5)]
    undone = on_request(session, talk(ask, ("tool", FAILED), ("tool", FAILED), ("tool", PASSED)))
    assert undone.failures == 0
    assert undone.evidence.steps == 0


def test_the_same_words_said_again_are_a_new_ask():
    session = after(NEW, talk(("user", "go on")))
    again = on_request(session, talk(("user", "go on"), ("assistant", "ok"), ("user", "go on")))
    assert again.asks == 2
    assert again.evidence != session.evidence


@pytest.mark.parametrize(
    ("ask", "carried"),
    [
        ("It still fails with the same error.", 2 + COMPLAINT_FAILURES),
        ("That didn't work", 2 + COMPLAINT_FAILURES),
        ("ok, please continue", 2),
        ("Go on.", 2),
        ("Commit this with a short message.", 0),
        ("Now write the migration for the orders table, with a rollback.", 0),
        ("Why is the sky blue?", 0),
        ("Now add error handling to the importer.", 0),
        ("The export button does not work in Safari, fix that too.", 0),
        ("Fix the same issue in the admin module.", 0),
        ("Do not fix anything else. Write the docs.", 0),
        ("Still getting the same error", 2 + COMPLAINT_FAILURES),
        ("it doesn't work", 2 + COMPLAINT_FAILURES),
        ("The test keeps failing on CI.", 2 + COMPLAINT_FAILURES),
    ],
)
def test_failures_follow_the_task_and_not_the_next_one(ask, carried):
    said = [("user", "Fix the crash in the parser"), ("tool", FAILED), ("tool", FAILED)]
    session = after(after(NEW, FIRST), talk(*said))
    assert session.failures == 2
    nexts = on_request(session, talk(*said, ("assistant", "Done."), ("user", ask)))
    assert nexts.failures == nexts.carried == carried
    assert nexts.asks == 2


def test_a_complaint_needs_something_to_complain_of():
    assert on_request(NEW, talk(("user", "It still fails with the same error."))).failures == 0


def test_failures_stay_with_the_model_that_made_them():
    said = [("user", "Fix the crash in the parser"), ("tool", FAILED), ("tool", FAILED)]
    session = after(NEW, FIRST, model="a/weak")
    session = after(session, talk(*said), model="b/strong")
    assert session.troubles == ((Unit("a/weak"), 2),)
    more = on_request(session, talk(*said, ("tool", FAILED)))
    assert more.troubles == ((Unit("a/weak"), 2), (Unit("b/strong"), 1))
    fresh = on_request(
        more, talk(*said, ("assistant", "Done"), ("user", "Write a changelog entry now"))
    )
    assert fresh.troubles == ()


def test_an_answered_question_is_news():
    call = {"id": "q", "function": {"name": "ask_followup_question", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "Set up the database"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "q", "content": "PostgreSQL, please"},
    ]
    first = talk(("user", "Set up the database"))
    body = orjson.dumps({"model": "m", "messages": messages})
    answered = parse(body, interface=Interface.CHAT)
    assert on_request(NEW, first).evidence.answers == 0
    assert on_request(NEW, answered).evidence.answers == 1


def test_a_compacted_history_is_cached_nowhere():
    long = talk(("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"), ("user", "e"))
    session = after(NEW, long)
    assert session.cached_tokens("a/x", ECONOMICS, 0.0) > 0
    assert on_request(session, talk(("user", "summary"), ("user", "e"))).caches == ()


# Caches, money and authors.


def test_a_cache_lives_as_long_as_its_vendor_says_and_every_use_renews_it():
    session = after(NEW, FIRST, now_s=1000.0)
    lifetime = ECONOMICS.lifetime_s("a/x")
    assert session.cached_tokens("a/x", ECONOMICS, 1000 + lifetime) > 0
    assert session.cached_tokens("a/x", ECONOMICS, 1001 + lifetime) == 0
    again = after(session, FIRST, now_s=1000.0 + lifetime)
    assert again.cached_tokens("a/x", ECONOMICS, 1000 + 2 * lifetime) > 0
    assert session.cached_tokens("b/y", ECONOMICS, 1000.0) == 0


def billed(session, usage, *, before=0, estimated=1000, usd=0.5):
    return on_usage(
        session, "a/x", usage, estimated_tokens=estimated, cached_before=before, usd=usd, now_s=5.0
    )


def test_cached_tokens_are_those_that_the_provider_reports():
    session = after(NEW, FIRST)
    implicit = billed(session, Usage(input_tokens=900, output_tokens=10))
    assert implicit.caches == (Cache("a/x", 900, 5.0),)
    explicit = billed(
        session,
        Usage(input_tokens=900, output_tokens=10, cached_tokens=100, cache_write_tokens=600),
    )
    assert explicit.caches == (Cache("a/x", 700, 5.0),)
    broken = billed(session, Usage(input_tokens=900, output_tokens=10), before=800)
    assert broken.caches == (Cache("a/x", 0, 5.0),)


def test_estimates_are_scaled_by_what_was_reported():
    session = billed(after(NEW, FIRST), Usage(input_tokens=700, output_tokens=10))
    assert session.scale == pytest.approx(0.7)
    assert session.input_tokens == 700
    assert session.spent_usd == 0.5


def test_only_the_newest_caches_and_authors_are_remembered():
    session = NEW
    for n in range(3 * MAX_RUNS):
        turns = [("user", f"ask {k}") for k in range(n + 1)]
        session = after(session, talk(*turns), model=f"v{n}/m")
    assert len(session.caches) == MAX_CACHES
    assert len(session.runs) == MAX_RUNS
    assert session.caches[0].model == session.model == f"v{3 * MAX_RUNS - 1}/m"


def long_talk(n):
    return talk(*[("user", str(k)) for k in range(n)])


def test_only_what_another_family_wrote_is_foreign():
    session = after(after(NEW, long_talk(1), "anthropic/a"), long_talk(3), "anthropic/b")
    assert foreign_items(session, 5, "anthropic/c") == frozenset()
    assert foreign_items(session, 5, "openai/gpt") == {1, 2, 3, 4}
    session = after(session, long_talk(5), "openai/gpt")
    assert foreign_items(session, 7, "openai/gpt") == {1, 2, 3, 4}
    assert foreign_items(session, 7, "anthropic/x") == {5, 6}
    assert foreign_items(NEW, 7, "openai/gpt") == frozenset()


def test_a_compacted_history_of_several_families_keeps_no_reasoning():
    session = after(NEW, long_talk(10), "a/x")
    assert foreign_items(session, 2, "a/x") == frozenset()
    session = after(session, long_talk(12), "b/x")
    assert foreign_items(session, 3, "a/x") == {0, 1, 2}


# Identity and wishes.


def test_a_key_is_scoped_to_its_caller_and_tells_nothing():
    key = key_of("anna", "ses_secret")
    assert key == key_of("anna", "ses_secret")
    assert len({key, key_of("ben", "ses_secret"), key_of("anna", "other")}) == 3
    assert key != key_of("anna", "ses_secret", "agent-7")
    assert "secret" not in key
    assert "anna" not in key


@given(st.text(), st.text(), st.text())
def test_parts_of_a_key_cannot_run_into_each_other(caller, session, agent):
    if "\0" not in caller + session + agent:
        assert key_of(caller, session + agent, "") != key_of(caller, session, agent) or not agent


def test_wishes_last_until_they_are_changed():
    pinned = on_wishes(NEW, wishes_of({"x-auto-pin": "a/x", "x-auto-switch": "off"}))
    assert (pinned.pin, pinned.stays) == ("a/x", True)
    assert on_wishes(pinned, wishes_of({})).pin == "a/x"
    freed = on_wishes(pinned, wishes_of({"x-auto-pin": "off", "x-auto-switch": "on"}))
    assert (freed.pin, freed.stays) == ("", False)
    assert wishes_of({"x-auto-reassess": "true"}).reassess
    with pytest.raises(BadRequest, match="neither on nor off"):
        wishes_of({"x-auto-switch": "maybe"})


# Stores.


names = st.sampled_from(["a/x", "b/y", "c/z"])
sessions = st.builds(
    Session,
    model=names,
    effort=st.sampled_from(["", "high"]),
    fallbacks=st.lists(st.builds(Unit, names), max_size=3).map(tuple),
    expected_quality=st.floats(0, 1) | st.just(float("nan")),
    assessment=st.none() | st.builds(assessment, level=st.integers(1, 4)),
    evidence=st.builds(Evidence, st.text(max_size=8), st.integers(0, 3), st.integers(0, 3)),
    caches=st.lists(st.builds(Cache, names, st.integers(0, 10**6), st.floats(0, 1e9))).map(tuple),
    runs=st.lists(st.tuples(st.integers(0, 100), st.sampled_from("abc"))).map(tuple),
    failed=st.lists(st.tuples(st.builds(Unit, names), st.integers(1, 6))).map(tuple),
    spent_usd=st.floats(0, 1e6),
    pin=st.text(max_size=5),
    stays=st.booleans(),
)


@given(sessions)
def test_what_is_dumped_can_be_loaded(session):
    again = Session.load(session.dump())
    assert again.dump() == session.dump()
    assert (again.unit, again.caches, again.runs) == (session.unit, session.caches, session.runs)
    if session.assessment:
        assert np.array_equal(again.assessment.p_type, session.assessment.p_type)


class SharedSessions:
    """What a store between processes would do: bytes, versions, and compare-and-swap."""

    def __init__(self):
        self.held = {}
        self.retries = 0

    async def get(self, key):
        await asyncio.sleep(0)
        return Session.load(self.held[key][1]) if key in self.held else NEW

    async def update(self, key, change):
        while True:
            version, data = self.held.get(key, (0, NEW.dump()))
            await asyncio.sleep(0)  # another process may write now
            made = change(Session.load(data))
            await asyncio.sleep(0)
            if self.held.get(key, (0, None))[0] == version:
                self.held[key] = (version + 1, made.dump())
                return made
            self.retries += 1


def memory(limit=100, idle_s=60.0, clock=lambda: 0.0):
    return MemorySessions(limit=limit, idle_s=idle_s, clock=clock)


@pytest.mark.parametrize("make", [memory, SharedSessions])
async def test_turns_at_the_same_time_never_corrupt_a_session(make):
    """Subagents and retries run at once: every dollar is counted, and what is held is one of them."""
    store = make()

    async def turn(n):
        request = talk(*[("user", str(k)) for k in range(n + 1)])
        name = f"v{n % 3}/m"
        await store.update("k", lambda s: after(s, request, name, now_s=float(n)))
        await asyncio.sleep(0)
        usage = Usage(input_tokens=100 + n, output_tokens=1)
        await store.update(
            "k",
            lambda s: on_usage(
                s, name, usage, estimated_tokens=10, cached_before=0, usd=1.0, now_s=float(n)
            ),
        )

    await asyncio.gather(*(turn(n) for n in range(40)))
    session = await store.get("k")
    assert session.spent_usd == 40
    assert session.model in {"v0/m", "v1/m", "v2/m"}
    assert {cache.model for cache in session.caches} == {"v0/m", "v1/m", "v2/m"}
    assert session.caches[0].model == session.model
    assert [start for start, _ in session.runs] == sorted(start for start, _ in session.runs)
    assert await store.get("other") is NEW
    if isinstance(store, SharedSessions):
        assert store.retries > 0, "nothing collided, so nothing was shown"


def test_threads_may_share_the_memory():
    store = memory()

    def spend():
        for _ in range(300):
            asyncio.run(store.update("k", lambda s: replace(s, spent_usd=s.spent_usd + 1)))

    threads = [threading.Thread(target=spend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asyncio.run(store.get("k")).spent_usd == 1200


async def test_memory_is_bounded_and_forgets_what_rests():
    now = [0.0]
    store = memory(limit=3, idle_s=60.0, clock=lambda: now[0])
    for key in "abcd":
        await store.update(key, lambda s: replace(s, model=f"v/{key}"))  # noqa: B023 - runs at once
    assert len(store) == 3
    now[0] = 50.0
    await store.update("d", lambda s: replace(s, calls=1))
    now[0] = 100.0
    assert (await store.get("d")).model == "v/d"
    assert await store.get("c") is NEW
