"""What ``auto-efficient doctor`` looks at: a list of checks, each a small function of what was read.

A check finds nothing that another has found: where the settings cannot be read, only that is told.
No key and no URL with a password is ever part of a finding.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import platform
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from types import ModuleType
from typing import Final
from urllib.parse import urlsplit

from auto_efficient.examined import REACH_S, Examined, is_ours, reached
from router import __version__
from router.decision.coverage import WAY_OUT, said_of_gaps
from router.decision.engine import Engine
from router.errors import BadArtefact
from router.providers.endpoints import SIMULATED, Endpoint
from router.providers.inventory import said_of
from router.providers.proxies import Proxies
from router.settings import CONFIG_FILE, PREFIX, Settings
from router.storage.valkey import checked

PYTHONS: Final = ((3, 11), (3, 14))
"""The lowest and the highest that the tests run on."""

EXTRAS: Final = {
    "train": ("sklearn", "scipy", "onnx", "polars"),
    "plots": ("matplotlib",),
    "postgres": ("psycopg",),
    "redis": ("redis",),
    "otel": ("opentelemetry.sdk",),
    "parquet": ("pyarrow",),
}
"""Extra → the modules that it brings."""

BOOKS_FILE: Final = "books.db"

OTHER_VARIABLES: Final = frozenset({"CONFIG", "KEY"})
"""Variables of ours that are no setting: the file of settings, and the key that clients are given."""


class Health(StrEnum):
    """How something is."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    about: str
    health: Health
    found: str
    do: str = ""
    """What to do about it."""


Check = Callable[[Examined], Iterator[Finding]]
"""Looks at one thing; what it raises as BadArtefact is told as a failure."""


def version(examined: Examined) -> Iterator[Finding]:
    """Look at the version and at Python's."""
    (low, high), found = PYTHONS, sys.version_info[:2]
    health = Health.OK if low <= found <= high else Health.WARNING
    names = f"{low[0]}.{low[1]} to {high[0]}.{high[1]}"
    do = "" if health is Health.OK else f"use Python {names}, which it is tested on"
    yield Finding("version", health, f"{__version__}, Python {platform.python_version()}", do)


def settings(examined: Examined) -> Iterator[Finding]:
    """Look at where settings come from, and whether they can be used."""
    assert examined.settings
    where = (
        str(examined.file.resolve()) if examined.file else f"no {CONFIG_FILE} here: the defaults"
    )
    yield Finding("settings", Health.OK, where)
    known = {name.upper() for name in Settings.model_fields} | OTHER_VARIABLES
    for name in sorted(examined.environ):
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in known:
            do = "unset it, or look its name up in docs/configuration.md"
            yield Finding("settings", Health.WARNING, f"{name} is read by nobody", do)


def models(examined: Examined) -> Iterator[Finding]:
    """Look at catalogue, table and classifier: each loads, and they belong together."""
    data, folder = examined.data, examined.settings.models_dir
    engine = data.current.engine
    if isinstance(engine, Engine):
        table, n = engine.table.version, len(data.current.catalogue.models)
        yield Finding(
            "models", Health.OK, f"{n} models, table {table} and its classifier, from {folder}"
        )
    else:
        do = "kilo-auto/efficient falls back until it is mended; reinstall, or rebuild with `train`"
        yield Finding("models", Health.FAILURE, data.problem, do)


def port(examined: Examined) -> Iterator[Finding]:
    """Look at whether the address is free, or ours already."""
    host, number = examined.settings.host, examined.settings.port
    about = f"{host}:{number}"
    if number == 0:
        yield Finding("port", Health.OK, "any free one")
        return
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, number))
        yield Finding("port", Health.OK, f"{about} is free")
    except OSError as error:
        if is_ours(host, number):
            yield Finding("port", Health.OK, f"{about}: this gateway runs there already")
        else:
            told = f"{about}: {error.strerror or error}"
            do = "stop what uses it, or choose another with --port (or --host)"
            yield Finding("port", Health.FAILURE, told, do)


def providers(examined: Examined) -> Iterator[Finding]:
    """Look at who has a key, whether it is taken, and who can be reached."""
    called = examined.providers.called
    if [server.provider.name for server in called] == [SIMULATED]:
        do = "set OPENROUTER_API_KEY, or another provider's key, for real models"
        yield Finding("providers", Health.WARNING, "no key is set: a simulated one answers", do)
        return
    asked = asyncio.run(reached(called, Proxies.of(examined.environ)))
    for server, outcome in zip(called, asked, strict=True):
        yield _told_of(server, outcome)


def coverage(examined: Examined) -> Iterator[Finding]:
    """Look at which tiers have a model that somebody serves."""
    lines = said_of_gaps(examined.data.current)
    ways = [line for line in lines if line.startswith(WAY_OUT)]
    for line in lines[: len(lines) - len(ways)]:
        yield Finding("tiers", Health.WARNING, f"nobody serves {line}", "; ".join(ways))
    if not lines:
        yield Finding("tiers", Health.OK, "every tier is served in every format")


