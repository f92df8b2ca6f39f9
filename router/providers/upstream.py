"""Call providers: the only module that makes HTTP calls.

``Upstream.run`` walks the attempts: before the first byte of an answer a failure moves on to the
next attempt; after it nothing is retried, the relay ends the stream as its format demands.
"First byte" means the first word of a stream, thought or call, or the whole of a JSON reply: until
then the client has been sent nothing of it.  Replies that say 200 and are not what was promised (a
page, broken JSON, an error, nothing at all) count as failures.  What a refusal speaks of says
who is asked next and what is remembered (``router.providers.verdicts``, ``memory``).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import ClassVar, Final

import httpx

from router.errors import BadRequest
from router.providers.attempts import Attempt, attempts, exhausted, overdue, to_tell
from router.providers.endpoints import SIMULATED, Timeouts
from router.providers.large import apart
from router.providers.memory import Memory
from router.providers.outgoing import (
    JSON,
    Order,
    write_body,
    write_headers,
    write_url,
)
from router.providers.pass_through import PassedAnswer, passed_on
from router.providers.patience import Patience, first_word_s
from router.providers.reading import (
    MAX_ERROR_BYTES,
    NotPromised,
    Reported,
    cut_of,
    drain,
    opened,
    start_of,
    whole,
)
from router.providers.refusals import masked
from router.providers.served import Answers, named_in
from router.providers.transport import Body
from router.providers.verdicts import judge
from router.providers.waits import told
from router.values import Failure, Fault, Usage
from router.wire.format import FORMATS
from router.wire.parts import parsed
from router.wire.pass_through import Passing
from router.wire.relay import Relay

log = logging.getLogger(__name__)

EVENTS: Final = "text/event-stream; charset=utf-8"

PASSED_BACK: Final = (b"request-id", b"x-request-id", b"retry-after", b"retry-after-ms")
"""Headers of an upstream that reach the client."""

PASSED_BACK_BYTES: Final = 256
"""Longest value of one that does; the names that vendors give requests have some 40."""


@dataclass(slots=True)
class Whole:
    """A reply whose body is here."""

    attempt: Attempt
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    usage: Usage | None = None
    """What was billed; None where the provider does not say."""
    response_id: str | None = None
    """The provider's name of its answer, under which it may keep it."""
    failures: tuple[Failure, ...] = ()
    """The attempts before."""
    left_out: tuple[str, ...] = ()
    """What of the request its vendor would have refused."""
    model_name: str = ""
    """What it calls its model."""
    answers: Answers | None = None
    """Who answers by that name; None until it is asked."""
    usd: float | None = None
    """What it cost, as far as it is known by now."""
    saved_usd: float | None = None
    """Of that, against what the caller would have used else."""
    broke: ClassVar[bool] = False

    async def aclose(self) -> None:
        """Do nothing: the upstream was let go."""


@dataclass(slots=True)
class Streamed:
    """A reply of which the first event is here, and the rest comes as the client takes it.

    Close it in every case: leaving a stream early is what cancels the upstream's work.
    """

    attempt: Attempt
    headers: list[tuple[str, str]]
    stream: AsyncGenerator[bytes]
    relay: Relay
    response: httpx.Response
    failures: tuple[Failure, ...] = ()
    left_out: tuple[str, ...] = ()
    model_name: str = ""
    answers: Answers | None = None
    usd: float | None = None
    saved_usd: float | None = None
    status: ClassVar[int] = 200

    @property
    def response_id(self) -> str | None:
        """The provider's name of its answer, under which it may keep it."""
        return self.relay.progress.id or None

    @property
    def usage(self) -> Usage | None:
        """What was billed, as far as it is known by now."""
        return self.relay.progress.usage

    @property
    def whole(self) -> bool:
        """Whether the answer came to its end, and with it what was billed."""
        progress = self.relay.progress
        return not progress.failed and (progress.finished or progress.ended)

    @property
    def broke(self) -> bool:
        """Whether the stream ended in an error."""
        return self.relay.progress.failed

    async def aclose(self) -> None:
        """Let go of the upstream; what is left after the end is read beside the client's way."""
        await self.stream.aclose()
        if not self.relay.progress.ended:
            await self.response.aclose()


