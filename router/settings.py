"""How a gateway is set up: one frozen object, read once.

Defaults, a TOML file, the environment and the command line each override the one before.  The
file is ``auto-efficient.toml`` in the working directory, or what ``AUTO_EFFICIENT_CONFIG``
names; a setting with one value, like ``port``, is also read from ``AUTO_EFFICIENT_PORT``.  docs/configuration.md
is written from the fields below::

    port = 4000
    keys = { openrouter = "sk-or-…" }        # provider keys; else the providers' own variables
    [aliases]
    "claude-haiku-*" = "kilo-auto/small"     # names that a client fixes
    [[callers]]
    name   = "anna"
    sha256 = "…"                             # printf %s KEY | sha256sum
    dial   = "economy"
    deny   = ["openai/gpt-5.5"]
    [[providers]]
    name     = "workstation"
    base_url = "http://127.0.0.1:8000/v1"
    auth     = "none"
    formats  = ["chat"]
    serves   = ["workstation/"]
    strip    = "workstation/"
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

from pydantic import Field, ImportString, SecretStr, ValidationError, field_validator

from router.books.alerts import Webhook
from router.callers.keys import Key, reserved
from router.callers.local import Home, host_named, origin_named
from router.errors import BadArtefact
from router.evidence.catalogue import CATALOGUE_FILE, MODELS_DIR, load_catalogue
from router.evidence.dialects import DIALECTS_FILE, load_dialects
from router.providers.endpoints import (
    PROVIDERS_FILE,
    Provider,
    Providers,
    Timeouts,
    configured_providers,
    load_providers,
)
from router.sessions.store import Sessions
from router.storage.valkey import checked
from router.values import Entry

PREFIX: Final = "AUTO_EFFICIENT_"
CONFIG_FILE: Final = "auto-efficient.toml"
MB: Final = 1 << 20


class RequestLimits(Entry):
    """What is refused before it is read further.

    Anthropic takes bodies of 32 MB; the largest first request of a client has 27 tools and a head
    of under 4 KiB, where nginx and Apache take 32 to 100 KiB and wait 20 to 60 s for it.  nginx
    waits 60 s for a client that reads nothing.
    """

    body_bytes: int = Field(default=32 * MB, gt=0, description="Longest body, decoded.")
    values: int = Field(
        default=1_000_000,
        gt=0,
        description="Most JSON values and keys of a body, each some 90 bytes.",
    )
    held_bytes: int = Field(
        default=256 * MB,
        gt=0,
        description="Bodies held at once, decoded, each until its answer begins; half of it for those "
        "of more than 128 KB.  What finds no room waits.",
    )
    wait_s: float = Field(
        default=10.0, gt=0, description="Seconds that a body waits for room, before a 503."
    )
    header_bytes: int = Field(default=64 << 10, gt=0, description="Longest head.")
    header_s: float = Field(default=15.0, gt=0, description="Seconds that a head may take.")
    body_s: float = Field(
        default=30.0, gt=0, description="Seconds that a body may take before it must keep a pace."
    )
    reader_s: float = Field(
        default=60.0,
        gt=0,
        description="Seconds in which a client that does not keep up must take 48 KiB of its answer.",
    )
    tools: int = Field(default=2000, gt=0, description="Most tools.")
    items: int = Field(default=50_000, gt=0, description="Most messages or items.")


class LogFormat(StrEnum):
    """What a line of the log is."""

    JSON = "json"
    TEXT = "text"


class Settings(Entry):
    """Everything a gateway is told when it starts."""

    host: str = Field(default="127.0.0.1", description="Address to bind.")
    port: int = Field(default=4000, ge=0, le=65535, description="Port; 0 takes any free one.")
    workers: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Processes. They share sessions, what is counted against limits and what is known of "
        "failing providers.",
    )
    upstream: str = Field(
        default="",
        pattern=r"^(https?://.+)?$",
        description="Base URL of one server, instead of providers; it is asked for its models.",
    )
    upstream_key: SecretStr = Field(default=SecretStr(""), description="Its API key.")
    keys: dict[str, SecretStr] = Field(
        default={}, description="Provider → API key; wins over the provider's own variable."
    )
    aliases: dict[str, str] = Field(
        default={},
        description="Model name that a client sends, `*` standing for any text → the tier or model "
        "that serves it; the first that fits holds.",
    )
    callers: tuple[Key, ...] = Field(
        default=(), description="Keys of callers; without any, local callers are the owner."
    )
    providers: tuple[Provider, ...] = Field(
        default=(), description="Further providers, or other rows for known ones."
    )
    models_dir: Path = Field(
        default=MODELS_DIR,
        description="Folder with catalogue, providers, table and classifier, or with what differs from those shipped.",
    )
    timeouts: Timeouts = Field(default=Timeouts(), description="How long to wait for an upstream.")
    requests: RequestLimits = Field(
        default=RequestLimits(), description="What is refused before it is read further."
    )
    sessions: int = Field(
        default=20_000, gt=0, description="Sessions remembered in memory, about 2 KB each."
    )
    session_idle_s: float = Field(
        default=6 * 3600.0,
        gt=0,
        description="Seconds after its last request for which one is remembered; longer than any "
        "provider's cache lives.",
    )
    session_store: ImportString[Callable[[], Sessions]] | None = Field(
        default=None,
        description="`package.module:name` of what makes a store that several machines share.",
    )
    store: SecretStr | None = Field(
        default=None,
        description="URL of a Redis or Valkey server that replicas share: sessions, limits, breakers. "
        "`redis://`, `rediss://` (TLS), `valkey://`, `valkeys://` or `unix://`; needs the `redis` extra.",
    )
    away_share: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="Share of what is left of a limit that a replica admits by itself while the "
        "store is away.",
    )
    state_dir: Path | None = Field(
        default=None,
        description="Folder for what outlives a restart: the books, what was counted against limits, "
        "sessions with their pins, and which model gave an answer that its provider keeps. Hashes, numbers "
        "and names, no text. With `store` and `database` they are there instead. `auto-efficient serve` "
        "uses `$XDG_STATE_HOME/auto-efficient` or `~/.local/state/auto-efficient`; empty keeps nothing.",
    )
    database: SecretStr | None = Field(
        default=None,
        description="URL of the database that keeps the books, keys, teams and terms: "
        "`postgresql://user:password@host/name`, or `sqlite:////folder/books.db`; `books.db` in "
        "`state_dir` without one.",
    )
    secret_key: SecretStr = Field(
        default=SecretStr(""),
        description="Seals callers' own provider keys in the database and signs what pages remember; the "
        "same for all replicas. Without one, `secret.key` in `state_dir`.",
    )
    keep_requests_days: float | None = Field(
        default=400.0,
        gt=0,
        description="Days for which a row per request is kept; sums by hour and day stay. Empty: for ever.",
    )
    keep_workings_days: float | None = Field(
        default=30.0,
        gt=0,
        description="Days for which it can be seen, and done again, what a decision was made from.",
    )
    keep_asks: bool = Field(
        default=False,
        description="Keep what users ask for, in their words, as long as the workings.",
    )
    reply_cost: bool = Field(
        default=True, description="Add to a reply's usage what it cost, as `usage.cost`."
    )
    anonymous_per_hour: int = Field(
        default=200, ge=0, description="Requests an hour of a caller without a key, by address."
    )
    trust_forwarded: bool = Field(
        default=False, description="Take a caller's address from the last `X-Forwarded-For`."
    )
    own_names: frozenset[str] = Field(
        default=frozenset(),
        description="Further names of this machine, such as `host.docker.internal`, under which "
        "its owner asks.",
    )
    allowed_origins: frozenset[str] = Field(
        default=frozenset(),
        description="Origins of pages that may ask as this machine's own do, such as "
        "`https://chat.example`.",
    )
    shutdown_s: int = Field(
        default=30, ge=0, description="Seconds that open streams have to end on shutdown."
    )
    shutdown_delay_s: float = Field(
        default=0.0,
        ge=0,
        description="Seconds that a gateway told to stop (SIGTERM) goes on taking requests while `/readyz` "
        "already says no, so that load balancers send none that would be refused.",
    )
    reload_s: float = Field(
        default=2.0, gt=0, description="Seconds between looks for changed data."
    )
    simulated_tokens_per_s: float = Field(
        default=200.0, ge=0, description="Pace of the simulated provider; 0 is as fast as it can."
    )
    log_requests: bool = Field(default=True, description="Log a line per request.")
    log_format: LogFormat = Field(
        default=LogFormat.JSON,
        description="Whether each line is a JSON object, or text for people.",
    )
    traces: str = Field(
        default="",
        pattern=r"^(https?://.+)?$",
        description="URL of an OpenTelemetry collector (OTLP over HTTP, such as `http://localhost:4318`), which "
        "is sent a span per request; `OTEL_EXPORTER_OTLP_ENDPOINT` does the same. Needs the `otel` extra.",
    )
    alerts: tuple[Webhook, ...] = Field(
        default=(), description="Whom to tell of budgets, errors and providers that are down."
    )

    @field_validator("store")
    @classmethod
    def _is_a_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            checked(url.get_secret_value())
        return url

    @field_validator(
        "state_dir", "store", "database", "keep_requests_days", "keep_workings_days", mode="before"
    )
    @classmethod
    def _may_be_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("callers")
    @classmethod
    def _have_names_of_their_own(cls, keys: tuple[Key, ...]) -> tuple[Key, ...]:
        names = [key.name for key in keys]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two keys are called {twice[0]}: they would share sessions")
        if others := [name for name in names if reserved(name)]:
            raise ValueError(f"no key may be called {others[0]}: that is somebody else's name")
        holders: dict[str, str] = {}
        for key in keys:
            if (first := holders.setdefault(key.sha256, key.name)) != key.name:
                raise ValueError(
                    f"{first} and {key.name} have the same sha256: nobody could tell who calls"
                )
        return keys

    @field_validator("own_names", "allowed_origins", mode="before")
    @classmethod
    def _may_be_one_text(cls, value: object) -> object:
        """Take what an environment variable can hold: values between commas or spaces."""
        return re.split(r"[,\s]+", value) if isinstance(value, str) else value

    @field_validator("own_names")
    @classmethod
    def _are_hosts(cls, names: frozenset[str]) -> frozenset[str]:
        return frozenset(host_named(name) for name in names if name)

    @field_validator("allowed_origins")
    @classmethod
    def _are_origins(cls, origins: frozenset[str]) -> frozenset[str]:
        return frozenset(origin_named(origin) for origin in origins if origin)

    @property
    def home(self) -> Home:
        """What counts as this machine's own."""
        return Home(self.own_names, self.allowed_origins, self.trust_forwarded)

    @property
    def local(self) -> bool:
        """Whether the socket is bound to loopback."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @classmethod
    def load(
        cls,
        *,
        environ: Mapping[str, str],
        overrides: Mapping[str, Any] | None = None,
        config: Path | None = None,
    ) -> Self:
        """Read every source; raises BadArtefact naming the setting at fault."""
        named = config or (Path(p) if (p := environ.get(PREFIX + "CONFIG")) else None)
        path = named or Path(CONFIG_FILE)
        given: dict[str, Any] = {"state_dir": _state_dir(environ)}
        try:
            if named or path.is_file():
                given |= tomllib.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise BadArtefact(f"cannot read the configuration {path}: {error}") from error
        for name in cls.model_fields:
            if (value := environ.get(PREFIX + name.upper())) is not None:
                given[name] = value
        given |= {k: v for k, v in (overrides or {}).items() if v is not None}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise BadArtefact(f"settings: {place}: {first['msg']}") from error

    def make_providers(self, environ: Mapping[str, str]) -> Providers:
        """Return whom to call: one upstream, else those with keys, else the simulated one."""
        dialects = load_dialects(self.models_dir / DIALECTS_FILE)
        if self.upstream:
            key = self.upstream_key.get_secret_value()
            elsewhere = (row.name for row in (*load_providers(), *self.providers))
            return Providers.single(self.upstream, key, elsewhere, dialects)
        rows = load_providers(self.models_dir / PROVIDERS_FILE)
        known = {row.name for row in (*rows, *self.providers)}
        if unknown := sorted(self.keys.keys() - known):
            raise BadArtefact(
                f"settings: keys: there is no provider {unknown[0]!r}; there are "
                f"{', '.join(sorted(known))}"
            )
        spoken = {row.dialect for row in (*rows, *self.providers) if row.dialect}
        if unknown := sorted(spoken - dialects.names):
            raise BadArtefact(
                f"providers: there is no dialect {unknown[0]!r}; there are "
                f"{', '.join(sorted(dialects.names))}"
            )
        return configured_providers(
            rows,
            own_rows=self.providers,
            keys={name: key.get_secret_value() for name, key in self.keys.items()},
            environ=environ,
            dialects=dialects,
            vendors=self._vendors() if self.providers else (),
        )

    def _vendors(self) -> frozenset[str]:
        """Return whose models the catalogue has."""
        catalogue = load_catalogue(self.models_dir / CATALOGUE_FILE)
        return frozenset(model.vendor for model in catalogue.models)


def _state_dir(environ: Mapping[str, str]) -> Path | None:
    """Return the user's folder for state, by the XDG base directory specification or Windows' way."""
    for variable, below in (
        ("XDG_STATE_HOME", "auto-efficient"),
        ("LOCALAPPDATA", "auto-efficient"),
        ("HOME", ".local/state/auto-efficient"),
    ):
        if folder := environ.get(variable):
            return Path(folder) / below
    return None
