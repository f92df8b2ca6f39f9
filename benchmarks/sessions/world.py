"""The simulated world: scripts of sessions, and what a model's calls cost and achieve in them.

A *script* is what does not depend on the policy: which tasks are asked for, when, and the dice that
are thrown on the way.  Every policy plays the same scripts.  Running a script with a policy keeps the
books of a provider: what each model's cache holds and until when, what each call is billed for.

A task is a recorded item.  Its outcome with a model is the recorded one, and the number of calls a
model needs is the one at which the world's tokens at list price come to the recorded dollars, so
that a task run alone in a fresh session costs exactly what was recorded (a test holds this).
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import numpy as np
from pydantic import Field

from benchmarks.judge.measures import Floats, Ints
from benchmarks.judge.pool import Pool
from classifier.ask import MAX_BEFORE
from classifier.turns import Conversation, Exchange, Since
from router.decision.economics import Outlook, context_usd, following_usd, tokens_of
from router.evidence.catalogue import Catalogue, Price
from router.values import Entry, Interface, Needs, Unit, Usage, family_of
from router.wire.fields import Fields
from router.wire.request import ChatRequest

WORLD_FILE: Final = Path(__file__).with_name("world.toml")
MAX_CALLS: Final = 600

PRESSES: Final = "It still fails, the problem is not fixed. Please look again."
"""What a user says who sees that a task failed."""


class Light(Entry):
    """A short ask that any model can serve in some calls, and what the assistant says last."""

    text: str
    reply: str
    calls: int


class Mix(Entry):
    """What sessions of one kind are like; see ``world.toml``."""

    name: str = ""
    tasks: float = Field(ge=1)
    levels: tuple[float, float, float, float]
    tests: float
    light: float
    pause_s: float
    pause_sd: float
    alternate: bool = False


class World(Entry):
    """The parameters of ``world.toml``."""

    context_tokens: float
    growth_tokens: float
    output_tokens: float
    growth_sd: float
    ask_tokens: float
    seconds_per_call: float
    compact_at: float
    compacted_tokens: float
    summary_tokens: float
    news_tokens: float
    openai_lifetime_s: tuple[float, float]
    signed: frozenset[str]
    moments: tuple[float, ...]
    shows: float
    seen_failing: float
    seen_falsely: float
    complains: float
    retries: int
    step_limit: int
    flip: float
    kept: float
    again: float
    reports: tuple[str, ...]
    light: tuple[Light, ...]
    mixes: tuple[Mix, ...]

    @property
    def seen(self) -> float:
        """How often a run that fails is seen to have failed: by a failing test, or by its user."""
        tests = self.shows * (1 - (1 - self.seen_failing) ** len(self.moments))
        return 1 - (1 - tests) * (1 - self.complains)


def load_world(path: Path = WORLD_FILE) -> World:
    """Read the parameters; raises ValueError naming the one at fault."""
    raw = tomllib.loads(path.read_text("utf-8"))
    mixes = [{"name": name, **entry} for name, entry in raw["mixes"].items()]
    return World.model_validate({**raw, "mixes": mixes})


@dataclass(frozen=True, slots=True)
class Ground:
    """The recorded tasks that sessions are made of.

    ``units`` (m,) are the catalogue's names of the pool's models, ``prices`` theirs; ``calls``
    float (n, m); ``levels`` int (n,), 1 to 4; ``tests`` bool (n,): the ask is for a test.
    """

    pool: Pool
    asks: tuple[str, ...]
    units: tuple[Unit, ...]
    prices: tuple[Price, ...]
    calls: Floats
    levels: Ints
    tests: Ints


def calls_of(pool: Pool, prices: Sequence[Price], world: World) -> Floats:
    """Find the number of calls at which each task alone costs what was recorded, (n, m)."""
    grid = np.arange(1.0, MAX_CALLS + 1)
    calls = np.empty(pool.cost.shape)
    for j, price in enumerate(prices):
        usd = [alone_usd(price, n, world) for n in grid]
        calls[:, j] = np.interp(pool.cost[:, j], usd, grid)
    return calls


def alone_usd(price: Price, calls: float, world: World) -> float:
    """Price a task of so many calls in a fresh session."""
    outlook = Outlook(world.context_tokens, calls, world.growth_tokens, world.output_tokens)
    return context_usd(price, world.context_tokens, 0.0) + sum(following_usd(price.bands, outlook))


# Scripts.

DICE: Final = 8
"""For each attempt at a task: how a second run ends, whether a failing run shows it, at each moment whether
it does there, two to spare, and whether its user complains."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Something a user asks for: a task (``item`` of the ground) or a light ask (item −1)."""

    item: int
    text: str
    pause_s: float
    reply: str = ""
    calls: int = 0
    dice: Floats = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True, slots=True)
