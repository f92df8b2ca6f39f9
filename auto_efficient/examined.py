"""A gateway that is looked at: its settings, its data, and whom it would ask."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import httpx

from router.decision.engine import Engine
from router.providers.endpoints import Endpoint, Providers
from router.providers.inventory import PATH as MODELS
from router.providers.inventory import Inventory, ask
from router.providers.proxies import Proxies
from router.providers.transport import FastTransport
from router.serving.live import NOBODY_ASKED, LiveData
from router.settings import CONFIG_FILE, PREFIX, Settings

REACH_S: Final = 3.0
"""How long anybody asked may take."""

KEY_PATHS: Final = {"openrouter": "/key"}
"""Providers whose list of models is public → the path that looks at the key
(https://openrouter.ai/docs/api-reference/api-keys/get-current-api-key, read 2026-11)."""


@dataclass(frozen=True)
class Examined:
    """A gateway that is looked at before, or while, it runs."""

    environ: Mapping[str, str]
    config: Path | None = None

    @property
    def file(self) -> Path | None:
        """The file of settings; None where there is none."""
        named = self.config or self.environ.get(f"{PREFIX}CONFIG")
        path = Path(named or CONFIG_FILE)
        return path if named or path.is_file() else None

    @cached_property
    def settings(self) -> Settings:
        """What ``serve`` would be told; raises BadArtefact."""
        return Settings.load(environ=self.environ, config=self.config)

    @cached_property
    def providers(self) -> Providers:
        """Who would be called; raises BadArtefact."""
        return self.settings.make_providers(self.environ)

    @cached_property
    def inventory(self) -> Inventory:
        """What servers of one's own list."""
        return (
            asyncio.run(_asked(self.providers, self.environ))
            if self.providers.own
            else NOBODY_ASKED
        )

    @cached_property
    def data(self) -> LiveData:
        """What decisions would rest on; raises BadArtefact."""
        settings = self.settings
        callers = [key.caller for key in settings.callers]
        folder, aliases = settings.models_dir, settings.aliases
        return LiveData(folder, self.providers, Engine.load, aliases, callers, self.inventory)


def examined_here(config: Path | None = None) -> Examined:
    """Return the gateway that ``serve`` would run here."""
    return Examined(os.environ, config)


async def _asked(providers: Providers, environ: Mapping[str, str]) -> Inventory:
    transport = FastTransport(proxies=Proxies.of(environ))
    try:
        return await ask(providers.own, transport)
    finally:
        await transport.aclose()


async def reached(servers: tuple[Endpoint, ...], proxies: Proxies) -> list[int | str]:
    """Return with which status each answers, or why it does not; all are asked at once."""
    transport = FastTransport(proxies=proxies)
    try:
        return await asyncio.gather(*(_reach(server, transport) for server in servers))
    finally:
        await transport.aclose()


async def _reach(server: Endpoint, transport: FastTransport) -> int | str:
    path = KEY_PATHS.get(server.provider.name, MODELS)
    headers = [*server.provider.headers.items(), *server.auth_headers()]
    try:
        async with asyncio.timeout(REACH_S):
            request = httpx.Request("GET", server.base_url + path, headers=headers)
            response = await transport.handle_async_request(request)
            await response.aclose()
    except TimeoutError:
        return f"no answer within {REACH_S:g} s"
    except Exception as error:  # whatever a server does is told
        return f"no connection ({type(error).__name__})"
    return response.status_code


def is_ours(host: str, number: int) -> bool:
    """Say whether a gateway of ours listens there."""
    named = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    url = f"http://[{named}]:{number}" if ":" in named else f"http://{named}:{number}"
    try:
        with httpx.Client(timeout=REACH_S, trust_env=False) as client:
            health, ready = client.get(f"{url}/healthz"), client.get(f"{url}/readyz")
            return health.json() == {"status": "ok"} and "efficient" in ready.json()
    except (httpx.HTTPError, ValueError, TypeError):
        return False
