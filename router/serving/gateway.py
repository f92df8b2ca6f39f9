"""The path of one request: who calls → what is asked → what serves it → the answer, relayed.

Written against bare ASGI (``router.serving.asgi``).  While the upstream works, one task listens for
the client to leave and then cancels the request, which closes the upstream's connection.  Errors are
told in the client's own format, always with what to do about them.  However a request ends, its
record is told.
"""

from __future__ import annotations

import logging
import math
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Final

import orjson

from router.books.record import End, Record, Tell, unrecorded
from router.callers.keys import Keys, not_the_owners, own_keys
from router.callers.local import address_of
from router.callers.rates import LISTINGS_PER_WINDOW, Window, block_of
from router.callers.wishes import Wished, narrowed, read_wishes, resolved
from router.decision.economics import usage_usd
from router.decision.engine import is_background
from router.decision.tiers import Plan, Standing, plan
from router.errors import (
    BadRequest,
    Exhausted,
    RateLimited,
    RouterError,
    Unauthenticated,
    UnknownAnswer,
    UnknownModel,
)
from router.providers.attempts import Attempt
from router.providers.endpoints import Endpoint, Providers
from router.providers.outgoing import Order, no_signs
from router.providers.upstream import Reply, Streamed, Upstream
from router.serving.asgi import (
    Call,
    Disconnected,
    Headers,
    Receive,
    Scope,
    Send,
    read_headers,
    watched,
)
from router.serving.headers import (
    STREAM_HEADERS,
    comment_of,
    decision_headers,
    early_headers,
    error_headers,
)
from router.serving.intake import Intake, Share
from router.serving.live import LiveData
from router.serving.logs import one_line
from router.serving.pulse import Pulse
from router.serving.stores import Stores
from router.sessions.holders import give, is_anothers
from router.sessions.session import NEW, Session
from router.sessions.steps import (
    Heard,
    foreign_items,
    hear,
    key_of,
    on_decision,
    on_request,
    on_serving,
    on_usage,
    on_wishes,
)
from router.sessions.store import learn, recall
from router.settings import Settings
from router.values import NO_LIMITS, Caller, Failure, Interface, Target, Unit
from router.wire.faults import code_of, error_in
from router.wire.format import DEFAULT, FORMATS
from router.wire.parts import Progress, parsed
from router.wire.preferences import NO_PREFERENCES
from router.wire.request import ChatRequest, answered_as

log = logging.getLogger("router.requests")

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
    caller: Caller | None = None
    inbound: Inbound | None = None
    routed: Routed | None = None
    failures: list[Failure] = field(default_factory=list)
    """The attempts that failed, in order."""
    reply: Reply | None = None
    first_s: float | None = None
    usd: float | None = None
    error: RouterError | None = None
    body_bytes: int = 0
    """Of a body that was let go."""
    done: bool = False
    """The client was sent all of its answer, or of an error."""

    def begun(self) -> Routed:
        """Let go of the body, once there is an answer and nobody else is asked."""
        assert self.routed is not None
        inbound = self.routed.inbound
        self.body_bytes = len(inbound.request.body)
        self.inbound = replace(inbound, request=inbound.request.spent())
        self.routed = replace(self.routed, inbound=self.inbound)
        self.share.give_back()
        return self.routed


