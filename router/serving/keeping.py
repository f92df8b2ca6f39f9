"""What a request learns from its session, and its session from the request: the stores, asked and told."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from router.errors import UnknownAnswer
from router.providers.upstream import Reply, Streamed, Whole
from router.serving.passage import Routed
from router.serving.stores import Stores
from router.sessions.holders import give, is_anothers
from router.sessions.session import NEW, Session
from router.sessions.steps import (
    key_of,
    on_decision,
    on_request,
    on_serving,
    on_usage,
    on_wishes,
)
from router.sessions.store import learn, recall
from router.values import Caller
from router.wire.request import ChatRequest, answered_as


async def session_of(stores: Stores, key: str, caller: Caller, request: ChatRequest) -> Session:
    """Return a request's session; one that is not known is that of the answer it goes on from."""
    if caller.anonymous:
        return NEW
    session = await recall(stores.sessions, key)
    if session.incumbent is None and request.continued:
        before = answered_as(request.continued)
        return await recall(stores.answers, key_of(caller.name, before, request.agent))
    return session


async def refuse_anothers(stores: Stores, request: ChatRequest, caller: Caller) -> None:
    """Raise UnknownAnswer for what a provider keeps for another caller, under the same key."""
    for kept in request.builds_on:
        if await is_anothers(stores.answers, kept, caller.name):
            raise UnknownAnswer(
                f"no stored answer or conversation {kept[:80]!r} is yours; send the whole "
                "conversation, or go on from an answer that you were given"
            )


async def begin(
    stores: Stores, routed: Routed, reply: Reply, now_s: float, lifetime_s: float
) -> None:
    """Let the session know who answers, before the client can send its next request.

    Of an answer that is whole it learns at once what it took; unused caches live for ``lifetime_s``.
    """
    made, heard, wished = routed.plan, routed.heard, routed.inbound.wished.session
    if reply.status != 200 or routed.forgets:
        return
    unit = reply.attempt.target.unit
    billed = _billed(routed, reply, now_s, lifetime_s) if isinstance(reply, Whole) else _as_it_is

    def change(session: Session) -> Session:
        session = session if session.incumbent else routed.session
        session = on_request(on_wishes(session, wished), heard)
        session = on_decision(session, made.assessment, made.decision, unit)
        return billed(on_serving(session, unit, heard, now_s))

    await learn(stores.sessions, routed.key, change)


async def account(
    stores: Stores, routed: Routed, reply: Reply, now_s: float, lifetime_s: float
) -> None:
    """Let the session know what a stream took, and remember who was given what is kept."""
    inbound = routed.inbound
    request = inbound.request
    stored = reply.status == 200 and request.stored
    if stored:
        given = (*request.builds_on, *filter(None, [reply.response_id]))
        await give(stores.answers, given, inbound.caller.name)
    if reply.usage is None or reply.status != 200 or routed.forgets:
        return
    again = answered_as(reply.response_id) if stored and reply.response_id else None
    held: Session | None = None
    if isinstance(reply, Streamed):
        billed = _billed(routed, reply, now_s, lifetime_s)
        held = await learn(stores.sessions, routed.key, billed)
    elif again:
        held = await recall(stores.sessions, routed.key)
    if held is not None and again:
        key = key_of(inbound.caller.name, again, request.agent)
        await learn(stores.answers, key, lambda _: held)


def _billed(
    routed: Routed, reply: Reply, now_s: float, lifetime_s: float
) -> Callable[[Session], Session]:
    """Return how a session changes with what the provider reported."""
    model, usage = reply.attempt.target.unit.model, reply.usage
    if usage is None:
        return _as_it_is
    return partial(
        on_usage,
        model=model,
        usage=usage,
        estimated_tokens=routed.heard.input_tokens,
        cached_before=routed.session.cached_tokens(model, lifetime_s, now_s),
        now_s=now_s,
    )


def _as_it_is(session: Session) -> Session:
    return session
