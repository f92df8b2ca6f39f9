"""What holds for a caller: terms of the organisation, of its team and of its own key, put together.  Pure.

Each scope says what it wants to say and leaves the rest open.  A limit only ever narrows on its way from
organisation to team to key; of a preference (dial, tiers, mappings) the nearest word counts; a budget or
a rate is each scope's own, and all of them must have room.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple

from pydantic import Field, field_validator

from router.callers.meters import Meter, Period, Resource
from router.callers.wishes import NARROWED
from router.values import (
    DEFAULT_DIAL,
    NO_LIMITS,
    STOPS,
    Caller,
    Entry,
    Limits,
    dial_named,
)

ORG: Final = "org"


class Budget(Entry):
    """Dollars that may be spent in a period; what is asked beyond it is refused until the next begins."""

    usd: float = Field(ge=0, allow_inf_nan=False, description="Dollars.")
    per: Period = Field(description="day, week or month, by the calendar in UTC.")

    @field_validator("per")
    @classmethod
    def _is_of_the_calendar(cls, period: Period) -> Period:
        if period not in CALENDAR:
            raise ValueError(f"a budget is for a {', a '.join(CALENDAR[:-1])} or a {CALENDAR[-1]}")
        return period


CALENDAR: Final = (Period.DAY, Period.WEEK, Period.MONTH)


class Terms(Limits):
    """What one scope says.  Fields that are not set leave it to the scope around."""

    dial: Annotated[
        str | None,
        Field(description="The dial where a request sets none: a stop, or a margin between two."),
    ] = None
    tiers: Annotated[
        Mapping[str, str],
        Field(
            description="Client mode or agent, `subagent` for any of these → the tier that serves it "
            'whichever is asked for, as `{ code = "kilo-auto/frontier" }`.'
        ),
    ] = {}
    mappings: Annotated[
        Mapping[str, Mapping[str, str]],
        Field(
            description="Tier → mode, interface, `paid`, `unpaid` or `default` → `model` or "
            "`model@effort` that it maps to instead of the catalogue's."
        ),
    ] = {}
    budgets: Annotated[
        tuple[Budget, ...],
        Field(description='Dollars a day, week or month, as `[{ usd = 50, per = "month" }]`.'),
    ] = ()
    credit_usd: Annotated[
        float | None,
        Field(
            ge=0,
            allow_inf_nan=False,
            description="Dollars that were paid in; once they are spent only what is free is served.",
        ),
    ] = None
    requests_per_minute: Annotated[int | None, Field(ge=0, description="Requests a minute.")] = None
    tokens_per_minute: Annotated[
        int | None, Field(ge=0, description="Tokens a minute, of input and output.")
    ] = None
    balance: Annotated[
        bool | None, Field(description="Has a paid balance, which decides kilo-auto/small.")
    ] = None
    former: Annotated[
        str | None,
        Field(
            description="The model or tier used before: what is saved is counted against it; else "
            "against kilo-auto/frontier."
        ),
    ] = None

    @field_validator("dial")
    @classmethod
    def _is_a_stop(cls, name: str | None) -> str | None:
        try:
            return None if name is None else dial_named(name).name
        except ValueError as error:
            raise ValueError(f"{error}; it takes {STOPS}") from None

    @field_validator("budgets")
    @classmethod
    def _are_of_different_periods(cls, budgets: tuple[Budget, ...]) -> tuple[Budget, ...]:
        periods = [budget.per for budget in budgets]
        if twice := next((p for p in periods if periods.count(p) > 1), None):
            raise ValueError(
                f"there are two budgets a {twice}; leave one, they count the same dollars"
            )
        return budgets

    @field_validator("allow", "data_policies")
    @classmethod
    def _allows_something(cls, listed: frozenset[str] | None) -> frozenset[str] | None:
        if listed is not None and not listed:
            raise ValueError("an empty list allows no model at all; leave it out to allow all")
        return listed


class Allowance(NamedTuple):
    """A meter that holds for a caller, and the account it counts on."""

    account: str
    meter: Meter


def limits_of(scopes: Sequence[Terms], caller: Caller) -> Limits:
    """Narrow limits from scope to scope, the widest first."""
    merged: dict[str, Any] = {}
    for terms in scopes:
        for name in Limits.model_fields:
            if name not in terms.model_fields_set:
                continue
            value = getattr(terms, name)
            if value is None:
                continue
            merged[name] = _narrow(name, merged[name], value, caller) if name in merged else value
    return Limits.model_validate(merged) if merged else NO_LIMITS


def _narrow(name: str, old: Any, new: Any, caller: Caller) -> Any:
    if name == "prompt_logging":  # both must allow it
        return old and new
    return NARROWED[name](old, new, caller)


def caller_of(
    name: str,
    scopes: Sequence[Terms],
    *,
    team: str | None = None,
    owner: bool = False,
    anonymous: bool = False,
) -> Caller:
    """Return a caller under the terms of its scopes, the widest first; an anonymous one pays nothing.

    What an organisation's own people are served by is not for anonymous callers; its limits are.
    """
    caller = Caller(name, team=team, owner=owner, anonymous=anonymous)
    dial = _nearest(scopes, "dial") or DEFAULT_DIAL
    balance = _nearest(scopes, "balance")
    return Caller(
        name,
        team=team,
        owner=owner,
        anonymous=anonymous,
        balance=not anonymous and (True if balance is None else balance),
        dial=dial_named(dial),
        limits=limits_of(scopes, caller),
        tiers={} if anonymous else _merged(scopes, "tiers"),
        mappings={} if anonymous else _merged_twice(terms.mappings for terms in scopes),
        former=_nearest(scopes, "former"),
    )


def _nearest(scopes: Sequence[Terms], name: str) -> Any:
    said = (getattr(terms, name) for terms in reversed(scopes))
    return next((value for value in said if value is not None), None)


def _merged(scopes: Sequence[Terms], name: str) -> Mapping[str, str]:
    merged: dict[str, str] = {}
    for terms in scopes:
        merged |= getattr(terms, name)
    return merged


def _merged_twice(said: Iterable[Mapping[str, Mapping[str, str]]]) -> dict[str, dict[str, str]]:
    merged: dict[str, dict[str, str]] = {}
    for mappings in said:
        for tier, rows in mappings.items():
            merged[tier] = {**merged.get(tier, {}), **rows}
    return merged


def allowances_of(scopes: Mapping[str, Terms]) -> tuple[Allowance, ...]:
    """Return every meter of some scopes: account → its terms."""
    return tuple(
        Allowance(account, meter) for account, terms in scopes.items() for meter in meters_of(terms)
    )


def meters_of(terms: Terms) -> tuple[Meter, ...]:
    """Return the meters of one scope's terms."""
    rates = (
        (Resource.REQUESTS, Period.MINUTE, terms.requests_per_minute),
        (Resource.TOKENS, Period.MINUTE, terms.tokens_per_minute),
        (Resource.USD, Period.TOTAL, terms.credit_usd),
    )
    budgets = ((Resource.USD, budget.per, budget.usd) for budget in terms.budgets)
    return tuple(
        Meter(kind, period, limit)
        for kind, period, limit in (*budgets, *rates)
        if limit is not None
    )