class Gateway:
    """Serve requests; holds what outlives one of them."""

    def __init__(
        self,
        settings: Settings,
        *,
        providers: Providers,
        data: LiveData,
        upstream: Upstream,
        stores: Stores,
        record: Tell = unrecorded,
        clock: Callable[[], float] = time.monotonic,
        session_clock: Callable[[], float] = time.time,
    ) -> None:
        """Keep the parts; ``record`` is told of every request at its end.

        ``clock`` times requests; ``session_clock`` dates what sessions hold, in seconds: one that
        every process shares that shares the sessions.
        """
        self.settings = settings
        self.providers = providers
        self.data = data
        self.upstream = upstream
        self.stores = stores
        self.intake = Intake(settings.requests)
        self._record = record
        self._clock = clock
        self._keys = Keys(settings.callers, local=settings.local, home=settings.home)
        self._listings = Window(LISTINGS_PER_WINDOW)
        self._session_clock = session_clock

    def share(self) -> Share:
        """Begin to hold a body; give it back in every case."""
        return Share(self.intake.room)

    # The steps of a request, in order; the dry run and the token count stop early.

    def call_of(
        self, interface: Interface | None, scope: Scope, receive: Receive, send: Send
    ) -> Call:
        """Take a request in."""
        headers = read_headers(scope)
        return Call(
            interface=interface,
            path=scope.get("path", ""),
            query=scope.get("query_string", b""),
            headers=headers,
            address=self.address_of(scope, headers),
            receive=receive,
            send=send,
            began=self._clock(),
            decision_id=secrets.token_hex(8),
        )

    def address_of(self, scope: Scope, headers: Mapping[str, str]) -> str:
        """Return the client's address, or what stands for it."""
        peer, trust = scope.get("client"), self.settings.trust_forwarded
        return address_of(str(peer[0]) if peer else None, headers, trust_forwarded=trust)

    def identify(self, headers: Mapping[str, str], address: str, *, lists: bool = False) -> Caller:
        """Say who calls; raises Unauthenticated or RateLimited.

        What only ``lists`` spends nothing of what an anonymous caller may ask, and has a bound of
        its own.
        """
        caller = self._keys.identify(headers, address)
        window = self._listings if lists else self.stores.rates
        if caller.anonymous and (wait := window.wait_s(block_of(address), self._clock())):
            most = LISTINGS_PER_WINDOW if lists else self.settings.anonymous_per_hour
            told = (
                f"anonymous callers may {'list' if lists else 'ask'} {most} times an hour; "
                f"come back in {math.ceil(wait)} s or use an API key"
            )
            raise RateLimited(not_the_owners(told, caller.objection), retry_after_s=wait)
        return caller

    def under_wishes(self, caller: Caller, headers: Mapping[str, str]) -> tuple[Caller, Wished]:
        """Return a caller under what the request's headers wish, and that; raises BadRequest."""
        wished = read_wishes(headers)
        names = self.data.current.names
        if caller.limits is not NO_LIMITS:
            caller = replace(caller, limits=names.within(caller.limits))
        wished = resolved(wished, names)
        return narrowed(caller, wished), wished

    async def read(self, call: Call, caller: Caller, wished: Wished, share: Share) -> Inbound:
        """Read what a caller asks for; raises BadRequest, Busy or Disconnected."""
        request = await self.intake.read(call, share)
        return Inbound(caller, wished, request, own_keys(call.headers, self.providers.names))

    async def choose(self, inbound: Inbound) -> Routed:
        """Decide what serves a request; raises RouterError.

        An anonymous caller has no session: nothing tells it from others behind its address.
        """
        caller, request, keys = inbound.caller, inbound.request, inbound.own_keys
        await self._refuse_anothers(request, caller)
        heard, wished = hear(request), inbound.wished.session
        key = key_of(caller.name, request.session, request.agent)
        session = on_wishes(await self._recall(key, caller, request), wished)
        data = self.data.current
        interface, preferences = request.interface, request.choosers.preferences
        standing = Standing(
            session=session,
            heard=heard,
            now_s=self._session_clock(),
            reassess=wished.reassess,
            reachable=self.providers.reachable(data.catalogue, interface, keys, preferences)
            if keys or preferences is not NO_PREFERENCES
            else None,
            bars=self.providers.bars(request.needs, keys, preferences),
        )
        try:
            made = plan(request, caller, data, standing)
        except Unauthenticated as error:
            raise Unauthenticated(not_the_owners(str(error), caller.objection)) from None
        attempts = self._attempts(inbound, made.targets, routed=made.tier is not None)
        decision = made.decision
        background = decision.background if decision else is_background(request, None)
        return Routed(inbound, heard, key, session, made, attempts, background, standing)

    def _attempts(
        self, inbound: Inbound, targets: Iterable[Target], *, routed: bool
    ) -> tuple[Attempt, ...]:
        """Return where each target can be had, in order; a tier's where the request can be written."""
        catalogue, request, keys = self.data.current.catalogue, inbound.request, inbound.own_keys
        known = {target: catalogue.model(target.unit.model) for target in targets}
        preferences = request.choosers.preferences

        def endpoints(unit: Unit) -> tuple[Endpoint, ...]:
            if routed:
                return self.providers.takers(unit, request.needs, keys, preferences)
            return self.providers.endpoints(unit.model, request.interface, keys, preferences)

        return tuple(
            Attempt(target, endpoint, model.context_tokens if model else None)
            for target, model in known.items()
            for endpoint in endpoints(target.unit)
        )

    def _larger(self, routed: Routed, window_tokens: int) -> tuple[Attempt, ...]:
        """Return further attempts with models whose context is larger; the adequate first.

        A decision from memory names no candidates, so it is made anew.  A conversation that its
        provider keeps is nowhere else.
        """
        inbound, decision, data = routed.inbound, routed.plan.decision, self.data.current
        if decision is None or decision.mapped or inbound.request.needs.provider_state:
            return ()
        if not decision.candidates:
            anew = replace(routed.standing, reassess=True)
            try:
                decision = plan(inbound.request, inbound.caller, data, anew).decision
            except RouterError:
                return ()
        found = decision.candidates if decision else ()
        targets: dict[str, Target] = {}
        for candidate in sorted(found, key=lambda candidate: not candidate.adequate):
            targets.setdefault(candidate.unit.model, Target(candidate.unit))
        made = self._attempts(inbound, targets.values(), routed=True)
        return tuple(a for a in made if (a.window_tokens or 0) > window_tokens)

    async def _recall(self, key: str, caller: Caller, request: ChatRequest) -> Session:
        """Return a request's session; one that is not known is that of the answer it goes on from."""
        if caller.anonymous:
            return NEW
        session = await recall(self.stores.sessions, key)
        if session.incumbent is None and request.continued:
            before = answered_as(request.continued)
            return await recall(self.stores.answers, key_of(caller.name, before, request.agent))
        return session

    async def _refuse_anothers(self, request: ChatRequest, caller: Caller) -> None:
        """Raise UnknownAnswer for what a provider keeps for another caller, under the same key."""
        for kept in request.builds_on:
            if await is_anothers(self.stores.answers, kept, caller.name):
                raise UnknownAnswer(
                    f"no stored answer or conversation {kept[:80]!r} is yours; send the whole "
                    "conversation, or go on from an answer that you were given"
                )

    async def serve(self, interface: Interface, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        passage = Passage(self.call_of(interface, scope, receive, send), self.share())
        try:
            await self._serve(passage)
        except Disconnected:
            pass
        except RouterError as error:
            await self._tell(passage, error)
        except Exception:
            log.exception("request %s failed inside the gateway", passage.call.decision_id)
            told = RouterError("the gateway failed; retry, and report it if it lasts")
            await self._tell(passage, told)
        finally:
            passage.share.give_back()
            self._note(passage)

    async def _serve(self, passage: Passage) -> None:
        call = passage.call
        passage.caller = self.identify(call.headers, call.address)
        passage.caller, wished = self.under_wishes(passage.caller, call.headers)
        passage.inbound = await self.read(call, passage.caller, wished, passage.share)
        passage.routed = await self.choose(passage.inbound)
        must_reach(passage.routed, self.providers)
        pulse = self._pulse(passage.routed, call) if passage.inbound.request.streams else None
        async with watched(call) as watch, pulse or nullcontext():
            try:
                order = self._order(passage.routed, call, pulse)
                passage.reply = reply = await self.upstream.run(order, passage.failures)
                del order
                passage.first_s = self._clock() - call.began
                passage.routed = routed = telling(passage.begun(), reply.left_out)
                await self._begins(routed, reply)
                await self._relay(passage, routed, reply, pulse)
                watch.over = True
            except RouterError:
                watch.over = True
                raise
            finally:
                if passage.reply is not None:
                    await passage.reply.aclose()
                    passage.usd = self._usd(passage.reply)
                    await self._account(passage.routed, passage.reply)

    def _order(self, routed: Routed, call: Call, pulse: Pulse | None) -> Order:
        """Return what the upstream is asked for."""
        inbound, session = routed.inbound, routed.session
        n_items = inbound.request.n_items
        return Order(
            request=inbound.request,
            attempts=routed.attempts,
            headers=call.headers,
            routed=routed.plan.tier is not None,
            query=call.query,
            foreign=lambda model: foreign_items(session, n_items, model),
            larger=lambda window_tokens: self._larger(routed, window_tokens),
            caller=inbound.caller.name,
            room=self.data.current.catalogue.room,
            works=pulse.works if pulse else no_signs,
        )

    def _pulse(self, routed: Routed, call: Call) -> Pulse:
        """Return what keeps the client of a stream in touch until its answer comes."""
        timeouts, interface = self.settings.timeouts, routed.inbound.request.interface
        plan, decision_id = routed.plan, call.decision_id
        return Pulse(
            call,
            FORMATS[interface].HEARTBEAT,
            lambda: [*early_headers(decision_id, plan), *STREAM_HEADERS],
            every_s=timeouts.heartbeat_s,
            lively_s=timeouts.first_byte_s / 2,
        )

    async def _begins(self, routed: Routed, reply: Reply) -> None:
        """Let the session know who answers, before the client can send its next request."""
        made, heard, wished = routed.plan, routed.heard, routed.inbound.wished.session
        if reply.status != 200 or routed.forgets:
            return
        unit, now_s = reply.attempt.target.unit, self._session_clock()

        def change(session: Session) -> Session:
            session = session if session.incumbent else routed.session
            session = on_request(on_wishes(session, wished), heard)
            session = on_decision(session, made.assessment, made.decision, unit)
            return on_serving(session, unit, heard, now_s)

        await learn(self.stores.sessions, routed.key, change)

    async def _account(self, routed: Routed, reply: Reply) -> None:
        """Let the session know what the provider reported."""
        inbound, usage = routed.inbound, reply.usage
        request, model = inbound.request, reply.attempt.target.unit.model
        if reply.status == 200 and request.stored:
            given = (*request.builds_on, *filter(None, [reply.response_id]))
            await give(self.stores.answers, given, inbound.caller.name)
        if usage is None or reply.status != 200 or routed.forgets:
            return
        now_s = self._session_clock()
        lifetime_s = self.data.current.catalogue.economics.lifetime_s(model)
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

        held = await learn(self.stores.sessions, routed.key, change)
        if held is not None and request.stored and reply.response_id:
            again = key_of(inbound.caller.name, answered_as(reply.response_id), request.agent)
            await learn(self.stores.answers, again, lambda _: held)

    def _usd(self, reply: Reply) -> float | None:
        """Return what a reply cost; None where its usage is not known."""
        if reply.usage is None:
            return None
        model = self.data.current.catalogue.model(reply.attempt.target.unit.model)
        return usage_usd(reply.usage, model.price if model else None)

    async def _relay(
        self, passage: Passage, routed: Routed, reply: Reply, pulse: Pulse | None
    ) -> None:
        """Send a reply to the client; what headers can no longer tell is told in a comment."""
        call = passage.call
        headers = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in reply.headers]
        headers += decision_headers(call.decision_id, routed.plan, reply)
        if pulse is not None:
            await pulse.settled()
        if isinstance(reply, Streamed):
            if call.status is None:
                await call.start(reply.status, headers + STREAM_HEADERS)
            else:
                await call.piece(comment_of(headers))
            async for data in reply.stream:
                await call.piece(data)
            if pulse is not None:
                await pulse.stop()
            await call.finish()
        elif call.status is None:
            await call.answer(reply.status, headers, reply.body)
        else:
            said = parsed(reply.body)
            _, text = error_in(said) or (reply.status, f"the upstream said {reply.status}")
            code = code_of(said) or "upstream_error"
            await self._tell_within(passage, reply.status, code, text, headers)
        passage.done = True

    async def _tell(self, passage: Passage, error: RouterError) -> None:
        """Send an error in the client's format, or end what was begun."""
        call = passage.call
        passage.error = error
        made = passage.routed.plan if passage.routed else None
        headers = error_headers(error, call.decision_id, made)
        if call.over:
            return
        if call.status is not None:
            await self._tell_within(passage, error.status, error.code, str(error), headers)
            return
        format = FORMATS[call.interface or DEFAULT]
        body = orjson.dumps(format.error_body(error.status, error.code, str(error)))
        await call.answer(error.status, headers, body)
        passage.done = True

    async def _tell_within(
        self, passage: Passage, status: int, code: str, message: str, headers: Headers
    ) -> None:
        """End a stream that was begun with an error in its format, unless it has its end already."""
        call, reply, inbound = passage.call, passage.reply, passage.inbound
        if not (isinstance(reply, Streamed) and reply.relay.progress.ended):
            progress = Progress(model=str((inbound and inbound.request.model) or ""))
            format = FORMATS[inbound.request.interface if inbound else DEFAULT]
            end = format.closing(progress, message, status=status, code=code)
            await call.piece(comment_of(headers) + end)
        await call.finish()

    def _note(self, passage: Passage) -> None:
        """Tell the books, and the log if it is wanted, what a request came to."""
        try:
            row = record_of(passage, self._clock())
            self._record(row)
        except Exception:
            log.exception("request %s could not be recorded", passage.call.decision_id)
            return
        if self.settings.log_requests:
            log.info(
                "%s %s %s %.8s %s %s → %s at %s: %s in %.0f ms, %d of %d tokens cached; %s",
                row.decision_id,
                row.end.value,
                row.caller,
                row.session or "-",
                row.move or "-",
                row.tier or "-",
                one_line(str(row.unit or "-")),
                row.provider or "-",
                row.status or "-",
                row.total_s * 1e3,
                row.usage.cached_tokens if row.usage else 0,
                row.usage.input_tokens if row.usage else 0,
                one_line(str(passage.error or row.why or "-")),
            )


