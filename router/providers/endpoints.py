"""Who can be called: provider → address, key, wire formats spoken, model ids.

The rows are data (``models/providers.toml``, and ``[[providers]]`` of the configuration file,
which override rows of the same name).  Formats are never translated, so a model is *reachable*
in a format when some configured provider serves it and speaks that format.

Who says more closely what it serves is asked first: a model by name, then a longer beginning of the
name, then a catch-all.  A name of a *private* provider, one of your own, is for that one alone,
whether or not it is set up: it never leaves the machine for a catch-all.  A beginning that is a
vendor's, or another provider's, is nobody's own unless its row says ``private = true``.
"""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError

from router.errors import BadArtefact
from router.evidence.catalogue import MODELS_DIR, Catalogue, file_of
from router.evidence.dialects import ANYTHING, NO_DIALECTS, Dialects, Facts
from router.evidence.overlay import rows_over
from router.providers.shelf import Shelf
from router.providers.simulated.provider import WRITERS
from router.values import Entry, Interface, Needs, PassThrough, Spoken, Unit, nothing_bars
from router.wire.preferences import NO_PREFERENCES, Preferences

PROVIDERS_FILE: Final = "providers.toml"

MAX_FOUND: Final = 1024
"""Models whose endpoints are remembered: clients may name any."""

NO_SHARED: Final[Mapping[str, frozenset[str]]] = {}

SIMULATED: Final = "simulated"
UPSTREAM: Final = "upstream"


class Timeouts(Entry):
    """How long to wait for an upstream, in seconds.

    The SDKs of OpenAI and Anthropic wait 600 s for a reply; Codex gives up on a stream that is
    silent for 300 s.  Proxies on the client's way do so earlier, common ones after 30 to 60 s.  The
    longest answers, 128,000 tokens, come at 12 tokens/s in three hours.
    """

    connect_s: float = Field(default=5.0, gt=0, description="To connect.")
    first_byte_s: float = Field(
        default=120.0,
        gt=0,
        description="For a stream's first word, or a sign of life before it; longer for long "
        "prompts and high efforts.",
    )
    reply_s: float = Field(
        default=600.0,
        gt=0,
        description="For a whole reply, and for a stream's first word whatever signs of life come.",
    )
    heartbeat_s: float = Field(
        default=10.0,
        gt=0,
        description="Without a byte for the client of a stream, until it is sent a sign of life.",
    )
    idle_s: float = Field(default=120.0, gt=0, description="Between two pieces of a stream.")
    total_s: float = Field(
        default=3 * 3600.0,
        gt=0,
        description="For a request in all: its attempts, and its answer to the last byte that the upstream sends. Until an "
        "answer begins, all attempts together have three times `reply_s`.",
    )

    @property
    def answer_s(self) -> float:
        """How long all attempts together may take until an answer begins.

        A first attempt that hangs to the end of its time leaves room for two more.
        """
        return min(self.total_s, max(self.first_byte_s, 3 * self.reply_s))


class Provider(Entry):
    """One row of the table of providers.

    One is used when it has a key, by the configuration or the environment, or when its address is
    in the environment.  Of several that serve a model the one is tried first whose row says it most
    closely, and of equals the first in the table.
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
    passes: frozenset[PassThrough] = Field(
        default=frozenset(),
        description="What it takes beside conversations, passed on as it comes: `embeddings`, `completions`.",
    )
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
    private: bool | None = Field(
        default=None,
        description="What it serves by `serves` or `bare` goes to no other provider. Not set: true "
        "where `auth` is `none`, where `url_env` is set, and for a row of your own on this machine "
        "or a private network; but not what begins as a vendor's or another provider's names do.",
    )
    slug: str = Field(
        default="",
        description="Its name in the `provider` object of a request, where it is another.",
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

    @cached_property
    def names(self) -> frozenset[str]:
        """What it is called, here and in the ``provider`` object of a request."""
        return frozenset({self.name, self.slug or self.name})

    @cached_property
    def takes(self) -> frozenset[Spoken]:
        """All that it can be asked in."""
        return self.formats | self.passes

    @property
    def aggregates(self) -> bool:
        """Whether it takes any name, and chooses who serves it by the request's own fields."""
        return "" in self.serves

    @property
    def is_private(self) -> bool:
        """Whether the names that it serves are for nobody else."""
        if self.private is not None:
            return self.private and not self.aggregates
        return not self.aggregates and (self.auth == "none" or bool(self.url_env))

    @property
    def is_own(self) -> bool:
        """Whether it is a server of one's own, which is asked for its models."""
        return self.name == UPSTREAM or self.private is True or self.is_private

    def own_id(self, name: str) -> str | None:
        """Return the id by which clients ask for one of its own names; None where none leads here."""
        ids = (name, *(beginning + name for beginning in self.serves))
        return next((model_id for model_id in ids if self.fit(model_id)), None)

    @cached_property
    def beginnings(self) -> tuple[str, ...]:
        """How the names begin that it serves, in small letters, the longest first."""
        return tuple(sorted((s.lower() for s in (*self.serves, *self.bare)), key=len, reverse=True))

    def fit(self, model: str) -> Match | None:
        """Say how closely this row says that it serves a model, and under which name; None: not.

        Clients write its beginning in any case, and a private name must be known by it all the same.
        """
        if named := self.models.get(model):
            return Match(BY_NAME, named)
        low = model.lower()
        if not low.startswith(self.beginnings):
            return None
        closeness = next(len(b) for b in self.beginnings if low.startswith(b))
        name = model[len(self.strip) :] if low.startswith(self.strip.lower()) else model
        return Match(closeness, name.replace(".", "-") if self.dashes else name)


