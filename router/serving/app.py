"""Wire the gateway into a FastAPI application, and run it.  Nothing is decided here.

``serve`` runs uvicorn with uvloop and httptools (the fastest of the servers measured; h11 halves it)
and without an access log (a third of its cost).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from uvicorn import Server
from uvicorn.supervisors import Multiprocess

from router import __version__
from router.books.record import Tell, telling_all, unrecorded
from router.callers.keys import Keys
from router.callers.registry import FIRST_ADMIN, FIRST_ADMIN_S, Made, Registry
from router.decision.coverage import said_of_gaps
from router.decision.engine import Engine
from router.errors import RouterError
from router.providers.bulletin import Gossip
from router.providers.endpoints import SIMULATED, Providers
from router.providers.inventory import AGAIN_S, Inventory, ask, said_of
from router.providers.proxies import Proxies
from router.providers.simulated.names import is_known
from router.providers.simulated.provider import SimulatedTransport
from router.providers.transport import FastTransport
from router.providers.upstream import Upstream
from router.serving.admin import admin
from router.serving.books import books_of, spent_of
from router.serving.front import Front
from router.serving.gateway import Gateway
from router.serving.guard import GuardedConfig
from router.serving.live import NOBODY_ASKED, LiveData, LoadEngine, untold
from router.serving.logs import log_to_stderr
from router.serving.lookup import lookup
from router.serving.metrics import counting_together, metered
from router.serving.own_key import own_key
from router.serving.pages import pages
from router.serving.pages.accounts import accounts
from router.serving.process import (
    compute_on_one_thread,
    defer_stop,
    freeze,
    give_back_blocks,
)
from router.serving.routes import (
    OURS,
    PREFIXES,
    HotPaths,
    api,
    own,
    tell_http_error,
    tell_invalid,
    tell_router_error,
)
from router.serving.stores import stores_of
from router.serving.telemetry import telemetry_of
from router.serving.watch import Watch, alerts_database
from router.sessions.store import Sessions
from router.settings import LogFormat, Settings

log = logging.getLogger("router.app")

DIRECTORY_S: Final = 1.0
"""How long a key that another process revoked may still open."""

WORKERS_SHARE: Final = (
    "they share sessions, pins, anonymous limits and what is known of failing providers"
)


def create_app(
    settings: Settings,
    *,
    environ: Mapping[str, str] | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    load_engine: LoadEngine = Engine.load,
    record: Tell = unrecorded,
    sessions: Sessions | None = None,
    shared: Path | None = None,
    inventory: Inventory | None = None,
) -> FastAPI:
    """Build the application; raises BadArtefact for settings or data it must not run with.

    ``record`` is told of every request at its end.  ``sessions`` is a store that several processes
    share, instead of this one's memory; what it holds is dated by ``time.time``.  ``transport`` carries requests to providers: tests hand in
    an ``httpx.MockTransport`` that plays them.  ``load_engine`` makes what decides.  ``shared`` is a
    folder in which the workers of one gateway keep what they must know together.  ``inventory`` is what
    servers of one's own list; without it they are asked when the application starts.
    """
    compute_on_one_thread()
    environ = os.environ if environ is None else environ
    providers = settings.make_providers(environ)
    books = books_of(settings)
    data = LiveData(
        settings.models_dir,
        providers,
        load_engine,
        settings.aliases,
        [key.caller for key in settings.callers],
        inventory or NOBODY_ASKED,
        untold if books is None else books.keep_changes,
    )
    carrier = transport or FastTransport(proxies=Proxies.of(environ))
    upstream = Upstream(
        carrier,
        simulated=SimulatedTransport(
            tokens_per_s=settings.simulated_tokens_per_s,
            knows=lambda name: is_known(name, (m.id for m in data.current.catalogue.models)),
        ),
        timeouts=settings.timeouts,
    )
    stores = stores_of(settings, sessions, shared, spent_of(books))
    telemetry = telemetry_of(settings, data, providers.names, environ)
    gateway = Gateway(
        settings,
        providers=providers,
        data=data,
        upstream=upstream,
        stores=stores,
        books=books,
        record=telling_all(record, *telemetry.tells),
    )
    watch = Watch(gateway, telemetry, transport=carrier)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        give_back_blocks()
        if inventory is None:
            await _restock(data, providers, carrier)
        freeze()
        defer_stop(partial(setattr, gateway, "draining", True), settings.shutdown_delay_s)
        beside = [asyncio.create_task(_keep_fresh(data, settings.reload_s, providers, carrier))]
        if stores.bulletin is not None:
            beside.append(asyncio.create_task(Gossip(upstream, stores.bulletin).run()))
        if books is not None:
            beside.append(asyncio.create_task(_keep_directory(gateway.keys, books.registry)))
        alerts = books.database if books else alerts_database(settings, shared)
        beside.append(asyncio.create_task(watch.run(alerts)))
        yield
        await gateway.ended()
        for task in beside:
            task.cancel()
        await upstream.aclose()
        await stores.aclose()
        if books is not None:
            await asyncio.to_thread(books.close)
        await asyncio.to_thread(telemetry.close)

    app: FastAPI = FastAPIOffline(  # its pages need no network
        title="Auto Efficient",
        version=__version__,
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,  # ``Front`` knows one spelling of a path
    )
    if books is not None:
        gateway.keys.directory = books.registry.directory()
    app.state.gateway = gateway
    app.state.watch = watch
    for prefix in PREFIXES:
        app.include_router(api, prefix=prefix, include_in_schema=prefix == PREFIXES[0])
    for routes in (own, lookup, own_key, admin, metered, accounts, pages):
        app.include_router(routes)
    app.add_middleware(HotPaths, gateway=gateway)
    app.add_middleware(Front, admits=settings.home.admits, paths=OURS)
    app.add_exception_handler(RouterError, tell_router_error)
    app.add_exception_handler(HTTPException, tell_http_error)
    app.add_exception_handler(RequestValidationError, tell_invalid)
    return app


async def _keep_directory(keys: Keys, registry: Registry) -> None:
    """Look every second whether keys, teams or terms changed, here or in another process."""
    held, away = -1, False
    while True:
        try:
            newest = await asyncio.to_thread(registry.revision)
            if newest != held:
                keys.renew(await asyncio.to_thread(registry.directory))
                held = newest
            away = False
        except Exception:  # a database that is away: who is known stays known
            if not away:
                log.exception("keys and terms cannot be read; those that are known hold")
            away = True
        await asyncio.sleep(DIRECTORY_S)


async def _keep_fresh(
    data: LiveData, every_s: float, providers: Providers, transport: httpx.AsyncBaseTransport
) -> None:
    """Look for changed files, and now and then for what one's own servers have."""
    clock = asyncio.get_running_loop().time
    asked_s = clock()
    while True:
        await asyncio.sleep(every_s)
        try:
            if await asyncio.to_thread(data.refresh):
                freeze()
            if clock() - asked_s >= AGAIN_S:
                asked_s = clock()
                if await _restock(data, providers, transport):
                    freeze()
        except Exception:  # whatever a file holds must not end the reloading of the next one
            log.exception("reloading failed; the last good data stays")


