"""What a request learns from its session, and its session from the request: the stores, asked and told."""

from __future__ import annotations

from router.errors import (
    UnknownAnswer,
)
from router.providers.upstream import Reply
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


async def begin(stores: Stores, routed: Routed, reply: Reply, now_s: float) -> None:
    """Let the session know who answers, before the client can send its next request."""
    made, heard, wished = routed.plan, routed.heard, routed.inbound.wished.session
    if reply.status != 200 or routed.forgets:
        return
    unit = reply.attempt.target.unit

    def change(session: Session) -> Session:
        session = session if session.incumbent else routed.session
        session = on_request(on_wishes(session, wished), heard)
        session = on_decision(session, made.assessment, made.decision, unit)
        return on_serving(session, unit, heard, now_s)

    await learn(stores.sessions, routed.key, change)


async def account(
    stores: Stores, routed: Routed, reply: Reply, now_s: float, lifetime_s: float
) -> None:
    """Let the session know what the provider reported; unused caches live for ``lifetime_s``."""
    inbound, usage = routed.inbound, reply.usage
    request, model = inbound.request, reply.attempt.target.unit.model
    if reply.status == 200 and request.stored:
        given = (*request.builds_on, *filter(None, [reply.response_id]))
        await give(stores.answers, given, inbound.caller.name)
    if usage is None or reply.status != 200 or routed.forgets:
        return
    expected = routed.session.cached_tokens(model, lifetime_s, now_s)

    def change(session: Session) -> Session:
        return on_usage(
            session,
            model,
            usage,
            estimated_tokens=routed.heard.input_tokens,
            cached_before=expected,
            now_s=now_s,
        )

    held = await learn(stores.sessions, routed.key, change)
    if held is not None and request.stored and reply.response_id:
        again = key_of(inbound.caller.name, answered_as(reply.response_id), request.agent)
        await learn(stores.answers, again, lambda _: held)
