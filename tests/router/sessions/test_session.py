"""A session's value, its changes, and the stores that keep it."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import threading
from dataclasses import replace

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.sessions.session import (
    NEW,
    SESSION_PARTS,
    Basis,
    Cache,
    Context,
    Evidence,
    Incumbent,
    Run,
    Session,
    Task,
    Trouble,
    Wishes,
)
from router.sessions.steps import (
    COMPLAINT_FAILURES,
    FAILURES_A_STEP,
    MAX_CACHES,
    MAX_RUNS,
    foreign_items,
    hear,
    key_of,
    on_decision,
    on_request,
    on_serving,
    on_usage,
    on_wishes,
)
from router.sessions.store import AWAKE, MemorySessions
from router.values import (
    NO_SESSION_WISHES,
    Candidate,
    Candidates,
    Decision,
    Interface,
    SessionWishes,
    Support,
    Unit,
    Usage,
)
from router.wire.request import parse
from tests.evidence import assessment

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


def facing(session, request):
    return on_request(session, hear(request))


def after(session, request, model="a/x", now_s=0.0):
    return on_serving(facing(session, request), Unit(model), hear(request), now_s)


FIRST = talk(("user", "Fix the crash in the parser"))

NEAR = Candidate(
    unit=Unit("a/x"), quality=0.8, lower=0.7, evidence=Support.MEASURED, p_near=0.9, near=True,
    tolerable=True, ordinary_usd=0.1, task_usd=0.1, plan_usd=0.1, score=0.1, second=Unit("z/strong"),
)  # fmt: skip


# What a new request changes.


def test_a_tool_result_continues_the_ask():
    began = after(NEW, FIRST)
    goes_on = facing(began, talk(("user", "Fix the crash in the parser"), ("tool", "a file")))
    assert goes_on.task == Task(began.task.evidence, asks=1, calls=1, quiet_asks=1)
    assert goes_on.trouble == Trouble()


def test_failures_are_news_in_steps_and_success_undoes_them():
    session = after(NEW, FIRST)
    ask = ("user", "Fix the crash in the parser")
    steps = []
    for failed in range(5):
        request = talk(ask, *[("tool", FAILED)] * failed)
        steps.append(facing(session, request).task.evidence.steps)
    assert steps == [n // FAILURES_A_STEP for n in range(5)]
    undone = facing(session, talk(ask, ("tool", FAILED), ("tool", FAILED), ("tool", PASSED)))
    assert undone.trouble.failures == 0
    assert undone.task.evidence.steps == 0


def test_the_same_words_said_again_are_a_new_ask():
    session = after(NEW, talk(("user", "go on")))
    again = facing(session, talk(("user", "go on"), ("assistant", "ok"), ("user", "go on")))
    assert again.task.asks == 2
    assert again.task.evidence != session.task.evidence


@pytest.mark.parametrize(
    ("ask", "carried"),
    [
        ("It still fails with the same error.", 2 + COMPLAINT_FAILURES),
        ("That didn't work", 2 + COMPLAINT_FAILURES),
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
    assert session.trouble.failures == 2
    nexts = facing(session, talk(*said, ("assistant", "Done."), ("user", ask)))
    assert nexts.trouble.failures == nexts.trouble.carried == carried
    assert nexts.task.asks == 2


def test_failures_follow_the_task_when_the_next_ask_carries_it_on():
    said = [("user", "Fix the crash in the parser"), ("tool", FAILED), ("tool", FAILED)]
    session = after(after(NEW, FIRST), talk(*said))
    asked = talk(*said, ("assistant", "Shall I go on?"), ("user", "yes, please"))
    for carries, carried in ((True, 2), (False, 0)):
        nexts = on_request(session, hear(asked, carries=carries))
        assert nexts.trouble.failures == nexts.trouble.carried == carried


WORK = [("user", "Fix the crash in the parser"), ("tool", FAILED), ("tool", FAILED)]


def decided(session, unit, family="debugging/bug_fixing", asked=FIRST):
    """Return the session once an ask that reads so was decided and is served."""
    made = Decision(
        unit, (), 0.8, 0.1, adequate=True, why="", candidates=Candidates([unit], lambda _: NEAR)
    )
    session = on_decision(facing(session, asked), assessment(family), made, unit)
    return on_serving(session, unit, hear(asked), 0.0)


def beside(*asides):
    """Return a session whose work failed twice and waits, and what was said in it: asides are (text, type)."""
    said, session = list(WORK), decided(NEW, Unit("a/weak"))
    session = after(session, talk(*said), "a/weak")
    for text, family in asides:
        said += [("assistant", "Shall I go on?"), ("user", text)]
        session = decided(session, Unit("b/other"), family, talk(*said))
        assert not session.troubles, "what is asked beside begins without them"
    return session, [*said, ("assistant", "It means that they conflict.")]


QUESTION = ("Before that: what does 409 mean?", "general/knowledge")


@pytest.mark.parametrize(
    "asides", [[QUESTION], [("Thanks!", "general/conversation")], [QUESTION] * 3]
)
def test_work_that_waits_for_an_aside_keeps_its_failures(asides):
    session, said = beside(*asides)
    on = hear(talk(*said, ("user", "yes, go on")), carries=True)
    goes_on = on_request(session, on)
    assert goes_on.troubles == ((Unit("a/weak"), 2),), "whoever answered what was asked beside it"
    assert goes_on.trouble.carried == goes_on.trouble.failures == 2
    assert goes_on.waiting == Trouble()
    wrong = facing(session, talk(*said, ("user", "It still fails with the same error.")))
    assert wrong.trouble.failures == 2 + COMPLAINT_FAILURES
    fresh = facing(session, talk(*said, ("user", "Write the docs of the importer.")))
    assert fresh.troubles == ()


def test_work_that_took_the_place_of_failed_work_does_not_take_its_failures():
    session, said = beside(("Write the migration for orders.", "refactoring/migration"))
    goes_on = on_request(session, hear(talk(*said, ("user", "yes, go on")), carries=True))
    assert goes_on.troubles == ()


def test_what_fails_itself_is_no_aside():
    session, said = beside(("Find out why CI is slow.", "investigation/repo_exploration"))
    said[-1:] = [("tool", FAILED)] * 3
    session = after(session, talk(*said), "b/other")
    asked = talk(*said, ("assistant", "Shall I go on?"), ("user", "yes"))
    goes_on = on_request(session, hear(asked, carries=True))
    assert goes_on.troubles == ((Unit("b/other"), 3),)


def test_a_first_question_is_no_aside():
    asked = [("user", "Why is CI slow?"), ("tool", FAILED), ("tool", FAILED)]
    session = decided(NEW, Unit("a/x"), "investigation/repo_exploration", talk(asked[0]))
    session = after(session, talk(*asked), "a/x")
    said = talk(*asked, ("assistant", "Shall I go on?"), ("user", "yes"))
    assert on_request(session, hear(said, carries=True)).troubles == ((Unit("a/x"), 2),)


def test_the_planned_successor_is_remembered_for_who_serves():
    assert decided(NEW, Unit("a/x")).incumbent.successor == NEAR.second
    unplanned = Decision(Unit("a/x"), (), 0.8, 0.1, adequate=True, why="", mapped=True)
    assert on_decision(NEW, assessment(), unplanned, Unit("a/x")).incumbent is None


def test_a_complaint_needs_something_to_complain_of():
    complaint = talk(("user", "It still fails with the same error."))
    assert facing(NEW, complaint).trouble.failures == 0


def test_failures_stay_with_the_model_that_made_them():
    said = [("user", "Fix the crash in the parser"), ("tool", FAILED), ("tool", FAILED)]
    session = after(NEW, FIRST, model="a/weak")
    session = after(session, talk(*said), model="b/strong")
    assert session.troubles == ((Unit("a/weak"), 2),)
    more = facing(session, talk(*said, ("tool", FAILED)))
    assert more.troubles == ((Unit("a/weak"), 2), (Unit("b/strong"), 1))
    fresh = facing(
        more, talk(*said, ("assistant", "Done"), ("user", "Write a changelog entry now"))
    )
    assert fresh.troubles == ()


def test_failures_stay_with_the_effort_that_made_them():
    said = [("user", "Fix the crash in the parser"), ("tool", FAILED), ("tool", FAILED)]
    low, high = Unit("a/x", "low"), Unit("a/x", "high")

    def served(session, request, unit):
        return on_serving(facing(session, request), unit, hear(request), 0.0)

    session = served(served(NEW, FIRST, low), talk(*said), high)
    assert session.troubles == ((low, 2),)
    more = talk(*said, ("tool", FAILED))
    assert facing(session, more).troubles == ((low, 2), (high, 1))
    back = served(session, more, low)
    assert facing(back, talk(*said, *[("tool", FAILED)] * 2)).troubles == (
        (low, 2),
        (high, 1),
        (low, 1),
    )


def test_the_tenth_failure_is_as_much_news_as_the_second():
    ask = ("user", "Fix the crash in the parser")
    steps = [
        facing(NEW, talk(ask, *[("tool", FAILED)] * n)).task.evidence.steps for n in range(0, 20, 2)
    ]
    assert len(set(steps)) == len(steps)


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
    assert facing(NEW, first).task.evidence.answers == 0
    assert facing(NEW, answered).task.evidence.answers == 1


def test_a_compacted_history_is_cached_nowhere():
    long = talk(("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"), ("user", "e"))
    session = after(NEW, long)
    assert session.cached_tokens("a/x", 300.0, 0.0) > 0
    assert facing(session, talk(("user", "summary"), ("user", "e"))).context.caches == ()


# Caches and authors.


def test_a_cache_lives_for_its_lifetime_and_every_use_renews_it():
    session = after(NEW, FIRST, now_s=1000.0)
    assert session.cached_tokens("a/x", 300.0, 1300.0) > 0
    assert session.cached_tokens("a/x", 300.0, 1301.0) == 0
    again = after(session, FIRST, now_s=1300.0)
    assert again.cached_tokens("a/x", 300.0, 1600.0) > 0
    assert session.cached_tokens("b/y", 300.0, 1000.0) == 0


def billed(session, usage, *, before=0, estimated=1000):
    return on_usage(
        session, "a/x", usage, estimated_tokens=estimated, cached_before=before, now_s=5.0
    ).context


def test_cached_tokens_are_those_that_the_provider_reports():
    session = after(NEW, FIRST)
    implicit = billed(session, Usage(input_tokens=900, output_tokens=10))
    assert implicit.caches == (Cache("a/x", 900, 5.0),)
    explicit = billed(
        session,
        Usage(input_tokens=900, output_tokens=10, cached_tokens=100, cache_write_tokens=600),
    )
    assert explicit.caches == (Cache("a/x", 700, 5.0),)


def test_a_cache_that_is_never_reported_is_disbelieved_once_and_until_it_is():
    session, seen = NEW, []
    for cached in (0, 0, 0, 0, 800, 0):
        before = session.cached_tokens("a/x", 300.0, 5.0)
        usage = Usage(input_tokens=900, output_tokens=10, cached_tokens=cached)
        session = after(session, FIRST, now_s=5.0)
        session = replace(session, context=billed(session, usage, before=before))
        seen.append(session.cached_tokens("a/x", 300.0, 5.0))
    assert seen == [900, 0, 0, 0, 900, 0]


def test_estimates_are_scaled_by_what_was_reported():
    context = billed(after(NEW, FIRST), Usage(input_tokens=700, output_tokens=10))
    assert context.scale == pytest.approx(0.7)
    assert context.input_tokens == 700


def test_only_the_newest_caches_and_authors_are_remembered():
    session = NEW
    for n in range(3 * MAX_RUNS):
        turns = [("user", f"ask {k}") for k in range(n + 1)]
        session = after(session, talk(*turns), model=f"v{n}/m")
    assert len(session.context.caches) == MAX_CACHES
    assert len(session.authors) == MAX_RUNS
    assert session.context.caches[0].model == session.model == f"v{3 * MAX_RUNS - 1}/m"


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
    pinned = on_wishes(NEW, SessionWishes(pin="a/x", stays=True))
    assert pinned.wishes == Wishes("a/x", stays=True)
    assert on_wishes(pinned, NO_SESSION_WISHES) is pinned
    assert on_wishes(pinned, SessionWishes(reassess=True)) is pinned
    assert on_wishes(pinned, SessionWishes(unpin=True)).wishes == Wishes(None, stays=True)
    assert on_wishes(pinned, SessionWishes(stays=False)).wishes == Wishes("a/x", stays=False)


# Stores.


names = st.sampled_from(["a/x", "b/y", "c/z"])
units = st.builds(Unit, names, st.none() | st.sampled_from(["low", "high"]))
counts = st.integers(0, 10**6)
numbers = st.floats(0, 1e9)
evidence = st.builds(Evidence, st.none() | st.text(max_size=8), counts, counts)
readings = st.builds(assessment, level=st.integers(1, 4), sure=st.floats(0.3, 1))


def listed(rows):
    return st.lists(rows, max_size=3).map(tuple)


troubles = st.builds(Trouble, counts, counts, listed(st.tuples(units, counts)), counts)
sessions = st.builds(
    Session,
    incumbent=st.none()
    | st.builds(
        Incumbent, units, listed(units), st.none() | numbers, st.none() | numbers, st.booleans(),
        st.none() | units,
    ),
    basis=st.none() | st.builds(Basis, readings, evidence, st.text(max_size=8)),
    task=st.builds(Task, evidence, counts, counts, counts, counts),
    trouble=troubles,
    waiting=troubles,
    context=st.builds(
        Context, listed(st.builds(Cache, names, counts, numbers)), counts, st.none() | counts,
        numbers, st.none() | numbers, st.none() | numbers,
    ),
    authors=listed(st.builds(Run, counts, st.sampled_from("abc"))),
    wishes=st.builds(Wishes, st.none() | names, st.booleans()),
    holder=st.text(max_size=8),
)  # fmt: skip

RICH = Session(
    incumbent=Incumbent(
        Unit("a/x", "high"),
        (Unit("b/y"), Unit("c/z", "low")),
        0.9,
        0.25,
        True,
        Unit("d/w", "low"),
        Support.MEASURED,
    ),
    basis=Basis(replace(assessment(), declared="mode plan"), Evidence("c0ffee", 2, 1), "balanced"),
    task=Task(Evidence("decade", 1, 2), asks=3, calls=4, toll=5, quiet_asks=6),
    trouble=Trouble(7, carried=8, failed=((Unit("b/y", "low"), 9),), blamed=10),
    waiting=Trouble(11, carried=12, failed=((Unit("c/z"), 13),), blamed=14),
    context=Context((Cache("a/x", 11, 12.5), Cache("b/y", 13, 14.5)), 15, 16, 1.5, 17.5, 18.5),
    authors=(Run(0, "a"), Run(5, "b")),
    wishes=Wishes("a/x", stays=True),
    holder="c0ffee",
)
"""No field has its default."""


def plain(session):
    """Return all that a dump keeps, written by other means; the ask stays in the process."""
    if session.basis:
        read = replace(session.basis.assessment, ask="")
        session = replace(session, basis=replace(session.basis, assessment=read))
    fields = dataclasses.asdict(session)
    return orjson.dumps(fields, default=list, option=orjson.OPT_SERIALIZE_NUMPY)


def written(session):
    return orjson.loads(session.dump())


def loaded(raw):
    return Session.load(orjson.dumps(raw))


@given(sessions)
def test_what_is_dumped_can_be_loaded(session):
    again = Session.load(session.dump())
    assert plain(again) == plain(session)
    assert again.dump() == session.dump()


def test_every_field_of_every_part_survives():
    """As what it was: a tuple comes back as one, a named tuple with its name."""
    parts = {field.name: getattr(RICH, field.name) for field in dataclasses.fields(RICH)}
    assert parts.keys() == SESSION_PARTS.keys()
    for part in (RICH, *parts.values()):
        for field in dataclasses.fields(part) if dataclasses.is_dataclass(part) else ():
            assert getattr(part, field.name) != field.default, f"RICH says nothing of {field.name}"
    again = Session.load(RICH.dump())
    basis, was = again.basis, parts.pop("basis")
    assert {name: getattr(again, name) for name in parts} == parts
    assert isinstance(again.context.caches[0], Cache)
    assert isinstance(again.authors[0], Run)
    assert (basis.evidence, basis.terms) == (was.evidence, was.terms)
    assert basis.assessment.declared == "mode plan"
    assert np.array_equal(basis.assessment.p_type, was.assessment.p_type)
    assert basis.assessment.p_type.dtype == basis.assessment.p_level.dtype == np.float32
    assert "fix it" not in RICH.dump().decode()


def test_a_field_that_is_missing_has_its_default():
    """The newer of two versions reads what the older wrote."""
    for part in dataclasses.fields(Session):
        raw = written(RICH)
        del raw[part.name]
        assert plain(loaded(raw)) == plain(replace(RICH, **{part.name: part.default}))
        held = getattr(RICH, part.name)
        for field in dataclasses.fields(held) if dataclasses.is_dataclass(held) else ():
            if field.default is not dataclasses.MISSING:
                raw = written(RICH)
                del raw[part.name][field.name]
                bare = replace(RICH, **{part.name: replace(held, **{field.name: field.default})})
                assert plain(loaded(raw)) == plain(bare), (part.name, field.name)


def test_a_field_that_is_not_known_is_left_out():
    """The older of two versions reads what the newer wrote."""
    raw = written(RICH)
    incumbent, failed = raw["incumbent"], raw["trouble"]["failed"]
    for known in (raw, *raw.values(), incumbent["unit"], *incumbent["fallbacks"], failed[0][0]):
        if isinstance(known, dict):
            known["colour"] = "green"
    raw["basis"]["assessment"]["colour"] = "green"
    for row in (raw["task"]["evidence"], raw["basis"]["evidence"]):
        row.append("green")
    assert plain(loaded(raw)) == plain(RICH)


@pytest.mark.parametrize(
    "rows_of",
    [
        lambda raw: raw["context"]["caches"],
        lambda raw: raw["authors"],
        lambda raw: raw["trouble"]["failed"],
        lambda raw: raw["waiting"]["failed"],
    ],
    ids=["caches", "authors", "failed", "waiting"],
)
def test_a_row_that_grew_is_read_as_far_as_it_is_known(rows_of):
    raw = written(RICH)
    for row in rows_of(raw):
        row.append("green")
    assert plain(loaded(raw)) == plain(RICH)


def test_a_dump_of_another_version_begins_anew():
    flat = {"model": "a/x", "effort": "", "calls": 3, "caches": [["a/x", 5, 1.0]], "asks": 1}
    for raw in (flat, {**written(RICH), "version": 3}):
        assert plain(loaded(raw)) == plain(NEW)


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
    """Subagents and retries run at once: every ask is counted, and what is held is one of them."""
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
                s, name, usage, estimated_tokens=10, cached_before=0, now_s=float(n)
            ),
        )

    await asyncio.gather(*(turn(n) for n in range(40)))
    session = await store.get("k")
    assert session.task.asks == 40
    assert session.model in {"v0/m", "v1/m", "v2/m"}
    caches, starts = session.context.caches, [run.first_item for run in session.authors]
    assert {cache.model for cache in caches} == {"v0/m", "v1/m", "v2/m"}
    assert caches[0].model == session.model
    assert starts == sorted(starts)
    assert await store.get("other") is NEW
    if isinstance(store, SharedSessions):
        assert store.retries > 0, "nothing collided, so nothing was shown"


def one_more_call(session):
    return replace(session, task=replace(session.task, calls=session.task.calls + 1))


def test_threads_may_share_the_memory():
    store = memory()

    def count():
        for _ in range(300):
            asyncio.run(store.update("k", one_more_call))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asyncio.run(store.get("k")).task.calls == 1200


async def test_what_was_put_to_sleep_is_there_when_it_is_asked_for():
    store = memory(limit=3 * AWAKE)
    for n in range(2 * AWAKE):
        await store.update(str(n), one_more_call)
    await store.update("0", one_more_call)
    calls = [(await store.get(str(n))).task.calls for n in range(2 * AWAKE)]
    assert calls == [2, *[1] * (2 * AWAKE - 1)]
    assert len(store) == 2 * AWAKE


async def test_the_collector_goes_over_the_newest_sessions_only():
    """Over a server's 20,000 it took long enough to be felt by whoever waited for a word."""
    store = memory(limit=10 * AWAKE)
    sizes = []
    for n in range(6 * AWAKE):
        await store.update(str(n), lambda s: after(s, talk(("user", "Fix it")), "a/m"))
        if n % AWAKE == AWAKE - 1:
            gc.collect()
            sizes.append(len(gc.get_objects()))
    assert sizes[-1] - sizes[1] < AWAKE


async def test_memory_is_bounded_and_forgets_what_rests():
    now = [0.0]
    store = memory(limit=3, idle_s=60.0, clock=lambda: now[0])
    for key in "abcd":
        await store.update(key, one_more_call)
    assert len(store) == 3
    now[0] = 50.0
    await store.update("d", one_more_call)
    now[0] = 100.0
    assert (await store.get("d")).task.calls == 2
    assert await store.get("c") is NEW
