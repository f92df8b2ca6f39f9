"""Plain FastAPI pass-throughs: what a gateway costs that does nothing.

``python -m benchmarks.speed.passthrough PORT UPSTREAM stock|fast``: stock uses
``httpx.AsyncClient`` with a large pool, fast uses ``router.providers.transport`` called directly.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import cast

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from router.providers.transport import FastTransport


def make_app(upstream: str, transport: httpx.AsyncBaseTransport) -> FastAPI:
    """Relay every chat completion untouched."""
    app = FastAPI()
    url = httpx.URL(f"{upstream}/v1/chat/completions")

    @app.post("/v1/chat/completions")
    async def relay(request: Request) -> Response:
        body = await request.body()
        sent = httpx.Request(
            "POST", url, headers={"content-type": "application/json"}, content=body
        )
        reply = await transport.handle_async_request(sent)
        stream = cast(httpx.AsyncByteStream, reply.stream)
        kind = reply.headers["content-type"]
        if not kind.startswith("text/event-stream"):
            data = b"".join([piece async for piece in stream])
            await reply.aclose()
            return Response(data, media_type=kind)

        async def pieces() -> AsyncIterator[bytes]:
            async for piece in stream:
                yield piece
            await reply.aclose()

        return StreamingResponse(pieces(), media_type="text/event-stream")

    return app


if __name__ == "__main__":
    limits = httpx.Limits(max_connections=2000, max_keepalive_connections=2000)
    made = FastTransport() if sys.argv[3] == "fast" else httpx.AsyncHTTPTransport(limits=limits)
    app = make_app(sys.argv[2], made)
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False, ws="none")
