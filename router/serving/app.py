"""Wire the gateway into a FastAPI application, and run it.  Nothing is decided here.

The three model endpoints are hot: ``HotPaths`` hands them to ``Gateway.serve`` as bare ASGI
before FastAPI's routing and dependencies, which cost as much again as the gateway's own work.
FastAPI documents them, and serves everything else.  ``serve`` runs uvicorn with uvloop and httptools (the
fastest of the servers measured; h11 halves it) and without an access log (a third of its cost).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import httpx
import orjson
import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from router.books.record import Tell, unrecorded
from router.decision.engine import Engine
from router.decision.explain import as_json
from router.errors import RouterError, UnknownModel
from router.providers.endpoints import PATHS, SIMULATED
from router.providers.simulated import SimulatedTransport
from router.providers.transport import FastTransport
from router.providers.upstream import Upstream
from router.serving.asgi import Receive, Scope, Send, read_headers
from router.serving.gateway import Gateway, Passage
from router.serving.guard import GuardedProtocol
from router.serving.headers import error_headers
from router.serving.listing import entries, model_entry
from router.serving.live import LiveData, LoadEngine
from router.sessions.store import Sessions
from router.settings import Settings
from router.values import Interface
from router.wire.request import FORMATS

log = logging.getLogger("router.serving.app")

PREFIXES: Final = (
    "/v1",
    "/api/gateway",
    "/api/gateway/v1",
    "/api/openrouter",
    "/api/openrouter/v1",
)
"""Where clients expect the API; the first is the documented one."""


class HotPaths:
    """Pure ASGI middleware: serve the model endpoints, pass on the rest."""

    def __init__(self, app: ASGIApp, *, gateway: Gateway) -> None:
        """Keep which path is served in which format."""
        self._app = app
        self._hot = {
            prefix + path: partial(gateway.serve, interface)
            for prefix in PREFIXES
            for interface, path in PATHS.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look the path up."""
        serve = self._hot.get(scope.get("path", ""))
        if serve is None or scope.get("method") != "POST":
            await self._app(scope, receive, send)
        else:
            await serve(scope, receive, send)


