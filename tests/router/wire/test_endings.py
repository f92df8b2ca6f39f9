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


def broken(text, **more):
    error = {"message": text, "type": "server_error", "param": None, "code": "upstream_error"}
    return chunk("error", error=error, **more)


@pytest.mark.parametrize(
    ("more", "problem", "said"),
    [
        ({}, "", broken(CUT_SHORT)),
        ({"calls": {(0, 0): ["{}"]}}, "", broken(CUT_SHORT)),
        ({"id": ""}, BROKE, broken(BROKE, id="chatcmpl-auto")),
        ({"failed": True}, BROKE, chunk("error")),
    ],
)
def test_a_chat_that_broke_off_ends_with_an_error_and_the_terminator(more, problem, said):
    progress = Progress(**{"id": "i", "model": "m"} | more)
    assert told(chat.closing(progress, problem)) == [("", said), ("", "[DONE]")]
    assert progress.failed
    assert chat.closing(Progress(finished=True), "") == sse.event(b"[DONE]")
    assert chat.closing(Progress(ended=True), problem) == b""


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, chunk("stop")),
        ({"calls": {(0, 0): ['{"a"', ":1}"]}}, chunk("tool_calls")),
        ({"calls": {(0, 0): ['{"a"', ":1"]}}, broken(CUT_SHORT)),
        ({"calls": {(0, 0): [""]}}, chunk("tool_calls")),
        ({"failed": True}, chunk("error")),
    ],
)
def test_a_chat_that_said_it_is_done_gets_the_reason_it_lacks(more, said):
    progress = Progress(**{"id": "i", "model": "m"} | more)
    assert told(chat.see(b"[DONE]", progress)) == [("", said), ("", "[DONE]")]


def test_of_several_answers_each_has_its_own_end():
    progress = Progress(id="i", model="m")
    for index, reason in ((0, None), (1, None), (0, "length"), (2, None)):
        chat.see(orjson.dumps({"choices": [{"index": index, "finish_reason": reason}]}), progress)
    assert not progress.finished
    [(_, end), _] = told(chat.closing(progress, ""))
    assert [(c["index"], c["finish_reason"]) for c in end["choices"]] == [
        (1, "error"),
        (2, "error"),
    ]


@pytest.mark.parametrize("problem", ["", BROKE])
def test_answers_that_were_asked_for_and_never_began_are_missed_unless_the_upstream_says_done(
    problem,
):
    def begun():
        progress = Progress(id="i", model="m", n_answers=3)
        for index in (0, 2):
            choice = {"index": index, "finish_reason": "stop"}
            chat.see(orjson.dumps({"choices": [choice]}), progress)
        return progress

    progress = begun()
    [(_, end), last] = told(chat.closing(progress, problem))
    assert [(c["index"], c["finish_reason"]) for c in end["choices"]] == [(1, "error")]
    assert end["error"]["message"] == (problem or CUT_SHORT)
    assert last == ("", "[DONE]")
    assert progress.failed
    progress = begun()
    assert chat.see(b"[DONE]", progress) is None
    assert not progress.failed


@pytest.mark.parametrize("usage", [{}, {"usage": {"prompt_tokens": 3}}])
@pytest.mark.parametrize("choices", [{}, {"choices": []}])
def test_an_error_reaches_a_client_whatever_stands_beside_it(usage, choices):
    progress = Progress(wants_usage=False)
    event = {"error": {"message": "no"}, **usage, **choices}
    assert chat.see(orjson.dumps(event), progress) != b""
    assert progress.failed


def error(text, kind="api_error"):
    return [("error", {"type": "error", "error": {"type": kind, "message": text}})]


STOP = [("message_stop", {"type": "message_stop"})]


