"""The path of one request: who calls → what is asked → what serves it → the answer, relayed.

Written against bare ASGI (``router.serving.asgi``).  While the upstream works, one task listens for
the client to leave and then cancels the request, which closes the upstream's connection.  Errors are
told in the client's own format, always with what to do about them.  However a request ends, its
record is told.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, Final

from router.books.others import others_of, saved_usd
from router.books.record import Tell, unrecorded
from router.callers.directory import Access, Member, directory_of
from router.callers.keys import Keys, fixed_holders, fixed_terms, not_the_owners, own_keys
from router.callers.local import address_of
from router.callers.meters import Charge, Period
from router.callers.rates import asking, listing
from router.callers.wishes import Wished, narrowed, read_wishes, resolved
from router.decision.economics import usage_usd
from router.decision.engine import is_background
from router.decision.tiers import Standing, heard_by, pinned, plan
from router.errors import (
    BadRequest,
    Forbidden,
    NoModelFits,
    RateLimited,
    RouterError,
    Unauthenticated,
    UnknownModel,
)
from router.evidence.embeddings import price_of
from router.evidence.names import UnknownName
from router.providers.attempts import Attempt
from router.providers.endpoints import Endpoint, Providers
from router.providers.outgoing import Order, no_signs
from router.providers.served import answers_of
from router.providers.upstream import Answered, Reply, Streamed, Upstream, Whole
from router.serving.admission import (
    ANSWER_TOKENS,
    Estimate,
    actuals_of,
    charges_of,
    claim_headers,
    estimated,
    prices_of,
    refusal,
)
from router.serving.answer import relay, tell
from router.serving.asgi import (
    Call,
    Disconnected,
    Receive,
    Scope,
    Send,
    read_headers,
    watched,
)
from router.serving.books import Books
from router.serving.headers import (
    STREAM_HEADERS,
    early_headers,
)
from router.serving.intake import Intake
from router.serving.keeping import account, begin, refuse_anothers, session_of
from router.serving.live import LiveData
from router.serving.logs import TOLD_OF, one_line
from router.serving.pass_through import admitted, estimated_passing, relayed
from router.serving.passage import Inbound, Passage, Routed, record_of, spent_on, telling
from router.serving.pulse import Pulse
from router.serving.room import Share
from router.serving.stores import Stores
from router.sessions.steps import (
    foreign_items,
    key_of,
    on_wishes,
)
from router.settings import Settings
from router.values import Caller, Interface, PassThrough, Spoken, Target, Unit, Usage
from router.wire.cost import with_cost
from router.wire.format import FORMATS
from router.wire.preferences import NO_PREFERENCES

log = logging.getLogger("router.requests")


ENDS_S: Final = 2.0
"""How long a request that was cancelled at shutdown may take to settle: a store's slowest answer."""


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
        books: Books | None = None,
        record: Tell = unrecorded,
        clock: Callable[[], float] = time.monotonic,
        session_clock: Callable[[], float] = time.time,
    ) -> None:
        """Keep the parts; ``record`` is told of every request at its end.

        ``clock`` times requests; ``session_clock`` dates what sessions and accounts hold, in seconds
        since 1970: one that every process shares that shares these.
        """
        self.settings = settings
        self.providers = providers
        self.data = data
        self.upstream = upstream
        self.stores = stores
        self.books = books
        self.intake = Intake(settings.requests)
        self.draining = False
        """It was told to stop, and goes on for a while."""
        self._record = record
        self._clock = clock
        self.keys = Keys(
            directory_of(fixed_holders(settings.callers), fixed_terms(settings.callers)),
            local=settings.local,
            home=settings.home,
        )
        self._session_clock = session_clock
        self._under_way: set[asyncio.Task[Any]] = set()

    def now_s(self) -> float:
        """Return the time in seconds since 1970."""
        return self._session_clock()

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

    async def identify(
        self, headers: Mapping[str, str], address: str, *, lists: bool = False
    ) -> Member:
        """Say who calls; raises Unauthenticated, Forbidden or RateLimited.

        What only ``lists`` spends nothing of what an anonymous caller may ask, and has a bound of
        its own.
        """
        now_s = self._session_clock()
        member = self.keys.identify(headers, address, now_s)
        caller = member.caller
        if not lists and not member.opens(Access.INFERENCE):
            raise Forbidden(
                f"the key of {caller.name} opens no models, but {', '.join(sorted(member.scopes))}; "
                "create one with the scope inference"
            )
        if not caller.anonymous:
            return member
        per_hour = self.settings.anonymous_per_hour
        charge = listing(address) if lists else asking(address, per_hour)
        claim = await self.stores.accounts.claim((charge,), now_s)
        if not claim.admitted:
            wait_s, but = claim.retry_s, f" ({claim.problem})" if claim.problem else ""
            told = (
                f"anonymous callers may {'list' if lists else 'ask'} {charge.meter.limit} times an "
                f"hour{but}; come back in {math.ceil(wait_s)} s or use an API key"
            )
            raise RateLimited(not_the_owners(told, caller.objection), retry_after_s=wait_s)
        return member

    async def caller_of(self, member: Member) -> Caller:
        """Return a member's caller; one whose credit is spent has no paid balance."""
        credit = tuple(
            Charge(account, meter)
            for account, meter in member.allowances
            if meter.period is Period.TOTAL
        )
        if not credit or not member.caller.balance:
            return member.caller
        readings = await self.stores.accounts.readings(credit, self._session_clock())
        left = all(reading.remaining > 0 for reading in readings)
        return member.caller if left else replace(member.caller, balance=False)

    def under_wishes(self, caller: Caller, headers: Mapping[str, str]) -> tuple[Caller, Wished]:
        """Return a caller under what the request's headers wish, and that; raises BadRequest."""
        wished = read_wishes(headers)
        names = self.data.current.names
        try:
            caller = replace(caller, limits=names.within(caller.limits))
        except UnknownName as error:  # of a model that there was when it was said
            raise NoModelFits(
                f"what holds for {caller.name} cannot be kept: {error}; have its terms changed"
            ) from None
        wished = resolved(wished, names)
        return narrowed(caller, wished), wished

    async def read(self, call: Call, member: Member, share: Share) -> Inbound:
        """Read what a caller asks for; raises BadRequest, Busy or Disconnected."""
        caller, wished = self.under_wishes(await self.caller_of(member), call.headers)
        request = await self.intake.read(call, share)
        keys = {**member.own_keys, **own_keys(call.headers, self.providers.names)}
        return Inbound(caller, wished, request, keys)

    async def choose(self, inbound: Inbound) -> Routed:
        """Decide what serves a request; raises RouterError.

        An anonymous caller has no session: nothing tells it from others behind its address.
        """
        caller, request, keys = inbound.caller, inbound.request, inbound.own_keys
        await refuse_anothers(self.stores, request, caller)
        data, wished = self.data.current, inbound.wished.session
        key = key_of(caller.name, request.session, request.agent)
        session = on_wishes(await session_of(self.stores, key, caller, request), wished)
        heard = heard_by(data, request, session)
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
        limits = pinned(caller, request, session, data.names).limits
        reachable = standing.reachable
        if reachable is None:
            reachable = data.reachable[interface]
        return Routed(
            inbound, heard, key, session, made, attempts, background, standing, limits, reachable
        )

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
        """Return further attempts with models whose context is larger; those near the best first.

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
        for candidate in sorted(found, key=lambda candidate: not candidate.near):
            targets.setdefault(candidate.unit.model, Target(candidate.unit))
        made = self._attempts(inbound, targets.values(), routed=True)
        return tuple(a for a in made if (a.window_tokens or 0) > window_tokens)

    async def serve(self, asked_in: Spoken, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        passes = asked_in if isinstance(asked_in, PassThrough) else None
        interface = asked_in if isinstance(asked_in, Interface) else None
        passage = Passage(self.call_of(interface, scope, receive, send), self.share(), passes)
        task = asyncio.current_task()
        assert task is not None
        self._under_way.add(task)
        try:
            await self._serve(passage)
        except Disconnected:
            pass
        except RouterError as error:
            await tell(passage, error)
        except Exception:
            log.exception("request %s failed inside the gateway", passage.call.decision_id)
            told = RouterError("the gateway failed; retry, and report it if it lasts")
            await tell(passage, told)
        finally:
            passage.share.give_back()
            try:
                await self._settle(passage)
            finally:
                self._note(passage)
                self._under_way.discard(task)

    async def ended(self) -> None:
        """Wait until what was under way is settled and noted: stores and books must outlast it."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=ENDS_S)

    async def _serve(self, passage: Passage) -> None:
        call = passage.call
        member = await self.identify(call.headers, call.address)
        passage.caller = member.caller
        if passage.passes is not None:
            await self._pass_on(passage, passage.passes, member)
            return
        passage.inbound = await self.read(call, member, passage.share)
        passage.caller = passage.inbound.caller
        began = self._clock()
        passage.routed = await self.choose(passage.inbound)
        passage.decided_s = self._clock() - began
        must_reach(passage.routed, self.providers)
        await self._admit(passage, member, self._estimate(passage.routed))
        await self._answer(passage, passage.routed, passage.inbound)

    def _estimate(self, routed: Routed) -> Estimate:
        """Return the most that a request can be expected to come to."""
        needs, catalogue = routed.inbound.request.needs, self.data.current.catalogue
        models = dict.fromkeys(attempt.target.unit.model for attempt in routed.attempts)
        answer = (needs.output_tokens or ANSWER_TOKENS) * routed.inbound.request.n_answers
        return estimated(prices_of(models, catalogue), needs.input_tokens or 0, answer)

    async def _admit(self, passage: Passage, member: Member, estimate: Estimate) -> None:
        """Reserve what a request can come to; raises BudgetSpent or RateLimited."""
        passage.estimate = estimate
        charges = charges_of(member.allowances, estimate)
        if not charges:
            return
        claiming = asyncio.ensure_future(self.stores.accounts.claim(charges, self._session_clock()))
        try:
            passage.claim = await asyncio.shield(claiming)
        except asyncio.CancelledError:  # what is reserved all the same must be settled
            passage.claim = await claiming
            raise
        if not passage.claim.admitted:
            raise refusal(passage.claim)

    async def _settle(self, passage: Passage) -> None:
        """Let what a request came to take the place of what was reserved."""
        claim = passage.claim
        if claim is not None and claim.admitted:
            await self.stores.accounts.settle(claim, actuals_of(claim, spent_on(passage)))

    async def _pass_on(self, passage: Passage, kind: PassThrough, member: Member) -> None:
        """Send on what passes through, once it is admitted, until its usage is known."""
        call = passage.call
        caller, _ = self.under_wishes(await self.caller_of(member), call.headers)
        passage.caller = caller
        passage.passing = passing = await self.intake.read_passing(call, kind, passage.share)
        keys = {**member.own_keys, **own_keys(call.headers, self.providers.names)}
        attempts = admitted(passing, caller, self.data.current, self.providers, keys)
        model, catalogue = attempts[0].target.unit.model, self.data.current.catalogue
        await self._admit(passage, member, estimated_passing(passing, model, catalogue))
        async with watched(call) as watch:
            try:
                passed = await self.upstream.pass_on(
                    passing, attempts, call.headers, passage.failures
                )
                passage.passed_on(passed)
                del passing
                passage.first_s = self._clock() - call.began
                await relayed(call, passed, claim_headers(passage.claim))
                passage.done = watch.over = True
            except RouterError:
                watch.over = True
                raise
            finally:
                if passage.passed is not None:
                    await passage.passed.aclose()
                    if passage.passed.usage is not None:
                        passage.passed.usd = self._usd(passage.passed, passage.passed.usage)

    async def _answer(self, passage: Passage, routed: Routed, inbound: Inbound) -> None:
        """Answer what is admitted and decided, until its usage is known."""
        call = passage.call
        pulse = self._pulse(routed, call) if inbound.request.streams else None
        async with watched(call) as watch, pulse or nullcontext():
            try:
                order = self._order(routed, call, pulse)
                passage.reply = reply = await self.upstream.run(order, passage.failures)
                del order
                passage.first_s = self._clock() - call.began
                reply.answers = answers_of(reply.attempt, reply.model_name, self.data.current.names)
                self._tell_cost(passage, reply)
                passage.routed = routed = telling(passage.begun(), reply.left_out)
                now_s, lifetime_s = self._session_clock(), self._lifetime_s(reply)
                await begin(self.stores, routed, reply, now_s, lifetime_s)
                await relay(passage, routed, reply, pulse)
                watch.over = True
            except RouterError:
                watch.over = True
                raise
            finally:
                if passage.reply is not None:
                    await passage.reply.aclose()
                    self._price(passage, passage.reply)
                    now_s, lifetime_s = self._session_clock(), self._lifetime_s(passage.reply)
                    await account(self.stores, routed, passage.reply, now_s, lifetime_s)

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

    def _lifetime_s(self, reply: Reply) -> float:
        """Return how long an unused cache of who answers lives."""
        economics = self.data.current.catalogue.economics
        return economics.lifetime_s(reply.attempt.target.unit.model)

    def _usd(self, reply: Answered, usage: Usage) -> float | None:
        """Return what a reply costs that took so much; None where no price is known."""
        answers = reply.answers.model if reply.answers else reply.attempt.target.unit.model
        model = self.data.current.catalogue.model(answers)
        return usage_usd(usage, model.price if model else price_of(answers))

    def _price(self, passage: Passage, reply: Reply) -> None:
        """Say what a reply cost, and what others would have; nothing where its usage is not known."""
        routed = passage.routed
        if reply.usage is None or routed is None:
            return
        reply.usd = self._usd(reply, reply.usage)
        passage.others = others_of(
            reply.usage,
            routed.inbound.request,
            routed.inbound.caller,
            routed.session,
            self.data.current,
            served=reply.attempt.target.unit.model,
            usd=reply.usd,
            now_s=routed.standing.now_s,
        )
        reply.saved_usd = saved_usd(passage.others, reply.usd)

    def _tell_cost(self, passage: Passage, reply: Reply) -> None:
        """Let a reply tell what it cost: a whole one now, a stream when it tells its usage."""
        self._price(passage, reply)
        if isinstance(reply, Streamed) and self.settings.reply_cost:
            reply.relay.priced = partial(self._usd, reply)
        elif isinstance(reply, Whole) and reply.usd is not None and self.settings.reply_cost:
            reply.body = with_cost(reply.body, reply.usd)

    def _note(self, passage: Passage) -> None:
        """Tell the books, and the log if it is wanted, what a request came to."""
        try:
            row = record_of(passage, self._clock(), self._session_clock())
            self._record(row)
            if self.books is not None:
                self.books.ledger.tell(row)
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
                extra={TOLD_OF: row},
            )


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