class Handed(Response):
    """A response that hands the bare ASGI call on."""

    def __init__(self, serve: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        """Keep what will answer."""
        super().__init__()
        self._serve = serve

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Let it answer."""
        await self._serve(scope, receive, send)


class Json(Response):
    """A JSON body, by orjson."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Dump the content."""
        return orjson.dumps(content)


def create_app(
    settings: Settings,
    *,
    environ: Mapping[str, str] | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    load_engine: LoadEngine = Engine.load,
    record: Tell = unrecorded,
    sessions: Sessions | None = None,
) -> FastAPI:
    """Build the application; raises BadArtefact for settings or data it must not run with.

    Tests hand in ``transport`` (an ``httpx.MockTransport`` plays the provider) and
    ``load_engine``; ``record`` is told of every request at its end; ``sessions`` is a store that several
    processes share, instead of this one's memory.
    """
    providers = settings.make_providers(os.environ if environ is None else environ)
    upstream = Upstream(
        transport or FastTransport(),
        simulated=SimulatedTransport(tokens_per_s=settings.simulated_tokens_per_s),
        timeouts=settings.timeouts,
    )
    data = LiveData(settings.models_dir, providers, load_engine)
    gateway = Gateway(
        settings,
        providers=providers,
        data=data,
        upstream=upstream,
        record=record,
        sessions=sessions,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        gc.collect()
        gc.freeze()  # what start-up made is never garbage; collecting around it costs the p99
        reloading = asyncio.create_task(_keep_fresh(data, settings.reload_s))
        yield
        reloading.cancel()
        await upstream.aclose()

    app = FastAPI(title="Auto Efficient", version="0.1.0", lifespan=lifespan)
    app.state.gateway = gateway
    for prefix in PREFIXES:
        _add_model_routes(app, gateway, prefix)
        _add_listing_routes(app, gateway, prefix)
    _add_other_routes(app, gateway)
    app.add_middleware(HotPaths, gateway=gateway)
    app.add_exception_handler(RouterError, _tell_router_error)
    app.add_exception_handler(HTTPException, _tell_http_error)
    return app


async def _keep_fresh(data: LiveData, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        try:
            if await asyncio.to_thread(data.refresh):
                gc.freeze()
        except Exception:  # whatever a file holds must not end the reloading of the next one
            log.exception("reloading failed; the last good data stays")


def _add_model_routes(app: FastAPI, gateway: Gateway, prefix: str) -> None:
    def endpoint(interface: Interface) -> Callable[[], Awaitable[Response]]:
        serve = partial(gateway.serve, interface)

        async def answer() -> Response:
            return Handed(serve)

        return answer

    for interface, path in PATHS.items():
        app.add_api_route(
            prefix + path,
            endpoint(interface),
            methods=["POST"],
            name=interface.value,
            summary=f"Answer a request in the {interface.value} format, streamed or not.",
            response_class=Response,
            include_in_schema=prefix == PREFIXES[0],
            openapi_extra=_body_schema(FORMATS[interface].ITEMS),
            responses=ERRORS,
        )

    async def count_tokens(request: Request) -> Response:
        """Estimate the input tokens of an Anthropic request from its bytes."""
        read = await gateway.read(_passage(gateway, request, Interface.MESSAGES))
        return Json({"input_tokens": max(1, read.needs.input_tokens or 0)})

    app.add_api_route(
        prefix + "/messages/count_tokens",
        count_tokens,
        methods=["POST"],
        response_class=Json,
        include_in_schema=prefix == PREFIXES[0],
        openapi_extra=_body_schema("messages"),
        responses=ERRORS,
    )


def _add_listing_routes(app: FastAPI, gateway: Gateway, prefix: str) -> None:
    def listed(request: Request, *, hidden: bool) -> list[dict[str, Any]]:
        headers = read_headers(request.scope)
        gateway.identify(headers, gateway.address_of(request.scope, headers))
        data = gateway.data.current
        served = frozenset[str]().union(*data.reachable.values())
        decided = sorted(data.engine.models) if data.engine else []
        return entries(data.catalogue, reachable=served, decided=decided, hidden=hidden)

    async def models(request: Request, hidden: bool = False) -> Response:
        """List the tiers, then the models that a configured provider serves."""
        found = listed(request, hidden=hidden)
        first, last = found[0]["id"], found[-1]["id"]
        page = {"has_more": False, "first_id": first, "last_id": last}
        return Json({"object": "list", "data": found, **page})

    async def model(request: Request, model_id: str) -> Response:
        """Describe one tier or model."""
        data = gateway.data.current
        tier = data.catalogue.tier(model_id)
        wanted = tier.id if tier else model_id
        for entry in listed(request, hidden=True):
            if entry["id"] == wanted:
                return Json(entry)
        if found := data.catalogue.model(model_id):
            return Json(model_entry(found))
        raise UnknownModel(f"there is no model {model_id!r}; GET /v1/models lists what there is")

    for path, endpoint in (("/models", models), ("/models/{model_id:path}", model)):
        app.add_api_route(
            prefix + path,
            endpoint,
            methods=["GET"],
            response_class=Json,
            include_in_schema=prefix == PREFIXES[0],
            responses=ERRORS,
        )


def _add_other_routes(app: FastAPI, gateway: Gateway) -> None:
    @app.post("/v1/route", response_class=Json, openapi_extra=_body_schema(), responses=ERRORS)
    async def route(request: Request, format: Interface | None = None) -> Response:
        """Decide what would serve a request, and why; calls no model.

        The body is a request in any of the three formats, told apart by its shape unless
        ``format`` says which it is.
        """
        return Json(await _explained(gateway, request, format))

    @app.get("/healthz", response_class=Json)
    async def healthz() -> Response:
        """Say that the process runs."""
        return Json({"status": "ok"})

    @app.get("/readyz", response_class=Json)
    async def readyz() -> Response:
        """Say whether the data is good; the last good data serves while it is not."""
        data = gateway.data
        efficient = "decides" if data.current.engine else "falls back to kilo-auto/balanced"
        return Json(
            {
                "status": "degraded" if data.problem else "ok",
                "problem": data.problem or None,
                "efficient": efficient,
                "providers": [p.name for p in gateway.providers.configured],
            }
        )

    @app.get("/", include_in_schema=False)
    async def root() -> Response:
        """Say what this is."""
        return Json({"service": "auto-efficient", "try": "GET /v1/models, POST /v1/route"})


def _passage(gateway: Gateway, request: Request, interface: Interface | None) -> Passage:
    """Take in a request of a route that calls no model; None: in any format."""

    async def send(message: Any) -> None:
        raise AssertionError("FastAPI sends the reply")

    return Passage(gateway.call_of(interface, request.scope, request.receive, send))


async def _explained(
    gateway: Gateway, request: Request, interface: Interface | None
) -> dict[str, Any]:
    """Return the plan for a request as JSON."""
    passage = _passage(gateway, request, interface)
    asked = await gateway.read(passage)
    attempts = await gateway.choose(passage)
    made = passage.made
    assert made is not None
    first = made.targets[0]
    decided = as_json(made.assessment, made.decision) if made.assessment and made.decision else {}
    return {
        "tier": made.tier,
        "interface": asked.interface.value,
        "session": passage.key,
        "model": first.unit.model,
        "effort": first.unit.effort,
        "verbosity": first.verbosity,
        "fallbacks": [target.unit.model for target in made.targets[1:]],
        "attempts": [
            {"model": a.target.unit.model, "provider": a.endpoint.provider.name} for a in attempts
        ],
        "why": made.why,
        **{k: v for k, v in decided.items() if k not in {"why", "model"}},
    }


def _body_schema(*required: str) -> dict[str, Any]:
    """Document a body: its format's own fields are the vendor's, and unknown ones pass."""
    schema = {
        "type": "object",
        "properties": {
            "model": {"type": "string", "example": "kilo-auto/efficient"},
            "stream": {"type": "boolean"},
            "messages": {"type": "array", "items": {"type": "object"}},
            "input": {"anyOf": [{"type": "string"}, {"type": "array"}]},
        },
        "required": list(required),
        "additionalProperties": True,
    }
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    "4XX": {"description": "What is wrong with the request, in the client's own format."},
    "5XX": {"description": "No upstream could answer, in the client's own format."},
}


async def _tell_router_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RouterError)
    return _told(request, error.status, error.code, str(error), error_headers(error, "-"))


async def _tell_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    hint = "see /docs for the paths and methods there are"
    message = f"{error.detail}: {request.method} {request.url.path}; {hint}"
    headers = [(k.encode(), v.encode()) for k, v in (error.headers or {}).items()]
    code = "not_found" if error.status_code == 404 else "invalid_request"
    return _told(request, error.status_code, code, message, headers)


def _told(
    request: Request, status: int, code: str, message: str, headers: list[tuple[bytes, bytes]]
) -> Response:
    """Shape an error as the client of this path expects it."""
    anthropic = "/messages" in request.url.path or "anthropic-version" in request.headers
    format = FORMATS[Interface.MESSAGES if anthropic else Interface.CHAT]
    response = Json(format.error_body(status, code, message), status_code=status)
    response.raw_headers += [h for h in headers if h[0] != b"content-type"]
    return response


def serve(settings: Settings, *, record: Tell = unrecorded) -> None:
    """Run the gateway in the foreground until it is told to stop; streams are drained first.

    Raises BadArtefact before anything is bound.  With several workers each makes its own
    application, and ``record`` must be picklable.
    """
    level = logging.INFO if settings.log_requests else logging.WARNING
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=level)
    make = partial(create_app, settings, record=record)
    app = make()
    config = uvicorn.Config(
        app if settings.workers == 1 else make,
        factory=settings.workers > 1,
        host=settings.host,
        port=settings.port,
        http=GuardedProtocol,
        ws="none",
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        workers=settings.workers,
        timeout_graceful_shutdown=settings.shutdown_s,
    )
    bound = config.bind_socket()
    text = greeting(settings, bound.getsockname()[1], app.state.gateway)
    if settings.workers == 1:
        _Greeting(config, text).run(sockets=[bound])
    else:
        sys.stderr.write(text)
        Multiprocess(config, sockets=[bound]).run()


