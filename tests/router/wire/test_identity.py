"""Who a request is of: its session, its agent, and whether it is a turn of its user's at all.

Small requests in the ways that clients name these things; every text is ours.
"""

from __future__ import annotations

import importlib.util
import json
import logging

import orjson
import pytest

from router.sessions.steps import key_of
from router.values import Interface
from router.wire.clients import SUMMARY, TITLE, read_declared
from router.wire.format import interface_of
from router.wire.request import parse
from tests.gateway_rig import ask as smallest
from tests.gateway_rig import gateway

CHAT, RESPONSES, MESSAGES = Interface.CHAT, Interface.RESPONSES, Interface.MESSAGES
ID, OTHER = "0199c1de-4f5a-7000-8000-0123456789ab", "0199c1de-ffff-7000-8000-ba9876543210"
SYSTEM, ASK, NEXT = "Answer in one line.", "Sort the list by date.", "Now by name, too."
TOOLS = [{"type": "function", "function": {"name": "bash"}}]
CLAUDE, CODEX = "claude-cli/2.1.329 (external, cli)", "codex_exec/0.169.0 (Debian)"
OPENCODE, KILO, QWEN = "opencode/1.18.33 x", "Kilo-Code/7.7.7 x", "QwenCode/0.24.4 (linux; x64)"


def talk(*turns, system=SYSTEM, **more):
    """Return a chat body of alternating turns after a system message."""
    roles = ("user", "assistant")
    said = [{"role": roles[i % 2], "content": text} for i, text in enumerate(turns)]
    return {"model": "m/x", "messages": [{"role": "system", "content": system}, *said]} | more


def body(interface, *turns, **more):
    fields = talk(*(turns or (ASK,)), **more)
    if interface is RESPONSES:
        fields["input"] = fields.pop("messages")
    return fields