class Match(NamedTuple):
    """How a provider serves a model."""

    closeness: int
    """Letters of the name that its row gives; ``BY_NAME`` where it gives all, 0 for a catch-all."""
    name: str
    """What it calls the model."""


SHOWN: Final = 12
"""How many of a server's models an error names."""

BY_NAME: Final = 1 << 10
"""Closer than any beginning of a name."""


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
    passes=frozenset(PassThrough),
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
        shared: Mapping[str, frozenset[str]] = NO_SHARED,
    ) -> None:
        """Keep every row that has an address and, where it needs one, a key.

        ``shared`` maps rows to the beginnings of names that they have in common with others.
        """
        self.dialects = dialects
        self._found: dict[tuple[str, Spoken], tuple[Endpoint, ...]] = {}
        self._known = {row.name: row for row in rows}
        self._keys = {name: key.strip() for name, key in keys.items() if key.strip()}
        self.names = frozenset(self._known)
        """To which a caller may bring a key of its own."""
        self.configured = tuple(r for r in self._known.values() if r.base_url and self._ready(r))
        self._owners = {
            start: row
            for row in self._known.values()
            for start in row.beginnings
            if row.is_private and start not in shared.get(row.name, ())
        }
        self._taken = tuple(self._owners)
        self._shelves: Mapping[str, Shelf] = {}
        self._served: tuple[Catalogue | None, dict[str, frozenset[str]]] = None, {}

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
            passes=frozenset(PassThrough),
            serves=("",),
            forward=("http-referer", "x-title"),
        )
        made = cls([row], {UPSTREAM: key}, dialects)
        made.names |= frozenset(elsewhere)
        return made

    @property
    def called(self) -> tuple[Endpoint, ...]:
        """Everybody who may be called, as they are asked for no model in particular."""
        return tuple(
            Endpoint(row, "", row.base_url.rstrip("/"), self._keys.get(row.name, ""))
            for row in self.configured
        )

    @property
    def own(self) -> tuple[Endpoint, ...]:
        """The servers of one's own, as they are asked for their models."""
        return tuple(server for server in self.called if server.provider.is_own)

    def restock(self, shelves: Mapping[str, Shelf]) -> None:
        """Take what servers have by their own lists: what is not on its shelf is not there."""
        self._shelves = shelves
        self._served = None, {}

    def _ready(self, row: Provider) -> bool:
        return row.auth == "none" or bool(row.url_env) or row.name in self._keys

    def _fit(self, row: Provider, model: str) -> Match | None:
        """Say how a row serves a model; a private name fits those who own it, and the simulated."""
        fit = row.fit(model)
        if (shelf := self._shelves.get(row.name)) is not None:
            name = shelf.find(model)
            fit = Match(0 if row.aggregates else BY_NAME, name) if name else None
        if fit is None or fit.closeness == BY_NAME or row.name == SIMULATED:
            return fit
        taken = model.lower().startswith(self._taken) and not row.is_private
        return None if taken else fit

    def _owner(self, model: str) -> tuple[str, Provider | None]:
        """Return how a private name begins, and whose it is."""
        low = model.lower()
        return next((at for at in self._owners.items() if low.startswith(at[0])), ("", None))

    def _rows(self, interface: Spoken, own_keys: Mapping[str, str]) -> Iterator[Provider]:
        """Yield who takes a format and can be called, those under the client's keys first."""
        rows = [self._known[name] for name in own_keys if name in self._known]
        rows += [row for row in self.configured if row.name not in own_keys]
        return (row for row in rows if interface in row.takes and row.base_url)

    def endpoints(
        self,
        model: str,
        interface: Spoken,
        own_keys: Mapping[str, str] | None = None,
        preferences: Preferences = NO_PREFERENCES,
    ) -> tuple[Endpoint, ...]:
        """Return where a model can be had in a format; those under the client's keys first.

        ``own_keys`` maps provider names to keys that the client brought for this request.
        """
        if own_keys or preferences is not NO_PREFERENCES:
            return self._find(model, interface, own_keys or {}, preferences)
        found = self._found.get((model, interface))
        if found is None:
            found = self._find(model, interface, {}, preferences)
            if len(self._found) < MAX_FOUND:
                self._found[model, interface] = found
        return found

    def _find(
        self,
        model: str,
        interface: Spoken,
        own_keys: Mapping[str, str],
        preferences: Preferences,
    ) -> tuple[Endpoint, ...]:
        found = [
            (row, fit) for row in self._rows(interface, own_keys) if (fit := self._fit(row, model))
        ]
        if len(found) > 1:
            found.sort(key=lambda at: (at[0].name not in own_keys, -at[1].closeness))
        if preferences is not NO_PREFERENCES:
            found = [at for at in found if preferences.admits(at[0].names, at[0].aggregates)]
            found.sort(key=lambda at: preferences.place(at[0].names, at[0].aggregates))
            found = found if preferences.fallbacks else found[:1]
        return tuple(
            Endpoint(
                provider=row,
                model=fit.name,
                base_url=_base_of(row, interface).rstrip("/"),
                key=own_keys.get(row.name) or self._keys.get(row.name, ""),
                theirs=row.name in own_keys,
                facts=self._facts_of(row, model, interface),
            )
            for row, fit in found
        )

    def _facts_of(self, row: Provider, model: str, interface: Spoken) -> Facts:
        """Return what a model takes there; what passes through is the client's to know."""
        if isinstance(interface, PassThrough):
            return ANYTHING
        return self.dialects.of(row.dialect or row.name, model, interface)

    def takers(
        self,
        unit: Unit,
        needs: Needs,
        own_keys: Mapping[str, str] | None = None,
        preferences: Preferences = NO_PREFERENCES,
    ) -> tuple[Endpoint, ...]:
        """Return where a model can be had for a request that a tier routes.

        Those that cannot take it as it is are left out, unless there are no others.
        """
        found = self.endpoints(unit.model, needs.interface, own_keys, preferences)
        takes = tuple(e for e in found if e.facts.bars(needs, unit.effort) is None)
        return takes or found

    def bars(
        self,
        needs: Needs,
        own_keys: Mapping[str, str] | None = None,
        preferences: Preferences = NO_PREFERENCES,
    ) -> Callable[[Unit], str | None]:
        """Return what says of a unit why none of its providers takes a request as it is."""
        if not (needs.tools or needs.begun):
            return nothing_bars

        def barred(unit: Unit) -> str | None:
            first: str | None = None
            for endpoint in self.endpoints(unit.model, needs.interface, own_keys, preferences):
                reason = endpoint.facts.bars(needs, unit.effort)
                if reason is None:
                    return None
                first = first or reason
            return first

        return barred

    def reachable(
        self,
        catalogue: Catalogue,
        interface: Interface,
        own_keys: Mapping[str, str] | None = None,
        preferences: Preferences = NO_PREFERENCES,
    ) -> frozenset[str]:
        """Return the ids of the catalogue's models that can be had in a format."""
        served = self._served_of(catalogue)
        rows = self._rows(interface, own_keys or {})
        kept = (row for row in rows if preferences.admits(row.names, row.aggregates))
        found = frozenset[str]().union(*(served[row.name] for row in kept))
        if preferences.max_price == (None, None):
            return found
        prices = {m.id: m.price for m in catalogue.models if m.price and m.id in found}
        dear = (m for m, p in prices.items() if not preferences.affords(p.input, p.output))
        return found.difference(dear)

    def _served_of(self, catalogue: Catalogue) -> dict[str, frozenset[str]]:
        """Return provider → ids of the catalogue's models that it serves, kept for the newest."""
        known, served = self._served
        if known is not catalogue:
            served = {
                name: frozenset(m.id for m in catalogue.models if self._fit(row, m.id))
                for name, row in self._known.items()
            }
            self._served = catalogue, served
        return served

    def spellings(self, catalogue: Catalogue) -> dict[str, str]:
        """Return what providers call the catalogue's models → their ids."""
        rows = [row for row in self._known.values() if not row.aggregates]
        fits = ((row.fit(m.id), m.id) for row in rows for m in catalogue.models)
        return {fit.name: model_id for fit, model_id in fits if fit}

    @property
    def aggregators(self) -> tuple[str, ...]:
        """Names of those that take any model."""
        return tuple(row.name for row in self._known.values() if row.aggregates)

    def openings(self, interface: Interface) -> tuple[str, ...]:
        """Return the environment's variables whose keys would make every model served in a format."""
        rows = [row for row in self._known.values() if row.aggregates and interface in row.formats]
        return tuple(row.key_env[0] for row in rows if row.key_env and row not in self.configured)

    def owner_of(self, model: str) -> str:
        """Say whose private name this is, and what it has or how to set it up; empty else."""
        start, row = self._owner(model)
        for name, shelf in self._shelves.items():
            if name == UPSTREAM or (row is not None and row.name == name):
                return f"{name} lists {', '.join(list(shelf.ids)[:SHOWN]) or 'no model'}"
        if row is None:
            return ""
        said = f"names beginning {start!r} are for {row.name}"
        if row in self.configured:
            speaks = " and ".join(sorted(row.formats))
            return f"{said} alone, which speaks {speaks}; private = false in its row lets others in"
        return said + (f"; set {row.url_env} to its address" if row.url_env else "")


