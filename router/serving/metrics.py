"""``GET /metrics``, and what several workers need in order to answer it together."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import APIRouter, Request, Response

from router.books.metrics import MULTIPROC_DIR, Metrics
from router.errors import Unauthenticated
from router.serving.asgi import read_headers
from router.serving.gateway import Gateway
from router.serving.live import LiveData

metered = APIRouter()


@metered.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Tell Prometheus what the gateway counts: for the machine's owner."""
    state = request.app.state
    await admit_reader(state.gateway, request)
    state.watch.look()
    found: Metrics = state.metrics
    text, kind = await asyncio.to_thread(found.exposed, request.headers.get("accept", ""))
    return Response(text, headers={"content-type": kind})


async def admit_reader(gateway: Gateway, request: Request) -> None:
    """Raise Unauthenticated for whoever may not read what all callers did."""
    headers = read_headers(request.scope)
    address = gateway.address_of(request.scope, headers)
    caller = await gateway.identify(headers, address, lists=True)
    if not caller.owner:
        raise Unauthenticated(
            "the metrics are for the machine's owner; ask from the machine itself"
        )


def metrics_of(data: LiveData, providers: frozenset[str]) -> Metrics:
    """Make the metrics of a process; its labels are what the gateway knows."""
    folder = os.environ.get(MULTIPROC_DIR)
    return Metrics(
        models=lambda name: data.current.catalogue.model(name) is not None,
        providers=providers.__contains__,
        tiers=lambda name: data.current.catalogue.tier(name) is not None,
        folder=Path(folder) if folder else None,
    )


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
