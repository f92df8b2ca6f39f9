"""A decision that is written out is made again as it was, and no word of anybody's is in it."""

from __future__ import annotations

import asyncio
import json
import zlib
from dataclasses import replace

import orjson
import pytest

from classifier.tasks import N_LEVELS, TYPES
from router.books.workings import again, basics_of
from router.decision.engine import Engine
from router.errors import NoModelFits
from router.serving.lookup import replayed
from router.values import Interface, Unit
from tests.gateway_rig import PATHS, ask, gateway
from tests.router.serving.test_gateway_sessions import ASK, FAILED, PASSED, Session

ENGINE = Engine.load()
EFFICIENT = "kilo-auto/efficient"
ASKS = (
    "Fix the crash in the PDF export that happens when an order has no lines",
    "Write a haiku about the sea",
    "Explain what a monad is to a child",
    "Design a sharded, replicated key-value store with linearizable reads, and prove it",
    "Rename the variable x to total in this function",
    "Write unit tests for the parser",
    "What is 2 + 2?",
    "Översätt detta till engelska: god morgon",
)
HEADERS = (
    {},
    {"x-auto-dial": "quality"},
    {"x-auto-dial": "economy"},
    {"x-auto-dial": "0.07"},
    {"x-auto-max-cost-usd": "0.05"},
    {"x-auto-deny": "openai/*"},
    {"x-auto-allow": "anthropic/*,openai/*"},
    {"x-auto-min-quality": "0.5"},
    {"x-auto-open-weights-only": "true"},
)


async def check_again(client, n: int) -> None:
    """Assert that the last decision is made again as it was, by what was written of it."""
    assert len(client.records) == n
    record = client.records[-1]
    assert record.workings is not None
    worked = record.workings()
    made = orjson.loads(worked.made)
    basics = basics_of(made)
    decided, first = again(basics, ENGINE), made["decision"]
    assert decided.unit == Unit(first["model"], first["effort"]), first["why"]
    assert decided.terms == made["terms"]
    if worked.candidates:  # not decided from memory
        assert str(decided.unit) in worked.candidates
        assert decided.expected_quality == pytest.approx(first["expected_quality"], rel=1e-4)
        assert decided.expected_cost_usd == pytest.approx(first["expected_cost_usd"], rel=1e-4)
    assert await asyncio.to_thread(replayed, made, ENGINE) | {"same": True} == replayed(
        made, ENGINE
    )


@pytest.mark.parametrize("interface", list(Interface), ids=str)
async def test_every_kind_of_request_is_decided_again_as_it_was(interface):
    async with gateway(engine=ENGINE) as client:
        n = 0
        for text in ASKS:
            for headers in HEADERS:
                body = ask(interface, EFFICIENT, text=text)
                answer = await client.post(PATHS[interface], json=body, headers=headers)
                if answer.status_code != 200:  # nothing was decided
                    client.records.pop()
                    continue
                n += 1
                await check_again(client, n)
                made = client.records[-1].workings().made.decode()
                assert text not in made
                assert not any(f'"{word}' in made for word in text.split() if len(word) > 6)
        assert n > len(ASKS) * len(HEADERS) / 2


@pytest.mark.parametrize("interface", list(Interface), ids=str)
async def test_a_whole_session_is_decided_again_as_it_was(interface):
    """It begins, stays, escalates on failure and comes down, is pinned and let go again."""
    async with gateway(engine=ENGINE) as client:
        session = Session(client, interface)
        moves = []
        for n, (step, headers) in enumerate(
            (
                (lambda: session.user(ASK), {}),
                (lambda: session.tool(FAILED), {}),
                (lambda: session.tool(FAILED), {}),
                (lambda: session.tool(FAILED), {}),
                (lambda: session.tool(FAILED), {}),
                (lambda: session.tool(PASSED), {}),
                (lambda: session.user("Thanks! What is 2 + 2?"), {}),
                (lambda: session.user("And 3 + 3?"), {"x-auto-pin": "anthropic/claude-opus-5"}),
                (lambda: session.user("And 4 + 4?"), {"x-auto-pin": "none"}),
            ),
            1,
        ):
            step()
            _, move = await session.move(**headers)
            moves.append(move)
            if client.records[-1].workings is not None:
                await check_again(client, n)
        assert moves[0] == "begin"
        assert "stay" in moves


async def test_what_is_asked_aside_is_decided_again_beside_its_session():
    async with gateway(engine=ENGINE) as client:
        session = Session(client, Interface.CHAT)
        await session.user(ASK).send()
        body = ask(Interface.CHAT, EFFICIENT, text="Generate a short title for this conversation")
        headers = {"x-session-id": "ses_1", "x-kilocode-task": "title"}
        await client.post(PATHS[Interface.CHAT], json=body, headers=headers)
        await check_again(client, 2)


async def test_workings_are_small_and_compress():
    async with gateway(engine=ENGINE) as client:
        await client.post(PATHS[Interface.CHAT], json=ask(Interface.CHAT, EFFICIENT, text=ASK))
        made = client.records[-1].workings().made
        assert len(made) < 16_000
        assert len(zlib.compress(made, 6)) < 6_000


async def test_what_another_version_wrote_is_told_apart_from_a_decision():
    async with gateway(engine=ENGINE) as client:
        await client.post(PATHS[Interface.CHAT], json=ask(Interface.CHAT, EFFICIENT, text=ASK))
        made = json.loads(client.records[-1].workings().made)
    for changed in (
        made | {"assessment": made["assessment"] | {"p_type": [1.0]}},
        made | {"needs": made["needs"] | {"smell": True}},
        {key: value for key, value in made.items() if key != "dial"},
        made | {"limits": {"colour": "red"}},
        {},
    ):
        told = replayed(changed, ENGINE)
        assert (told["unit"], told["same"]) == (None, False)
    assert len(made["assessment"]["p_type"]) == len(TYPES)
    assert len(made["assessment"]["p_level"]) == N_LEVELS


async def test_where_nothing_fits_any_more_that_is_said():
    async with gateway(engine=ENGINE) as client:
        await client.post(PATHS[Interface.CHAT], json=ask(Interface.CHAT, EFFICIENT, text=ASK))
        basics = basics_of(json.loads(client.records[-1].workings().made))
    with pytest.raises(NoModelFits):
        again(replace(basics, reachable=frozenset()), ENGINE)
