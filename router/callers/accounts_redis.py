"""Accounts in Redis or Valkey: what replicas count together, and what one may do without them.

A claim is one Lua script, and so is what settles it: the arithmetic of ``router.callers.meters``, in
the same order and in the same doubles.  Every key has the hash tag ``{auto}``, so a cluster keeps them
together.  Times are the caller's: replicas' clocks must agree to about a second.

While the store is away a replica goes on alone.  Of what was left of an account when it last knew, it
admits a share and then refuses; it never opens.  What it admits and settles meanwhile is owed to the
store and is paid when that is back.  Each payment has a name of its own, so one that was made but
never confirmed is not made twice.
"""

from __future__ import annotations

import logging
import secrets
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from router.callers.accounts import MAX_COUNTERS, Base, Bases, Counters, nothing_spent
from router.callers.meters import (
    Charge,
    Claim,
    Correction,
    Counted,
    Counter,
    MeterReading,
    Period,
    Resource,
    claim_of,
    corrected,
    corrections,
    counted,
    hour_of,
    share_of,
    taken,
    takings,
    used_of,
    window_of,
)
from router.errors import BadArtefact
from router.storage.valkey import LOOKS, checked, within

log = logging.getLogger("router.requests")

PREFIX: Final = "{auto}:meter:"
PAID: Final = "{auto}:paid:"

AWAY_S: Final = 0.25
"""How long the store may take before it counts as away; on the same network it takes a millisecond."""

PROBE_S: Final = 1.0
"""Seconds between two requests that ask a store that is away; the others do not wait for it."""

CONNECTIONS: Final = 16
"""Most connections of a process; a script takes some ten microseconds of the server's time."""

PAID_S: Final = 600
"""How long the name of a payment is kept: the longest outage after which one that was made without
its being confirmed is not made again."""

PAYMENT: Final = 200
"""Corrections of one payment: the server is busy with it for about a millisecond."""

TTL_S: Final = {
    Period.MINUTE: 3 * 60,
    Period.HOUR: 3 * 3600,
    Period.DAY: 25 * 3600,
    Period.WEEK: 8 * 86_400,
    Period.MONTH: 32 * 86_400,
    Period.TOTAL: 32 * 86_400,  # a counter that is lost begins at what the ledger says
}
"""How long a counter is kept after its last change: past all that it can still matter for."""

LUA: Final = """
local function read(key)
  local text = redis.call('GET', key)
  if not text then return nil end
  local c = {}
  for number in string.gmatch(text, '%S+') do c[#c + 1] = tonumber(number) end
  return {window = c[1], spent = c[2], held = c[3], stale = c[4], before = c[5], hour = c[6]}
end
local function text(c)
  return string.format('%d %.17g %.17g %.17g %.17g %d',
    c.window, c.spent, c.held, c.stale, c.before, c.hour)
end
local function fresh(window, hour)
  return {window = window, spent = 0, held = 0, stale = 0, before = 0, hour = hour}
end
local function whole(c) return c.spent + (c.held + c.stale) end
local function aged(c, hour)
  if hour > c.hour then
    c.stale = hour == c.hour + 1 and c.held or 0
    c.held, c.hour = 0, hour
  end
  return c
end
"""
"""What both scripts share: ``Counter`` as a text of six numbers, and its age."""