Reply = Whole | Streamed
"""What the client is answered with."""

Answered = Reply | PassedAnswer
"""The same, passed through or not."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An attempt that was refused, and another's turn before the client hears of it."""

    failure: Failure
    reply: Whole
    """What the client is told when nobody serves it."""
    of: str
    """Which later requests it counts against, as ``refusals.applies_to`` says."""


class Upstream:
    """Send orders to providers over one transport."""

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        *,
        simulated: httpx.AsyncBaseTransport,
        timeouts: Timeouts,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep the transports; ``simulated`` answers for the simulated provider."""
        self._transport = transport
        self._simulated = simulated
        self._timeouts = timeouts
        self.memory = Memory(clock)
        self._clock = clock
        self._drained: set[asyncio.Task[None]] = set()

    async def run(self, order: Order, failures: list[Failure]) -> Reply:
        """Return the first good reply; raises Exhausted when there is none, or none in time.

        Every attempt that failed or was passed over is added to ``failures`` as that happens, so
        that who is cancelled in between knows of them.
        """
        memory, began = self.memory, self._clock()
        flow = attempts(
            order.attempts, lambda attempt: memory.admit(order, attempt), order.larger, failures
        )
        refused: list[Refused] = []
        try:
            attempt = next(flow)
            while True:
                outcome = await self._call(order, attempt, self._clock() - began)
                if isinstance(outcome, Whole | Streamed):
                    if outcome.status == 200:
                        memory.served(order, attempt)
                    flow.close()
                    outcome.failures = tuple(failures)
                    return outcome
                if isinstance(outcome, Refused):
                    refused.append(outcome)
                    failure, of = outcome.failure, outcome.of
                else:
                    failure, of = outcome, ""
                memory.note(order, attempt, failure, of)
                failures.append(failure)
                log.info(
                    "%s at %s failed: %s", failure.unit.model, failure.provider, failure.reason
                )
                if self._clock() - began >= self._timeouts.answer_s:
                    flow.close()
                    made = tuple(failure for failure in failures if failure.called)
                    return _last_word(made, refused, self._timeouts.answer_s)
                attempt = flow.send(failure)
        except StopIteration as stop:
            return _last_word(stop.value, refused)

    async def _call(
        self, order: Order, attempt: Attempt, spent_s: float
    ) -> Reply | Failure | Refused:
        """Make one attempt, after others; every way in which it can fail becomes a Failure."""
        patience = self._patience(order, attempt, self._timeouts.answer_s - spent_s)
        body, missing = await apart(len(order.request.body), partial(_written, order, attempt))
        order.request.let_go()
        response: httpx.Response | None = None
        outcome: Reply | Failure | Refused
        try:
            async with patience:
                total_s = self._timeouts.total_s - spent_s
                response = await self._send(order, attempt, body, patience, total_s)
                del body
                outcome = await self._read(order, attempt, response, patience)
            if isinstance(outcome, Whole) and outcome.status != 200:
                outcome = _judged(order, outcome)
        except Exception as error:
            outcome = _failure(attempt, error)
        except BaseException:
            if response is not None:
                await response.aclose()
            raise
        if response is not None and not (isinstance(outcome, Streamed)):
            await response.aclose()
        if isinstance(outcome, Whole | Streamed) and outcome.status == 200:
            outcome.left_out = missing
        return outcome

    def _patience(self, order: Order, attempt: Attempt, left_s: float) -> Patience:
        """Say how long an attempt may take to its first word, with so much left for all of them."""
        timeouts, request = self._timeouts, order.request
        most_s = min(timeouts.reply_s, left_s)
        if not request.streams:
            return Patience(most_s, most_s)
        effort = attempt.target.unit.effort if order.routed else request.effort
        silence_s = first_word_s(timeouts, request.needs.input_tokens or 0, effort)
        return Patience(min(silence_s, most_s), most_s)

    async def _send(
        self, order: Order, attempt: Attempt, body: bytes, patience: Patience, total_s: float
    ) -> httpx.Response:
        """Send an attempt; a ready ``stream`` and full headers spare httpx its own guesses.

        The whole exchange ends in ``total_s``, however lively the stream is.
        """
        silent_s = max(self._timeouts.idle_s, patience.silence_s)
        limits = {"connect": self._timeouts.connect_s, "read": silent_s, "total": total_s}
        url = _url(write_url(order, attempt))
        own = [(b"host", url.netloc), (b"content-length", b"%d" % len(body))]
        request = httpx.Request(
            "POST",
            url,
            headers=[*own, *write_headers(order, attempt)],
            stream=httpx.ByteStream(body),
            extensions={"timeout": limits},
        )
        return await self._carrier(attempt).handle_async_request(request)

    def _carrier(self, attempt: Attempt) -> httpx.AsyncBaseTransport:
        simulated = attempt.endpoint.provider.name == SIMULATED
        return self._simulated if simulated else self._transport

    async def pass_on(
        self,
        passing: Passing,
        attempts: Sequence[Attempt],
        headers: Mapping[str, str],
        failures: list[Failure],
    ) -> PassedAnswer:
        """Return the answer to what passes through; see ``router.providers.pass_through``."""
        carriers = [self._carrier(attempt) for attempt in attempts]
        found = await passed_on(passing, attempts, carriers, headers, self._timeouts, failures)
        given = {name.lower(): value for name, value in found.response.headers.raw}
        found.headers += _passed_back(given)
        return found

    async def _read(
        self, order: Order, attempt: Attempt, response: httpx.Response, patience: Patience
    ) -> Reply | Failure:
        """Read as much of a reply as shows that it is good."""
        headers = {name.lower(): value for name, value in response.headers.raw}
        passed_back = _passed_back(headers)
        start, pieces = await start_of(response, patience.heard)
        if response.status_code >= 400:
            body = await cut_of(start, pieces, MAX_ERROR_BYTES, patience.heard)
            return _refusal(attempt, response.status_code, body, passed_back)
        if response.status_code != 200:
            raise NotPromised(f"status {response.status_code}")
        format, model = FORMATS[order.request.interface], attempt.target.unit.model
        try:
            if not order.request.streams:
                fields, body = await whole(format, start, pieces, model, patience.heard)
                usage, named = format.usage_of(fields), str(fields.get("id") or "") or None
                said = [("content-type", JSON), *passed_back]
                calls = named_in(fields)
                return Whole(attempt, 200, said, body, usage, named, model_name=calls)
            begun = await opened(format, start, pieces, patience.heard, order.works)
        except Reported as error:
            return _refusal(attempt, error.status, error.body, passed_back)
        opening, pieces = begun
        relay = Relay(
            format,
            wants_usage=not order.routed or order.request.wants_usage,
            model=model,
            first=opening.first,
            n_answers=order.request.n_answers,
            mask=partial(masked, secret=attempt.endpoint.key),
        )
        if isinstance(response.stream, Body):
            response.stream.allow_silence(self._timeouts.idle_s)
        return Streamed(
            attempt,
            [("content-type", EVENTS), *passed_back],
            stream=self._relayed(relay, response, pieces, opening.held),
            relay=relay,
            response=response,
            model_name=named_in(parsed(opening.first)),
        )

    async def _relayed(
        self,
        relay: Relay,
        response: httpx.Response,
        pieces: AsyncIterator[bytes],
        seen: bytes,
    ) -> AsyncGenerator[bytes]:
        """Pass a stream on to its end, and end it properly whatever happens to it."""
        problem = ""
        try:
            if data := relay.feed(seen):
                yield data
            if not relay.progress.ended:
                async for piece in pieces:
                    if data := relay.feed(piece):
                        yield data
                    if relay.progress.ended:
                        break
        except httpx.TimeoutException as error:
            problem = str(error)
        except httpx.HTTPError:
            problem = "the upstream broke off the stream"
        except Exception:
            log.exception("the relay failed amid a stream")
            problem = "the gateway failed in the middle of the answer"
        finally:
            await self._let_go(response, pieces if relay.progress.ended else None)
        if data := relay.close(problem):
            yield data

    async def _let_go(self, response: httpx.Response, left: AsyncIterator[bytes] | None) -> None:
        """Let an upstream go; what is left of a stream that ended is read beside the client's way."""
        if left is None or (isinstance(response.stream, Body) and response.stream.is_whole):
            await response.aclose()
            return
        task = asyncio.create_task(drain(response, left))
        self._drained.add(task)
        task.add_done_callback(self._drained.discard)

    async def aclose(self) -> None:
        """Close every connection."""
        for task in self._drained:
            task.cancel()
        await self._transport.aclose()
        await self._simulated.aclose()


