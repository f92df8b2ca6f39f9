"""Send what passes through to the first provider that can be connected to, and relay its answer.

Nothing is retried once a request was written: nobody can tell then whether it was served.  An
answer goes back as it came, errors included; only a refusal of the gateway's own key is told as
what it is to a client.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, Final

import httpx

from router.providers.attempts import Attempt, exhausted
from router.providers.endpoints import Timeouts
from router.providers.large import apart
from router.providers.outgoing import made_headers
from router.providers.reading import (
    MAX_ERROR_BYTES,
    MAX_REPLY_BYTES,
    NotPromised,
    body_of,
    cut_of,
    start_of,
)
from router.providers.refusals import fault_of, masked, read
from router.values import Failure, Fault, Usage
from router.wire import sse
from router.wire.loose import dumps
from router.wire.pass_through import OPENAI, Passing, UsageSought

log = logging.getLogger(__name__)

EVENT_STREAM: Final = "text/event-stream"

UNCONNECTED: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)
"""Nothing was sent yet: another may be asked."""


@dataclass(slots=True)
class PassedAnswer:
    """An answer that passes through; close it in every case."""

    attempt: Attempt
    status: int
    headers: list[tuple[str, str]]
    response: httpx.Response
    body: bytes | None = None
    """All of it; None for a stream, which ``pieces`` brings."""
    rest: AsyncIterator[bytes] | None = None
    seen: bytes = b""
    """The beginning of a stream."""
    failures: tuple[Failure, ...] = ()
    """Who could not be connected to."""
    broke: bool = False
    """The stream ended in an error."""
    sought: UsageSought = field(default_factory=UsageSought)
    usd: float | None = None
    """What it cost, as far as it is known by now."""
    saved_usd: ClassVar[None] = None
    answers: ClassVar[None] = None

    @property
    def usage(self) -> Usage | None:
        """What was billed, as far as it is known by now."""
        return self.sought.found if self.status < 400 else None

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Pass a stream on as it comes; one that breaks off ends in an error event."""
        assert self.rest is not None
        self.sought.feed(self.seen)
        yield self.seen
        try:
            async for piece in self.rest:
                self.sought.feed(piece)
                yield piece
        except httpx.HTTPError as error:
            self.broke = True
            late = isinstance(error, httpx.TimeoutException)
            said = str(error) if late else "the upstream broke off the stream"
            yield b"\n\n" + sse.event(dumps(OPENAI.error_body(502, "upstream_error", said)))

    async def aclose(self) -> None:
        """Let go of the upstream."""
        await self.response.aclose()


async def passed_on(
    passing: Passing,
    attempts: Sequence[Attempt],
    transports: Sequence[httpx.AsyncBaseTransport],
    headers: Mapping[str, str],
    timeouts: Timeouts,
    failures: list[Failure],
) -> PassedAnswer:
    """Return the answer of the first who can be connected to; raises Exhausted when there is none.

    ``transports`` go with the attempts; ``headers`` are the client's own, names in lower case.
    """
    for attempt, transport in zip(attempts, transports, strict=True):
        try:
            written = partial(_request, passing, attempt, headers, timeouts)
            request = await apart(len(passing.body), written)
            return await _answer(passing, attempt, transport, request, failures)
        except UNCONNECTED as error:
            late = isinstance(error, httpx.ConnectTimeout)
            said = "timeout while connecting" if late else f"no connection ({type(error).__name__})"
            failures.append(attempt.failed(504 if late else 502, said))
        except httpx.TimeoutException:
            failures.append(attempt.failed(504, "timeout while waiting"))
            break
        except (httpx.HTTPError, NotPromised) as error:
            said = str(error) if isinstance(error, NotPromised) else "the connection broke"
            failures.append(attempt.failed(502, said))
            break
    raise exhausted(failures)


def _request(
    passing: Passing, attempt: Attempt, headers: Mapping[str, str], timeouts: Timeouts
) -> httpx.Request:
    """Write a request: the body as it came, headers made from nothing."""
    endpoint = attempt.endpoint
    body = passing.written(endpoint.model, keeps_preferences=endpoint.provider.aggregates)
    url = httpx.URL(endpoint.base_url + passing.kind.path)
    silent_s = max(timeouts.idle_s, timeouts.first_byte_s) if passing.streams else timeouts.reply_s
    total_s = timeouts.total_s if passing.streams else timeouts.reply_s
    own = [(b"host", url.netloc), (b"content-length", b"%d" % len(body))]
    return httpx.Request(
        "POST",
        url,
        headers=[*own, *made_headers(endpoint, headers, streams=passing.streams)],
        stream=httpx.ByteStream(body),
        extensions={"timeout": {"connect": timeouts.connect_s, "read": silent_s, "total": total_s}},
    )


async def _answer(
    passing: Passing,
    attempt: Attempt,
    transport: httpx.AsyncBaseTransport,
    request: httpx.Request,
    failures: list[Failure],
) -> PassedAnswer:
    """Send a request, and read its answer as far as its beginning or, if it is whole, its end."""
    response = await transport.handle_async_request(request)
    kind = response.headers.get("content-type", "application/json")
    passed = PassedAnswer(attempt, response.status_code, [("content-type", kind)], response)
    passed.failures = tuple(failures)
    try:
        start, pieces = await start_of(response, _unheard)
        if response.status_code >= 400:
            body = await cut_of(start, pieces, MAX_ERROR_BYTES, _unheard)
            passed.body = _refused(attempt, response.status_code, body, failures)
        elif passing.streams and kind.startswith(EVENT_STREAM):
            passed.seen, passed.rest = start, pieces
        else:
            passed.body = await body_of(start, pieces, MAX_REPLY_BYTES, _unheard)
            passed.sought.feed(passed.body)
    except BaseException:
        await passed.aclose()
        raise
    return passed


def _refused(attempt: Attempt, status: int, body: bytes, failures: list[Failure]) -> bytes:
    """Return a refusal as the client hears it; raises Exhausted where our key was refused."""
    if not attempt.endpoint.theirs and fault_of(status, read(body)).fault is Fault.KEY:
        name = attempt.endpoint.provider.name
        log.error("%s refused the key with %d: look after it", name, status)
        failures.append(attempt.failed(status, f"status {status} (the key)", fault=Fault.KEY))
        raise exhausted(failures)
    return masked(body, attempt.endpoint.key)


def _unheard() -> None:
    """Take no sign of life: the transport minds the time."""
