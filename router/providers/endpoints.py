"""Who can be called: provider → address, key, wire formats spoken, model ids.

The rows are data (``models/providers.toml``, and ``[[providers]]`` of the configuration file,
which override rows of the same name).  Formats are never translated, so a model is *reachable*
in a format when some configured provider serves it and speaks that format.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from pydantic import Field, ValidationError

from router.errors import BadArtefact
from router.evidence.catalogue import MODELS_DIR, Catalogue
from router.evidence.dialects import ANYTHING, NO_DIALECTS, Dialects, Facts
from router.providers.simulated.provider import WRITERS
from router.values import Entry, Interface, Needs, Unit, nothing_bars

PROVIDERS_FILE: Final = "providers.toml"

MAX_FOUND: Final = 1024
"""Models whose endpoints are remembered: clients may name any."""

SIMULATED: Final = "simulated"
UPSTREAM: Final = "upstream"


class Timeouts(Entry):
    """How long to wait for an upstream, in seconds.

    The SDKs of OpenAI and Anthropic wait 600 s for a reply; Codex gives up on a stream that is
    silent for 300 s.
    """

    connect_s: float = Field(default=5.0, gt=0, description="To connect.")
    first_byte_s: float = Field(default=120.0, gt=0, description="For a stream's first event.")
    reply_s: float = Field(default=600.0, gt=0, description="For a whole reply.")
    idle_s: float = Field(default=120.0, gt=0, description="Between two pieces of a stream.")


class Provider(Entry):
    """One row of the table of providers.

    One is used when it has a key, by the configuration or the environment, or when its address is
    in the environment.  For a model that several serve, the first in the table's order is tried
    first: vendors before aggregators.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$", description="Names it in keys and logs.")
    base_url: str = Field(
        default="",
        pattern=r"^(https?://.+|simulated:.*)?$",
        description="Where the paths of the formats begin.",
    )
    bases: dict[Interface, str] = Field(
        default={}, description="The same for single formats, where they differ."
    )
    key_env: tuple[str, ...] = Field(
        default=(), description="Environment variables that may hold its key."
    )
    url_env: str = Field(
        default="", description="Environment variable that holds its address, and switches it on."
    )
    auth: str = Field(
        default="bearer",
        pattern=r"^(bearer|none|[a-z]+(-[a-z]+)*-key)$",
        description="How the key is sent: `bearer`, `none`, or the header that holds it.",
    )
    formats: frozenset[Interface] = Field(description="Wire formats that it speaks.")
    serves: tuple[str, ...] = Field(
        default=(), description='How the ids of served models begin; "" serves any.'
    )
    strip: str = Field(default="", description="Prefix taken off before the id is sent.")
    dashes: bool = Field(
        default=False, description="Dots of the id are sent as dashes (opus-4.7 → opus-4-7)."
    )
    bare: tuple[str, ...] = Field(
        default=(), description="How ids without a vendor begin that it knows."
    )
    models: dict[str, str] = Field(
        default={}, description="Catalogue id → its own name, where no rule gives it."
    )
    strict: bool = Field(
        default=False, description="Refuses fields it does not know: other dialects' are dropped."
    )
    dialect: str = Field(
        default="",
        description="Whose API it is, by the name of `[[dialects]]` in `models/dialects.toml`; its own name where not set.",
    )
    stateful: bool = Field(
        default=False, description="Stores responses, so that items may refer to them."
    )
    reports_usage: bool = Field(default=True, description="Knows `stream_options.include_usage`.")
    headers: dict[str, str] = Field(default={}, description="Sent with every request.")
    forward: tuple[str, ...] = Field(
        default=(), description="Client headers passed on, by how they begin."
    )

    def name_of(self, model: str) -> str:
        """Return the name under which this provider serves a model; empty when it does not."""
        if named := self.models.get(model):
            return named
        if not model.startswith((*self.serves, *self.bare)):
            return ""
        name = model.removeprefix(self.strip)
        return name.replace(".", "-") if self.dashes else name


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model at a provider: where to send it, under which name, with which key.

    ``theirs`` says that the client brought the key, so that a refusal of it is the client's.
    """

    provider: Provider
    model: str
    """As the provider names it."""
    base_url: str
    """In the request's format, without its path and without a last slash."""
    key: str = field(default="", repr=False)
    theirs: bool = False
    facts: Facts = ANYTHING
    """What the model takes there."""

    def auth_headers(self) -> list[tuple[str, str]]:
        """Return the header that authenticates us, if any."""
        if not self.key or self.provider.auth == "none":
            return []
        if self.provider.auth == "bearer":
            return [("authorization", f"Bearer {self.key}")]
        return [(self.provider.auth, self.key)]


SIMULATED_ROW: Final = Provider(
    name=SIMULATED,
    base_url="simulated:",
    auth="none",
    formats=frozenset(WRITERS),
    serves=("",),
    forward=("x-simulate",),
)
"""The provider that needs no key: see ``router.providers.simulated``."""