def _written(order: Order, attempt: Attempt) -> tuple[bytes, tuple[str, ...]]:
    """Return a body as an attempt sends it, and what of the request is missing in it."""
    try:
        return write_body(order, attempt)
    except RecursionError:
        raise BadRequest("the request body is nested too deeply; flatten it") from None


def _failure(attempt: Attempt, error: Exception) -> Failure:
    """Say how an attempt failed; what nobody foresaw is logged, and another model's turn."""
    match error:
        case TimeoutError() | httpx.TimeoutException():
            where = "connecting" if isinstance(error, httpx.ConnectTimeout) else "waiting"
            return attempt.failed(504, f"timeout while {where}")
        case NotPromised() | httpx.ProxyError():
            return attempt.failed(502, str(error))
        case httpx.HTTPError():
            return attempt.failed(502, f"connection failed ({type(error).__name__})")
    log.error("an answer of %s broke its reader", attempt.endpoint.provider.name, exc_info=error)
    return attempt.failed(502, "the gateway failed to read its answer")


@lru_cache(1024)
def _url(url: str) -> httpx.URL:
    """Parse an address once: httpx takes longer for it than the transport for the request."""
    return httpx.URL(url)


def _refusal(attempt: Attempt, status: int, body: bytes, headers: list[tuple[str, str]]) -> Whole:
    """Take in an upstream's error; ``_judged`` says what it means."""
    return Whole(attempt, status, [("content-type", JSON), *headers], body)


