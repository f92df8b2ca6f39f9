"""Ours and its rivals, as policies of the simulator.

All choose among the same models by the same reading, the same table and the same rule at the same
dial; they differ in what they make of a session.  The rivals decide as routers of the
field do: never again after the first request; on every request by itself; again when a session has
rested for half an hour; when a fresh start elsewhere is cheaper by a factor; as long as switching
has not eaten more than a share of the bill.  A model that cannot hold the context is left by all of them.  What a rival sees of failure is what
its request shows: the complaint as an ask, and, for who decides every turn, the failing tests; only
ours remembers them, so it also plays blind to them, against the same rivals and against rivals that are
as blind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from benchmarks.sessions.world import PRESSES, Bill, SessionPolicy
from classifier.model import Assessment
from classifier.turns import Since
from router.decision.economics import context_usd
from router.decision.engine import Engine
from router.sessions.session import NEW, Session
from router.sessions.steps import Heard, on_decision, on_request, on_serving, on_usage
from router.values import Decision, Dial, Needs, Unit, Usage
from router.wire.request import ChatRequest

REST_S: Final = 1800.0
"""Plain stickiness forgets a session after thirty idle minutes."""

SIZE_STEP: Final = 10_000
"""Rivals' decisions are remembered by size of the context in such steps: they differ by it little."""


class Ours:
    """The product: its session, its engine, its economics."""

    def __init__(self, engine: Engine, dial: Dial) -> None:
        """Begin with a new session."""
        self._engine, self._dial = engine, dial
        self._session = NEW
        self._made: tuple[Assessment, Decision] | None = None
        self._heard: tuple[object, Heard] | None = None

    def choose(self, request: ChatRequest, now_s: float) -> Unit:
        """Decide as the gateway does."""
        self._made = self._engine.decide(
            request,
            dial=self._dial,
            session=self._session,
            heard=self._hear(request),
            now_s=now_s,
        )
        return self._made[1].unit

    def _hear(self, request: ChatRequest) -> Heard:
        """Hear what a request tells; of a call for the same ask only what can differ."""
        said = request.conversation
        ask, now = (said.user_turns, said.ask), said.since
        if self._heard is None or self._heard[0] != ask:
            self._heard = ask, self._engine.hear(request, self._session)
        heard = self._heard[1]._replace(
            failures=now.failures,
            answers=now.answers,
            n_items=request.n_items,
            input_tokens=request.needs.input_tokens or 0,
        )
        self._heard = ask, heard
        return heard

    def served(self, request: ChatRequest, unit: Unit, bill: Bill) -> None:
        """Change the session as the gateway does."""
        assert self._made is not None
        heard = self._hear(request)
        session = on_decision(on_request(self._session, heard), *self._made, unit)
        session = self._call(session, unit, heard, bill.first, bill.first_s)
        if bill.calls > 1:
            session = replace(
                session,
                task=replace(session.task, calls=session.task.calls + bill.calls - 2),
                context=replace(session.context, input_tokens=bill.last.cached_tokens),
            )
            heard = heard._replace(
                n_items=heard.n_items + 2 * (bill.calls - 1), input_tokens=bill.last.input_tokens
            )
            session = self._call(session, unit, heard, bill.last, bill.last_s)
        self._session = session

    def _call(
        self, session: Session, unit: Unit, heard: Heard, usage: Usage, now_s: float
    ) -> Session:
        """Return the session after a call."""
        lifetime_s = self._engine.catalogue.economics.lifetime_s(unit.model)
        expected = session.cached_tokens(unit.model, lifetime_s, now_s)
        return on_usage(
            on_serving(session, unit, heard, now_s),
            unit.model,
            usage,
            estimated_tokens=heard.input_tokens,
            cached_before=expected,
            now_s=now_s,
        )


def unseeing(engine: Engine) -> Engine:
    """Return the product where no failure is ever seen, and no plan counts on it."""
    economics = engine.catalogue.economics
    never = economics.seen.model_copy(update={"commands": 0.0, "tools": 0.0})
    economics = economics.model_copy(update={"seen": never})
    return replace(engine, catalogue=engine.catalogue.model_copy(update={"economics": economics}))


class Blind(Ours):
    """Ours without eyes for failure: what the economics of switching are worth alone."""

    def __init__(self, engine: Engine, dial: Dial) -> None:
        """Begin with a new session."""
        super().__init__(unseeing(engine), dial)

    def choose(self, request: ChatRequest, now_s: float) -> Unit:
        """Decide as if nothing had failed."""
        self._faced = _hopeful(request)
        return super().choose(self._faced, now_s)

    def served(self, request: ChatRequest, unit: Unit, bill: Bill) -> None:
        """Remember it so too."""
        super().served(self._faced, unit, bill)

    def _hear(self, request: ChatRequest) -> Heard:
        """Hear no complaint, not even in a task that reads like one."""
        return super()._hear(request)._replace(complains=False)


def _hopeful(request: ChatRequest) -> ChatRequest:
    """Return a request without failing tests, and with the task for the complaints about it."""
    said = request.conversation
    since = Since(tool_calls=said.since.tool_calls)
    if not said.complains:
        return replace(request, conversation=replace(said, since=since))
    asks = [*(exchange.ask for exchange in said.before), said.ask]
    task = max(i for i, ask in enumerate(asks) if ask != PRESSES)
    hopeful = replace(said, ask=asks[task], before=said.before[:task], since=since)
    return replace(request, conversation=hopeful)