def telling(routed: Routed, left_out: Sequence[str]) -> Routed:
    """Let a plan's reason tell what of the request its model was not sent."""
    if not left_out:
        return routed
    why = f"{routed.plan.why.rstrip('.')}. Its vendor refuses {', '.join(left_out)}: left out."
    return replace(routed, plan=replace(routed.plan, why=why))


def must_reach(routed: Routed, providers: Providers) -> None:
    """Raise BadRequest or UnknownModel where no provider has any model of a plan."""
    if routed.attempts:
        return
    request, model = routed.inbound.request, routed.plan.targets[0].unit.model
    over = f"{model!r} over {request.interface.value}"
    if kept_out := request.choosers.preferences.named:
        raise BadRequest(
            f"no configured provider that {kept_out} lets in serves {over}; leave it out, or "
            "configure an aggregator, which reads it by itself"
        )
    hint = providers.owner_of(model) or "GET /v1/models lists what is served"
    raise UnknownModel(f"no configured provider serves {over}; {hint}")


def record_of(passage: Passage, now_s: float) -> Record:
    """Return the record of a request that ended, with as much as was known by then."""
    call, routed, reply = passage.call, passage.routed, passage.reply
    request = passage.inbound.request if passage.inbound else None
    made = routed.plan if routed else None
    read, decision = (made.assessment, made.decision) if made else (None, None)
    error = passage.error
    return Record(
        decision_id=call.decision_id,
        end=_end_of(passage),
        status=call.status,
        error=error.code if error else None,
        interface=request.interface if request else call.interface or DEFAULT,
        total_s=now_s - call.began,
        first_s=passage.first_s,
        caller=passage.caller.name if passage.caller else None,
        anonymous=passage.caller is not None and passage.caller.anonymous,
        asked_model=_short(request.model) if request else None,
        streams=request.streams if request else None,
        body_bytes=passage.body_bytes or (len(request.body) if request else 0),
        mode=_short(request.conversation.mode) if request else None,
        subagent=request is not None and request.conversation.subagent,
        session=routed.key if routed else None,
        ask=routed.heard.ask if routed else None,
        tier=made.tier if made else None,
        task=read.task if read else None,
        difficulty=read.expected_level if read else None,
        confidence=read.confidence if read else None,
        move=decision.move if decision else None,
        why=_short(made.why) if made else None,
        expected_quality=decision.expected_quality if decision else None,
        expected_cost_usd=decision.expected_cost_usd if decision else None,
        unit=reply.attempt.target.unit if reply else None,
        provider=reply.attempt.endpoint.provider.name if reply else None,
        usage=reply.usage if reply else None,
        usd=passage.usd,
        failures=tuple(passage.failures),
    )


def _short(text: str | None) -> str | None:
    """Cut what a client may have made long; nothing for an empty text."""
    return text[:RECORD_CHARS] if text else None


def _end_of(passage: Passage) -> End:
    """Say how a request ended."""
    error, reply = passage.error, passage.reply
    if error is not None:
        return End.FAILED if error.status >= 500 or isinstance(error, Exhausted) else End.REFUSED
    if not passage.done or reply is None:
        return End.LEFT
    if reply.broke or reply.status >= 500:
        return End.FAILED
    return End.SERVED if reply.status < 400 else End.REFUSED
