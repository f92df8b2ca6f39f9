"""What the gateway itself says at the end of a stream, to the letter of each format."""

from __future__ import annotations

import orjson
import pytest

from router.values import Interface, Usage
from router.wire import chat, messages, responses, sse
from router.wire.format import FORMATS
from router.wire.parts import CUT_SHORT, Progress

BROKE = "the upstream broke off"


def told(stream):
    """Return each event's name and what it says."""
    names = [raw.partition(b"\n")[0].removeprefix(b"event: ").decode() for raw in sse.split(stream)]
    datas = [data for _, data in sse.events(stream)]
    named = [name if not name.startswith("data:") else "" for name in names]
    said = ["[DONE]" if data == b"[DONE]" else orjson.loads(data) for data in datas]
    return list(zip(named, said, strict=True))


def chunk(reason, **more):
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": reason}
    head = {"id": "i", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    return head | {"choices": [choice]} | more


@pytest.mark.parametrize(
    ("more", "problem", "said"),
    [
        ({}, "", chunk("stop")),
        ({"called_tools": True}, "", chunk("tool_calls")),
        ({"id": ""}, "", chunk("stop", id="chatcmpl-auto")),
        ({"called_tools": True}, BROKE, chunk("error", error={
            "message": BROKE, "type": "server_error", "param": None, "code": "upstream_error"})),
    ],
)  # fmt: skip
def test_a_chat_ends_with_a_reason_and_the_terminator(more, problem, said):
    progress = Progress(**{"id": "i", "model": "m"} | more)
    assert told(chat.closing(progress, problem)) == [("", said), ("", "[DONE]")]
    assert progress.failed is bool(problem)
    assert chat.closing(Progress(finished=True), "") == sse.event(b"[DONE]")
    assert chat.closing(Progress(ended=True), problem) == b""


def stop(reason, output=0):
    delta = {"stop_reason": reason, "stop_sequence": None}
    said = {"type": "message_delta", "delta": delta, "usage": {"output_tokens": output}}
    return [("message_delta", said), ("message_stop", {"type": "message_stop"})]


def error(text):
    said = {"type": "error", "error": {"type": "api_error", "message": text}}
    return [("error", said)]


CLOSE = [("content_block_stop", {"type": "content_block_stop", "index": 3})]


@pytest.mark.parametrize(
    ("progress", "problem", "said"),
    [
        ({"items": [0]}, "", stop("end_turn")),
        ({"items": [0], "called_tools": True, "usage": Usage(1, 9)}, "", stop("tool_use", 9)),
        ({}, "", [*error(CUT_SHORT), *stop("end_turn")]),
        ({"items": [0], "open_block": 3}, "", [*error(CUT_SHORT), *CLOSE, *stop("end_turn")]),
        ({"items": [0]}, BROKE, [*error(BROKE), *stop("end_turn")]),
        ({"items": [0], "failed": True}, BROKE, stop("end_turn")),
        ({"finished": True}, BROKE, stop("end_turn")[1:]),
        ({"ended": True}, BROKE, []),
    ],
)
def test_a_message_ends_with_its_block_closed_a_reason_and_the_terminator(progress, problem, said):
    assert told(messages.closing(Progress(**progress), problem)) == said


@pytest.mark.parametrize(
    ("progress", "problem", "status", "text"),
    [
        ({"items": [{"a": 1}]}, "", "completed", None),
        ({}, "", "failed", CUT_SHORT),
        ({"items": [{"a": 1}], "open_block": 0}, "", "failed", CUT_SHORT),
        ({"items": [{"a": 1}]}, BROKE, "failed", BROKE),
    ],
)
def test_a_response_ends_with_all_that_was_said_and_the_next_number(
    progress, problem, status, text
):
    made = Progress(**{"id": "i", "model": "m", "sequence": 7} | progress)
    [(name, said)] = told(responses.closing(made, problem))
    assert name == said["type"] == f"response.{status}"
    assert said["sequence_number"] == 8
    response = said["response"]
    assert response | {"usage": None} == {
        "id": "i", "object": "response", "created_at": 0, "status": status, "model": "m",
        "error": {"code": "server_error", "message": text} if text else None,
        "incomplete_details": None, "output": progress.get("items", []), "usage": None,
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
    }  # fmt: skip
    if status == "completed":
        assert response["usage"]["total_tokens"] == 0
    assert (made.ended, made.failed) == (True, bool(text))
    assert responses.closing(made, problem) == b""


@pytest.mark.parametrize("interface", list(Interface), ids=str)
def test_an_error_amid_a_stream_is_a_failure_and_passes_as_it_came(interface):
    progress = Progress()
    event = {"type": "error", "error": {"message": "m"}}
    assert FORMATS[interface].see(orjson.dumps(event), progress) is None
    assert progress.failed
    assert not progress.ended