def own_servers(examined: Examined) -> Iterator[Finding]:
    """Look at what servers of one's own list."""
    inventory = examined.inventory
    for name, line in zip([*inventory.listed, *inventory.silent], said_of(inventory), strict=True):
        good = bool(inventory.listed.get(name))
        do = "" if good else f"start {name}, or pull a model there"
        yield Finding("own servers", Health.OK if good else Health.WARNING, line, do)


def state(examined: Examined) -> Iterator[Finding]:
    """Look at whether what outlives a restart can be kept."""
    folder = examined.settings.state_dir
    if folder is None:
        yield Finding("state", Health.WARNING, "no folder: a restart forgets", "set state_dir")
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        told = f"{folder}: {error.strerror or error}"
        yield Finding("state", Health.FAILURE, told, "make it writable, or set another state_dir")
    else:
        yield Finding("state", Health.OK, f"{folder} is writable")


def database(examined: Examined) -> Iterator[Finding]:
    """Look at whether the books can be opened, and whether they are at the newest version."""
    storage = _module("router.storage.database")
    if storage is None:
        return
    given, folder = getattr(examined.settings, "database", None), examined.settings.state_dir
    path = folder / BOOKS_FILE if folder else None
    if given is None and (path is None or not path.exists()):
        where = (
            f"{path} is made when the gateway starts" if path else "in memory: a restart forgets"
        )
        yield Finding("database", Health.OK if path else Health.WARNING, where)
        return
    url = given.get_secret_value() if given else storage.file_url(path)
    shown = storage.shown(url)
    try:
        engine = importlib.import_module("sqlalchemy").create_engine(storage.url_of(url))
        try:
            found = storage.version_of(engine)
        finally:
            engine.dispose()
    except Exception as error:  # a driver may raise anything; a URL may stand in what it says
        told = f"{shown} cannot be opened ({type(error).__name__})"
        yield Finding("database", Health.FAILURE, told, "start it, or mend its URL")
        return
    if found == storage.NEWEST:
        yield Finding("database", Health.OK, f"{shown}, version {found}")
    elif found is not None and found > storage.NEWEST:
        told = f"{shown} is of version {found}, and this gateway knows {storage.NEWEST}"
        yield Finding(
            "database", Health.FAILURE, told, "run the newer gateway, or another database"
        )
    else:
        do = f"`serve` brings it to {storage.NEWEST}"
        yield Finding("database", Health.WARNING, f"{shown} is at version {found or 'none'}", do)


def store(examined: Examined) -> Iterator[Finding]:
    """Look at whether the store that replicas share answers."""
    url = getattr(examined.settings, "store", None)
    if url is None:
        return
    redis = _module("redis")
    if redis is None:
        do = "install auto-efficient with its redis extra"
        yield Finding("store", Health.FAILURE, "the redis client is not installed", do)
        return
    read = checked(url.get_secret_value())
    host = urlsplit(read).hostname or "the store"
    try:
        with redis.from_url(read, socket_timeout=REACH_S, socket_connect_timeout=REACH_S) as client:
            client.ping()
    except Exception as error:  # a URL with a password may stand in what it says
        told = f"{host} does not answer ({type(error).__name__})"
        yield Finding("store", Health.FAILURE, told, "start it, or mend its URL")
    else:
        yield Finding("store", Health.OK, f"{host} answers")


def extras(examined: Examined) -> Iterator[Finding]:
    """Look at which extras are installed."""
    have = [name for name, modules in EXTRAS.items() if all(map(_is_installed, modules))]
    lack = [name for name in EXTRAS if name not in have]
    missing = f"; not installed: {', '.join(lack)}" if lack else ""
    told = f"{', '.join(have) or 'none'}{missing}"
    yield Finding("extras", Health.OK, told)


CHECKS: Final[tuple[Check, ...]] = (
    version,
    settings,
    models,
    port,
    providers,
    coverage,
    own_servers,
    state,
    database,
    store,
    extras,
)
"""In the order of the report."""


def examine(examined: Examined) -> Iterator[Finding]:
    """Make every check, and tell what each finds; a failure that stops several is told once."""
    told: set[str] = set()
    for check in CHECKS:
        try:
            yield from check(examined)
        except BadArtefact as error:
            if str(error) not in told:
                told.add(str(error))
                do = "mend what it names; nothing starts before"
                yield Finding(check.__name__.replace("_", " "), Health.FAILURE, str(error), do)


def _told_of(server: Endpoint, outcome: int | str) -> Finding:
    """Say what it means how a provider answered."""
    row, about = server.provider, f"provider {server.provider.name}"
    host = urlsplit(server.base_url).hostname or ""
    if isinstance(outcome, str):
        do = "look at the network, HTTPS_PROXY, and its address"
        return Finding(about, Health.FAILURE, f"{host}: {outcome}", do)
    if outcome in (401, 403):
        named = " or ".join(row.key_env) or f"the key of {row.name}"
        return Finding(about, Health.FAILURE, f"{host}: the key is refused", f"renew {named}")
    if outcome >= 500:
        do = "its status page may say more; others serve meanwhile"
        return Finding(about, Health.WARNING, f"{host} answers {outcome}", do)
    return Finding(about, Health.OK, f"{host} answers")


def _module(name: str) -> ModuleType | None:
    """Return a module that may not be there yet."""
    return importlib.import_module(name) if _is_installed(name) else None


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