def _base_of(row: Provider, interface: Spoken) -> str:
    """Return where the path of a format begins."""
    return (
        row.base_url
        if isinstance(interface, PassThrough)
        else row.bases.get(interface, row.base_url)
    )


def _versioned(base_url: str) -> str:
    """Add the ``/v1`` that a bare address lacks."""
    scheme, _, rest = base_url.rstrip("/").partition("://")
    return base_url.rstrip("/") if "/" in rest else f"{scheme}://{rest}/v1"


def load_providers(path: Path = MODELS_DIR / PROVIDERS_FILE) -> tuple[Provider, ...]:
    """Read the table of providers; raises BadArtefact naming the key at fault.

    The rows of a file that is not the shipped one lie over the shipped ones.
    """
    try:
        shipped = tomllib.loads((MODELS_DIR / PROVIDERS_FILE).read_text("utf-8"))["providers"]
        own = tomllib.loads(file_of(path.parent, path.name).read_text("utf-8"))["providers"]
        return tuple(Provider.model_validate(row) for row in rows_over(shipped, own, "name"))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "providers"
        raise BadArtefact(f"{path}: {place}: {first['msg']}") from error
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise BadArtefact(f"cannot read the providers {path}: {error!r}") from error


def _own(row: Provider) -> Provider:
    """Let a row of your own be private where its address is."""
    if row.private is not None or not is_near(row.base_url):
        return row
    return row.model_copy(update={"private": True})


