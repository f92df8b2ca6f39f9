"""What the client is sent: an answer, an error in its format, or the end of what was begun."""

from __future__ import annotations

from router.errors import (
    RouterError,
)
from router.providers.upstream import Reply, Streamed
from router.serving.admission import claim_headers
from router.serving.asgi import (
    Headers,
)
from router.serving.headers import (
    STREAM_HEADERS,
    comment_of,
    decision_headers,
    error_headers,
)
from router.serving.passage import Passage, Routed
from router.serving.pulse import Pulse
from router.wire.faults import code_of, error_in
from router.wire.format import DEFAULT, FORMATS
from router.wire.loose import dumps
from router.wire.parts import Progress, parsed


async def relay(passage: Passage, routed: Routed, reply: Reply, pulse: Pulse | None) -> None:
    """Send a reply to the client; what headers can no longer tell is told in a comment."""
    call = passage.call
    headers = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in reply.headers]
    headers += decision_headers(call.decision_id, routed.plan, reply)
    headers += claim_headers(passage.claim)
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
        await _tell_within(passage, reply.status, code, text, headers)
    passage.done = True


async def tell(passage: Passage, error: RouterError) -> None:
    """Send an error in the client's format, or end what was begun."""
    call = passage.call
    passage.error = error
    made = passage.routed.plan if passage.routed else None
    headers = error_headers(error, call.decision_id, made) + claim_headers(passage.claim)
    if call.over:
        return
    if call.status is not None:
        await _tell_within(passage, error.status, error.code, str(error), headers)
        return
    format = FORMATS[call.interface or DEFAULT]
    body = dumps(format.error_body(error.status, error.code, str(error)))
    await call.answer(error.status, headers, body)
    passage.done = True


async def _tell_within(
    passage: Passage, status: int, code: str, message: str, headers: Headers
) -> None:
    """End a stream that was begun with an error in its format, unless it has its end already."""
    call, reply, inbound = passage.call, passage.reply, passage.inbound
    if not (isinstance(reply, Streamed) and reply.relay.progress.ended):
        progress = Progress(model=str((inbound and inbound.request.model) or ""))
        format = FORMATS[inbound.request.interface if inbound else DEFAULT]
        end = format.closing(progress, message, status=status, code=code)
        await call.piece(comment_of(headers) + end)
    await call.finish()
