"""The ``provider`` object of a request, as OpenRouter's API has it: which providers may serve.  Pure.

An aggregator reads the object itself, so it is passed on there as it came.  A vendor that is called
directly is one provider with one price and one policy: what can be said of that is held against it
here, and what cannot keeps it out, as ``FIELDS`` says.  A field that nobody can hold is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, Final, NamedTuple

from router.errors import BadRequest

FIELD: Final = "provider"


@dataclass(frozen=True, slots=True)
class Preferences:
    """Which providers a request wants; by default any."""

    only: frozenset[str] | None = None
    """None: all."""
    ignore: frozenset[str] = frozenset()
    order: tuple[str, ...] = ()
    """These first, in this order."""
    fallbacks: bool = True
    """Another provider may serve a model when the first fails."""
    sorts: bool = False
    """An aggregator is to choose by price or speed: it is asked before a vendor."""
    binds: tuple[str, ...] = ()
    """Fields that only an aggregator can hold."""
    max_price: tuple[float | None, float | None] = (None, None)
    """Most US dollars per million tokens of input and of output."""

    def admits(self, names: frozenset[str], aggregates: bool) -> bool:
        """Say whether a provider of these names may serve."""
        if aggregates:
            return True
        listed = self.only is None or not names.isdisjoint(self.only)
        return listed and not self.binds and names.isdisjoint(self.ignore)

    def place(self, names: frozenset[str], aggregates: bool) -> int:
        """Return where a provider stands: smaller is asked first."""
        if self.sorts and aggregates:
            return -1
        found = (i for i, name in enumerate(self.order) if name in names)
        return next(found, len(self.order))

    def affords(self, input_usd: float, output_usd: float) -> bool:
        """Say whether a list price per million tokens is within ``max_price``."""
        return all(
            most is None or usd <= most
            for usd, most in zip((input_usd, output_usd), self.max_price, strict=True)
        )

    @property
    def named(self) -> str:
        """The fields that keep a provider out, for a person."""
        narrows = [("only", self.only is not None), ("ignore", bool(self.ignore))]
        fields = [name for name, is_set in narrows if is_set] + list(self.binds)
        return ", ".join(f"`{FIELD}.{name}`" for name in fields)


NO_PREFERENCES: Final = Preferences()


class Preference(NamedTuple):
    """One field of the object."""

    field: str
    held: str
    """How a provider that is called directly is held to it, for a person."""
    take: Callable[[Preferences, str, Any], Preferences]
    """Adds the field's value; raises ValueError saying what it takes."""


def read_preferences(fields: Mapping[str, Any]) -> Preferences:
    """Read the object of a body; raises BadRequest naming the field at fault."""
    given = fields.get(FIELD)
    if given is None:
        return NO_PREFERENCES
    if not isinstance(given, dict):
        raise BadRequest(f"`{FIELD}` must be an object, as OpenRouter's API has it")
    found = NO_PREFERENCES
    for name, value in given.items():
        if value is None:
            continue
        try:
            found = _TAKES.get(name, _binds)(found, name, value)
        except ValueError as error:
            raise BadRequest(f"`{FIELD}.{name}`: {error}") from None
    return found


def _slugs(value: Any) -> tuple[str, ...]:
    """Read names of providers; ``deepinfra/turbo`` is a variant of ``deepinfra``."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError("it takes a list of providers' names")
    return tuple(name.strip().lower().partition("/")[0] for name in value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("it takes true or false")
    return value


def _only(found: Preferences, name: str, value: Any) -> Preferences:
    return replace(found, only=frozenset(_slugs(value))) if value else found


def _ignore(found: Preferences, name: str, value: Any) -> Preferences:
    return replace(found, ignore=frozenset(_slugs(value)))


def _order(found: Preferences, name: str, value: Any) -> Preferences:
    return replace(found, order=_slugs(value))


def _fallbacks(found: Preferences, name: str, value: Any) -> Preferences:
    return replace(found, fallbacks=_flag(value))


def _binds(found: Preferences, name: str, value: Any) -> Preferences:
    return replace(found, binds=(*found.binds, name))


def _if_true(found: Preferences, name: str, value: Any) -> Preferences:
    return _binds(found, name, value) if _flag(value) else found


def _collection(found: Preferences, name: str, value: Any) -> Preferences:
    if value not in ("allow", "deny"):
        raise ValueError('it takes "allow" or "deny"')
    return _binds(found, name, value) if value == "deny" else found


def _quantizations(found: Preferences, name: str, value: Any) -> Preferences:
    return _binds(found, name, value) if _slugs(value) else found


def _sort(found: Preferences, name: str, value: Any) -> Preferences:
    return replace(found, sorts=True)


def _max_price(found: Preferences, name: str, value: Any) -> Preferences:
    if not isinstance(value, dict):
        raise ValueError("it takes an object of US dollars per million tokens")
    prompt, completion = (_dollars(value.get(key)) for key in ("prompt", "completion"))
    return replace(_binds(found, name, value), max_price=(prompt, completion))


def _dollars(value: Any) -> float | None:
    if value is None:
        return None
    try:
        usd = float(value) if not isinstance(value, bool) else -1.0
    except (TypeError, ValueError):
        usd = -1.0
    if not isfinite(usd) or usd < 0:
        raise ValueError(f"{value!r} is not a price in US dollars")
    return usd


_OUT: Final = "No direct provider is asked: an aggregator holds it."

FIELDS: Final = (
    Preference("only", "Only those it names are asked.", _only),
    Preference("ignore", "Those it names are not asked.", _ignore),
    Preference("order", "Those it names are asked first.", _order),
    Preference(
        "allow_fallbacks",
        "`false`: one provider is asked for each model; `models` still holds.",
        _fallbacks,
    ),
    Preference("sort", "Aggregators are asked first.", _sort),
    Preference("preferred_min_throughput", "Aggregators are asked first.", _sort),
    Preference("preferred_max_latency", "Aggregators are asked first.", _sort),
    Preference("require_parameters", f"`true`: {_OUT}", _if_true),
    Preference("data_collection", f'`"deny"`: {_OUT}', _collection),
    Preference("zdr", f"`true`: {_OUT}", _if_true),
    Preference("enforce_distillable_text", f"`true`: {_OUT}", _if_true),
    Preference("quantizations", _OUT, _quantizations),
    Preference(
        "max_price",
        f"{_OUT} Models whose list price of input or output is higher do not serve.",
        _max_price,
    ),
)
"""Every field of the object that is known; any other keeps direct providers out."""

_TAKES: Final = {row.field: row.take for row in FIELDS}
