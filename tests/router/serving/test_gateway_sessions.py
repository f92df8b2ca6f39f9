"""Sessions through the whole gateway: real engine, real sockets, simulated provider."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from router.decision.engine import Engine
from router.sessions.steps import key_of
from router.values import Interface
from router.wire.request import BYTES_PER_TOKEN
from tests.gateway_rig import PATHS, gateway

EFFICIENT = "kilo-auto/efficient"
FAILED = "==== 2 failed, 3 passed in 0.4s ===="
PASSED = "==== 5 passed in 0.4s ===="
ASK = "Fix the crash in the PDF export that happens when an order has no lines"
SYSTEM = "You are a coding agent. " * 400


@pytest.fixture(scope="module")
def engine():
    return Engine.load()


class Session:
    """A client's side of one conversation in one wire format."""

    def __init__(self, client, interface, session_id="ses_1", **headers):
        self.client, self.interface = client, interface
        self.headers = {"x-session-id": session_id, **headers}
        self.items, self.calls = [], 0

    def user(self, text):
        self.items.append({"role": "user", "content": text})
        return self

    def tool(self, result):
        self.calls += 1
        name, arguments = f"call_{self.calls}", f'{{"n": {self.calls}}}'
        self.items += TOOL[self.interface](name, arguments, result)
        return self

    async def send(self, model=EFFICIENT, path="", **headers):
        body = {"model": model, **BODY[self.interface], ITEMS[self.interface]: self.items}
        answer = await self.client.post(
            path or PATHS[self.interface], json=body, headers=self.headers | headers
        )
        assert answer.status_code == 200, answer.text
        if not path:
            self.items += REPLY[self.interface](answer.json())
        return answer

    async def move(self, **more):
        answer = await self.send(**more)
        return answer.headers["x-auto-model"], answer.headers["x-auto-move"]


def chat_tool(name, arguments, result):
    call = {"id": name, "type": "function", "function": {"name": "bash", "arguments": arguments}}
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": name, "content": result},
    ]


def messages_tool(name, arguments, result):
    use = {"type": "tool_use", "id": name, "name": "bash", "input": {"a": arguments}}
    done = {"type": "tool_result", "tool_use_id": name, "content": result}
    return [{"role": "assistant", "content": [use]}, {"role": "user", "content": [done]}]


def responses_tool(name, arguments, result):
    call = {"type": "function_call", "call_id": name, "name": "bash", "arguments": arguments}
    return [call, {"type": "function_call_output", "call_id": name, "output": result}]


ITEMS = {Interface.CHAT: "messages", Interface.MESSAGES: "messages", Interface.RESPONSES: "input"}
TOOL = {
    Interface.CHAT: chat_tool,
    Interface.MESSAGES: messages_tool,
    Interface.RESPONSES: responses_tool,
}
BODY = {
    Interface.CHAT: {"tools": [{"type": "function", "function": {"name": "bash"}}]},
    Interface.MESSAGES: {"tools": [{"name": "bash", "input_schema": {}}], "max_tokens": 900},
    Interface.RESPONSES: {"tools": [{"type": "function", "name": "bash"}]},
}
REPLY = {
    Interface.CHAT: lambda reply: [reply["choices"][0]["message"]],
    Interface.MESSAGES: lambda reply: [{"role": "assistant", "content": reply["content"]}],
    Interface.RESPONSES: lambda reply: reply["output"],
}
every_format = pytest.mark.parametrize("interface", list(Interface), ids=str)


@every_format
async def test_a_session_stays_escalates_on_failure_and_comes_down_after_success(interface, engine):
    async with gateway(engine=engine) as client:
        session = Session(client, interface).user(ASK)
        first, move = await session.move()
        assert move == "begin"
        session.tool("def export(order): ...")
        answer = await session.send()
        assert (answer.headers["x-auto-model"], answer.headers["x-auto-move"]) == (first, "stay")
        assert "nothing is new" in answer.headers["x-auto-reason"]
        moves = []
        for _ in range(6):
            session.tool(FAILED)
            moves.append(await session.move())
        assert "escalate" in [move for _, move in moves]
        strong = moves[-1][0]
        assert strong != first
        session.tool(PASSED)
        assert await session.move() == (strong, "stay"), "it comes down at the next user turn"
        session.user("Now rename the helper parse_row to read_row in this file")
        last, move = await session.move()
        assert (last, move) != (strong, "escalate")
        assert len({record.session for record in client.records}) == 1
        assert all(record.usd > 0 for record in client.records)


async def test_an_open_tool_call_and_a_stored_conversation_do_not_switch(engine):
    async with gateway(engine=engine) as client:
        session = Session(client, Interface.CHAT).user(ASK)
        first, _ = await session.move()
        for _ in range(6):
            session.tool(FAILED)
        session.items.pop()  # the last result is not there yet
        assert await session.move() == (first, "locked")
        stored = Session(client, Interface.RESPONSES, "ses_2").user(ASK)
        first, _ = await stored.move()
        stored.items = [{"role": "user", "content": "It still fails with the same error, fix it"}]
        body = {"model": EFFICIENT, "input": stored.items, "previous_response_id": "resp_1"}
        answer = await client.post("/v1/responses", json=body, headers=stored.headers)
        assert answer.headers["x-auto-model"] == first
        assert answer.headers["x-auto-move"] == "locked"
        assert "provider keeps" in answer.headers["x-auto-reason"]


