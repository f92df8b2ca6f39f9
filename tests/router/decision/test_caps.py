"""A price cap holds for every request of a session, however it grows and whatever failed in it."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.decision.engine import Engine
from router.errors import NoModelFits
from router.evidence.catalogue import MODELS_DIR
from router.sessions.session import NEW
from router.sessions.steps import on_decision, on_request, on_serving
from router.values import Interface, Limits
from router.wire.request import parse

ENGINE = Engine.load(MODELS_DIR)


def request(ask="Fix the crash in the PDF export", *, size=0, results=0, tools=True):
    """An ask of about ``size`` tokens with so many tool results that say that tests fail."""
    messages = [{"role": "user", "content": ask}]
    for k in range(results):
        call = {"id": f"c{k}", "type": "function", "function": {"name": "bash", "arguments": "{}"}}
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"c{k}", "content": "ok " + "word " * (size // max(1, results))},
        ]  # fmt: skip
    body = {"model": "kilo-auto/efficient", "messages": messages}
    if tools:
        body["tools"] = [{"type": "function", "function": {"name": "bash", "parameters": {}}}]
    return parse(orjson.dumps(body), interface=Interface.CHAT)


def served(session, asked, decided):
    heard = ENGINE.hear(asked, session)
    session = on_decision(on_request(session, heard), *decided, decided[1].unit)
    return on_serving(session, decided[1].unit, heard, 0.0)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.005, 3.0), st.lists(st.integers(1, 300_000), min_size=1, max_size=4))
def test_no_request_of_a_session_is_planned_beyond_its_cap(cap, sizes):
    session, limits = NEW, Limits(max_cost_usd=cap)
    for size in sorted(sizes):
        asked = request(size=size, results=2)
        try:
            decided = ENGINE.decide(asked, limits=limits, session=session)
        except NoModelFits as error:
            assert "cap" in str(error)
            return
        assert decided[1].expected_cost_usd <= cap * (1 + 1e-6)
        session = served(session, asked, decided)


def test_a_short_question_is_priced_as_short_as_it_is():
    """One answer is not an agent's first request: what it costs is told within a few times of its list price."""
    asked = request("What is the capital of France?", tools=False)
    _, decision = ENGINE.decide(asked)
    model = ENGINE.catalogue.model(decision.unit.model)
    listed = (100 * model.price.input + 1000 * model.price.output) / 1e6
    assert decision.expected_cost_usd < 3 * listed


def test_a_least_quality_is_asked_of_the_request_and_not_of_its_failures():
    """Failures lower what is expected of everybody; that must not hand the work to whoever is mapped."""
    asked = request("Fix the crash in the PDF export", results=1)
    limits = Limits(min_quality=0.7)
    session = served(NEW, asked, ENGINE.decide(asked, limits=limits))
    for _ in range(3):
        asked = request("It still fails, please fix it.", results=1)
        _, decision = ENGINE.decide(asked, limits=limits, session=session)
        assert not decision.mapped


@pytest.mark.parametrize("size", [1_000, 200_000])
def test_without_evidence_a_model_is_expected_to_cost_what_the_request_does(size):
    asked = request(size=size, results=2)
    forecast = ENGINE.forecast(asked)
    model = ENGINE.catalogue.model("anthropic/claude-opus-5")
    unknown = model.model_copy(update={"id": "elsewhere/unknown"})
    usd, chance = forecast.of(unknown, None)
    assert chance is None
    assert usd > (asked.needs.input_tokens or 0) * model.price.input / 1e6