class Alone:
    """Decide every request by itself."""

    def __init__(self, engine: Engine, dial: Dial, known: dict[object, Decision]) -> None:
        """Begin a session; ``known`` are the decisions that its rivals made at the same dial already."""
        self._engine, self._dial, self._known = engine, dial, known
        self.unit: Unit | None = None

    def decide(self, request: ChatRequest) -> Decision:
        """Decide a request as the first of a session."""
        said = request.conversation
        size = (request.needs.input_tokens or 0) // SIZE_STEP
        seen = self._engine.catalogue.economics.seen.commands
        key = (said.ask, said.before, said.since.failures, size, seen)
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

    def served(self, request: ChatRequest, unit: Unit, bill: Bill) -> None:
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


class TwoSteps(Never):
    """Begin with a plan, hand over to its successor at the first visible failure, and leave it at that.

    The plan is the session's, or with ``again`` every ask's that does not complain of the last one.
    """

    def __init__(
        self, engine: Engine, dial: Dial, known: dict[object, Decision], *, again: bool
    ) -> None:
        """Begin a session."""
        super().__init__(engine, dial, known)
        self._again = again
        self._second: Unit | None = None

    def choose(self, request: ChatRequest, now_s: float) -> Unit:
        """Play the plan."""
        said = request.conversation
        anew = self._again and not said.complains and not said.since.tool_calls
        if self.unit is None or anew or not self.fits(request.needs):
            plan = self.decide(request)
            self.unit, self._second = plan.unit, plan.successor
        if self._second and (said.complains or said.since.failures):
            self.unit, self._second = self._second, None
            if not self.fits(request.needs):
                self.unit = self.fresh(request)
        return self.unit


class Factor(Never):
    """At a new ask, stay unless another's fresh cost times ``factor`` is lower than the incumbent's."""

    def __init__(
        self, engine: Engine, dial: Dial, known: dict[object, Decision], factor: float
    ) -> None:
        """Begin a session."""
        super().__init__(engine, dial, known)
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

    def __init__(
        self, engine: Engine, dial: Dial, known: dict[object, Decision], share: float
    ) -> None:
        """Begin a session."""
        super().__init__(engine, dial, known)
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

    def served(self, request: ChatRequest, unit: Unit, bill: Bill) -> None:
        """Add the bill up."""
        self._spent += bill.usd


class Hopeful:
    """A rival without eyes for failure."""

    def __init__(self, policy: SessionPolicy) -> None:
        """Begin a session of it."""
        self._policy = policy

    def choose(self, request: ChatRequest, now_s: float) -> Unit:
        """Choose as if nothing had failed."""
        return self._policy.choose(_hopeful(request), now_s)

    def served(self, request: ChatRequest, unit: Unit, bill: Bill) -> None:
        """Remember it so too."""
        self._policy.served(_hopeful(request), unit, bill)


Make = Callable[[Engine, Dial, dict[object, Decision]], SessionPolicy]

POLICIES: Final[dict[str, Make]] = {
    "ours": lambda e, d, _: Ours(e, d),
    "ours, blind to failures": lambda e, d, _: Blind(e, d),
    "never switch": Never,
    "every turn alone": Alone,
    "sticky, 30 minutes": Sticky,
    "unless fresh cost × 1 is lower": lambda e, d, known: Factor(e, d, known, 1.0),
    "unless fresh cost × 3 is lower": lambda e, d, known: Factor(e, d, known, 3.0),
    "switch spending ≤ 5%": lambda e, d, known: Cap(e, d, known, 0.05),
    "switch spending ≤ 50%": lambda e, d, known: Cap(e, d, known, 0.5),
    "two steps a session": lambda e, d, known: TwoSteps(e, d, known, again=False),
    "two steps an ask": lambda e, d, known: TwoSteps(e, d, known, again=True),
}
"""Name → policy, ours first.  Factors and shares are those of 1, 1.5, 2, 3 and 5, 20, 50% that did best
somewhere on the seeds that our own constants were chosen on (benchmarks/LOG.md)."""

SEEING: Final = "ours"
BLIND: Final = "ours, blind to failures"
OURS: Final = (SEEING, BLIND)
RIVALS: Final = tuple(name for name in POLICIES if name not in OURS)

REACTS: Final = ("two steps a session", "two steps an ask")
"""Rivals that are nothing without eyes for failure."""


def as_blind(rival: str) -> str:
    """Name a rival that sees no failure."""
    return f"{rival}, as blind"


def _made_blind(make: Make) -> Make:
    return lambda engine, dial, known: Hopeful(make(unseeing(engine), dial, known))


BLIND_RIVALS: Final = {
    as_blind(name): _made_blind(POLICIES[name]) for name in RIVALS if name not in REACTS
}
"""What shows what the economics of switching are worth alone: none sees a failure, and no plan counts on one."""

CONTESTS: Final = {
    "ours against all": (SEEING, RIVALS),
    "ours blind, against those who see": (BLIND, RIVALS),
    "ours blind, against the blind": (BLIND, tuple(BLIND_RIVALS)),
}
"""Name → one of ours, and the rivals that it is held to; the first is what ships."""
