"""How a session goes from one request to the next: pure functions from one value to the next.

In order of a request's life: ``on_wishes`` takes in what its headers ask for, ``hear`` says once what
the request tells, ``on_request`` takes that in, ``on_decision`` what was decided, ``on_serving`` who began to answer, ``on_usage`` what
the provider reported.  A store applies them to what it holds, atomically: of two requests of one
session that run at the same time each adds its part, in either order.

What identifies a session is said by the client or is the first turn's fingerprint; it counts only
together with the caller's name, and leaves this module only as a hash.  A subagent is a session of
its own.  A background call (a title, a summary) sees the session, whose cache may make one model
the cheapest to ask (``aside``), and changes nothing in it.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Final, NamedTuple

from classifier.model import ASIDE_FAMILIES, Assessment
from classifier.turns import Conversation
from router.sessions.session import (
    Basis,
    Cache,
    Evidence,
    Incumbent,
    Run,
    Session,
    Trouble,
    Wishes,
)
from router.values import Decision, Move, SessionWishes, Unit, Usage, family_of
from router.wire.request import ChatRequest

MAX_RUNS: Final = 64
MAX_CACHES: Final = 4
"""Models whose prompt caches are remembered; older ones are cold long since."""

FAILURES_A_STEP: Final = 2
"""A task is read anew with every second visible failure that no passing test has undone: one failing
test is how work goes, a second one after another edit is news, however many came before."""

COMPLAINT_FAILURES: Final = 3
"""What a user's "still broken" weighs against a failing test: the user has seen the result."""

ASKS_A_TOLL: Final = 4
"""After so many asks without a switch for price, the toll on the next one halves again."""

SMOOTHING: Final = 0.3
"""Weight of the newest call in the running means of growth and answer."""

MIXED: Final = "mixed"
"""The family of a history that several wrote and the client compacted: foreign to each of them."""


def key_of(caller: str, session: str, agent: str | None = None) -> str:
    """Return the key of a caller's session, or of a subagent in it; tells nothing of either."""
    parts = "\0".join((caller, session, agent or "")).encode("utf-8", "replace")
    return hashlib.blake2b(parts, digest_size=16).hexdigest()


class Heard(NamedTuple):
    """What a request tells its session."""

    ask: str
    """Digest of the ask and its place."""
    failures: int
    """Visible since the ask, not undone since."""
    answers: int
    """Questions that the user answered inside a tool call, since the ask."""
    complains: bool
    """The ask says that what was done for the last one did not do."""
    carries: bool
    """The ask carries the task under way on, and sets none (``Assessment.carries``)."""
    n_items: int
    """Messages or items of the conversation."""
    input_tokens: int
    """Estimated."""
    provider_state: bool
    """The provider keeps the conversation, so few items say nothing of its length."""


def hear(request: ChatRequest, *, carries: bool = False) -> Heard:
    """Say once what a request tells its session; ``carries`` is what its reading says of its ask."""
    conversation = request.conversation
    return Heard(
        ask=_digest(conversation),
        failures=conversation.since.failures,
        answers=conversation.since.answers,
        complains=conversation.complains,
        carries=carries,
        n_items=request.n_items,
        input_tokens=request.needs.input_tokens or 0,
        provider_state=request.needs.provider_state,
    )


def on_wishes(session: Session, asked: SessionWishes) -> Session:
    """Return the session under its user's wishes, which last until they are changed."""
    if asked.pin is None and not asked.unpin and asked.stays is None:
        return session
    before = session.wishes
    pin = asked.pin or (None if asked.unpin else before.pin)
    stays = before.stays if asked.stays is None else asked.stays
    return replace(session, wishes=Wishes(pin, stays))