async def _restock(
    data: LiveData, providers: Providers, transport: httpx.AsyncBaseTransport
) -> bool:
    """Ask the servers of one's own for their models; say whether the data is new."""
    if not providers.own:
        return False
    return await asyncio.to_thread(data.restock, await ask(providers.own, transport))


def serve(
    settings: Settings,
    *,
    record: Tell = unrecorded,
) -> None:
    """Run the gateway in the foreground until it is told to stop; streams are drained first.

    With several workers each makes its own application, this process none, and ``record`` must be
    picklable.  Raises OSError when the address cannot be bound, BadArtefact before anybody can connect.
    """
    log_to_stderr(*_log(settings))
    if settings.workers == 1:
        _run(settings, partial(create_app, settings, record=record))
        return
    with TemporaryDirectory(prefix="auto-efficient-") as shared:
        make = partial(create_app, settings, record=record, shared=Path(shared))
        _run(settings, make, Path(shared))


def _asked(settings: Settings) -> Inventory:
    """Ask the servers of one's own for their models, once for all workers."""

    async def asked() -> Inventory:
        transport = FastTransport(proxies=Proxies.of(os.environ))
        try:
            return await ask(settings.make_providers(os.environ).own, transport)
        finally:
            await transport.aclose()

    return asyncio.run(asked())


def _run(settings: Settings, make: Callable[..., FastAPI], shared: Path | None = None) -> None:
    """Bind the address and serve applications made by ``make``, one a worker."""
    with _bound(settings) as bound:
        port = bound.getsockname()[1]
        if settings.workers == 1:
            app = make(inventory=_asked(settings))
            text = _greeting_of(app, settings, port)
            _Greeting(_config(settings, app), text).run(sockets=[bound])
            return
        inventory, text = _tried(settings, make, port)
        config = _config(settings, partial(make, inventory=inventory), factory=True)
        sys.stderr.write(text)
        assert shared is not None
        with counting_together(shared):
            Multiprocess(config, sockets=[bound]).run()