class Script:
    """One session: its asks, how fast it grows, and dice for what is drawn on the way."""

    asks: tuple[Ask, ...]
    growth_tokens: float
    seed: int


def scripts(
    ground: Ground, items: Ints, mix: Mix, world: World, *, n: int, seed: int
) -> list[Script]:
    """Draw ``n`` sessions of a mix over some of the ground's items."""
    rng = np.random.default_rng(seed)
    return [_script(ground, items, mix, world, rng) for _ in range(n)]


def _script(
    ground: Ground, items: Ints, mix: Mix, world: World, rng: np.random.Generator
) -> Script:
    asks: list[Ask] = []
    for k in range(int(rng.geometric(1 / mix.tasks))):
        item = _draw_item(ground, items, mix, k, rng)
        asks.append(
            Ask(
                item,
                ground.asks[item],
                _pause(mix, rng),
                dice=rng.random(DICE * (world.retries + 1)),
            )
        )
        for _ in range(int(rng.poisson(mix.light))):
            light = world.light[int(rng.integers(len(world.light)))]
            asks.append(Ask(-1, light.text, _pause(mix, rng), light.reply, light.calls))
    growth = world.growth_tokens * float(np.exp(rng.normal(0, world.growth_sd)))
    return Script(tuple(asks), growth, int(rng.integers(2**31)))


def _pause(mix: Mix, rng: np.random.Generator) -> float:
    return float(mix.pause_s * np.exp(rng.normal(0, mix.pause_sd)))


def _draw_item(ground: Ground, items: Ints, mix: Mix, k: int, rng: np.random.Generator) -> int:
    weight = np.asarray(mix.levels)
    if mix.alternate:  # easy and hard in turn
        weight = weight * (
            np.arange(len(weight)) < 2 if k % 2 == 0 else np.arange(len(weight)) >= 2
        )
    level = int(rng.choice(len(weight), p=weight / weight.sum())) + 1
    tests = rng.random() < mix.tests
    fits = items[(ground.levels[items] == level) & (ground.tests[items] == tests)]
    if not len(fits):
        fits = items[ground.levels[items] == level]
    return int(rng.choice(fits if len(fits) else items))


# Playing a script.


class Bill(NamedTuple):
    """What calls in a row came to: the usage of the first and of the last, and when they were made."""

    calls: int
    first: Usage
    last: Usage
    usd: float
    first_s: float
    last_s: float


class SessionPolicy(Protocol):
    """Chooses what serves each request; keeps its own memory of the session it was made for."""

    def choose(self, request: ChatRequest, now_s: float) -> Unit:
        """Return the unit that serves a request."""
        ...

    def served(self, request: ChatRequest, unit: Unit, bill: Bill) -> None:
        """Learn what a request came to, and the calls after it that brought nothing new."""
        ...


def _steps(far: float, step: float) -> int:
    """Return how many steps lead over a distance, at least one."""
    return max(1, ceil(far / step - 1e-9))


@dataclass(slots=True)
class Totals:
    """What a session came to.  ``switches`` count changes of model, ``unsafe`` those that orphan.

    ``sizes`` are the context tokens at each switch.
    """

    usd: float = 0.0
    tasks: int = 0
    solved: int = 0
    calls: int = 0
    switches: int = 0
    unsafe: int = 0
    input_tokens: float = 0.0
    cached_tokens: float = 0.0
    sizes: list[float] = field(default_factory=list)


