"""Ours and its rivals, as policies of the simulator.

All choose among the same models by the same reading, the same table and the same rule at the same
dial; they differ in what they make of a session.  The rivals decide as routers of the
field do: never again after the first request; on every request by itself; again when a session has
rested for half an hour; when a fresh start elsewhere is cheaper by a factor; as long as switching
has not eaten more than a share of the bill.  A model that cannot hold the context is left by all of them.  What a rival sees of failure is what
its request shows: the complaint as an ask, and, for who decides every turn, the failing tests; only
ours remembers them, so it also plays blind to them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from benchmarks.sessions.world import SessionPolicy
from classifier.model import Assessment
from classifier.turns import Since
from router.decision.economics import context_usd
from router.decision.engine import Engine
from router.sessions.session import NEW
from router.sessions.steps import on_decision, on_request, on_serving, on_usage
from router.values import Decision, Dial, Needs, Unit, Usage
from router.wire.request import ChatRequest

REST_S: Final = 1800.0
"""Plain stickiness forgets a session after thirty idle minutes."""

SIZE_STEP: Final = 5_000
"""Rivals' decisions are remembered by size of the context in such steps: they differ by it little."""


class Ours:
    """The product: its session, its engine, its economics."""

    def __init__(self, engine: Engine, dial: Dial) -> None:
        """Begin with a new session."""
        self._engine, self._dial = engine, dial
        self._session = NEW
        self._made: tuple[Assessment, Decision] | None = None

    def choose(self, request: ChatRequest, now_s: float) -> Unit:
        """Decide as the gateway does."""
        self._made = self._engine.decide(
            request, dial=self._dial, session=self._session, now_s=now_s
        )
        return self._made[1].unit

    def served(
        self, request: ChatRequest, unit: Unit, usage: Usage, usd: float, now_s: float
    ) -> None:
        """Change the session as the gateway does."""
        assert self._made is not None
        lifetime_s = self._engine.catalogue.economics.lifetime_s(unit.model)
        expected = self._session.cached_tokens(unit.model, lifetime_s, now_s)
        heard = self._engine.hear(request)
        session = on_decision(on_request(self._session, heard), *self._made, unit)
        self._session = on_usage(
            on_serving(session, unit, heard, now_s),
            unit.model,
            usage,
            estimated_tokens=heard.input_tokens,
            cached_before=expected,
            now_s=now_s,
        )


class Blind(Ours):
    """Ours without eyes for failure: what the economics of switching are worth alone."""

    def choose(self, request: ChatRequest, now_s: float) -> Unit:
        """Decide as if nothing had failed."""
        return super().choose(_hopeful(request), now_s)

    def served(
        self, request: ChatRequest, unit: Unit, usage: Usage, usd: float, now_s: float
    ) -> None:
        """Remember it so too."""
        super().served(_hopeful(request), unit, usage, usd, now_s)


def _hopeful(request: ChatRequest) -> ChatRequest:
    """Return a request without failing tests, and with the ask before for the complaint about it."""
    said = request.conversation
    ask = said.before[-1].ask if said.complains else said.ask
    since = Since(tool_calls=said.since.tool_calls)
    before = said.before[:-1] if said.complains else said.before
    return replace(request, conversation=replace(said, ask=ask, before=before, since=since))


class Alone:
    """Decide every request by itself."""

    def __init__(self, engine: Engine, dial: Dial) -> None:
        """Begin a session."""
        self._engine, self._dial = engine, dial
        self._known: dict[object, Decision] = {}
        self.unit: Unit | None = None

    def decide(self, request: ChatRequest) -> Decision:
        """Decide a request as the first of a session."""
        said = request.conversation
        size = (request.needs.input_tokens or 0) // SIZE_STEP
        key = (said.ask, said.user_turns, said.since.failures, size)
        if key not in self._known:
            self._known[key] = self._engine.decide(request, dial=self._dial)[1]
        return self._known[key]

    def fresh(self, request: ChatRequest) -> Unit:
        """Return what would serve a request that had no session."""
        return self.decide(request).unit

    def choose(self, request: ChatRequest, now_s: float) -> Unit:
        """Take what serves this request best."""
        self.unit = self.fresh(request)
        return self.unit

    def served(
        self, request: ChatRequest, unit: Unit, usage: Usage, usd: float, now_s: float
    ) -> None:
        """Learn nothing."""

    def fits(self, needs: Needs) -> bool:
        """Whether the incumbent can still serve."""
        model = self._engine.catalogue.model(self.unit.model) if self.unit else None
        return model is not None and not model.lacks(needs)


