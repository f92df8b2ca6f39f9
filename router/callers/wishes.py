"""What the headers of a request ask for: one table, one vocabulary, one parser.  Pure.

A client steers a request with ``x-auto-…`` headers.  Each is a row of ``WISHES``; docs/headers.md is
written from it.  A value that cannot be read, and a name beginning ``x-auto-`` that no row has, are
refused by name: a limit that is misspelt must not be lost in silence.  A request narrows what its
key allows and never widens it; only the machine's owner may do both.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from router.errors import BadRequest
from router.evidence.names import Names, UnknownName, both
from router.values import (
    MODEL_CHARS,
    NO_SESSION_WISHES,
    STOPS,
    Caller,
    Dial,
    Limits,
    SessionWishes,
    checked_name,
    dial_named,
)

PREFIX: Final = "x-auto-"

MAX_LISTED: Final = 100
"""Most entries of a list in a header: each is held against every model of the catalogue, which has
some forty."""

YES: Final = frozenset({"on", "true", "1", "yes"})
NO: Final = frozenset({"off", "false", "0", "no", "none"})


@dataclass(frozen=True, slots=True)
class Wished:
    """What the headers of one request ask for; empty where they do not speak of it."""

    dial: Dial | None = None
    limits: Mapping[str, Any] | None = None
    """Field of ``Limits`` → the value that the header names."""
    session: SessionWishes = NO_SESSION_WISHES
    """Of the session."""


NOTHING_WISHED: Final = Wished()


class Wish(NamedTuple):
    """One header."""

    header: str
    takes: str
    meaning: str
    who: str
    take: Callable[[Wished, str], Wished]
    """Adds the header's value to what was read so far; raises ValueError saying what is wrong."""


def read_wishes(headers: Mapping[str, str]) -> Wished:
    """Read a request's headers, names in lower case; raises BadRequest naming the one at fault."""
    found = NOTHING_WISHED
    for name, value in headers.items():
        if not name.startswith(PREFIX):
            continue
        if name not in _BY_HEADER:
            raise BadRequest(_no_such(name))
        try:
            found = _BY_HEADER[name].take(found, value.strip())
        except ValueError as error:
            raise BadRequest(f"{name}: {error}; it takes {_BY_HEADER[name].takes}") from None
    return found


def resolved(wished: Wished, names: Names) -> Wished:
    """Return the same with every model by its id; raises BadRequest for one that there is not."""
    pin = wished.session.pin
    if pin is not None:
        wished = replace(wished, session=wished.session._replace(pin=names.of(pin).id))
    if not wished.limits:
        return wished
    try:
        return replace(wished, limits=names.resolved(wished.limits))
    except UnknownName as error:
        raise BadRequest(f"{PREFIX}{error}") from None


def narrowed(caller: Caller, wished: Wished) -> Caller:
    """Return the caller under a request's own limits; raises BadRequest for what would widen them."""
    dial, pin = wished.dial or caller.dial, caller.limits.pin
    if pin is not None and wished.session.pin not in (None, pin):
        raise BadRequest(f"x-auto-pin: this key is pinned to {pin}; send that or nothing")
    if not wished.limits:
        return caller if dial is caller.dial else replace(caller, dial=dial)
    changes = {
        name: NARROWED[name](getattr(caller.limits, name), value, caller)
        for name, value in wished.limits.items()
    }
    return replace(caller, dial=dial, limits=caller.limits.model_copy(update=changes))


def _no_such(name: str) -> str:
    known = {header.removeprefix(PREFIX): header for header in _BY_HEADER}
    close = [
        known[word] for word in difflib.get_close_matches(name.removeprefix(PREFIX), known, n=1)
    ]
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(_BY_HEADER)}"
    return f"there is no request header {name[:MODEL_CHARS]}; {hint}"


# How a value is read.


def flag(value: str) -> bool:
    """Read one of the words for yes and no; raises ValueError."""
    word = value.lower()
    if word not in YES | NO:
        raise ValueError(f"{value!r} is neither on nor off")
    return word in YES


def _ids(value: str) -> frozenset[str]:
    found = frozenset(checked_name(part) for part in re.split(r"[,\s]+", value) if part)
    if not found:
        raise ValueError("it is empty")
    if len(found) > MAX_LISTED:
        raise ValueError(f"{len(found)} entries are more than {MAX_LISTED}")
    return found


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a number") from None


def _limit(field: str, read: Callable[[str], object]) -> Callable[[Wished, str], Wished]:
    """Return how a header narrows a field of ``Limits``, whose own bounds hold."""

    def take(wished: Wished, value: str) -> Wished:
        try:
            checked = Limits.model_validate({field: read(value)})
        except ValidationError as error:
            raise ValueError(f"{value!r}: {error.errors()[0]['msg'].lower()}") from None
        return replace(wished, limits={**(wished.limits or {}), field: getattr(checked, field)})

    return take


