"""The order of attempts, and what makes the next one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.providers.attempts import MAX_ATTEMPTS, Attempt, attempts, exhausted
from router.providers.breaker import COOLDOWN_S, MAX_PENALTY_S, THRESHOLD, Admission, Breaker
from router.providers.endpoints import Endpoint, Provider
from router.values import Interface, Target, Unit


def attempt(model: str, provider: str = "p") -> Attempt:
    row = Provider(name=provider, base_url="http://x", formats=frozenset(Interface), serves=("",))
    return Attempt(Target(Unit(model)), Endpoint(row, model, "http://x/chat"))


def walk(planned, statuses, admit=lambda a: (Admission.YES, 0.0)):
    """Let every attempt fail with the next status; return who was called, and the failures."""
    flow = attempts(planned, admit)
    called = []
    try:
        current = next(flow)
        for status in statuses:
            called.append(current.target.unit.model)
            current = flow.send(current.failed(status, f"status {status}"))
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


def test_a_suspected_model_goes_last_and_a_penalised_one_not_at_all():
    states = {"a": Admission.IF_NEEDED, "b": Admission.NO, "c": Admission.YES}
    called, failures = walk(
        [attempt(m) for m in "abc"], [500, 500], lambda a: (states[a.target.unit.model], 9.0)
    )
    assert called == ["c", "a"]
    assert [(f.unit.model, f.called) for f in failures] == [
        ("c", True), ("a", True), ("b", False)
    ]  # fmt: skip


@given(
    st.lists(st.sampled_from(list(Admission)), max_size=8), st.lists(st.sampled_from([401, 500]))
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
    ],
)
def test_the_client_is_told_what_it_can_act_on(statuses, status):
    error = exhausted([attempt("m").failed(s, f"status {s}") for s in statuses])
    assert error.status == status
    assert "m" in str(error)
    assert (error.retry_after_s is not None) == (status == 429)


# The breaker.

KEY = ("p", "m")


def test_a_circuit_opens_after_a_run_of_failures_and_one_probe_decides():
    breaker = Breaker()
    for _ in range(THRESHOLD - 1):
        breaker.failed(KEY, 0.0)
    assert breaker.admit(KEY, 0.0) is Admission.YES
    breaker.failed(KEY, 0.0)
    assert breaker.admit(KEY, 1.0) is Admission.IF_NEEDED
    assert breaker.admit(KEY, COOLDOWN_S + 1) is Admission.YES
    assert breaker.admit(KEY, COOLDOWN_S + 1) is Admission.IF_NEEDED
    breaker.succeeded(KEY)
    assert breaker.admit(KEY, COOLDOWN_S + 1) is Admission.YES


def test_success_forgets_failures():
    breaker = Breaker(threshold=2)
    for _ in range(5):
        breaker.failed(KEY, 0.0)
        breaker.succeeded(KEY)
    assert breaker.admit(KEY, 0.0) is Admission.YES


def test_a_penalty_lasts_as_long_as_asked_within_reason():
    breaker = Breaker()
    breaker.failed(KEY, 100.0, 7.0)
    assert breaker.admit(KEY, 106.9) is Admission.NO
    assert breaker.wait_s(KEY, 100.0) == 7.0
    assert breaker.admit(KEY, 107.1) is Admission.YES
    breaker.failed(KEY, 200.0, 1e9)
    assert breaker.wait_s(KEY, 200.0) == MAX_PENALTY_S


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr("router.providers.breaker.MAX_KEYS", 3)
    breaker = Breaker()
    for i in range(50):
        breaker.failed(("p", str(i)), 0.0)
    assert len(breaker._states) == 3
