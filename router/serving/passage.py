"""A request on its way through the gateway, as values: read, decided, answered, and its record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from router.books.others import NO_OTHERS, Others
from router.books.record import End, Record, Workings
from router.books.workings import Basics, written_out
from router.callers.meters import Claim
from router.callers.wishes import Wished
from router.decision.tiers import Plan, Standing
from router.errors import (
    Exhausted,
    RouterError,
)
from router.providers.attempts import Attempt
from router.providers.pass_through import PassedAnswer
from router.providers.upstream import Reply, Streamed
from router.serving.admission import NOTHING, TOKENS_AN_EVENT, Estimate
from router.serving.asgi import (
    Call,
)
from router.serving.room import Share
from router.sessions.session import Session
from router.sessions.steps import Heard, aside, on_request
from router.values import Caller, Failure, Limits, PassThrough
from router.wire.format import DEFAULT
from router.wire.pass_through import Passing
from router.wire.request import ChatRequest

RECORD_CHARS: Final = 600
"""Longest text of a record; a reason has some 300."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """A request that was read: who asks, and what for."""

    caller: Caller
    """Under the request's own limits."""
    wished: Wished
    request: ChatRequest
    own_keys: Mapping[str, str]
    """Provider → key that the caller brought."""


@dataclass(frozen=True, slots=True)
class Routed:
    """A request that was decided: what serves it, in its session."""

    inbound: Inbound
    heard: Heard
    key: str
    """Of the session."""
    session: Session
    """As it was before the request, under its user's wishes."""
    plan: Plan
    attempts: tuple[Attempt, ...]
    background: bool
    """The client asks on its own account: the session does not change."""
    standing: Standing
    """What the plan was made under."""
    limits: Limits
    """The caller's, under a pin of the session's."""
    reachable: frozenset[str]
    """Models that could be had in the request's format."""

    @property
    def forgets(self) -> bool:
        """Whether the session stays as it is: also of an anonymous caller, who may be anybody."""
        return self.background or self.inbound.caller.anonymous


@dataclass(slots=True)
class Passage:
    """One request on its way, as far as it has come: what its record is made from."""

    call: Call
    share: Share
    """Of the room for bodies."""
    passes: PassThrough | None = None
    """What its path passes through; None: it is a conversation's."""
    caller: Caller | None = None
    inbound: Inbound | None = None
    routed: Routed | None = None
    failures: list[Failure] = field(default_factory=list)
    """The attempts that failed, in order."""
    reply: Reply | None = None
    passing: Passing | None = None
    """The request, where it is one that passes through; then there is no ``inbound``."""
    passed: PassedAnswer | None = None
    """Its answer."""
    first_s: float | None = None
    decided_s: float | None = None
    estimate: Estimate = NOTHING
    """The most that it could come to."""
    claim: Claim | None = None
    """What was reserved; None where no meter holds for the caller."""
    others: Others = NO_OTHERS
    error: RouterError | None = None
    body_bytes: int = 0
    """Of a body that was let go."""
    done: bool = False
    """The client was sent all of its answer, or of an error."""

    def begun(self) -> Routed:
        """Let go of the body, once there is an answer and nobody else is asked."""
        assert self.routed is not None
        request = self.routed.inbound.request
        self.body_bytes = len(request.body)
        request.spend()
        self.share.give_back()
        return self.routed

    def passed_on(self, answer: PassedAnswer) -> None:
        """Take the answer to what passes through, and let go of its body."""
        assert self.passing is not None
        self.passed, self.body_bytes = answer, len(self.passing.body)
        self.passing = replace(self.passing, body=b"", fields={})
        self.share.give_back()


def telling(routed: Routed, left_out: Sequence[str]) -> Routed:
    """Let a plan's reason tell what of the request its model was not sent."""
    if not left_out:
        return routed
    why = f"{routed.plan.why.rstrip('.')}. Its vendor refuses {', '.join(left_out)}: left out."
    return replace(routed, plan=replace(routed.plan, why=why))