class Play:
    """One script played by one policy."""

    def __init__(
        self,
        script: Script,
        policy: SessionPolicy,
        ground: Ground,
        world: World,
        catalogue: Catalogue,
    ) -> None:
        """Begin a fresh session."""
        self.totals = Totals()
        self._script, self._policy = script, policy
        self._ground, self._world, self._catalogue = ground, world, catalogue
        self._rng = np.random.default_rng(script.seed)
        self._index = {unit: j for j, unit in enumerate(ground.units)}
        self._now = 0.0
        self._context = world.context_tokens
        self._caches: dict[str, tuple[float, float]] = {}
        self._unit: Unit | None = None
        self._faced: ChatRequest
        self._items = 1
        self._ask = self._reply = ""
        self._asks = 0
        self._before: tuple[Exchange, ...] = ()
        self._since = Since()
        self._signed = False

    def run(self) -> Totals:
        """Play every ask; return what the session came to."""
        for ask in self._script.asks:
            self._now += ask.pause_s
            if ask.item < 0:
                self._say(ask.text)
                left = ask.calls
                while left:
                    left -= self._serve(self._choose(), left)
                self._reply = ask.reply
            else:
                self.totals.tasks += 1
                self.totals.solved += self._task(ask)
        return self.totals

    def _task(self, ask: Ask) -> bool:
        """Run a task to its end, the user's complaints included; say whether it was solved."""
        world = self._world
        failed: set[int] = set()
        text = ask.text
        for attempt in range(world.retries + 1):
            dice = ask.dice[DICE * attempt : DICE * (attempt + 1)]
            if attempt:
                text = PRESSES
                self._now += ask.pause_s
            self._say(text)
            solved, unit = self._attempt(ask.item, dice, failed)
            self._reply = world.reports[self._asks % len(world.reports)]
            if solved:
                return True
            failed.add(unit)
            if dice[7] >= world.complains:
                return False
        return False

    def _attempt(self, item: int, dice: Floats, failed: set[int]) -> tuple[bool, int]:
        """Run a task once; the model may change on the way.  Returns success and the last model."""
        world, progress, shown, failing = self._world, 0.0, 0, False
        at, succeeds, left = -1, False, world.step_limit
        while left:
            j = self._index[unit := self._choose()]
            if j != at:
                progress = progress * world.kept if at >= 0 else 0.0
                at, succeeds = j, self._succeeds(item, j, failed, dice)
            calls = self._ground.calls[item, j] * (world.again if j in failed else 1.0)
            goal = world.moments[shown] if shown < len(world.moments) else 1.0
            n = self._serve(unit, min(left, _steps(goal - progress, 1 / max(1.0, calls))))
            left -= n
            progress += n / max(1.0, calls)
            if shown < len(world.moments) and progress >= world.moments[shown] and progress < 1:
                fails = world.seen_failing * (dice[1] < world.shows)
                likely = fails if not succeeds else world.seen_falsely * (shown == 0)
                if dice[2 + shown] < likely:
                    failing = True
                    self._see(failing=True)
                elif succeeds and failing and shown > 0:
                    failing = False
                    self._see(failing=False)
                shown += 1
            if progress >= 1:
                return succeeds, at
        return False, at

    def _succeeds(self, item: int, j: int, failed: set[int], dice: Floats) -> bool:
        """Say how a run ends: as recorded, or for a second run of a failed model, flipped or not."""
        recorded = bool(self._ground.pool.quality[item, j] >= 0.5)
        return bool(dice[0] < self._world.flip) if j in failed else recorded

    # The conversation as a router sees it.

    def _say(self, text: str) -> None:
        if self._ask:
            self._before = (*self._before, Exchange(self._ask, self._reply))[-MAX_BEFORE:]
        self._ask, self._asks = text, self._asks + 1
        self._items += 1
        self._context += self._world.ask_tokens
        self._since, self._signed = Since(), False

    def _see(self, *, failing: bool) -> None:
        tests = self._since.failing_tests + 1 if failing else 0
        self._since = replace(self._since, failing_tests=tests)

    def _request(self) -> ChatRequest:
        conversation = Conversation(
            ask=self._ask,
            before=self._before,
            since=self._since,
            user_turns=self._asks,
            tools=("bash",),
            signed=self._signed,
        )
        needs = Needs(
            input_tokens=int(self._context), output_tokens=4096, tools=True,
            signed_reasoning=self._signed,
        )  # fmt: skip
        return ChatRequest(
            interface=Interface.CHAT, model="kilo-auto/efficient", conversation=conversation,
            needs=needs, streams=True, session="s", agent="", continued=None, stored=False, n_items=self._items,
            fields=Fields(b"{}", {}),
        )  # fmt: skip

    def _choose(self) -> Unit:
        """Ask the policy who serves the request at hand."""
        world, totals = self._world, self.totals
        if self._context > world.compact_at:
            self._compact()
        self._faced = self._request()
        unit = self._policy.choose(self._faced, self._now)
        if self._unit is not None and unit.model != self._unit.model:
            totals.switches += 1
            totals.sizes.append(self._context)
            family = family_of(self._unit.model)
            totals.unsafe += self._signed and family_of(unit.model) != family
        self._unit = unit
        return unit

    def _serve(self, unit: Unit, calls: int) -> int:
        """Let a unit make up to so many calls, until one brings news; return how many it made.

        The policy is asked anew when an ask comes, something fails or no longer does, and when the context
        has grown by ``news_tokens``: the calls between go on with who serves, as in the product.
        """
        world = self._world
        step = self._script.growth_tokens + world.output_tokens
        news = (self._context // world.news_tokens + 1) * world.news_tokens
        calls = min(calls, _steps(min(news, world.compact_at + 1) - self._context, step))
        self._bill(unit, calls, step)
        self._signed |= family_of(unit.model) in world.signed
        self._context += step * calls
        self._items += 2 * calls
        self._now += world.seconds_per_call * calls
        self._since = replace(self._since, tool_calls=self._since.tool_calls + calls)
        return calls

    def _bill(self, unit: Unit, calls: int, step: float) -> None:
        """Bill calls in a row by what the provider's cache holds, and leave the context in it."""
        world, model, totals = self._world, unit.model, self.totals
        held, touched = self._caches.get(model, (0.0, -1e9))
        cached = min(held, self._context) if self._now - touched <= self._lifetime_s(model) else 0.0
        price = self._ground.prices[self._index[unit]]
        writes = price.bands[0].write > price.bands[0].fresh
        outlook = Outlook(self._context, calls, self._script.growth_tokens, world.output_tokens)
        usd = context_usd(price, self._context, cached) + sum(following_usd(price.bands, outlook))
        last_s = self._now + world.seconds_per_call * (calls - 1)
        last = self._context + step * (calls - 1)
        self._caches[model] = (last, last_s)
        again = tokens_of(outlook)
        totals.usd += usd
        totals.calls += calls
        totals.input_tokens += self._context + again.reread + again.written
        totals.cached_tokens += cached + again.reread

        def usage(context: float, cached: float) -> Usage:
            return Usage(
                input_tokens=int(context),
                output_tokens=int(world.output_tokens),
                cached_tokens=int(cached),
                cache_write_tokens=int(context - cached) if writes else 0,
            )

        first, rest = usage(self._context, cached), usage(last, last - step)
        self._policy.served(self._faced, unit, Bill(calls, first, rest, usd, self._now, last_s))

    def _lifetime_s(self, model: str) -> float:
        if family_of(model) == "openai":
            return float(self._rng.uniform(*self._world.openai_lifetime_s))
        return self._catalogue.economics.lifetime_s(model)

    def _compact(self) -> None:
        """Let the client have its history summarised by the model at hand, and begin anew."""
        if self._unit is not None:
            price = self._ground.prices[self._index[self._unit]]
            held, touched = self._caches.get(self._unit.model, (0.0, -1e9))
            warm = self._now - touched <= self._lifetime_s(self._unit.model)
            self.totals.usd += context_usd(price, self._context, held if warm else 0.0)
            self.totals.usd += self._world.summary_tokens * price.bands[0].output
        self._context = self._world.compacted_tokens
        self._items = 2
        self._caches.clear()