@pytest.mark.parametrize(
    ("progress", "problem", "said"),
    [
        ({"items": [0]}, "", [*error(CUT_SHORT), *STOP]),
        ({"items": [0], "open_block": 3}, "", [*error(CUT_SHORT), *STOP]),
        ({"items": [0]}, BROKE, [*error(BROKE), *STOP]),
        ({"items": [0], "failed": True}, BROKE, STOP),
        ({"finished": True}, "", STOP),
        ({"finished": True}, BROKE, STOP),
        ({"finished": True, "open_block": 1}, BROKE, [*error(BROKE), *STOP]),
        ({"ended": True}, BROKE, []),
    ],
)
def test_a_message_that_broke_off_is_given_no_reason_and_no_end_of_its_block(
    progress, problem, said
):
    assert told(messages.closing(Progress(**progress), problem)) == said


@pytest.mark.parametrize(
    ("progress", "said"),
    [
        ({"items": [0]}, "end_turn"),
        ({"items": [0], "called_tools": True, "usage": Usage(1, 9)}, "tool_use"),
        ({"items": [0], "open_block": 1}, None),
    ],
)
def test_a_message_that_said_it_is_done_gets_the_reason_it_lacks(progress, said):
    *before, stop = told(messages.see(b'{"type":"message_stop"}', Progress(**progress)))
    assert [stop] == STOP
    if said is None:
        assert before == error(CUT_SHORT)
        return
    [(name, fields)] = before
    usage = progress.get("usage")
    assert name == fields["type"] == "message_delta"
    assert fields["delta"] == {"stop_reason": said, "stop_sequence": None}
    assert fields["usage"] == {"output_tokens": usage.output_tokens if usage else 0}


@pytest.mark.parametrize(
    ("progress", "problem", "text"),
    [
        ({"items": [{"a": 1}]}, "", CUT_SHORT),
        ({"items": [{"a": 1}], "open_block": 0}, "", CUT_SHORT),
        ({"items": [{"a": 1}]}, BROKE, BROKE),
        ({"failed": True, "error": "quota"}, "", "quota"),
    ],
)
def test_a_response_that_broke_off_fails_with_all_that_was_said_and_the_next_number(
    progress, problem, text
):
    made = Progress(**{"id": "i", "model": "m", "sequence": 7} | progress)
    [(name, said)] = told(responses.closing(made, problem))
    assert name == said["type"] == "response.failed"
    assert said["sequence_number"] == 8
    assert said["response"] == {
        "id": "i", "object": "response", "created_at": 0, "status": "failed", "model": "m",
        "error": {"code": "server_error", "message": text},
        "incomplete_details": None, "output": progress.get("items", []), "usage": None,
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
    }  # fmt: skip
    assert made.ended
    assert made.failed
    assert responses.closing(made, problem) == b""


@pytest.mark.parametrize(("status", "code"), [(429, "rate_limit_exceeded"), (400, "too_long")])
@pytest.mark.parametrize("interface", list(Interface), ids=str)
def test_a_refusal_can_be_told_to_a_stream_that_has_begun(interface, status, code):
    stream = FORMATS[interface].closing(Progress(), "wait", status=status, code=code)
    assert "wait" in str(told(stream))
    kinds = ("rate_limit", "invalid_request") if interface is Interface.MESSAGES else (code, code)
    assert kinds[status == 400] in str(told(stream))


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "invalid_prompt"), (404, "invalid_prompt"), (413, "invalid_prompt"),
        (402, "insufficient_quota"), (408, "server_error"), (429, "rate_limit_exceeded"),
        (500, "server_error"), (502, "server_error"), (504, "server_error"),
    ],
)  # fmt: skip
def test_a_response_that_failed_names_a_code_by_which_clients_ask_again_or_do_not(status, code):
    [(_, end)] = told(responses.closing(Progress(), "no", status=status))
    assert end["response"]["error"]["code"] == code
    progress = Progress()
    event = {"type": "error", "error": {"message": "no", "code": status}}
    responses.see(orjson.dumps(event), progress)
    [(_, end)] = told(responses.closing(progress, ""))
    assert end["response"]["error"] == {"code": code, "message": "no"}


@pytest.mark.parametrize("interface", list(Interface), ids=str)
def test_an_error_amid_a_stream_is_a_failure_and_passes_as_it_came(interface):
    progress = Progress()
    event = {"type": "error", "error": {"message": "m"}}
    assert FORMATS[interface].see(orjson.dumps(event), progress) is None
    assert progress.failed
    assert not progress.ended