def on_request(session: Session, heard: Heard) -> Session:
    """Return the session as it stands before a request is decided: what is new in it.

    A new ask begins a task, unless it says that the last one failed, or carries its task on:
    then its failures are carried over.  Success is not: with nothing failing, the next ask
    starts afresh, and a model that was taken for its strength can go again.  What was asked beside a
    task leaves that task's failures waiting.  A history that the client compacted is cached nowhere.
    """
    faced = session if heard.ask == session.task.evidence.ask else _next_ask(session, heard)
    task, trouble, context = faced.task, faced.trouble, faced.context
    if faced is session and heard.answers > task.evidence.answers:
        task = replace(task, calls=0)  # the user's answer begins the work anew
    failures = trouble.carried + heard.failures
    evidence = Evidence(heard.ask, failures // FAILURES_A_STEP, heard.answers)
    if heard.n_items < context.n_items and not heard.provider_state:
        context = replace(context, caches=())
    nothing_new = (evidence, failures) == (task.evidence, trouble.failures)
    if nothing_new and task is session.task and context is session.context:
        return session
    return replace(
        faced,
        task=replace(task, evidence=evidence),
        trouble=replace(trouble, failures=failures),
        context=context,
    )


def _next_ask(session: Session, heard: Heard) -> Session:
    """Begin an ask; after some without a switch for price the toll on the next one falls."""
    task = session.task
    quiet, toll = task.quiet_asks + 1, task.toll
    if quiet >= ASKS_A_TOLL and toll:
        quiet, toll = 0, toll - 1
    begun = replace(task, calls=0, asks=task.asks + 1, quiet_asks=quiet, toll=toll)
    if not (task.asks and (heard.complains or heard.carries)):
        waiting = session.waiting if _stood_beside(session) else session.blamed
        return replace(session, task=begun, trouble=Trouble(), waiting=waiting)
    trouble = session.waiting if _stood_beside(session) else session.trouble
    carried = trouble.failures + COMPLAINT_FAILURES * heard.complains
    trouble = replace(trouble, carried=carried)
    return replace(session, task=begun, trouble=trouble, waiting=Trouble())


def _stood_beside(session: Session) -> bool:
    """Say whether the ask under way only asked something, beside a task with failures that waits for it.

    What carries on after it carries on that task, as it is read (``classifier.model``).  An ask with
    failures of its own is work.
    """
    basis = session.basis
    aside = basis is not None and basis.assessment.family in ASIDE_FAMILIES
    return aside and session.waiting.failures > 0 and not session.trouble.failures


def _digest(conversation: Conversation) -> str:
    text = f"{conversation.user_turns}\0{conversation.ask}".encode("utf-8", "replace")
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def aside(session: Session) -> Session:
    """Return a session as a background call sees it: its caches, and none of its troubles."""
    return replace(
        session,
        task=replace(session.task, calls=0, toll=0),
        trouble=Trouble(),
        wishes=replace(session.wishes, stays=False),
    )


def on_decision(
    session: Session, assessment: Assessment | None, decision: Decision | None, served: Unit
) -> Session:
    """Return the session with a decision that is carried out by ``served``.

    What was decided from memory is there already.  Where nothing was decided (a model asked for by
    name, another tier, a mapping) the next request must be.
    """
    if assessment is None or decision is None or decision.mapped:
        return replace(session, basis=None)
    if not decision.candidates:
        return session
    of = decision.candidates.of(served)
    switched = decision.move is Move.SWITCH and session.model not in (None, decision.unit.model)
    task = session.task
    if switched:
        task = replace(task, toll=task.toll + 1, quiet_asks=0)
    incumbent = Incumbent(
        unit=session.incumbent.unit if session.incumbent else served,
        fallbacks=tuple(unit for unit in decision.fallbacks if unit.model != served.model),
        expected_quality=of.quality if of else None,
        expected_cost_usd=of.plan_usd if of else None,
        adequate=bool(of and of.near),
        evidence=of.evidence if of else None,
        successor=of.second if of else None,
    )
    basis = Basis(assessment, task.evidence, decision.terms)
    return replace(session, incumbent=incumbent, basis=basis, task=task)


def on_serving(session: Session, unit: Unit, heard: Heard, now_s: float) -> Session:
    """Return the session once a unit has begun to answer a request.

    Until the provider reports what it cached, the whole request counts as cached there, unless it
    was seen not to cache.  Failures are a unit's: the same model at another effort has its own.
    """
    before, context, trouble = session.incumbent, session.context, session.trouble
    caches = tuple(cache for cache in context.caches if cache.model != unit.model)
    refuted = any(cache.refuted for cache in context.caches if cache.model == unit.model)
    size = 0 if refuted else round(heard.input_tokens * context.scale)
    held = Cache(unit.model, size, now_s, refuted)
    if before is not None and before.unit != unit:
        trouble = session.blamed
    return replace(
        session,
        incumbent=Incumbent(unit) if before is None else replace(before, unit=unit),
        task=replace(session.task, calls=session.task.calls + 1),
        trouble=trouble,
        context=replace(context, caches=(held, *caches)[:MAX_CACHES], n_items=heard.n_items),
        authors=_authors(session, family_of(unit.model), heard.n_items),
    )


def _authors(session: Session, family: str, n_items: int) -> tuple[Run, ...]:
    """Return who wrote what once ``family`` writes the answer to ``n_items``."""
    before = session.authors
    if n_items < session.context.n_items:
        several = {run.family for run in before} - {family}
        before = (Run(0, MIXED if several else family),)
    if before and before[-1].family == family:
        return before
    return (*before, Run(n_items, family))[-MAX_RUNS:]


def on_usage(
    session: Session,
    model: str,
    usage: Usage,
    *,
    estimated_tokens: int,
    cached_before: int,
    now_s: float,
) -> Session:
    """Return the session with what the provider reported of a call to ``model``.

    Caching that was expected and is not reported is not believed in again until it is reported:
    a second call without it says nothing new.  Of an explicit cache only what is known to have been
    read or written counts.
    """
    context = session.context
    caches = tuple(
        _cached(cache, usage, cached_before, now_s) if cache.model == model else cache
        for cache in context.caches
    )
    before = context.input_tokens or 0
    grew = usage.input_tokens - before
    again = 0 < grew < before and session.task.calls > 1
    growth = max(0.0, grew - (context.output_tokens or 0.0))
    return replace(
        session,
        context=replace(
            context,
            caches=caches,
            input_tokens=usage.input_tokens or context.input_tokens,
            scale=_scale(usage.input_tokens, estimated_tokens, context.scale),
            growth_tokens=_mean(context.growth_tokens, growth) if again else context.growth_tokens,
            output_tokens=_mean(context.output_tokens, usage.output_tokens),
        ),
    )


def _cached(cache: Cache, usage: Usage, expected: int, now_s: float) -> Cache:
    """Return what a model's cache holds after a call, of which so many tokens were expected cached."""
    reported = usage.cached_tokens + usage.cache_write_tokens
    if not reported:
        refuted = cache.refuted or expected > 0
        return Cache(cache.model, 0 if refuted else usage.input_tokens, now_s, refuted)
    automatic = not usage.cache_write_tokens and usage.cached_tokens >= expected / 2
    return Cache(cache.model, usage.input_tokens if automatic else reported, now_s)


def _scale(reported: int, estimated: int, before: float) -> float:
    return min(3.0, max(0.3, reported / estimated)) if reported and estimated else before


def _mean(before: float | None, now: float) -> float:
    return float(now) if before is None else (1 - SMOOTHING) * before + SMOOTHING * now


def foreign_items(session: Session, n_items: int, model: str) -> frozenset[int]:
    """Return which of a request's items another family than ``model``'s wrote.

    A request names no author for its parts, so the session remembers from which item on which
    family wrote.  A history that became shorter was compacted by the client, and its indices mean
    nothing any more: if several families took part, all of it counts as foreign, else none.
    """
    family, runs = family_of(model), session.authors
    if all(run.family == family for run in runs):
        return frozenset()
    if n_items < session.context.n_items:
        return frozenset(range(n_items))
    ends = [run.first_item for run in runs[1:]] + [n_items]
    return frozenset(
        i
        for run, end in zip(runs, ends, strict=True)
        if run.family != family
        for i in range(run.first_item, end)
    )