async def test_a_client_that_only_names_the_last_answer_keeps_its_session(engine):
    """The OpenAI SDK sends no session id and no history: the stored answer is all there is."""
    async with gateway(engine=engine) as client:
        body = {"model": EFFICIENT, "input": ASK}
        first = await client.post("/v1/responses", json=body)
        follow = {
            "model": EFFICIENT, "input": "It still fails", "previous_response_id": first.json()["id"]
        }  # fmt: skip
        second = await client.post("/v1/responses", json=follow)
        assert second.headers["x-auto-move"] == "locked"
        assert second.headers["x-auto-model"] == first.headers["x-auto-model"]


async def test_a_subagent_is_a_session_of_its_own(engine):
    async with gateway(engine=engine) as client:
        parent = Session(client, Interface.MESSAGES, **{"x-claude-code-session-id": "s"}).user(ASK)
        await parent.send()
        agent = Session(client, Interface.MESSAGES, **{"x-claude-code-session-id": "s"})
        agent.headers["x-claude-code-agent-id"] = "agent-1"
        agent.user("List the files that mention orders")
        assert (await agent.move())[1] == "begin"
        parent.tool("ok")
        assert (await parent.move())[1] == "stay"
        assert len({record.session for record in client.records}) == 2


async def test_background_calls_leave_the_session_as_it_is(engine):
    """A title or a summary between two turns is no turn, but its dollars are recorded."""
    async with gateway(engine=engine) as client:
        session = Session(client, Interface.CHAT).user(ASK)
        first, _ = await session.move()
        key = client.records[-1].session
        store = client.app.state.gateway.stores.sessions
        before = await store.get(key)
        for mode in ("title", "compaction"):
            aside = Session(client, Interface.CHAT, **{"x-kilocode-mode": mode})
            aside.user(f"Write a {mode} of this conversation: the user wants a crash fixed")
            await aside.send()
            assert client.records[-1].usd > 0
        assert await store.get(key) is before
        session.tool("a file")
        assert await session.move() == (first, "stay")


async def test_a_session_can_be_pinned_kept_and_read_anew(engine):
    pin = "anthropic/claude-opus-4.7"
    async with gateway(engine=engine) as client:
        session = Session(client, Interface.CHAT).user(ASK)
        first, _ = await session.move()
        assert first != pin
        session.tool("ok")
        assert (await session.move(**{"x-auto-pin": pin}))[0] == pin
        session.user("Thanks! Now rename it.")
        assert (await session.move())[0] == pin, "a pin lasts"
        session.user("And a test for it")
        assert (await session.send(model="kilo-auto/frontier")).headers["x-auto-model"] == pin
        session.user("And now the next small rename")
        free, _ = await session.move(**{"x-auto-pin": "off", "x-auto-switch": "on"})
        session.tool("ok")
        assert (await session.move(**{"x-auto-reassess": "true"}))[1] != "begin"
        answer = await session.send(**{"x-auto-reassess": "true"})
        assert "nothing is new" not in answer.headers["x-auto-reason"]
        session.user("It still fails, that is not fixed").headers["x-auto-switch"] = "off"
        kept, move = await session.move()
        assert move == "locked"
        assert free


async def test_what_another_tier_served_is_decided_anew(engine):
    """A model asked for by name answers an ask; what was known before says nothing of that ask."""
    async with gateway(engine=engine) as client:
        session = Session(client, Interface.CHAT).user(ASK)
        await session.send()
        session.user("Port the whole storage layer from SQLite to PostgreSQL, with a migration")
        await session.send(model="openai/gpt-5.5")
        session.tool("ok")
        answer = await session.send()
        assert "nothing is new" not in answer.headers["x-auto-reason"]
        assert answer.headers["x-auto-task"] != "debugging/bug_fixing"


async def test_other_limits_are_another_decision(engine):
    async with gateway(engine=engine) as client:
        session = Session(client, Interface.CHAT).user(ASK)
        first, _ = await session.move()
        session.tool("ok")
        answer = await session.send(**{"x-auto-deny": first})
        other = answer.headers["x-auto-model"]
        assert other != first
        session.tool("ok")
        assert (await session.move(**{"x-auto-deny": f"{first},{other}"}))[1] == "replace"
        session.tool("ok")
        answer = await session.send(**{"x-auto-dial": "quality"})
        assert "nothing is new" not in answer.headers["x-auto-reason"]