CLAIM: Final = (
    LUA
    + """
local hour, takes = tonumber(ARGV[1]), ARGV[2] == '1'
local found, room, unknown, kept = {}, true, false, {}
for i, key in ipairs(KEYS) do
  local at = 2 + (i - 1) * 8
  local window, share, slides = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), ARGV[at + 3] == '1'
  local c = read(key)
  kept[key] = c ~= nil
  if c and window <= c.window and c.window <= window + 1 then
    c = aged(c, hour)
  elseif c and slides and c.window == window - 1 then
    local before = whole(c)
    c = fresh(window, hour)
    c.before = before
  elseif ARGV[at + 4] == '' then
    c = nil
  else
    c = fresh(window, hour)
    if ARGV[at + 4] ~= '-' then c.spent, kept[key] = tonumber(ARGV[at + 4]), true end
  end
  if c then
    if slides and c.window > window then share = 1 end
    local used = (c.spent + c.before * share) + (c.held + c.stale)
    if not (used < tonumber(ARGV[at + 5])) then room = false end
    found[key] = c
  else
    unknown = true
  end
end
local told = {unknown and -1 or (room and 1 or 0)}
for i, key in ipairs(KEYS) do
  local at, c = 2 + (i - 1) * 8, found[key]
  if c and takes and room and not unknown then
    local part = ARGV[at + 7] == '1' and 'spent' or 'held'
    c[part] = c[part] + tonumber(ARGV[at + 6])
  end
end
for i, key in ipairs(KEYS) do
  local c = found[key]
  if c and (kept[key] or (takes and room and not unknown)) then
    redis.call('SET', key, text(c), 'EX', ARGV[2 + i * 8])
  end
  told[i + 1] = c and text(c) or ''
end
return told
"""
)
"""Answers 1 for admitted, 0 for refused, -1 where a base is missing; then each counter.  After hour and
whether it takes, eight a charge: window, share of the one before, whether it slides, base ('-' for
none, '' for unknown), limit, amount, whether that is spent at once, seconds to keep it."""

CORRECT: Final = (
    LUA
    + """
if not redis.call('SET', KEYS[1], '', 'NX', 'EX', ARGV[1]) then return 0 end
for i = 2, #KEYS do
  local key, at = KEYS[i], 1 + (i - 2) * 7
  local window, hour = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local spent, held = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local slides, booked = ARGV[at + 5] == '1', ARGV[at + 6] == '1'
  local c = read(key)
  if not booked and (not c or c.window < window) then
    local before = (c and slides and c.window == window - 1) and whole(c) or 0
    c = fresh(window, hour)
    c.before = before
  end
  if c and c.window == window then
    c = aged(c, hour)
    c.spent = math.max(0, c.spent + spent)
    if hour == c.hour then c.held = math.max(0, c.held + held)
    elseif hour == c.hour - 1 then c.stale = math.max(0, c.stale + held) end
    redis.call('SET', key, text(c), 'EX', ARGV[at + 7])
  elseif c and slides and c.window == window + 1 then
    c.before = math.max(0, c.before + spent + held)
    redis.call('SET', key, text(c), 'EX', ARGV[at + 7])
  end
end
return 1
"""
)
"""Corrects counters, once under the name that is the first key.  After how long that is kept, seven a
correction: window, hour, spent, held, whether it slides, whether it is booked, seconds to keep it."""


class Away(Exception):
    """The store cannot be reached, or does not do what it is asked."""