def _shared(row: Provider, others: Iterable[str]) -> frozenset[str]:
    """Return how names begin that a row serves and others too; none where it says whose they are."""
    if row.private is not None:
        return frozenset()
    others = tuple(others)
    overlaps = (
        start
        for start in row.beginnings
        if any(start.startswith(other) or other.startswith(start) for other in others)
    )
    return frozenset(overlaps)


def is_near(url: str) -> bool:
    """Say whether an address is of this machine or of a private network."""
    host = urlsplit(url).hostname or ""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".lan", ".localhost"))
    return ip.is_loopback or ip.is_private or ip.is_link_local


def runs_here(server: Endpoint) -> bool:
    """Say whether a server of one's own does the work itself: what it does costs nothing then.

    A name in the environment is a local server's.  Another without a key is one's own machine; one
    that takes a key, or is elsewhere, may be a proxy for somebody who is paid.
    """
    row = server.provider
    return bool(row.url_env) or (not server.key and (row.is_private or is_near(server.base_url)))


def configured_providers(
    rows: Iterable[Provider],
    *,
    own_rows: Iterable[Provider] = (),
    keys: Mapping[str, str],
    environ: Mapping[str, str],
    dialects: Dialects = NO_DIALECTS,
    vendors: Iterable[str] = (),
) -> Providers:
    """Join the table with the configuration's rows, keys and the environment's.

    What begins with one of ``vendors``, or as another provider's names do, is private to nobody.
    ``keys`` maps provider names to keys and wins over the environment.  When nobody can be
    called, the simulated provider answers.
    """
    own_rows = tuple(own_rows)
    table = {row.name: row for row in rows}
    public = {
        s: row.name for row in table.values() if not row.is_private for s in row.beginnings if s
    }
    public |= {f"{vendor}/": "" for vendor in vendors}
    shared = {
        row.name: _shared(row, (s for s, name in public.items() if name != row.name))
        for row in own_rows
    }
    table |= {row.name: row if row.name in table else _own(row) for row in own_rows}
    found: dict[str, str] = {}
    for name, row in table.items():
        if row.url_env and (url := environ.get(row.url_env)):
            table[name] = row.model_copy(update={"base_url": url})
        for variable in row.key_env:
            if value := environ.get(variable):
                found.setdefault(name, value)
    providers = Providers(table.values(), {**found, **keys}, dialects, shared)
    if providers.configured:
        return providers
    return Providers([*table.values(), SIMULATED_ROW], {}, dialects)