def read(interface, fields, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return parse(orjson.dumps(fields), interface=interface, headers=named)


def key(request, caller="anna"):
    return key_of(caller, request.session, request.agent)


def aside(fields, **headers):
    return read_declared({name.replace("_", "-"): v for name, v in headers.items()}, fields).aside


# The session.

USER_ID = json.dumps({"device_id": "d" * 64, "account_uuid": "", "session_id": ID})
CODEX_BODY = {"session_id": ID, "thread_id": ID, "turn_id": OTHER, "x-codex-window-id": f"{ID}:0"}
CODEX_TURN = json.dumps({"session_id": ID, "thread_id": ID, "turn_id": OTHER})

WHERE = {
    "kilo native": (
        CHAT,
        {"X-KiloCode-TaskId": ID, "x-session-id": ID, "x-session-affinity": ID,
         "x-kilocode-machineid": OTHER},
        {},
    ),
    "kilo native, task id alone": (CHAT, {"x-kilocode-taskid": ID}, {}),
    "kilo custom, opencode": (MESSAGES, {"x-session-id": ID, "x-session-affinity": ID}, {}),
    "kilo custom over responses, key alone": (RESPONSES, {}, {"prompt_cache_key": ID}),
    "claude code": (MESSAGES, {"X-Claude-Code-Session-Id": ID}, {"metadata": {"user_id": USER_ID}}),
    "claude code, its body alone": (MESSAGES, {}, {"metadata": {"user_id": USER_ID}}),
    "claude code, an older body": (
        MESSAGES, {}, {"metadata": {"user_id": f"user_{'a' * 64}_account_{OTHER}_session_{ID}"}},
    ),
    "claude code behind a proxy that keeps users apart": (
        MESSAGES, {"x-claude-code-session-id": ID, "x-session-affinity": "user-7"}, {},
    ),
    "codex": (
        RESPONSES,
        {"session-id": ID, "thread-id": ID, "x-client-request-id": ID},
        {"prompt_cache_key": ID, "client_metadata": CODEX_BODY},
    ),
    "codex, client_metadata alone": (
        RESPONSES, {}, {"prompt_cache_key": OTHER, "client_metadata": CODEX_BODY},
    ),
    "codex, turn metadata alone": (RESPONSES, {"x-codex-turn-metadata": CODEX_TURN}, {}),
    "codex, turn metadata in the body alone": (
        RESPONSES, {}, {"client_metadata": {"x-codex-turn-metadata": CODEX_TURN}},
    ),
    "copilot over responses": (RESPONSES, {"x-initiator": "user"}, {"prompt_cache_key": ID}),
    "pi over responses": (
        RESPONSES, {"session_id": ID, "x-client-request-id": ID}, {"prompt_cache_key": ID},
    ),
    "pi, its header alone": (RESPONSES, {"session_id": ID}, {}),
    "a conversation that the provider keeps": (
        RESPONSES, {}, {"conversation": {"id": ID}, "prompt_cache_key": "our-product"},
    ),
    "the same by its bare id": (RESPONSES, {}, {"conversation": ID}),
}  # fmt: skip


@pytest.mark.parametrize("where", WHERE)
def test_the_session_id_is_found_where_each_client_puts_it(where):
    interface, headers, more = WHERE[where]
    raw = orjson.dumps(body(interface, **more))
    assert parse(raw, interface=interface, headers=headers).session == ID


@pytest.mark.parametrize(
    ("headers", "more"),
    [
        ({"x-client-request-id": ID}, {}),
        ({"x-request-id": ID, "x-stainless-retry-count": "0"}, {}),
        ({"x-kilocode-machineid": ID}, {}),
        ({"x-claude-code-prompt-id": ID}, {}),
        ({"x-interaction-id": ID, "x-initiator": "user"}, {}),
        ({"x-codex-window-id": ID}, {"client_metadata": {"turn_id": ID, "root_turn_id": ID}}),
        ({"x-codex-turn-metadata": "{not JSON"}, {"client_metadata": ["x"]}),
        ({}, {"metadata": {"user_id": ID}}),
        ({}, {"metadata": {"user_id": json.dumps({"device_id": ID, "account_uuid": OTHER})}}),
        ({}, {"metadata": {"user_id": json.dumps({"parent_session_id": ID, "session_id": 3})}}),
        ({}, {"user": ID, "safety_identifier": ID, "metadata": {"user_id": {"session_id": ID}}}),
        ({"x-session-id": "  "}, {"prompt_cache_key": "", "conversation": None}),
    ],
)
def test_ids_of_requests_machines_and_users_are_no_session(headers, more):
    raw = orjson.dumps(body(RESPONSES, **more))
    request = parse(raw, interface=RESPONSES, headers=headers)
    assert request.session == read(RESPONSES, body(RESPONSES)).session
    assert request.session.startswith("first-turn-")
    assert not request.agent


# The agent.

CHILD = "0199c1de-aaaa-7000-8000-000000000001"
AGENTS = {
    "kilo native": (
        {"x-kilocode-taskid": ID, "x-session-id": ID},
        {"x-kilocode-taskid": CHILD, "x-session-id": CHILD, "x-kilocode-parent-taskid": ID,
         "x-parent-session-id": ID},
    ),
    "kilo custom, opencode": (
        {"x-session-id": ID}, {"x-session-id": CHILD, "x-parent-session-id": ID},
    ),
    "claude code": (
        {"x-claude-code-session-id": ID},
        {"x-claude-code-session-id": ID, "x-claude-code-agent-id": CHILD},
    ),
    "claude code with hints": (
        {"x-claude-code-session-id": ID, "x-claude-code-request-class": "main"},
        {"x-claude-code-session-id": ID, "x-claude-code-request-class": "workflow",
         "x-claude-code-agent-id": CHILD},
    ),
    "codex": (
        {"session-id": ID, "thread-id": ID},
        {"session-id": ID, "thread-id": CHILD, "x-codex-parent-thread-id": ID,
         "x-openai-subagent": "collab_spawn"},
    ),
    "codex that names no threads": (
        {"session_id": ID}, {"session_id": ID, "x-openai-subagent": "review"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("client", AGENTS)
def test_a_subagent_has_a_key_of_its_own_on_all_its_calls(client):
    calls = []
    for headers in AGENTS[client]:
        for turns, new in (((ASK,), "r1"), ((ASK, "Sorted.", NEXT), "r2")):
            changing = {"x-client-request-id": new, "x-claude-code-prompt-id": new}
            raw = orjson.dumps(talk(*turns, client_metadata={"turn_id": new}))
            calls.append(parse(raw, interface=CHAT, headers=headers | changing))
    parent, again, child, child_again = calls
    assert key(parent) == key(again) != key(child) == key(child_again)
    assert [c.conversation.subagent for c in calls] == [False, False, True, True]


def test_two_subagents_of_one_parent_have_different_keys():
    one, two = (
        read(MESSAGES, talk(ASK), x_claude_code_session_id=ID, x_claude_code_agent_id=agent)
        for agent in ("a1", "a2")
    )
    assert key(one) != key(two)


def test_codex_is_the_same_agent_by_its_headers_and_by_its_body():
    spawned = {"thread-id": CHILD, "x-codex-parent-thread-id": ID, "x-openai-subagent": "review"}
    by_headers = read(RESPONSES, body(RESPONSES), session_id=ID, **spawned)
    flat = {"session_id": ID, "thread_id": CHILD, **spawned}
    del flat["thread-id"]
    by_body = read(RESPONSES, body(RESPONSES, prompt_cache_key=CHILD, client_metadata=flat))
    assert key(by_headers) == key(by_body)
    assert by_headers.conversation.subagent
    assert by_body.conversation.subagent


# Calls that a client makes on its own account.

TITLE_SCHEMA = {
    "type": "json_schema",
    "schema": {"type": "object", "properties": {"title": {"type": "string"}}},
}
VERDICT_SCHEMA = {
    "type": "json_schema",
    "schema": {"type": "object", "properties": {"safe": {"type": "boolean"}}},
}
MARK = {"cache_control": {"type": "ephemeral"}}


def marked(text):
    return [{"type": "text", "text": text, **MARK}]


BACKGROUND = {
    "kilo native title": ({"user-agent": KILO, "x-kilocode-mode": "title"}, talk(ASK), TITLE),
    "kilo native compaction": (
        {"user-agent": KILO, "x-kilocode-mode": "compaction"}, talk(ASK), SUMMARY,
    ),
    "kilo native compaction that lists its tools": (
        {"user-agent": KILO, "x-kilocode-mode": "Compaction"}, talk(ASK, tools=TOOLS), SUMMARY,
    ),
    "opencode title": ({"user-agent": OPENCODE}, talk(ASK, model="kilo-auto/small"), TITLE),
    "opencode compaction": ({"user-agent": OPENCODE}, talk(ASK), SUMMARY),
    "opencode compaction by gemini": (
        {"user-agent": OPENCODE}, talk(ASK, model="google/gemini-3-pro"), SUMMARY,
    ),
    "opencode compaction by minimax": (
        {"user-agent": OPENCODE}, talk(ASK, model="minimax/minimax-m2"), SUMMARY,
    ),
    "a small main model's compaction of a whole history": (
        {"user-agent": OPENCODE}, talk(ASK, "Sorted.", NEXT, model="openai/gpt-5-mini"), SUMMARY,
    ),
    "claude code title": (
        {"user-agent": CLAUDE}, talk(ASK, tools=[], output_config={"format": TITLE_SCHEMA}), TITLE,
    ),
    "claude code title with hints": (
        {"user-agent": CLAUDE, "x-claude-code-request-class": "auxiliary"},
        talk(ASK, output_config={"format": TITLE_SCHEMA}), TITLE,
    ),
    "claude code compaction with hints": (
        {"user-agent": CLAUDE, "x-claude-code-request-class": "compaction"},
        talk(ASK, "Sorted.", NEXT, tools=TOOLS), SUMMARY,
    ),
    "codex title": ({"user-agent": CODEX}, body(RESPONSES, text={"format": TITLE_SCHEMA}), TITLE),
    "codex title, declared to be a turn": (
        {"user-agent": CODEX, "x-codex-turn-metadata": '{"request_kind":"turn"}'},
        body(RESPONSES, text={"format": TITLE_SCHEMA}), TITLE,
    ),
    "codex compaction": ({"user-agent": CODEX}, body(RESPONSES, ASK, "Sorted.", NEXT), SUMMARY),
    "codex compaction that declares itself": (
        {"user-agent": CODEX, "x-codex-turn-metadata": '{"request_kind":"compaction"}'},
        body(RESPONSES, ASK, "Sorted.", NEXT, tools=TOOLS), SUMMARY,
    ),
}  # fmt: skip


@pytest.mark.parametrize("call", BACKGROUND)
def test_titles_and_compactions_are_recognised(call):
    headers, fields, task = BACKGROUND[call]
    interface = RESPONSES if "input" in fields else CHAT
    conversation = parse(orjson.dumps(fields), interface=interface, headers=headers).conversation
    assert conversation.declared_task == task
    assert conversation.mode is None
    assert read_declared(headers, fields).aside


FORK = talk(ASK, marked("Sorted."), NEXT, tools=TOOLS)
ASIDE = {
    "claude code, an auxiliary call": (
        {"x-claude-code-request-class": "auxiliary"}, talk(ASK, model="claude-haiku-4-5"),
    ),
    "claude code, a question on the side": (
        {"x-claude-code-request-class": "side_reply"}, talk(ASK, "Sorted.", NEXT, tools=TOOLS),
    ),
    "claude code, a small call without hints": ({}, talk(ASK, model="claude-haiku-4-5")),
    "claude code, a verdict": ({}, talk(ASK, output_config={"format": VERDICT_SCHEMA})),
    "claude code, a fork (a compaction without hints)": ({}, FORK),
    "codex, a verdict": ({"user-agent": CODEX}, talk(ASK, text={"format": VERDICT_SCHEMA})),
    "qwen code, a verdict": (
        {"user-agent": QWEN}, talk(ASK, response_format={"json_schema": VERDICT_SCHEMA}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("call", ASIDE)
def test_what_stands_beside_the_conversation_is_told_and_no_task_is_invented(call):
    headers, fields = ASIDE[call]
    said = read_declared({"user-agent": CLAUDE} | headers, fields)
    assert (said.aside, said.task) == (True, None)


ORDINARY = {
    "claude code": ({"user-agent": CLAUDE}, talk(ASK, "Sorted.", marked(NEXT), tools=TOOLS)),
    "claude code that caches nothing": (
        {"user-agent": CLAUDE}, talk(ASK, "Sorted.", NEXT, tools=TOOLS),
    ),
    "claude code with a model it does not know": (
        {"user-agent": CLAUDE},
        {
            "tools": [{"name": "bash"}],
            "messages": [
                {"role": "user", "content": marked(ASK)},
                {"role": "system", "content": "Rules."},
            ],
        },
    ),
    "claude code with hints and without tools": (
        {"user-agent": CLAUDE, "x-claude-code-request-class": "main"}, talk(ASK),
    ),
    "claude code's subagent, declared": (
        {"user-agent": CLAUDE, "x-claude-code-request-class": "subagent"}, FORK,
    ),
    "kilo's agent without tools": ({"user-agent": KILO, "x-kilocode-mode": "chat"}, talk(ASK)),
    "opencode, which marks two messages": (
        {"user-agent": OPENCODE}, talk(ASK, marked("Sorted."), marked(NEXT), tools=TOOLS),
    ),
    "another client that marks an early message": ({}, FORK),
    "codex turn without tools": (
        {"user-agent": CODEX, "x-codex-turn-metadata": '{"request_kind":"turn"}'}, body(RESPONSES),
    ),
    "qwen code with tools": ({"user-agent": QWEN}, talk(ASK, tools=TOOLS)),
    "an SDK without tools": ({"user-agent": "OpenAI/Python 2.54.0"}, talk(ASK, model="a/mini")),
    "an SDK that wants a title in its JSON": (
        {"user-agent": "OpenAI/JS"}, talk(ASK, response_format={"json_schema": TITLE_SCHEMA}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("call", ORDINARY)
def test_a_users_turn_is_not_taken_for_the_clients_own(call):
    headers, fields = ORDINARY[call]
    said = read_declared(headers, fields)
    assert (said.aside, said.task) == (False, None)


def test_a_title_of_kilo_stands_in_a_session_of_its_own():
    main, title = (
        read(CHAT, talk(ASK), x_kilocode_taskid=task, x_session_id=task)
        for task in ("ses_1", "title-ses_1")
    )
    assert key(main) != key(title)


# Fingerprints.

USER_PARTS = {"role": "user", "content": [{"type": "text", "text": ASK}]}
REMINDER = {"type": "text", "text": "<system-reminder>cwd: /x</system-reminder>"}
ENVIRONMENT = {"type": "text", "text": "\n\n<environment_details>10:01</environment_details>"}
FIRST = talk(ASK)["messages"]
ON = [{"role": "assistant", "content": "Sorted."}, {"role": "user", "content": NEXT}]

SAME = {
    "a second turn": [*FIRST, *ON],
    "a part for a string": [FIRST[0], USER_PARTS, *ON],
    "a system part for a string": [{"role": "system", "content": marked(SYSTEM)}, *FIRST[1:], *ON],
    "a developer for a system message": [{"role": "developer", "content": SYSTEM}, *FIRST[1:]],
    "a cache marker that moved": [FIRST[0], {"role": "user", "content": marked(ASK)}, *ON],
    "a late system message": [*FIRST, {"role": "system", "content": "The tool wrote a file."}],
    "a system message after each turn": [
        *FIRST, {"role": "system", "content": "one"}, *ON, {"role": "system", "content": "two"},
    ],
    "a reminder before the ask": [
        FIRST[0], {"role": "user", "content": [REMINDER, *USER_PARTS["content"]]},
    ],
    "surroundings after the ask": [
        FIRST[0], {"role": "user", "content": [*USER_PARTS["content"], ENVIRONMENT]}, *ON,
    ],
    "surroundings in a message of their own": [
        FIRST[0], {"role": "user", "content": [ENVIRONMENT]}, *FIRST[1:], *ON,
    ],
    "a tool's result": [
        *FIRST,
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "bash", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": f"<user_message>{NEXT}</user_message>"},
    ],
    "an ask repeated after an error": [*FIRST, {"role": "user", "content": NEXT}],
}  # fmt: skip


@pytest.mark.parametrize("change", SAME)
def test_a_session_without_an_id_keeps_its_fingerprint(change):
    first, later = read(CHAT, talk(ASK)), read(CHAT, {"model": "m/x", "messages": SAME[change]})
    assert later.session == first.session
    assert key(later) == key(first)


@pytest.mark.parametrize(
    ("interface", "fields"),
    [
        (MESSAGES, {"system": SYSTEM, "messages": FIRST[1:]}),
        (MESSAGES, {"system": marked(SYSTEM), "messages": [
            *FIRST[1:], {"role": "system", "content": marked("late")}, *ON]}),
        (MESSAGES, {"system": SYSTEM, "messages": [*FIRST[1:], {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "c", "content": "ok"}]}]}),
        (RESPONSES, {"instructions": SYSTEM, "input": ASK}),
        (RESPONSES, {"input": [{"role": "developer", "content": SYSTEM}, *FIRST[1:], *ON]}),
    ],
)  # fmt: skip
def test_the_system_prompt_counts_wherever_a_format_puts_it(interface, fields):
    assert read(interface, fields).session == read(CHAT, talk(ASK)).session


@pytest.mark.parametrize(
    "other",
    [
        talk(NEXT),
        talk(ASK, system="Answer at length."),
        talk(ASK, "Sorted.", NEXT, system="Note down what was learnt."),  # a memory extraction
        {"messages": FIRST[1:]},
        {"messages": FIRST[:1]},
        {"messages": [{"role": "user", "content": SYSTEM + ASK}]},
    ],
)
def test_another_opening_is_another_session(other):
    assert read(CHAT, other).session != read(CHAT, talk(ASK)).session


def test_openings_of_client_blocks_alone_are_told_apart_by_their_text():
    one, two = (
        read(CHAT, talk(f"<uploaded_files>{name}</uploaded_files>")).session for name in "ab"
    )
    assert one != two


def test_a_picture_first_does_not_change_the_session_when_words_follow():
    picture = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    first, later = (read(CHAT, talk(*turns)) for turns in ((picture,), (picture, "A cat.", ASK)))
    assert first.session == later.session


def test_a_session_goes_on_by_the_name_of_the_answer_that_its_provider_keeps():
    """The other way of having no id: the next request holds nothing but the new turn."""
    later = read(RESPONSES, {"previous_response_id": "resp_1", "input": NEXT})
    assert (
        later.session == read(RESPONSES, {"previous_response_id": "resp_1", "input": ASK}).session
    )
    assert later.stored


# Callers.


@pytest.mark.parametrize("where", WHERE)
def test_two_callers_with_the_same_id_never_share_a_key(where):
    interface, headers, more = WHERE[where]
    request = parse(orjson.dumps(body(interface, **more)), interface=interface, headers=headers)
    assert key(request, "anna") != key(request, "ben")
    assert ID not in key(request)


async def test_ids_reach_neither_the_log_nor_an_answer(caplog):
    caplog.set_level(logging.DEBUG)
    headers = {"x-session-id": "ses_secret", "x-claude-code-agent-id": "agent_secret"}
    async with gateway(log_requests=True) as client:
        answer = await client.post(
            "/v1/chat/completions", json=smallest(CHAT, "kilo-auto/efficient"), headers=headers
        )
        [record] = client.records
        assert record.session == key_of(record.caller, "ses_secret", "agent_secret")
        assert "secret" not in repr(record)
    assert answer.status_code == 200
    ours = [record for record in caplog.records if record.name.startswith("router")]
    assert ours
    assert "secret" not in "\n".join(record.getMessage() for record in ours)
    assert "secret" not in f"{answer.headers} {answer.text}"


def test_tools_that_an_input_item_adds_are_tools():
    """Codex lists its tools in the input; without any its call would be a summary."""
    added = {"type": "additional_tools", "role": "developer", "tools": [
        {"type": "namespace", "name": "functions", "tools": [{"type": "custom", "name": "exec"}]}]}  # fmt: skip
    update = {"type": "configuration_update", "reasoning": {"effort": "high"}}
    fields = {"input": [added, update, {"role": "user", "content": ASK}]}
    headers = {"user-agent": CODEX, "originator": "codex_cli_rs"}
    request = parse(orjson.dumps(fields), interface=RESPONSES, headers=headers)
    assert request.conversation.ask == ASK
    assert request.conversation.tools == ("exec",)
    assert request.needs.tools
    assert (request.conversation.declared_task, request.conversation.aside) == (None, False)
    del fields["input"][0]["tools"]
    bare = parse(orjson.dumps(fields), interface=RESPONSES, headers=headers)
    assert bare.conversation.aside


# The recorded shapes of real clients.


@pytest.fixture(scope="module")
def shapes(shared):
    """Yield each client's requests by part, as expand_shapes.py of the notes writes them."""
    spec = importlib.util.spec_from_file_location("s", shared / "notes" / "expand_shapes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    known = json.loads((shared / "notes" / "client_shapes.json").read_text())
    del known["_about"]
    found = {}
    for client, shape in known.items():
        parts = [part for part in ("first", "after_tool", "second_turn") if part in shape]
        parts += [f"background:{name}" for name in shape.get("background", {})]
        found[client] = {p: module.expand(known, client, p, ASK, NEXT) for p in parts}
    return found


OWN_IDS = {"x-kilocode-taskid", "x-session-id", "x-session-affinity", "thread-id"}
RESTARTED = ("qwen_code/chat", "second_turn")
"""Recorded in another process: its system prompt is another."""


def shape_of(raw, **ids):
    """Read a recorded request; ``ids`` takes the place of the ids that a real subagent has."""
    headers = {name.lower(): value for name, value in raw["headers"].items()} | ids
    return parse(orjson.dumps(raw["body"]), interface=interface_of(raw["path"]), headers=headers)


def test_every_recorded_client_has_one_key_for_the_turns_of_a_session(shapes):
    for client, parts in shapes.items():
        turns = {p: shape_of(raw) for p, raw in parts.items() if not p.startswith("background")}
        keys = {key(turn) for part, turn in turns.items() if (client, part) != RESTARTED}
        assert len(keys) == 1, client
        with_ids = client.startswith(("claude", "codex", "kilo", "opencode"))
        assert turns["first"].session.startswith("first-turn-") != with_ids, client


def test_every_recorded_subagent_has_another_key_than_its_parent(shapes):
    seen = 0
    for client, parts in shapes.items():
        for part, raw in parts.items():
            if "subagent" in part:
                ids = {name: CHILD for name in raw["headers"] if name in OWN_IDS}
                assert key(shape_of(raw, **ids)) != key(shape_of(parts["first"])), (client, part)
                seen += 1
    assert seen >= 5


def test_every_recorded_call_is_a_turn_or_stands_beside_them(shapes):
    """qwen and aider say nothing; their background calls have another system prompt and so key."""
    for client, parts in shapes.items():
        for part, raw in parts.items():
            own = part.startswith(("background:title", "background:compaction"))
            headers = {name.lower(): value for name, value in raw["headers"].items()}
            said = read_declared(headers, raw["body"])
            assert said.aside == own, (client, part)
            if client.startswith(("qwen", "aider")) and part.startswith("background"):
                assert key(shape_of(raw)) != key(shape_of(parts["first"])), (client, part)