class RedisAccounts:
    """The accounts of a Redis or Valkey at a URL; raises BadArtefact for one that is none."""

    def __init__(self, url: str, base: Base = nothing_spent, *, away_share: float = 0.1) -> None:
        """``away_share``, in (0, 1], is what of an account's rest may be used while the store is away."""
        self._redis = _client(checked(url))
        self._claim = self._redis.register_script(CLAIM)
        self._correct = self._redis.register_script(CORRECT)
        self._bases = Bases(base)
        self._share = away_share
        self._known = Counters()
        """As the store last told them."""
        self._alone = Counters()
        """What was admitted and settled in this outage."""
        self._owed: dict[tuple[str, int, int], Correction] = {}
        self._payments: deque[tuple[str, tuple[Correction, ...]]] = deque()
        """Those that may or may not have been made, under their names."""
        self._away = self._probing = False
        self._probe_s = self._now_s = 0.0

    async def claim(self, charges: Sequence[Charge], now_s: float) -> Claim:
        """Put all charges on their accounts, or none."""
        return await self._counted(charges, now_s, takes=True)

    async def settle(self, claim: Claim, actuals: Sequence[float]) -> None:
        """Replace what was claimed by what was used, or owe it."""
        made = tuple(corrections(claim, actuals))
        if not made:
            return
        payment = (secrets.token_hex(8), made)
        if self._away:
            for correction in made:
                self._owe(correction)
        else:
            try:
                await self._pay(payment)
                return
            except Away as error:
                self._payments.append(payment)
                self._lost(error)
        for correction in made:
            self._learn(self._alone if claim.problem else self._known, correction)

    async def readings(self, charges: Sequence[Charge], now_s: float) -> tuple[MeterReading, ...]:
        """Return what the meters show."""
        return (await self._counted(charges, now_s, takes=False)).readings

    async def aclose(self) -> None:
        """Pay what is owed, if that can be, and close the connections."""
        try:
            await self._pay_all()
        except Away as error:
            log.warning("what was spent without the shared store is lost to it: %s", error)
        await self._redis.aclose(close_connection_pool=True)

    async def _counted(self, charges: Sequence[Charge], now_s: float, *, takes: bool) -> Claim:
        self._now_s = now_s
        if await self._reached(now_s):
            shared = partial(self._count, charges, now_s, takes)
            try:
                return await self._bases.counted(shared, charges, now_s)
            except Away as error:
                self._lost(error)
        return await self._bases.counted(
            partial(self._count_alone, charges, now_s, takes), charges, now_s
        )

    # With the store.

    async def _count(
        self, charges: Sequence[Charge], now_s: float, takes: bool, bases: Mapping[str, float]
    ) -> Counted:
        args: list[Any] = [hour_of(now_s), int(takes)]
        for charge in charges:
            args += _claim_args(charge, now_s, bases.get(charge.key))
        told = await self._run(self._claim([PREFIX + c.key for c in charges], args))
        counters = {
            charge.key: _counter(text)
            for charge, text in zip(charges, told[1:], strict=True)
            if text
        }
        known = [charge for charge in charges if charge.key in counters]
        self._known.put(known, counters)
        if told[0] < 0:
            return Counted(None, {}, tuple(c for c in charges if c.key not in counters))
        return Counted(claim_of(charges, counters, now_s, admitted=told[0] == 1), counters)

    async def _pay(self, payment: tuple[str, Sequence[Correction]]) -> None:
        name, made = payment
        args: list[Any] = [PAID_S]
        for charge, *numbers in made:
            meter = charge.meter
            args += [*numbers, int(meter.slides), int(meter.booked), TTL_S[meter.period]]
        keys = [PAID + name, *(PREFIX + correction.charge.key for correction in made)]
        await self._run(self._correct(keys, args))

    async def _run(self, script: Any) -> Any:
        """Return what a script answers; raises Away."""
        from redis.exceptions import RedisError

        try:
            async with within(AWAY_S):
                return await script
        except (RedisError, OSError, TimeoutError) as error:
            raise Away(str(error) or f"no answer in {AWAY_S} s") from error

    # Without it.

    async def _count_alone(
        self, charges: Sequence[Charge], now_s: float, takes: bool, bases: Mapping[str, float]
    ) -> Counted:
        known = counted(charges, self._known.of(charges), now_s, bases, takes=False)
        if known.claim is None:
            return known
        self._known.put(charges, known.counters)
        zeros = dict.fromkeys(known.counters, 0.0)
        own = counted(charges, self._alone.of(charges), now_s, zeros, takes=False)
        both = {key: _sum(known.counters[key], counter) for key, counter in own.counters.items()}
        lowered = [self._lowered(c, known.counters[c.key], now_s) for c in charges]
        admitted = all(used_of(c.meter, both[c.key], now_s) < c.meter.limit for c in lowered)
        if takes and admitted:
            self._alone.put(charges, {c.key: taken(own.counters[c.key], c) for c in charges})
            both = {c.key: taken(both[c.key], c) for c in charges}
        problem = f"the shared store is away, and {self._share:.0%} of what was left may be used"
        claim = claim_of(lowered, both, now_s, admitted=admitted, problem=problem)
        if takes:
            for correction in takings(claim):
                self._owe(correction)
        return Counted(claim, both)

    def _lowered(self, charge: Charge, known: Counter, now_s: float) -> Charge:
        """Return a charge on what may be used of an account without the store."""
        meter = charge.meter
        used = used_of(meter, known, now_s)
        limit = min(meter.limit, used + self._share * (meter.limit - used))
        return replace(charge, meter=replace(meter, limit=limit))

    def _lost(self, error: Away) -> None:
        if self._away:
            return
        self._away = True
        self._probe_s = self._now_s + PROBE_S
        log.warning(
            "the shared store is away (%s): this replica admits %.0f%% of what was left of each "
            "account by itself",
            error,
            100 * self._share,
        )

    async def _reached(self, now_s: float) -> bool:
        """Say whether the store is there; one request in ``PROBE_S`` asks one that was not."""
        if not self._away:
            return True
        if self._probing or now_s < self._probe_s <= now_s + PROBE_S:
            return False
        self._probe_s, self._probing = now_s + PROBE_S, True
        try:
            pool = self._redis.connection_pool
            await pool.disconnect(inuse_connections=False)  # they lead to who was there before
            await self._run(self._redis.ping())
            await self._pay_all()
        except Away:
            return False
        finally:
            self._probing = False
        self._away = False
        self._alone.clear()
        log.warning("the shared store is back, and knows what was used meanwhile")
        return True

    async def _pay_all(self) -> None:
        while self._payments or self._owed:
            if not self._payments:
                keys = list(self._owed)[:PAYMENT]
                made = tuple(self._owed.pop(key) for key in keys)
                self._payments.append((secrets.token_hex(8), made))
            payment = self._payments[0]
            await self._pay(payment)
            self._payments.remove(payment)

    def _owe(self, correction: Correction) -> None:
        key = (correction.charge.key, correction.window, correction.hour)
        if (owed := self._owed.get(key)) is not None:
            spent, held = owed.spent + correction.spent, owed.held + correction.held
            correction = correction._replace(spent=spent, held=held)
        self._owed[key] = correction
        if len(self._owed) > MAX_COUNTERS:
            rates = (key for key, owed in self._owed.items() if owed.charge.meter.slides)
            self._owed.pop(next(rates, key))

    def _learn(self, counters: Counters, correction: Correction) -> None:
        """Correct what is counted here."""
        charge = correction.charge
        counter = corrected(counters.of((charge,)).get(charge.key), correction)
        if counter is not None:
            counters.put((charge,), {charge.key: counter})


