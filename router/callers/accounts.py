"""Accounts: where counters are kept, what a store of them must do, and the one in this process.

An account is whoever uses something up: ``org``, ``team:core``, ``key:anna``, ``address:192.0.2.7``.
Budgets, rates and what may be asked without a key are meters on it (``router.callers.meters``).
What cannot be counted is refused: no failure of a store or of the ledger lets anybody in.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

from router.callers.meters import (
    Charge,
    Claim,
    Counted,
    Counter,
    MeterReading,
    corrected,
    corrections,
    counted,
    held_back,
    window_of,
)

log = logging.getLogger("router.requests")

Base = Callable[[str, float], Awaitable[float]]
"""What the ledger knows: an account, seconds since 1970 → US dollars it spent since then."""

Count = Callable[[Mapping[str, float]], Awaitable[Counted]]
"""Counts charges where the ledger said these bases, by key."""

BASE_S: Final = 2.0
"""How long the ledger may take.  It is asked once for an account and period."""

RETRY_S: Final = 1.0
"""What a caller is told to wait whose request could not be counted."""

MAX_COUNTERS: Final = 100_000
"""Counters of minutes and hours that a process remembers (about 20 MB); beyond it the one used longest
ago is forgotten.  Anybody who comes from an address has one; those of calendar periods only accounts."""


class Accounts(Protocol):
    """A store of counters.  ``now_s`` is the wall clock; processes that share one agree to a second."""

    async def claim(self, charges: Sequence[Charge], now_s: float) -> Claim:
        """Put all of a request's charges on their accounts, or none."""
        ...

    async def settle(self, claim: Claim, actuals: Sequence[float]) -> None:
        """Replace what was claimed by what was used, in the order of the charges; never raises."""
        ...

    async def readings(self, charges: Sequence[Charge], now_s: float) -> tuple[MeterReading, ...]:
        """Return what the meters of some charges show; their amounts do not count."""
        ...

    async def aclose(self) -> None:
        """Let go of the store."""
        ...


async def nothing_spent(*_: object) -> float:
    """Stand for a ledger where none is kept."""
    return 0.0


async def release(accounts: Accounts, claim: Claim) -> None:
    """Give back all that a request claimed: it used nothing."""
    await accounts.settle(claim, [0.0] * len(claim.readings))


class Bases:
    """Asks the ledger where counters begin; whoever needs the same one waits for the same answer."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._asked: dict[tuple[str, float], asyncio.Future[float]] = {}

    async def counted(self, count: Count, charges: Sequence[Charge], now_s: float) -> Claim:
        """Count, and once more with the bases that were missing; raises what ``count`` raises."""
        found = await count({})
        if found.unknown:
            try:
                async with asyncio.timeout(BASE_S):
                    bases = {c.key: await self._of(c, now_s) for c in found.unknown}
            except Exception:
                log.exception("what an account spent is not known, and its request is refused")
                return held_back(charges, "the ledger cannot be read", RETRY_S)
            found = await count(bases)
        return found.claim or held_back(charges, "the counters were lost meanwhile", RETRY_S)

    async def _of(self, charge: Charge, now_s: float) -> float:
        asked = (charge.account, window_of(charge.meter.period, now_s).begins_s)
        answer = self._asked.get(asked)
        if answer is None:
            self._asked[asked] = answer = asyncio.ensure_future(self._base(*asked))
            answer.add_done_callback(lambda done: self._answered(asked, done))
        return await asyncio.shield(answer)

    def _answered(self, asked: tuple[str, float], answer: asyncio.Future[float]) -> None:
        del self._asked[asked]
        if not answer.cancelled():
            answer.exception()  # it is told to whoever still waits


class Counters:
    """Counters by key, in bounded memory."""

    def __init__(self) -> None:
        self._calendar: dict[str, Counter] = {}
        self._sliding: OrderedDict[str, Counter] = OrderedDict()

    def of(self, charges: Sequence[Charge]) -> dict[str, Counter]:
        """Return those of some charges that there are."""
        found = {}
        for charge in charges:
            key = charge.key
            counter = (self._sliding if charge.meter.slides else self._calendar).get(key)
            if counter is not None:
                found[key] = counter
        return found

    def put(self, charges: Sequence[Charge], counters: Mapping[str, Counter]) -> None:
        """Keep the counters of some charges."""
        for charge in charges:
            key = charge.key
            if not charge.meter.slides:
                self._calendar[key] = counters[key]
                continue
            self._sliding[key] = counters[key]
            self._sliding.move_to_end(key)
            if len(self._sliding) > MAX_COUNTERS:
                self._sliding.popitem(last=False)

    def clear(self) -> None:
        """Forget them all."""
        self._calendar.clear()
        self._sliding.clear()


class MemoryAccounts:
    """The accounts of this process, forgotten with it; budgets begin again at what the ledger says."""

    def __init__(self, base: Base = nothing_spent) -> None:
        self._bases = Bases(base)
        self._counters = Counters()

    async def claim(self, charges: Sequence[Charge], now_s: float) -> Claim:
        """Put all charges on their accounts, or none; waits for nothing but the ledger."""
        return await self._counted(charges, now_s, takes=True)

    async def settle(self, claim: Claim, actuals: Sequence[float]) -> None:
        """Replace what was claimed by what was used."""
        for correction in corrections(claim, actuals):
            charge = correction.charge
            counter = corrected(self._counters.of((charge,)).get(charge.key), correction)
            if counter is not None:
                self._counters.put((charge,), {charge.key: counter})

    async def readings(self, charges: Sequence[Charge], now_s: float) -> tuple[MeterReading, ...]:
        """Return what the meters show."""
        return (await self._counted(charges, now_s, takes=False)).readings

    async def aclose(self) -> None:
        """Do nothing: nothing is held."""

    async def _counted(self, charges: Sequence[Charge], now_s: float, *, takes: bool) -> Claim:
        async def count(bases: Mapping[str, float]) -> Counted:
            found = counted(charges, self._counters.of(charges), now_s, bases, takes=takes)
            if found.claim is not None:
                self._counters.put(charges, found.counters)
            return found

        return await self._bases.counted(count, charges, now_s)
