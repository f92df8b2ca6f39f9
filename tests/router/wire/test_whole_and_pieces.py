"""A whole reply and a stream say the same: each is written as the other, and nothing is lost."""

from __future__ import annotations

import orjson
import pytest

from router.providers.simulated.answer import make_answer
from router.providers.simulated.provider import WRITERS
from router.values import Interface
from router.wire import sse
from router.wire.format import FORMATS
from router.wire.parts import parsed
from router.wire.relay import Relay
from tests.gateway_rig import ask, check_ended

SPOKEN = pytest.mark.parametrize("interface", WRITERS)
SAID = pytest.mark.parametrize("directive", ["", "reasoning", "tool=look", "reasoning; tool=look"])


def answer_of(interface, directive):
    tool = {"name": "look", "type": "function", "function": {"name": "look"}}
    return make_answer(ask(interface, "a/x") | {"tools": [tool]}, interface, directive)


def events_in(stream):
    return [fields for _, data in sse.events(stream) if (fields := parsed(data))]


@SPOKEN
@SAID
def test_a_whole_reply_becomes_a_stream_that_lacks_nothing(interface, directive):
    format = FORMATS[interface]
    whole = WRITERS[interface].whole(answer_of(interface, directive))
    stream = format.as_events(whole)
    check_ended(interface, stream)
    relay = Relay(format, wants_usage=True, model="a/x")
    assert relay.feed(stream) + relay.close() == stream
    assert not relay.progress.failed
    assert relay.progress.usage == format.usage_of(whole)
    assert any(map(format.answers, events_in(stream)))


@SPOKEN
@SAID
def test_a_whole_reply_comes_back_from_its_stream(interface, directive):
    format = FORMATS[interface]
    whole = WRITERS[interface].whole(answer_of(interface, directive))
    assert format.assembled(events_in(format.as_events(whole))) == whole


@SPOKEN
@SAID
def test_a_stream_is_put_together_to_what_it_said(interface, directive):
    format = FORMATS[interface]
    answer = answer_of(interface, directive)
    made = format.assembled(events_in(b"".join(WRITERS[interface].events(answer))))
    assert format.is_reply(made)
    assert not format.is_empty(made)
    text = orjson.dumps(made).decode()
    for said in (answer.text, answer.reasoning, answer.tool):
        assert orjson.dumps(said).decode()[1:-1] in text


def test_several_answers_and_calls_without_numbers_are_kept_apart():
    chat = FORMATS[Interface.CHAT]
    calls = [{"id": name, "function": {"name": name, "arguments": "{}"}} for name in ("a", "b")]
    chunks = [
        {"choices": [{"index": 1, "delta": {"content": "one"}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": calls[:1]}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": calls[1:]}, "finish_reason": "stop"}]},
        {"choices": [{"index": 1, "delta": {"content": " more"}, "finish_reason": "length"}]},
    ]
    first, second = chat.assembled(chunks)["choices"]
    assert [call["id"] for call in first["message"]["tool_calls"]] == ["a", "b"]
    assert (second["message"]["content"], second["finish_reason"]) == ("one more", "length")


def test_half_a_tool_call_is_no_whole_one():
    events = [
        {"type": "message_start", "message": {}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use"}},
        {"type": "content_block_delta", "index": 0, "delta": {"partial_json": '{"path": "/etc/ho'}},
        {"type": "content_block_stop", "index": 0},
    ]
    with pytest.raises(ValueError):
        FORMATS[Interface.MESSAGES].assembled(events)