class _Greeting(uvicorn.Server):
    """A server that says where it is once it answers."""

    def __init__(self, config: uvicorn.Config, text: str) -> None:
        super().__init__(config)
        self._text = text

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stderr.write(self._text)
        sys.stderr.flush()


def greeting(settings: Settings, port: int, gateway: Gateway) -> str:
    """Say the address, who may call, what answers, and what to try."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{host}:{port}"
    names = ", ".join(p.name for p in gateway.providers.configured)
    if settings.callers:
        who = f"callers need one of {len(settings.callers)} keys; without one, free models only"
    elif settings.local:
        who = "every caller on this machine is the owner; any API key or none will do"
    else:
        who = "no key is configured, so every caller is anonymous: free models only"
    if names == SIMULATED:
        names = "simulated (no provider key is set; no model is called)"
    problem = f"  problem     {gateway.data.problem}\n" if gateway.data.problem else ""
    return f"""Auto Efficient listens on {url}
  providers   {names}
  callers     {who}
{problem}  OpenAI      base URL {url}/v1, model kilo-auto/efficient
  Anthropic   base URL {url}, model kilo-auto/efficient
  try         curl -i {url}/v1/chat/completions -d '{{"model": "kilo-auto/efficient", \\
              "messages": [{{"role": "user", "content": "Fix the failing test in parser.py"}}]}}'
"""
