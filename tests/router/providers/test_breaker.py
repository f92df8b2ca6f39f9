"""Whom the breaker passes over, for how long, and for whom."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.providers.breaker import COOLDOWN_S, MAX_KEYS, THRESHOLD, Admission, Breaker
from router.providers.waits import MAX_WAIT_S

KEY = ("p", "m")


def fail(breaker: Breaker, times: int, *, caller: str = "me", now: float = 0.0) -> None:
    """Let so many different requests of a caller fail."""
    for i in range(times):
        breaker.failed(KEY, now, (caller, i))


def test_a_circuit_opens_after_a_run_of_failures_and_one_probe_decides():
    breaker = Breaker()
    fail(breaker, THRESHOLD - 1)
    assert breaker.admit([KEY], 0.0, "me") is Admission.YES
    fail(breaker, THRESHOLD)
    assert breaker.admit([KEY], 1.0, "me") is Admission.IF_NEEDED
    assert breaker.admit([KEY], COOLDOWN_S + 1, "me") is Admission.YES
    assert breaker.admit([KEY], COOLDOWN_S + 1, "me") is Admission.IF_NEEDED
    breaker.succeeded([KEY])
    assert breaker.admit([KEY], COOLDOWN_S + 1, "me") is Admission.YES


def test_success_forgets_failures():
    breaker = Breaker(threshold=2)
    for _ in range(5):
        fail(breaker, 1)
        breaker.succeeded([KEY])
    assert breaker.admit([KEY], 0.0, "me") is Admission.YES


def test_a_request_that_is_sent_again_and_again_opens_no_circuit():
    breaker = Breaker()
    for _ in range(50):
        breaker.failed(KEY, 0.0, ("me", 1))
    assert breaker.admit([KEY], 0.0, "me") is Admission.YES


def test_one_callers_failures_make_only_that_caller_suspicious():
    breaker = Breaker()
    fail(breaker, 99, caller="odd")
    assert breaker.admit([KEY], 0.0, "odd") is Admission.IF_NEEDED
    assert breaker.admit([KEY], 0.0, "me") is Admission.YES
    fail(breaker, 1, caller="me")
    assert breaker.admit([KEY], 0.0, "me") is Admission.IF_NEEDED
    assert breaker.admit([KEY], 0.0, "a third") is Admission.IF_NEEDED


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=60))
def test_no_caller_alone_shuts_a_model_for_others(witnesses):
    breaker = Breaker()
    for witness in witnesses:
        breaker.failed(KEY, 0.0, witness)
    callers = {caller for caller, _ in witnesses}
    if len(callers) < 2:
        assert breaker.admit([KEY], 0.0, "somebody else") is Admission.YES


def test_a_penalty_lasts_as_long_as_asked_within_reason():
    breaker = Breaker()
    breaker.failed(KEY, 100.0, ("me", 1), 7.0)
    assert breaker.admit([KEY], 106.9) is Admission.NO
    assert breaker.wait_s(KEY, 100.0) == 7.0
    assert breaker.admit([KEY], 107.1) is Admission.YES
    breaker.failed(KEY, 200.0, ("me", 2), 1e9)
    assert breaker.wait_s(KEY, 200.0) == MAX_WAIT_S


def test_a_doubt_holds_for_its_time_and_for_what_it_is_of():
    breaker = Breaker()
    breaker.refused((*KEY, "tools"), 0.0, 60.0)
    with_tools = [("p",), KEY, (*KEY, "tools")]
    assert breaker.admit(with_tools, 59.0) is Admission.IF_NEEDED
    assert breaker.admit([("p",), KEY], 59.0) is Admission.YES
    assert breaker.admit(with_tools, 61.0) is Admission.YES
    breaker.refused(("p",), 100.0, 60.0)
    assert breaker.admit([("p",), ("p", "other")], 101.0) is Admission.IF_NEEDED


def test_a_penalty_counts_more_than_a_doubt():
    breaker = Breaker()
    breaker.refused(("p",), 0.0, 60.0)
    breaker.failed(KEY, 0.0, ("me", 1), 30.0)
    assert breaker.admit([("p",), KEY], 1.0) is Admission.NO


def test_memory_is_bounded():
    breaker = Breaker()
    for i in range(MAX_KEYS + 50):
        breaker.failed(("p", str(i)), 0.0, ("me", i))
    assert len(breaker._states) == MAX_KEYS