def _dial(wished: Wished, value: str) -> Wished:
    return replace(wished, dial=dial_named(value))


def _pin(wished: Wished, value: str) -> Wished:
    if not value:
        raise ValueError("it is empty")
    lifts = checked_name(value).lower() in NO
    return replace(
        wished, session=wished.session._replace(pin=None if lifts else value, unpin=lifts)
    )


def _switch(wished: Wished, value: str) -> Wished:
    return replace(wished, session=wished.session._replace(stays=not flag(value)))


def _reassess(wished: Wished, value: str) -> Wished:
    return replace(wished, session=wished.session._replace(reassess=flag(value)))


# How a request narrows what its key allows: (the key's, the request's, who calls) → what holds.

Ids = frozenset[str]


def _common(old: Ids | None, new: Ids, caller: Caller) -> Ids:
    return new if old is None else both(old, new)


def _both(old: Ids | None, new: Ids, caller: Caller) -> Ids:
    return new if old is None else old & new


def _either(old: Ids, new: Ids, caller: Caller) -> Ids:
    return old | new


def _least(old: float | None, new: float, caller: Caller) -> float:
    return new if old is None else min(old, new)


def _most(old: float, new: float, caller: Caller) -> float:
    return max(old, new)


def _logging(old: bool, new: bool, caller: Caller) -> bool:
    if new and not old and not caller.owner:
        raise BadRequest(
            "x-auto-prompt-logging: this key does not allow prompts to be logged; send off or "
            "nothing, or have `prompt_logging = true` set for the key"
        )
    return new


NARROWED: Final[dict[str, Callable[..., object]]] = {
    "allow": _common,
    "deny": _either,
    "max_cost_usd": _least,
    "min_quality": _most,
    "open_weights_only": lambda old, new, caller: old or new,
    "data_policies": _both,
    "prompt_logging": _logging,
    "pin": lambda old, new, caller: old or new,
}
"""Field of ``Limits`` → how it is narrowed."""

EVERYONE: Final = "everyone; narrows what the key allows"
SESSION: Final = "everyone; lasts until it is changed, without a key for this request"
MODELS: Final = "models, separated by commas or spaces; `*` stands for any text"
ON_OFF: Final = "on or off (true, false, 1, 0, yes, no)"

WISHES: Final = (
    Wish(
        "x-auto-dial",
        STOPS,
        "How much of the chance of success may be given up for cost, on average over all requests.",
        "everyone",
        _dial,
    ),
    Wish("x-auto-allow", MODELS, "Only these models may serve.", EVERYONE, _limit("allow", _ids)),
    Wish("x-auto-deny", MODELS, "These models may not serve.", EVERYONE, _limit("deny", _ids)),
    Wish(
        "x-auto-max-cost",
        "US dollars, 0 or more",
        "The most that this request's plan may be expected to cost: the request, the rest of its task "
        "and what takes over when a failure shows; whatever model is asked for.",
        EVERYONE,
        _limit("max_cost_usd", _number),
    ),
    Wish(
        "x-auto-min-quality",
        "a probability, 0 to 1",
        "The least expected probability of success, whatever model is asked for; what nobody "
        "measured does not serve.",
        EVERYONE,
        _limit("min_quality", _number),
    ),
    Wish(
        "x-auto-open-weights",
        ON_OFF,
        "Only models whose weights are open.",
        EVERYONE,
        _limit("open_weights_only", flag),
    ),
    Wish(
        "x-auto-data-policies",
        "data policies as the catalogue names them, separated by commas or spaces",
        "Only models known to have one of these data policies.",
        EVERYONE,
        _limit("data_policies", _ids),
    ),
    Wish(
        "x-auto-prompt-logging",
        ON_OFF,
        "Free offers, and providers that may log prompts, may serve kilo-auto/efficient.",
        "the machine's owner, and keys with `prompt_logging = true`; everyone may send off",
        _limit("prompt_logging", flag),
    ),
    Wish(
        "x-auto-pin",
        "a model id, or off",
        "This model serves the session, on every tier.",
        SESSION,
        _pin,
    ),
    Wish(
        "x-auto-switch",
        ON_OFF,
        "Off keeps the session with the model that serves it.",
        SESSION,
        _switch,
    ),
    Wish(
        "x-auto-reassess",
        ON_OFF,
        "On reads this request and decides anew, even if nothing is new.",
        "everyone; for this request",
        _reassess,
    ),
)
"""Every header by which a client steers a request."""

_BY_HEADER: Final = {wish.header: wish for wish in WISHES}
