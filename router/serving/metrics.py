"""``GET /metrics``, and what several workers need in order to answer it together."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import APIRouter, Request, Response

from router.books.metrics import MULTIPROC_DIR
from router.serving.entry import reads
from router.serving.watch import Watch

metered = APIRouter()


@metered.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Tell Prometheus what the gateway counts: for the machine's owner, or a key with the scope `read`."""
    await reads(request)
    watch: Watch = request.app.state.watch
    accept = request.headers.get("accept", "")
    text, kind = await asyncio.to_thread(watch.look().exposed, accept)
    return Response(text, headers={"content-type": kind})


@contextmanager
def counting_together(shared: Path) -> Iterator[None]:
    """Let processes that are begun now count into files below ``shared``, which whoever is asked adds up."""
    folder = shared / "metrics"
    folder.mkdir()
    before = os.environ.get(MULTIPROC_DIR)
    os.environ[MULTIPROC_DIR] = str(folder)
    try:
        yield
    finally:
        os.environ.pop(MULTIPROC_DIR)
        if before is not None:
            os.environ[MULTIPROC_DIR] = before
