"""Meters: how much an account may use in a period, and the arithmetic of it.  Pure.

One mechanism bounds dollars a month, tokens a minute and what an address may ask without a key.  A
request claims what it is expected to use before it is sent on, and settles what it used afterwards;
what is claimed counts at once, so requests under way at the same time see each other.  A claim is
admitted while something is left: the last one may overshoot by its own amount, and no further one
is let in.

Calendar periods (day, week, month; UTC) begin anew.  The use of a minute or an hour is estimated from
two counters, this window's and the last one's weighted by how much of it the window ending now still
covers; exact for who comes within one window, and within a few per cent of exact otherwise
(https://blog.cloudflare.com/counting-things-a-lot-of-different-things/).

What was claimed and never settled, because its process died, is forgotten after ``HOLD_S`` to twice
that.  ``router.callers.accounts_redis`` says the same arithmetic in Lua.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

DAY_S: Final = 86_400.0

THURSDAY: Final = 3
"""Days after a Monday on which 1970 began."""

HOLD_S: Final = 3600.0
"""Longer than a request lives.  One that lives longer counts again, in full, once it is settled."""

LEAST_WAIT_S: Final = 1.0
"""Shortest time after which somebody who used up a sliding window is told to come back."""


class Resource(StrEnum):
    """What is counted."""

    USD = "usd"
    REQUESTS = "requests"
    TOKENS = "tokens"


class Period(StrEnum):
    """Over what time."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    """From Monday (ISO 8601)."""
    MONTH = "month"
    TOTAL = "total"
    """From the first day on: of what was paid in."""


END_S: Final = 4_102_444_800.0
"""Where a total ends: 2100-01-01, after anybody who reads this."""

SLIDING_S: Final = {Period.MINUTE: 60.0, Period.HOUR: 3600.0}


@dataclass(frozen=True, slots=True)
class Meter:
    """The most that may be used in a period; a limit of 0 admits nothing."""

    resource: Resource
    period: Period
    limit: float

    @property
    def slides(self) -> bool:
        """Whether what was used goes little by little, instead of all at the period's end."""
        return self.period in SLIDING_S

    @property
    def booked(self) -> bool:
        """Whether the ledger knows what was used: a counter that is lost begins there, not at 0."""
        return self.resource is Resource.USD and not self.slides


@dataclass(frozen=True, slots=True)
class Charge:
    """What one request is expected to use of one account, such as ``team:core``.

    Raises ValueError for what is no amount.
    """

    account: str
    meter: Meter
    amount: float = 1.0
    key: str = field(init=False, repr=False, compare=False)
    """Name of the counter.  The limit is no part of it: a new one holds at once."""

    def __post_init__(self) -> None:
        if not 0 <= self.amount < math.inf:
            raise ValueError(f"{self.account}: {self.amount} is no amount")
        resource, period = self.meter.resource.value, self.meter.period.value
        object.__setattr__(self, "key", f"{self.account}:{resource}:{period}")


class Window(NamedTuple):
    """The period that a time lies in; of two that follow each other ``number`` differs by 1."""

    number: int
    begins_s: float
    ends_s: float


class Counter(NamedTuple):
    """What was used of an account in a window."""

    window: int
    spent: float = 0.0
    """Settled.  A request is spent when it is claimed; dollars and tokens are held until then."""
    held: float = 0.0
    """Claimed in ``hour`` and not settled."""
    stale: float = 0.0
    """Claimed in the hour before and not settled."""
    before: float = 0.0
    """All that the window before counted; 0 of a calendar period."""
    hour: int = 0


class MeterReading(NamedTuple):
    """What a meter shows of an account."""

    charge: Charge
    counter: Counter
    spent: float
    refused: bool
    """Whether nothing is left, and so nothing was admitted."""
    reset_s: float
    """Seconds until the period ends or, where nothing is left of a sliding one, until something is."""

    @property
    def held(self) -> float:
        """Claimed by requests that are under way."""
        return self.counter.held + self.counter.stale

    @property
    def used(self) -> float:
        """Spent and held."""
        return self.spent + self.held

    @property
    def remaining(self) -> float:
        """What is left, at least 0."""
        return max(0.0, self.charge.meter.limit - self.used)


class Claim(NamedTuple):
    """What became of a request's charges, all or none; keep it to settle them."""

    admitted: bool
    readings: tuple[MeterReading, ...]
    problem: str = ""
    """What, beside the meters, bounded or refused it."""

    @property
    def retry_s(self) -> float:
        """Seconds until what refused it has something left; 0 where nothing did."""
        return max((reading.reset_s for reading in self.readings if reading.refused), default=0.0)