def _tried(settings: Settings, make: Callable[..., FastAPI], port: int) -> tuple[Inventory, str]:
    """Make an application in a process that ends then: whoever only minds workers needs none.

    Returns what the servers of one's own list, and the greeting; raises BadArtefact.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as elsewhere:
        return elsewhere.submit(_try, settings, make, port).result()


def _try(settings: Settings, make: Callable[..., FastAPI], port: int) -> tuple[Inventory, str]:
    log_to_stderr(*_log(settings))
    inventory = _asked(settings)
    return inventory, _greeting_of(make(inventory=inventory), settings, port)


def _greeting_of(app: FastAPI, settings: Settings, port: int) -> str:
    gateway: Gateway = app.state.gateway
    admin = _first_admin(gateway, settings)
    return greeting(settings, port, gateway, Proxies.of(os.environ), admin)


def _first_admin(gateway: Gateway, settings: Settings) -> str:
    """Make the first admin key where nobody else could; return what the greeting says of it.

    On loopback the machine's owner administers.
    """
    if settings.local or gateway.books is None:
        return ""
    registry = gateway.books.registry
    found = registry.first_admin()
    gateway.keys.renew(registry.directory())
    if found is None:
        return ""
    if isinstance(found, Made):
        return (
            f"{found.key}  (shown once; opens everything for {FIRST_ADMIN_S / 3600:.0f} hours, until there "
            "is another key with the scope admin)"
        )
    until = datetime.fromtimestamp(found, UTC).strftime("%Y-%m-%d %H:%M")
    return (
        f"the key {FIRST_ADMIN} that was shown at an earlier start opens until {until} UTC; "
        f"`auto-efficient keys rotate {FIRST_ADMIN}` makes a new one"
    )


def _config(settings: Settings, app: object, *, factory: bool = False) -> _Logged:
    return _Logged(
        app,
        log=_log(settings),
        limits=settings.requests,
        factory=factory,
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        workers=settings.workers,
        timeout_graceful_shutdown=settings.shutdown_s,
    )


def _log(settings: Settings) -> tuple[int, LogFormat]:
    """Return what is logged, and as what."""
    return logging.INFO if settings.log_requests else logging.WARNING, settings.log_format


class _Logged(GuardedConfig):
    """A configuration by which the log of a worker process is written as this one's is."""

    def __init__(self, app: object, *, log: tuple[int, LogFormat], **options: Any) -> None:
        self._log = log
        super().__init__(app, **options)

    def configure_logging(self) -> None:
        log_to_stderr(*self._log)
        super().configure_logging()


def _bound(settings: Settings) -> socket.socket:
    """Bind the address; raises OSError that names it and says what to do."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    bound = socket.socket(family=family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((settings.host, settings.port))
    except OSError as error:
        bound.close()
        hint = (
            "stop what uses it, or choose another with --port (0 takes any free one)"
            if error.errno == errno.EADDRINUSE
            else "choose another with --host"
        )
        address = f"{settings.host}:{settings.port}"
        raise OSError(f"cannot listen on {address}: {error.strerror or error}; {hint}") from error
    bound.set_inheritable(True)
    return bound


class _Greeting(Server):
    """A server that says where it is once it answers."""

    def __init__(self, config: GuardedConfig, text: str) -> None:
        super().__init__(config)
        self._text = text

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stderr.write(self._text)
        sys.stderr.flush()


def greeting(
    settings: Settings, port: int, gateway: Gateway, proxies: Proxies, admin: str = ""
) -> str:
    """Say the address, who may call and administer, what answers, by which proxy, and what to try."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{host}:{port}"
    names = ", ".join(p.name for p in gateway.providers.configured)
    directory = gateway.keys.directory
    if directory.has_keys:
        n = len(directory.by_digest)
        who = f"callers need one of {n} key{'s' * (n != 1)}; without one, free models only"
    elif settings.local:
        who = "every caller on this machine is the owner; any API key or none will do"
    else:
        who = "no key is configured, so every caller is anonymous: free models only"
    if names == SIMULATED:
        names = "simulated (no provider key is set; no model is called)"
    ruler = f"  admin       {admin}\n" if admin else ""
    proxy = f"  proxy       {proxies}\n" if proxies.by_scheme else ""
    problems = (gateway.data.problem, *gateway.stores.problems)
    problem = "".join(f"  problem     {said}\n" for said in problems if said)
    if settings.workers > 1:
        problem += f"  workers     {settings.workers}: {WORKERS_SHARE}\n"
    models = "".join(f"  models      {line}\n" for line in said_of(gateway.data.inventory))
    unserved = "".join(f"  not served  {line}\n" for line in said_of_gaps(gateway.data.current))
    return f"""Auto Efficient listens on {url}
  providers   {names}
{models}  callers     {who}
{ruler}{proxy}{unserved}{problem}  OpenAI      base URL {url}/v1, model kilo-auto/efficient
  Anthropic   base URL {url}, model kilo-auto/efficient
  pages       {url}/
  try         curl -i {url}/v1/chat/completions -d '{{"model": "kilo-auto/efficient", \\
              "messages": [{{"role": "user", "content": "Fix the failing test in parser.py"}}]}}'
"""