async def test_a_wish_that_cannot_be_read_is_refused(engine):
    async with gateway(engine=engine) as client:
        body = {"model": EFFICIENT, "messages": [{"role": "user", "content": "hi"}]}
        answer = await client.post(PATHS[Interface.CHAT], json=body, headers={"x-auto-switch": "?"})
        assert answer.status_code == 400
        assert "x-auto-switch" in answer.json()["error"]["message"]


async def test_a_pinned_model_without_evidence_serves(engine):
    unproven = "moonshotai/kimi-k3"
    known = [i for i, unit in enumerate(engine.table.units) if unit.model != unproven]
    async with gateway(engine=replace(engine, table=engine.table.kept(known))) as client:
        session = Session(client, Interface.CHAT).user(ASK)
        answer = await session.send(**{"x-auto-pin": unproven})
        assert answer.headers["x-auto-model"] == unproven
        assert "pinned" in answer.headers["x-auto-reason"]


async def test_a_dry_run_sees_the_session_and_leaves_no_trace(engine):
    async with gateway(engine=engine) as client:
        session = Session(client, Interface.CHAT).user(ASK)
        first, _ = await session.move()
        key = client.records[-1].session
        before = await client.app.state.gateway.stores.sessions.get(key)
        session.tool("ok")
        told = (await session.send(path="/v1/route")).json()
        assert told["model"] == first
        assert told["decision"]["move"] == "stay"
        assert await client.app.state.gateway.stores.sessions.get(key) is before


async def test_turns_of_one_session_at_the_same_time_are_all_counted(engine):
    async with gateway(engine=engine) as client:
        sessions = [Session(client, Interface.CHAT).user(ASK) for _ in range(12)]
        answers = await asyncio.gather(*(session.send() for session in sessions))
        assert len({answer.headers["x-auto-model"] for answer in answers}) == 1
        held = await client.app.state.gateway.stores.sessions.get(key_of("owner", "ses_1"))
        assert held.task.calls == 12
        assert held.task.asks == 1


class BrokenSessions:
    """A shared store that is down."""

    async def get(self, key):
        raise ConnectionError("the store is down")

    async def update(self, key, change):
        raise ConnectionError("the store is down")


async def test_a_store_that_is_down_fails_no_request(engine):
    async with gateway(engine=engine, sessions=BrokenSessions()) as client:
        session = Session(client, Interface.CHAT).user(ASK)
        assert (await session.move())[1] == "begin"


async def test_cached_tokens_come_from_the_provider(engine):
    async with gateway(engine=engine) as client:
        session = Session(client, Interface.CHAT)
        session.items = [{"role": "system", "content": SYSTEM}]
        await session.user(ASK).send()
        record = client.records[-1]
        reported, estimated = record.usage.input_tokens, record.body_bytes / BYTES_PER_TOKEN
        held = (await client.app.state.gateway.stores.sessions.get(record.session)).context
        assert held.caches[0].tokens == reported
        assert held.scale == pytest.approx(reported / estimated, abs=0.01)


async def test_the_simulated_provider_caches_by_model_as_providers_do(engine):
    """A repeat turn reads its prefix from the cache; after a switch everything is read anew."""
    async with gateway(engine=engine) as client:
        session = Session(client, Interface.CHAT)
        session.items = [{"role": "system", "content": SYSTEM}]
        session.user(ASK)
        cached = []
        for pin in ("openai/gpt-5.4", "openai/gpt-5.4", "minimax/minimax-m2.7", "openai/gpt-5.4"):
            await session.send(**{"x-auto-pin": pin})
            cached.append(client.records[-1].usage.cached_tokens)
            session.tool("a file")
        assert cached[0] == cached[2] == 0
        assert cached[3] >= cached[1] > 1024


class Counting:
    """The classifier, and how often it was asked to read."""

    def __init__(self, classifier):
        self.classifier, self.reads = classifier, 0

    def assess(self, conversation):
        self.reads += 1
        return self.classifier.assess(conversation)


def counting(engine):
    counted = Counting(engine.classifier)
    return counted, replace(engine, classifier=counted)


async def test_a_turn_that_brings_nothing_new_is_not_read(engine):
    """Also where asks stand before it, which say what its task carries on."""
    counted, engine = counting(engine)
    async with gateway(engine=engine) as client:
        talk = Session(client, Interface.CHAT).user(ASK)
        await talk.send()
        await talk.user("yes, go on").send()
        assert counted.reads
        counted.reads = 0
        for _ in range(3):
            talk.tool("a file")
            assert (await talk.send()).headers["x-auto-move"] == "stay"
        assert counted.reads == 0
        await talk.user("now write a release note").send()
        assert counted.reads


async def test_a_model_by_its_name_is_read_only_where_a_limit_is_a_number(engine):
    counted, engine = counting(engine)
    async with gateway(engine=engine) as client:
        talk = Session(client, Interface.CHAT).user(ASK)
        await talk.send("z-ai/glm-5")
        await talk.user("yes, go on").send("z-ai/glm-5")
        assert counted.reads == 0
        await talk.send("z-ai/glm-5", **{"x-auto-max-cost": "1000"})
        assert counted.reads == 1