class Providers:
    """The configured providers, in order of preference."""

    def __init__(
        self,
        rows: Iterable[Provider],
        keys: Mapping[str, str],
        dialects: Dialects = NO_DIALECTS,
    ) -> None:
        """Keep every row that has an address and, where it needs one, a key."""
        self.dialects = dialects
        self._found: dict[tuple[str, Interface], tuple[Endpoint, ...]] = {}
        self._known = {row.name: row for row in rows}
        self._keys = {name: key.strip() for name, key in keys.items() if key.strip()}
        self.names = frozenset(self._known)
        """To which a caller may bring a key of its own."""
        self.configured = tuple(r for r in self._known.values() if r.base_url and self._ready(r))

    @classmethod
    def single(
        cls,
        base_url: str,
        key: str = "",
        elsewhere: Iterable[str] = (),
        dialects: Dialects = NO_DIALECTS,
    ) -> Self:
        """Return one server that speaks the three formats and takes every model id.

        ``elsewhere`` names providers to whom a caller's own key would go if they were called.
        """
        row = Provider(
            name=UPSTREAM,
            base_url=_versioned(base_url),
            auth="bearer" if key else "none",
            formats=frozenset(Interface),
            serves=("",),
            forward=("http-referer", "x-title"),
        )
        made = cls([row], {UPSTREAM: key}, dialects)
        made.names |= frozenset(elsewhere)
        return made

    def _ready(self, row: Provider) -> bool:
        return row.auth == "none" or bool(row.url_env) or row.name in self._keys

    def endpoints(
        self, model: str, interface: Interface, own_keys: Mapping[str, str] | None = None
    ) -> tuple[Endpoint, ...]:
        """Return where a model can be had in a format; those under the client's keys first.

        ``own_keys`` maps provider names to keys that the client brought for this request.
        """
        if own_keys:
            return self._find(model, interface, own_keys)
        found = self._found.get((model, interface))
        if found is None:
            found = self._find(model, interface, {})
            if len(self._found) < MAX_FOUND:
                self._found[model, interface] = found
        return found

    def _find(
        self, model: str, interface: Interface, own_keys: Mapping[str, str]
    ) -> tuple[Endpoint, ...]:
        rows = [self._known[name] for name in own_keys if name in self._known]
        rows += [row for row in self.configured if row.name not in own_keys]
        return tuple(
            Endpoint(
                provider=row,
                model=name,
                base_url=row.bases.get(interface, row.base_url).rstrip("/"),
                key=own_keys.get(row.name) or self._keys.get(row.name, ""),
                theirs=row.name in own_keys,
                facts=self.dialects.of(row.dialect or row.name, model, interface),
            )
            for row in rows
            if interface in row.formats and row.base_url and (name := row.name_of(model))
        )

    def takers(
        self, unit: Unit, needs: Needs, own_keys: Mapping[str, str] | None = None
    ) -> tuple[Endpoint, ...]:
        """Return where a model can be had for a request that a tier routes.

        Those that cannot take it as it is are left out, unless there are no others.
        """
        found = self.endpoints(unit.model, needs.interface, own_keys)
        takes = tuple(e for e in found if e.facts.bars(needs, unit.effort) is None)
        return takes or found

    def bars(
        self, needs: Needs, own_keys: Mapping[str, str] | None = None
    ) -> Callable[[Unit], str | None]:
        """Return what says of a unit why none of its providers takes a request as it is."""
        if not (needs.tools or needs.begun):
            return nothing_bars

        def barred(unit: Unit) -> str | None:
            endpoints = self.endpoints(unit.model, needs.interface, own_keys)
            reasons = [endpoint.facts.bars(needs, unit.effort) for endpoint in endpoints]
            return reasons[0] if reasons and all(reasons) else None

        return barred

    def reachable(
        self,
        catalogue: Catalogue,
        interface: Interface,
        own_keys: Mapping[str, str] | None = None,
    ) -> frozenset[str]:
        """Return the ids of the catalogue's models that can be had in a format."""
        return frozenset(
            model.id for model in catalogue.models if self.endpoints(model.id, interface, own_keys)
        )


def _versioned(base_url: str) -> str:
    """Add the ``/v1`` that a bare address lacks."""
    scheme, _, rest = base_url.rstrip("/").partition("://")
    return base_url.rstrip("/") if "/" in rest else f"{scheme}://{rest}/v1"


def load_providers(path: Path = MODELS_DIR / PROVIDERS_FILE) -> tuple[Provider, ...]:
    """Read the table of providers; raises BadArtefact naming the key at fault."""
    try:
        rows = tomllib.loads(path.read_text("utf-8"))["providers"]
        return tuple(Provider.model_validate(row) for row in rows)
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise BadArtefact(f"cannot read the providers {path}: {error!r}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "providers"
        raise BadArtefact(f"{path}: {place}: {first['msg']}") from error


def configured_providers(
    rows: Iterable[Provider],
    *,
    own_rows: Iterable[Provider] = (),
    keys: Mapping[str, str],
    environ: Mapping[str, str],
    dialects: Dialects = NO_DIALECTS,
) -> Providers:
    """Join the table with the configuration's rows, keys and the environment's.

    ``keys`` maps provider names to keys and wins over the environment.  When nobody can be
    called, the simulated provider answers.
    """
    table = {row.name: row for row in rows} | {row.name: row for row in own_rows}
    found: dict[str, str] = {}
    for name, row in table.items():
        if row.url_env and (url := environ.get(row.url_env)):
            table[name] = row.model_copy(update={"base_url": url})
        for variable in row.key_env:
            if value := environ.get(variable):
                found.setdefault(name, value)
    providers = Providers(table.values(), {**found, **keys}, dialects)
    if providers.configured:
        return providers
    return Providers([*table.values(), SIMULATED_ROW], {}, dialects)
