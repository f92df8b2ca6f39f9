"""The order of attempts, what makes the next one, and what is told when none is left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.providers.attempts import (
    MAX_ATTEMPTS,
    Attempt,
    attempts,
    exhausted,
    no_larger,
    to_tell,
)
from router.providers.breaker import Admission
from router.providers.endpoints import Endpoint, Provider
from router.values import Failure, Fault, Interface, Target, Unit


def attempt(model: str, provider: str = "p", window: int | None = None, own: str = "") -> Attempt:
    row = Provider(name=provider, base_url="http://x", formats=frozenset(Interface), serves=("",))
    endpoint = Endpoint(row, model, "http://x/chat", own, theirs=bool(own))
    return Attempt(Target(Unit(model)), endpoint, window)


FAULTS = {401: Fault.KEY, 402: Fault.ACCOUNT, 404: Fault.MODEL, 413: Fault.WINDOW}


def failed(current: Attempt, status: int):
    fault = FAULTS.get(status, Fault.MOMENT)
    return current.failed(status, f"status {status}", fault=fault)


def walk(planned, statuses, admit=lambda a: (Admission.YES, 0.0), larger=no_larger):
    """Let every attempt fail with the next status; return who was called, and the failures."""
    flow = attempts(planned, admit, larger)
    called = []
    try:
        current = next(flow)
        for status in statuses:
            called.append(current.target.unit.model)
            current = flow.send(failed(current, status))
    except StopIteration as stop:
        return called, stop.value
    called.append(current.target.unit.model)
    return called, None


def test_attempts_are_made_in_order_until_none_is_left():
    called, failures = walk([attempt("a"), attempt("b")], [500, 429])
    assert called == ["a", "b"]
    assert [f.status for f in failures] == [500, 429]


def test_there_is_an_end_to_trying():
    called, _ = walk([attempt(str(i)) for i in range(9)], [500] * 9)
    assert len(called) == MAX_ATTEMPTS


def test_a_provider_that_refused_our_key_is_not_asked_again():
    called, _ = walk([attempt("a"), attempt("b"), attempt("a", "q")], [401, 500])
    assert called == ["a", "a"]


def test_a_key_that_a_client_brought_is_not_ours():
    called, _ = walk([attempt("a", own="theirs"), attempt("b")], [401, 500])
    assert called == ["a", "b"]


def test_what_refused_our_account_is_asked_again_only_when_nothing_else_is_left():
    called, _ = walk([attempt("a"), attempt("b"), attempt("c", "q")], [402, 500, 500])
    assert called == ["a", "c", "b"]


def test_after_a_context_that_was_too_long_only_larger_ones_are_asked():
    planned = [
        attempt("a", window=200),
        attempt("b", window=100),
        attempt("c", window=200),
        attempt("d"),
        attempt("e", window=400),
        attempt("f", window=800),
    ]
    called, failures = walk(planned, [413, 413, 413])
    assert called == ["a", "e", "f"]
    assert to_tell(failures) is failures[0]


def test_others_are_found_when_no_planned_context_is_larger():
    asked = []

    def larger(window):
        asked.append(window)
        return [attempt("a", window=100), attempt("z", window=900)]

    called, _ = walk([attempt("a", window=100)], [413, 500], larger=larger)
    assert (called, asked) == (["a", "z"], [100])
    assert walk([attempt("a", window=100)], [500], larger=larger)[0] == ["a"]
    assert asked == [100]


def test_the_window_that_an_upstream_names_counts_more_than_the_catalogues():
    flow = attempts(
        [attempt("a", window=900), attempt("b", window=500)], lambda a: (Admission.YES, 0)
    )
    first = next(flow)
    told = first.failed(400, "long", fault=Fault.WINDOW, window_tokens=300)
    assert flow.send(told).target.unit.model == "b"


@pytest.mark.parametrize(
    ("statuses", "told"),
    [
        ([404], 404),
        ([404, 402], 404),
        ([402, 404], 402),
        ([401, 404], 404),
        ([404, 413], 413),
        ([413, 500, 429], 413),
    ],
)
def test_when_all_refuse_the_first_refusal_is_told_but_a_context_first_of_all(statuses, told):
    failure = to_tell([failed(attempt("m"), status) for status in statuses])
    assert failure is not None
    assert failure.status == told


def test_a_suspected_model_goes_last_and_a_penalised_one_not_at_all():
    states = {"a": Admission.IF_NEEDED, "b": Admission.NO, "c": Admission.YES}
    called, failures = walk(
        [attempt(m) for m in "abc"], [500, 500], lambda a: (states[a.target.unit.model], 9.0)
    )
    assert called == ["c", "a"]
    assert [(f.unit.model, f.called) for f in failures] == [
        ("c", True), ("a", True), ("b", False)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("n_failing", "told"),
    [
        (0, ["a=goes last", "b=waits 9 s"]),
        (1, ["b=waits 9 s"]),
    ],
)
def test_who_is_passed_over_is_told_until_it_is_called(n_failing, told):
    states = {"a": Admission.IF_NEEDED, "b": Admission.NO, "c": Admission.YES}
    passed_over: list[Failure] = []
    flow = attempts(
        [attempt(m) for m in "abc"],
        lambda a: (states[a.target.unit.model], 9.0),
        passed_over=passed_over,
    )
    current = next(flow)
    for _ in range(n_failing):
        current = flow.send(failed(current, 500))
    flow.close()
    assert [str(failure).partition(",")[0] for failure in passed_over] == told
    assert not any(failure.called for failure in passed_over)


@given(
    st.lists(st.sampled_from(list(Admission)), max_size=8),
    st.lists(st.sampled_from([401, 402, 404, 413, 500])),
)
def test_nobody_is_called_twice_and_nobody_in_penalty(admissions, statuses):
    planned = [attempt(str(i)) for i in range(len(admissions))]
    called, _ = walk(
        planned, [*statuses, *[500] * 8], lambda a: (admissions[int(a.target.unit.model)], 1.0)
    )
    assert len(called) == len(set(called)) <= MAX_ATTEMPTS
    assert all(admissions[int(model)] is not Admission.NO for model in called)


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        ([500], 502),
        ([504], 504),
        ([504, 500], 502),
        ([401], 503),
        ([401, 500], 502),
        ([500, 429], 429),
        ([404, 429], 429),
        ([404, 500], 502),
        ([401, 401], 503),
    ],
)
def test_the_client_is_told_what_it_can_act_on(statuses, status):
    failures = [failed(attempt("m"), status) for status in statuses]
    assert to_tell(failures) is None
    error = exhausted(failures)
    assert error.status == status
    assert "m" in str(error)
    assert (error.retry_after_s is not None) == (status == 429)