def record_of(passage: Passage, now_s: float, at_s: float) -> Record:
    """Return the record of a request that ended, with as much as was known by then.

    ``now_s`` is on the gateway's clock, ``at_s`` in seconds since 1970.
    """
    call, routed = passage.call, passage.routed
    reply = passage.reply or passage.passed
    asked = passage.passing or (passage.inbound.request if passage.inbound else None)
    request = passage.inbound.request if passage.inbound else None
    made = routed.plan if routed else None
    read, decision = (made.assessment, made.decision) if made else (None, None)
    error = passage.error
    return Record(
        decision_id=call.decision_id,
        end=_end_of(passage),
        status=call.status,
        error=error.code if error else None,
        interface=passage.passes or (request.interface if request else call.interface or DEFAULT),
        total_s=now_s - call.began,
        answer_id=_short(passage.reply.response_id) if passage.reply else None,
        at_s=at_s,
        first_s=passage.first_s,
        decided_s=passage.decided_s,
        caller=passage.caller.name if passage.caller else None,
        team=passage.caller.team if passage.caller else None,
        anonymous=passage.caller is not None and passage.caller.anonymous,
        asked_model=_short(asked.model) if asked else None,
        streams=asked.streams if asked else None,
        body_bytes=passage.body_bytes or (len(asked.body) if asked else 0),
        mode=_short(request.conversation.mode) if request else None,
        agent=_short(request.roles[0]) if request and request.roles else None,
        subagent=request is not None and request.conversation.subagent,
        session=routed.key if routed else None,
        ask=routed.heard.ask if routed else None,
        tier=made.tier if made else None,
        task=read.task if read else None,
        difficulty=read.expected_level if read else None,
        confidence=read.confidence if read else None,
        move=decision.move if decision else None,
        why=_short(made.why) if made else None,
        evidence=decision.evidence if decision else None,
        expected_quality=decision.expected_quality if decision else None,
        expected_cost_usd=decision.expected_cost_usd if decision else None,
        unit=reply.attempt.target.unit if reply else None,
        provider=reply.attempt.endpoint.provider.name if reply else None,
        served_model=reply.answers.own_name if reply and reply.answers else None,
        usage=reply.usage if reply else None,
        usd=reply.usd if reply else None,
        frontier_usd=passage.others.frontier_usd,
        balanced_usd=passage.others.balanced_usd,
        former_usd=passage.others.former_usd,
        saved_usd=reply.saved_usd if reply else None,
        failures=tuple(passage.failures),
        traceparent=call.headers.get("traceparent"),
        workings=_workings_of(routed) if routed else None,
    )


def spent_on(passage: Passage) -> Estimate:
    """Return what a request came to; where nobody told its usage, or not to the end, what was sent of it.

    A request that no upstream answered came to nothing.
    """
    reply = passage.reply or passage.passed
    if reply is None or reply.status >= 400:
        return NOTHING
    most, usage = passage.estimate, reply.usage
    told = NOTHING
    if usage is not None:
        usd = most.usd if reply.usd is None else reply.usd
        told = Estimate(usd, usage.input_tokens + usage.output_tokens)
        if not isinstance(reply, Streamed) or reply.whole:
            return told
    if not isinstance(reply, Streamed) or most.tokens <= 0:
        return most
    asked = passage.inbound.request.needs.input_tokens or 0 if passage.inbound else 0
    tokens = min(most.tokens, asked + passage.call.events * TOKENS_AN_EVENT)
    sent = most.usd * tokens / most.tokens
    return Estimate(max(told.usd, sent), max(told.tokens, tokens))


def _workings_of(routed: Routed) -> Callable[[], Workings] | None:
    """Return what writes out a decision; None where evidence decided nothing."""
    made, inbound = routed.plan, routed.inbound
    if made.assessment is None or made.decision is None:
        return None
    session, heard = routed.session, routed.heard
    basics = Basics(
        assessment=made.assessment,
        needs=inbound.request.needs,
        session=aside(session) if routed.background else on_request(session, heard),
        dial=inbound.caller.dial,
        limits=routed.limits,
        reachable=routed.reachable,
        seen=made.decision.seen,
        remembers=not made.decision.candidates,
        now_s=routed.standing.now_s,
    )
    return partial(written_out, basics, made.decision)


def _short(text: str | None) -> str | None:
    """Cut what a client may have made long; nothing for an empty text."""
    return text[:RECORD_CHARS] if text else None


def _end_of(passage: Passage) -> End:
    """Say how a request ended."""
    error, reply = passage.error, passage.reply or passage.passed
    if error is not None:
        return End.FAILED if error.status >= 500 or isinstance(error, Exhausted) else End.REFUSED
    if not passage.done or reply is None:
        return End.LEFT
    if reply.broke or reply.status >= 500:
        return End.FAILED
    return End.SERVED if reply.status < 400 else End.REFUSED