def _client(url: str) -> Any:
    try:
        from redis.asyncio import BlockingConnectionPool, Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError as error:
        told = "settings: store: it needs a library; pip install 'auto-efficient[redis]'"
        raise BadArtefact(told) from error
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=LOOKS * AWAY_S,  # ``within`` is what ends a wait
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError as error:
        raise BadArtefact(f"settings: store: {error}") from error
    return Redis.from_pool(pool)


def _claim_args(charge: Charge, now_s: float, base: float | None) -> tuple[Any, ...]:
    meter, window = charge.meter, window_of(charge.meter.period, now_s)
    begins: Any = ("" if base is None else base) if meter.booked else "-"
    share = share_of(meter, Counter(window.number), window, now_s)
    at_once = int(meter.resource is Resource.REQUESTS)
    kept_s = TTL_S[meter.period]
    slides = int(meter.slides)
    return window.number, share, slides, begins, meter.limit, charge.amount, at_once, kept_s


def _counter(text: bytes) -> Counter:
    window, spent, held, stale, before, hour = text.split()
    return Counter(int(window), float(spent), float(held), float(stale), float(before), int(hour))


def _sum(known: Counter, own: Counter) -> Counter:
    """Return what the store knew and what was used since then."""
    return known._replace(
        spent=known.spent + own.spent,
        held=known.held + own.held,
        stale=known.stale + own.stale,
        before=known.before + own.before,
    )
