"""The cost stands beside the usage, and every other byte is as it came."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.providers.simulated.answer import make_answer
from router.providers.simulated.provider import WRITERS
from router.values import Interface
from router.wire import sse
from router.wire.cost import COST, events_with_cost, with_cost
from tests.gateway_rig import ask

FORMATS = list(Interface)
OUTER = {Interface.RESPONSES: "response"}


def whole(interface) -> bytes:
    return json.dumps(
        WRITERS[interface].whole(make_answer(ask(interface, "m"), interface))
    ).encode()


@pytest.mark.parametrize("interface", FORMATS, ids=str)
def test_a_whole_reply_tells_its_cost_and_nothing_else_changes(interface):
    body = whole(interface)
    told = json.loads(with_cost(body, 0.0125))
    assert told["usage"].pop(COST) == 0.0125
    assert told == json.loads(body)


@pytest.mark.parametrize("interface", FORMATS, ids=str)
def test_of_a_stream_exactly_one_event_changes(interface):
    answer = make_answer(ask(interface, "m", stream=True), interface, "")
    block = b"".join(WRITERS[interface].events(answer))
    before = sse.split(block)
    after = sse.split(events_with_cost(block, 0.5))
    changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    usages = [raw for raw in before if b'"usage":{' in raw or b'"usage": {' in raw]
    assert len(changed) <= len(usages)
    for raw, new in changed:
        assert sse.name_of(raw) == sse.name_of(new)
        fields, told = json.loads(sse.data_of(raw)), json.loads(sse.data_of(new))
        held = told[OUTER[interface]] if interface in OUTER else told
        assert held["usage"].pop(COST) == 0.5
        assert told == fields
    assert len(changed) == (1 if usages else 0)


@pytest.mark.parametrize(
    "body",
    [
        b'{"usage": {"cost": 0.25, "prompt_tokens": 1}}',
        b'{"usage": {"cost": 0}}',
        b'{"usage": null}',
        b'{"usage": [1]}',
        b'{"usage": "much"}',
        b'{"message": {"usage": {"input_tokens": 1}}}',
        b'{"choices": [{"usage": {}}]}',
        b'{"response": null, "type": "usage"}',
        b'{"a": "\\"usage\\": {}"}',
        b'["usage"]',
        b'{"usage": {',
        b'"usage"',
        b"",
        b"\xff\xfe usage",
    ],
)
def test_what_tells_no_final_usage_or_its_own_cost_stays_as_it_is(body):
    assert with_cost(body, 1.0) == body
    for event in (b"data: " + body + b"\n\n", b": usage\n\n", b"event: usage\n\n"):
        assert events_with_cost(event, 1.0) == event


def test_odd_writing_around_it_stays():
    body = b' { "b" : 1.50,\t"usage" :{ "x":1e0 ,"cost" : null}, "c":"\\u00e9\xc3\xa9" } \n'
    told = with_cost(body, 0.5)
    assert json.loads(told)["usage"] == {"x": 1.0, "cost": 0.5}
    assert told.startswith(b' { "b" : 1.50,\t"usage" :{ "x":1e0 ,')
    assert told.endswith(b'"c":"\\u00e9\xc3\xa9" } \n')


@given(st.binary(max_size=60))
def test_any_bytes_are_survived(data):
    assert isinstance(with_cost(b'"usage"' + data, 1.0), bytes)
    assert isinstance(events_with_cost(b'data: {"usage":{' + data + b"\n\n", 1.0), bytes)


@given(st.floats(0, 10_000))
def test_the_cost_is_exact_to_nine_figures(usd):
    told = json.loads(with_cost(b'{"usage":{}}', usd))["usage"][COST]
    assert told == pytest.approx(usd, rel=1e-8)
