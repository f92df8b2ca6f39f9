"""The catalogue: models, their prices and abilities, and the tiers that map onto them.

``models/catalogue.toml`` is written by people and validated here when a process starts; an
unknown key, a missing price or a tier that names no model is refused with its place.  What a
list does not say stays unknown, and unknown never counts as capable.  A folder of one's own needs
only what differs from the shipped one (``router.evidence.overlay``).
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Hashable, Iterable
from collections.abc import Mapping as Map
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from classifier.tasks import TYPES
from router.errors import BadArtefact
from router.evidence.overlay import is_overlay, overlaid
from router.values import Entry, Interface, Needs, Target, Unit, family_of

Dollars = Annotated[float, Field(ge=0, le=1000)]
"""US dollars per million tokens."""


class LongContext(Entry):
    """Prices that hold for a whole request above ``above_tokens`` of input."""

    above_tokens: int = Field(gt=0)
    input: Dollars
    output: Dollars
    cache_read: Dollars | None = None
    cache_write: Dollars | None = None


class Band(NamedTuple):
    """What a token costs, in dollars, in requests of more than ``above_tokens`` of input.

    ``fresh`` is input that no cache holds, ``write`` the same with the premium for caching it,
    where one is asked, ``read`` input that a cache holds.
    """

    above_tokens: int
    fresh: float
    write: float
    read: float
    output: float


class Price(Entry):
    """List price in US dollars per million tokens, with where and when it was listed."""

    input: Dollars
    output: Dollars
    cache_read: Dollars | None = None
    cache_write: Dollars | None = None
    long_context: tuple[LongContext, ...] = ()
    source: str
    date: date

    @property
    def is_zero(self) -> bool:
        """Whether no token costs anything."""
        return not any(band.fresh or band.write or band.read or band.output for band in self.bands)

    @cached_property
    def bands(self) -> tuple[Band, ...]:
        """The rates by size of the request, smallest first.

        Writing to a cache never costs less than sending the same input: some lists name only the
        storage (Google's).  Without a read price, cached input costs what input costs.
        """
        rows = [
            (0, self.input, self.output, self.cache_read, self.cache_write),
            *(
                (long.above_tokens, long.input, long.output, long.cache_read, long.cache_write)
                for long in sorted(self.long_context, key=lambda entry: entry.above_tokens)
            ),
        ]
        return tuple(
            Band(
                above,
                fresh / 1e6,
                max(fresh, write or 0.0) / 1e6,
                (fresh if read is None else min(read, fresh)) / 1e6,
                output / 1e6,
            )
            for above, fresh, output, read, write in rows
        )


class Launch(Entry):
    """What a model cost when it came out, by the vendor's own list: what its vendor thought of it.

    US dollars per million tokens, with where it was listed, and when.  No cost is reckoned with it.
    """

    input: Dollars
    output: Dollars
    source: str
    date: date


class PriceList(NamedTuple):
    """What a token costs with each of U units, in dollars: the lowest bands of their prices."""

    fresh: NDArray[np.float32]
    write: NDArray[np.float32]
    read: NDArray[np.float32]
    output: NDArray[np.float32]
    known: NDArray[np.bool_]
    """Which units have a price at all."""
    banded: tuple[tuple[int, Price], ...]
    """Rows of the units whose price rises with the size of a request, and those prices."""


def price_list_of(prices: Iterable[Price | None]) -> PriceList:
    """Lay prices out, one a unit; what has none costs nothing there and is not known."""
    listed = list(prices)
    none = Band(0, 0.0, 0.0, 0.0, 0.0)
    rows = [price.bands[0] if price else none for price in listed]
    fresh, write, read, output = np.array(rows, dtype=np.float32).reshape(-1, len(none)).T[1:]
    return PriceList(
        fresh,
        write,
        read,
        output,
        known=np.array([price is not None for price in listed], dtype=bool),
        banded=tuple((i, p) for i, p in enumerate(listed) if p and len(p.bands) > 1),
    )


class Seen(Entry):
    """How often a failure is seen, in [0, 1], by what a session can see of its work."""

    commands: float = Field(ge=0, le=1)
    """Where the agent runs commands: its tests, its builds."""
    tools: float = Field(ge=0, le=1)
    """Where it has other tools only: by its user."""


class Economics(Entry):
    """How coding sessions go, as far as a price list does not say; see ``router.decision.economics``.

    ``cache_lifetime_s``: vendor → seconds for which an unused prompt cache lives, with a
    ``default``.  ``calls``: model calls of an agent's task by difficulty level; ``context_tokens``
    its first request, ``growth_tokens`` and ``output_tokens`` what each call adds.  ``single``:
    types that one answer settles, with ``single_tokens`` of context.  ``remaining``: the least
    share of a task's calls that is still expected while it runs.
    """

    cache_lifetime_s: dict[str, float]
    calls: tuple[float, float, float, float]
    context_tokens: float = Field(gt=0)
    growth_tokens: float = Field(gt=0)
    output_tokens: float = Field(gt=0)
    single: frozenset[str]
    single_tokens: float = Field(gt=0)
    single_calls_with_tools: float = Field(ge=1)
    remaining: float = Field(ge=0, le=1)
    seen: Seen

    @model_validator(mode="after")
    def _knows_what_it_names(self) -> Economics:
        if "default" not in self.cache_lifetime_s:
            raise ValueError("cache_lifetime_s has no default")
        if unknown := sorted(self.single - set(TYPES)):
            raise ValueError(f"single: no such task: {', '.join(unknown)}")
        return self

    @cached_property
    def is_single(self) -> NDArray[np.float32]:
        """One for the types that one answer settles, zero for the others: float32 (len(TYPES),)."""
        return np.array([name in self.single for name in TYPES], dtype=np.float32)

    def lifetime_s(self, model: str) -> float:
        """Return how long an unused cache of a model lives, in seconds."""
        return self.cache_lifetime_s.get(family_of(model), self.cache_lifetime_s["default"])


class Model(Entry):
    """One model: what it is called, what it can do, what it costs.

    ``interfaces`` are the formats its own vendor serves it in; whether some configured provider
    serves it in a client's format is for ``router.providers.endpoints`` to say.
    """

    id: str
    name: str
    vendor: str
    released: date | None = None
    retires: date | None = None
    """Day its vendor ends it, where a list says so; it serves until it is gone from the lists."""
    retired: date | None = None
    """Day of the list on which it was first missing; nothing but a client's word chooses it then."""
    aliases: tuple[str, ...] = ()
    efforts_as: dict[str, str] = {}
    context_tokens: int | None = Field(default=None, gt=0)
    max_output_tokens: int | None = Field(default=None, gt=0)
    interfaces: frozenset[Interface]
    efforts: tuple[str, ...] = ()
    reasoning: bool = False
    abilities: frozenset[str] = frozenset()
    open_weights: bool = False
    licence: str = ""
    data_policy: str = "unknown"
    free: bool = False
    price: Price | None = None
    launch: Launch | None = None
    """Its price when it came out, in US dollars per million tokens; None: no list has one."""
    own: bool = False
    """It is a server's of one's own, where nobody lists what it can do: that is not held against it."""

    @model_validator(mode="after")
    def _was_out_when_listed(self) -> Model:
        if self.launch and self.released and self.launch.date < self.released:
            raise ValueError(
                f"{self.id}: its launch price is of {self.launch.date}, before it was out"
            )
        return self

    @property
    def costs_nothing(self) -> bool:
        """Whether every token of it is known to cost nothing."""
        return self.free or (self.price is not None and self.price.is_zero)

    def lacks(self, needs: Needs, abilities: frozenset[str] | None = None) -> str | None:
        """Say what of ``needs`` this model cannot serve; None when it can serve all.

        Room for an answer beyond the longest that the model gives is a wish: clients ask for what
        another model gives, because a tier's name does not say which will serve.
        ``abilities`` are ``needs.abilities``, for callers that ask many models.
        """
        if self.context_tokens is None and not self.own:
            return "context length unknown"
        room = min(needs.output_tokens, self.max_output_tokens or needs.output_tokens)
        wanted = (needs.input_tokens or 0) + room
        if self.context_tokens is not None and wanted > self.context_tokens:
            return f"context of {self.context_tokens:,} tokens is short of {wanted:,}"
        if self.own and not self.abilities:
            return None
        if missing := (needs.abilities if abilities is None else abilities) - self.abilities:
            return f"no {min(missing).replace('_', ' ')}"
        return None


class Mapping(Entry):
    """What a tier maps to, as its block says it."""

    model: str
    effort: str | None = None
    verbosity: str | None = None
    reasoning: bool | None = None

    @property
    def target(self) -> Target:
        """The same as a value."""
        return Target(Unit(self.model, self.effort), self.verbosity, self.reasoning)


class Weighted(Entry):
    """A model of a free tier and its share of new sessions."""

    model: str
    weight: float = Field(gt=0)


class Balance(Entry):
    """Models for callers with and without a paid balance."""

    paid: str
    unpaid: str


class Tier(Entry):
    """What a client asks for instead of a model, and how it is mapped.

    Which mapping is used follows from ``rule``: ``mode`` reads ``modes`` (with a ``default``),
    ``interface`` reads ``interfaces``, ``affinity`` the weighted list, ``balance`` the pair;
    ``efficient`` decides per request and falls back to the tier it names.
    """

    id: str
    name: str
    description: str
    aliases: tuple[str, ...] = ()
    hidden: bool = False
    rule: Literal["mode", "interface", "efficient", "affinity", "balance"]
    effort: str | None = None
    verbosity: str | None = None
    modes: dict[str, str] = {}
    interfaces: dict[Interface, Mapping] = {}
    affinity: tuple[Weighted, ...] = ()
    balance: Balance | None = None
    fallback: str | None = None

    @property
    def model_ids(self) -> frozenset[str]:
        """Every model this tier may map to."""
        mapped = [mapping.model for mapping in self.interfaces.values()]
        weighted = [choice.model for choice in self.affinity]
        pair = [self.balance.paid, self.balance.unpaid] if self.balance else []
        return frozenset([*self.modes.values(), *mapped, *weighted, *pair])

    def mapping(self, interface: Interface) -> Mapping | None:
        """Return what a format maps to: its own row or, in a format without one, the first."""
        return self.interfaces.get(interface) or next(iter(self.interfaces.values()), None)

    @model_validator(mode="after")
    def _has_its_mapping(self) -> Tier:
        has = {
            "mode": "default" in self.modes,
            "interface": bool(self.interfaces),
            "efficient": bool(self.fallback),
            "affinity": bool(self.affinity),
            "balance": self.balance is not None,
        }
        if not has[self.rule]:
            raise ValueError(f"tier {self.id}: rule {self.rule!r} lacks its mapping")
        return self


class Defaults(Entry):
    """The tiers used when a request names no model."""

    with_key: str
    without_key: str


class Change(Entry):
    """One dated entry of the changelog of mappings."""

    date: date
    tiers: tuple[str, ...]
    note: str


class Catalogue(Entry):
    """All models, looked up by id, and all tiers, by id or legacy id."""

    models: tuple[Model, ...]
    tiers: tuple[Tier, ...]
    defaults: Defaults
    economics: Economics
    changes: tuple[Change, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Catalogue:
        models = [m.id for m in self.models]
        names = [n for t in self.tiers for n in (t.id, *t.aliases)]
        for what, ids in (("model", models), ("tier", names)):
            if twice := sorted({i for i in ids if ids.count(i) > 1}):
                raise ValueError(f"{what} named twice: {', '.join(twice)}")
        for tier in self.tiers:
            if missing := sorted(tier.model_ids - set(models)):
                raise ValueError(f"tier {tier.id}: no such model: {', '.join(missing)}")
            if tier.fallback and tier.fallback not in names:
                raise ValueError(f"tier {tier.id}: no such tier: {tier.fallback}")
        for default in (self.defaults.with_key, self.defaults.without_key):
            if default not in names:
                raise ValueError(f"defaults: no such tier: {default}")
        return self

    def of_models(self, models: Iterable[Model]) -> Catalogue:
        """Return the same with other models; nothing that was looked up before is kept."""
        fields = {name: getattr(self, name) for name in Catalogue.model_fields}
        return Catalogue.model_validate(fields | {"models": tuple(models)})

    def names_tier(self, name: str) -> bool:
        """Whether a name is of the form that tiers' ids have, whether or not there is such a tier."""
        return name.partition("/")[0].strip().lower() in self._tier_namespaces

    @cached_property
    def _tier_namespaces(self) -> frozenset[str]:
        return frozenset(tier.id.partition("/")[0].lower() for tier in self.tiers)

    @cached_property
    def _tiers_by_name(self) -> dict[str, Tier]:
        return {name.lower(): tier for tier in self.tiers for name in (tier.id, *tier.aliases)}

    @cached_property
    def fallback(self) -> Tier | None:
        """The tier that maps where the efficient one finds no model with evidence."""
        names = (tier.fallback for tier in self.tiers if tier.fallback)
        return self.tier(next(names, ""))

    @cached_property
    def _by_id(self) -> dict[str, Model]:
        return {model.id: model for model in self.models}

    @cached_property
    def settled(self) -> dict[Hashable, Map[str, Any]]:
        """What ``router.decision.eligible`` settled of its models: question → model → answer."""
        return {}

    @cached_property
    def _least_context_tokens(self) -> int:
        return min((m.context_tokens for m in self.models if m.context_tokens), default=0)

    def is_long(self, needs: Needs) -> bool:
        """Say whether a request may be longer than the context of some model."""
        return (needs.input_tokens or 0) + needs.output_tokens > self._least_context_tokens

    @cached_property
    def ids(self) -> frozenset[str]:
        """The ids of all models."""
        return frozenset(self._by_id)

    def model(self, model_id: str) -> Model | None:
        """Return a model by its id."""
        return self._by_id.get(model_id)

    def room(self, model_id: str) -> int | None:
        """Return the longest answer that a model gives, in tokens; None where it is not known."""
        model = self.model(model_id)
        return model.max_output_tokens if model else None

    def can_also(self, abilities: Callable[[str], frozenset[str]]) -> Catalogue:
        """Return it with further abilities of its models, by their ids."""
        models = [
            model.model_copy(update={"abilities": model.abilities | more})
            if (more := abilities(model.id))
            else model
            for model in self.models
        ]
        return self.of_models(models)

    def tier(self, name: str) -> Tier | None:
        """Return a tier by its id or a legacy id, in any case."""
        return self._tiers_by_name.get(name.strip().lower())


CATALOGUE_FILE: Final = "catalogue.toml"


def models_dir(root: Path) -> Path:
    """Return where the artefacts lie under ``root``: a wheel carries them inside its package."""
    packaged = root / "auto_efficient" / "models"
    return packaged if (packaged / CATALOGUE_FILE).is_file() else root / "models"


MODELS_DIR: Final = models_dir(Path(__file__).resolve().parents[2])
"""Where the artefacts lie: catalogue, table and classifier."""


def file_of(folder: Path, name: str) -> Path:
    """Return a file of a models folder: its own or, where it has none, the shipped one.

    Raises BadArtefact where there is no such folder.
    """
    if not folder.is_dir():
        raise BadArtefact(f"there is no models folder {folder}")
    own = folder / name
    return own if own.exists() else MODELS_DIR / name


def load_catalogue(path: Path = MODELS_DIR / CATALOGUE_FILE, *, whole: bool = False) -> Catalogue:
    """Read and validate a catalogue; raises BadArtefact naming the key at fault.

    A file that has only some tables is laid over the shipped one, unless it must be ``whole``; one
    that is not there is that.
    """
    try:
        return Catalogue.model_validate(_tables(path, whole=whole))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "catalogue"
        raise BadArtefact(f"{path}: {place}: {first['msg']}") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise BadArtefact(f"cannot read the catalogue {path}: {error}") from error


def is_whole(path: Path) -> bool:
    """Say whether a catalogue's file, a good one, has every table."""
    return path.exists() and not is_overlay(_read(path), Catalogue.model_fields)


def _tables(path: Path, *, whole: bool) -> dict[str, Any]:
    """Return a catalogue's tables, with those of the shipped one that its file leaves out."""
    own = _read(file_of(path.parent, path.name))
    if whole or not is_overlay(own, Catalogue.model_fields):
        return own
    return overlaid(_read(MODELS_DIR / CATALOGUE_FILE), own)


def _read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text("utf-8"))