def _judged(order: Order, reply: Whole) -> Whole | Refused:
    """Say whether a refusal is the client's to hear at once, and put it into the client's format."""
    found = judge(
        order,
        reply.attempt,
        reply.status,
        reply.body,
        headers=dict(reply.headers),
        now_s=time.time(),
    )
    reply.body = found.body
    if found.failure and found.failure.fault in (Fault.KEY, Fault.ACCOUNT):
        name, what = found.failure.provider, found.failure.fault.value
        log.error("%s refused %s with %d: look after both", name, what, reply.status)
    return Refused(found.failure, reply, found.of) if found.failure else reply


def _last_word(
    failures: tuple[Failure, ...], refused: list[Refused], waited_s: float | None = None
) -> Whole:
    """Return the refusal that goes to the client; raises Exhausted when waiting may help.

    ``waited_s`` is given when the time of all attempts is over.
    """
    failure = to_tell(failures)
    reply = next((item.reply for item in refused if item.failure is failure), None)
    if reply is None:
        raise (exhausted(failures) if waited_s is None else overdue(failures, waited_s)) from None
    reply.failures = failures
    return reply


def _passed_back(headers: Mapping[bytes, bytes]) -> list[tuple[str, str]]:
    given = ((name, headers.get(name, b"")[:PASSED_BACK_BYTES]) for name in PASSED_BACK)
    kept = [(name.decode(), value.decode("latin-1")) for name, value in given if value]
    return told(kept, time.time())