class Counted(NamedTuple):
    """A claim and its counters by key; no claim where the ledger must be asked for some first."""

    claim: Claim | None
    counters: Mapping[str, Counter]
    unknown: tuple[Charge, ...] = ()


class Correction(NamedTuple):
    """What is to be added, once, to what a window counted of a charge."""

    charge: Charge
    window: int
    hour: int
    spent: float
    held: float


def window_of(period: Period, now_s: float) -> Window:
    """Return the window of a time in seconds since 1970."""
    if (length_s := SLIDING_S.get(period)) is not None:
        return window_at(period, int(now_s // length_s))
    if period is Period.TOTAL:
        return window_at(period, int(now_s // END_S))
    days = int(now_s // DAY_S)
    if period is Period.DAY:
        return window_at(period, days)
    if period is Period.WEEK:
        return window_at(period, (days + THURSDAY) // 7)
    return window_at(period, _month_of(days))


@lru_cache(maxsize=64)
def window_at(period: Period, number: int) -> Window:
    """Return a window by its number."""
    if (length_s := SLIDING_S.get(period)) is not None:
        return Window(number, number * length_s, (number + 1) * length_s)
    if period is Period.TOTAL:
        return Window(number, number * END_S, (number + 1) * END_S)
    if period is Period.DAY:
        return Window(number, number * DAY_S, (number + 1) * DAY_S)
    if period is Period.WEEK:
        monday = 7 * number - THURSDAY
        return Window(number, monday * DAY_S, (monday + 7) * DAY_S)
    return Window(number, _month_s(number), _month_s(number + 1))


def expires_s(meter: Meter, window: int) -> float:
    """Return until when what a window counted matters: a sliding one's to the end of the next."""
    return window_at(meter.period, window + meter.slides).ends_s


@lru_cache(maxsize=16)
def _month_of(days: int) -> int:
    date = datetime.fromtimestamp(days * DAY_S, UTC)
    return date.year * 12 + date.month - 1


def _month_s(number: int) -> float:
    return datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC).timestamp()


def hour_of(now_s: float) -> int:
    """Return the hour that what is held is dated by."""
    return int(now_s // HOLD_S)


def current(
    counter: Counter | None, meter: Meter, now_s: float, base: float | None
) -> Counter | None:
    """Return a counter as it stands; None where ``base``, what the ledger says, is needed and None.

    A clock that is behind another's by less than a window counts in the other's.
    """
    window, hour = window_of(meter.period, now_s).number, hour_of(now_s)
    if counter is not None and window <= counter.window <= window + 1:
        return _aged(counter, hour)
    if counter is not None and meter.slides and counter.window == window - 1:
        return Counter(window, before=_whole(counter), hour=hour)
    if not meter.booked:
        return Counter(window, hour=hour)
    return None if base is None else Counter(window, spent=base, hour=hour)


def _aged(counter: Counter, hour: int) -> Counter:
    """Forget what was held too long."""
    if hour <= counter.hour:
        return counter
    stale = counter.held if hour == counter.hour + 1 else 0.0
    return counter._replace(held=0.0, stale=stale, hour=hour)


def _whole(counter: Counter) -> float:
    return counter.spent + (counter.held + counter.stale)


def share_of(meter: Meter, counter: Counter, window: Window, now_s: float) -> float:
    """Return how much of the window before still counts, 0 to 1."""
    if not meter.slides:
        return 0.0
    if counter.window > window.number:
        return 1.0
    return (window.ends_s - now_s) / (window.ends_s - window.begins_s)


def used_of(meter: Meter, counter: Counter, now_s: float) -> float:
    """Return what a counter comes to."""
    share = share_of(meter, counter, window_of(meter.period, now_s), now_s)
    return (counter.spent + counter.before * share) + (counter.held + counter.stale)


def taken(counter: Counter, charge: Charge) -> Counter:
    """Return a counter with a charge on it."""
    if charge.meter.resource is Resource.REQUESTS:
        return counter._replace(spent=counter.spent + charge.amount)
    return counter._replace(held=counter.held + charge.amount)


def read_meter(charge: Charge, counter: Counter, now_s: float, *, admitted: bool) -> MeterReading:
    """Return what a meter shows; nothing that was admitted counts as refused."""
    meter, window = charge.meter, window_of(charge.meter.period, now_s)
    share = share_of(meter, counter, window, now_s)
    spent = counter.spent + counter.before * share
    excess = spent + (counter.held + counter.stale) - meter.limit
    reset_s = window.ends_s - now_s
    if excess >= 0 and counter.before and _whole(counter) < meter.limit:
        length_s = window.ends_s - window.begins_s
        reset_s = max(LEAST_WAIT_S, excess / counter.before * length_s)
    return MeterReading(charge, counter, spent, excess >= 0 and not admitted, reset_s)


def counted(
    charges: Sequence[Charge],
    counters: Mapping[str, Counter],
    now_s: float,
    bases: Mapping[str, float],
    *,
    takes: bool = True,
) -> Counted:
    """Return what becomes of charges; unless one ``takes`` them, only what their meters show.

    ``bases`` says, by key, what the ledger knows to be spent.
    """
    found: dict[str, Counter] = {}
    unknown: list[Charge] = []
    for charge in charges:
        key = charge.key
        counter = current(counters.get(key), charge.meter, now_s, bases.get(key))
        if counter is None:
            unknown.append(charge)
        else:
            found[key] = counter
    if unknown:
        return Counted(None, {}, tuple(unknown))
    room = all(used_of(c.meter, found[c.key], now_s) < c.meter.limit for c in charges)
    if room and takes:
        for charge in charges:
            found[charge.key] = taken(found[charge.key], charge)
    return Counted(claim_of(charges, found, now_s, admitted=room), found)


def claim_of(
    charges: Sequence[Charge],
    counters: Mapping[str, Counter],
    now_s: float,
    *,
    admitted: bool,
    problem: str = "",
) -> Claim:
    """Return the claim that left these counters."""
    readings = (read_meter(c, counters[c.key], now_s, admitted=admitted) for c in charges)
    return Claim(admitted, tuple(readings), problem)


def held_back(charges: Sequence[Charge], problem: str, retry_s: float) -> Claim:
    """Return the claim of charges that could not be counted: it is refused."""
    readings = (MeterReading(c, Counter(0), 0.0, True, retry_s) for c in charges)
    return Claim(False, tuple(readings), problem)


def takings(claim: Claim) -> list[Correction]:
    """Return what a claim put on its counters."""
    made = []
    for charge, counter, *_ in claim.readings if claim.admitted else ():
        at_once = charge.meter.resource is Resource.REQUESTS
        spent, held = (charge.amount, 0.0) if at_once else (0.0, charge.amount)
        made.append(Correction(charge, counter.window, counter.hour, spent, held))
    return made


def corrections(claim: Claim, actuals: Sequence[float]) -> list[Correction]:
    """Return what settles a claim at what was really used of each charge; none where that is nothing.

    What is no amount (NaN, infinite, below 0) counts as what was claimed.
    """
    made = []
    for taking, actual in zip(takings(claim), actuals, strict=False):
        used = actual if 0 <= actual < math.inf else taking.charge.amount
        if used != taking.spent or taking.held:
            made.append(taking._replace(spent=used - taking.spent, held=-taking.held))
    return made


def corrected(counter: Counter | None, correction: Correction) -> Counter | None:
    """Return a counter after a correction; no part of it is below 0.

    A counter of the next sliding window changes by what it takes from the one before.  One that is
    lost, or of an earlier window, stays so where it will begin at what the ledger says.
    """
    meter, window = correction.charge.meter, correction.window
    if counter is None or counter.window < window:
        if meter.booked:
            return counter
        last = counter is not None and meter.slides and counter.window == window - 1
        before = _whole(counter) if last and counter is not None else 0.0
        counter = Counter(window, before=before, hour=correction.hour)
    if counter.window == window:
        return _settled(counter, correction)
    if meter.slides and counter.window == window + 1:
        return counter._replace(
            before=max(0.0, counter.before + correction.spent + correction.held)
        )
    return counter


def _settled(counter: Counter, correction: Correction) -> Counter:
    """Change what is spent, and what is held where it was not forgotten."""
    counter = _aged(counter, correction.hour)
    held, stale = counter.held, counter.stale
    if correction.hour == counter.hour:
        held = max(0.0, held + correction.held)
    elif correction.hour == counter.hour - 1:
        stale = max(0.0, stale + correction.held)
    return counter._replace(
        spent=max(0.0, counter.spent + correction.spent), held=held, stale=stale
    )