class Never(Alone):
    """Stay with the first choice."""

    def choose(self, request: ChatRequest, now_s: float) -> Unit:
        """Decide once."""
        if self.unit is None or not self.fits(request.needs):
            self.unit = self.fresh(request)
        return self.unit


class Sticky(Never):
    """Stay until the session has rested for half an hour."""

    last_s = 0.0

    def choose(self, request: ChatRequest, now_s: float) -> Unit:
        """Forget the incumbent after a rest."""
        if now_s - self.last_s > REST_S:
            self.unit = None
        self.last_s = now_s
        return super().choose(request, now_s)


class Factor(Never):
    """At a new ask, stay unless another's fresh cost times ``factor`` is lower than the incumbent's."""

    def __init__(self, engine: Engine, dial: Dial, factor: float) -> None:
        """Begin a session."""
        super().__init__(engine, dial)
        self._factor = factor

    def choose(self, request: ChatRequest, now_s: float) -> Unit:
        """Compare fresh costs; an incumbent that is not adequate is left."""
        if self.unit is None or not self.fits(request.needs):
            return super().choose(request, now_s)
        if request.conversation.since.tool_calls:
            return self.unit
        decision, held = self.decide(request), self.unit
        own = next((c for c in decision.candidates if c.unit.model == held.model), None)
        chosen = next((c for c in decision.candidates if c.unit.model == decision.unit.model), None)
        if (
            own is None
            or chosen is None
            or not own.near
            or chosen.task_usd * self._factor < own.task_usd
        ):
            self.unit = self.fresh(request)
        return self.unit


class Cap(Alone):
    """At a new ask, take what is best alone while switching has cost at most a share of the bill."""

    def __init__(self, engine: Engine, dial: Dial, share: float) -> None:
        """Begin a session."""
        super().__init__(engine, dial)
        self._share = share
        self._spent = self._switching = 0.0

    def choose(self, request: ChatRequest, now_s: float) -> Unit:
        """Switch within the cap."""
        if self.unit is not None and self.fits(request.needs):
            if request.conversation.since.tool_calls:
                return self.unit
            wanted = self.fresh(request)
            if wanted.model == self.unit.model:
                return self.unit
            model = self._engine.catalogue.model(wanted.model)
            context = float(request.needs.input_tokens or 0)
            usd = 0.0
            if model and model.price:  # writing what staying would read
                usd = context_usd(model.price, context, 0.0)
                usd -= context_usd(model.price, context, context)
            if self._switching + usd > self._share * self._spent:
                return self.unit
            self._switching += usd
            self.unit = wanted
            return wanted
        self.unit = self.fresh(request)
        return self.unit

    def served(
        self, request: ChatRequest, unit: Unit, usage: Usage, usd: float, now_s: float
    ) -> None:
        """Add the bill up."""
        self._spent += usd


Make = Callable[[Engine, Dial], SessionPolicy]

POLICIES: Final[dict[str, Make]] = {
    "ours": Ours,
    "ours, blind to failures": Blind,
    "never switch": Never,
    "every turn alone": Alone,
    "sticky, 30 minutes": Sticky,
    "unless fresh cost × 1 is lower": lambda e, d: Factor(e, d, 1.0),
    "unless fresh cost × 3 is lower": lambda e, d: Factor(e, d, 3.0),
    "switch spending ≤ 5%": lambda e, d: Cap(e, d, 0.05),
    "switch spending ≤ 50%": lambda e, d: Cap(e, d, 0.5),
}
"""Name → policy, ours first.  Factors and shares are those of 1, 1.5, 2, 3 and 5, 20, 50% that did best
somewhere on the seeds that our own constants were chosen on (benchmarks/LOG.md)."""

OURS: Final = ("ours", "ours, blind to failures")
RIVALS: Final = tuple(name for name in POLICIES if name not in OURS)
