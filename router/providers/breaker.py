"""When not to call a model: circuits, doubts, and ``Retry-After`` penalties.  Pure; time is told.

Three clocks run per key.  A *penalty* is what the upstream asked for: until it ends the model is
not called at all.  A *doubt* is what it refused: a model that is gone, an account without credits,
tools that are not taken there.  A *circuit* is our own suspicion: after a run of failures the model
is passed over for a while, then one request probes it and its outcome decides.  Doubt and suspicion
give way to need (as Envoy's panic threshold does): who is doubted is still called when nothing
better is left, because a wrong guess then costs a try, not an answer.

One caller cannot shut a model for others: a circuit counts distinct requests, not their repeats,
and of one caller's only so many that another must have failed too.

What changed can be told to the breakers of other processes, and what they tell taken in, so that
together they know what one of them would (``router.providers.bulletin``).
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

from router.providers.waits import MAX_WAIT_S

Key = tuple[str, ...]
"""Account, model there, what a request must have for it to count; whatever is left out is any."""

Witness = tuple[str, str]
"""Caller, and a digest of its request."""

THRESHOLD: Final = 5
"""Requests that fail in a row and open a circuit; Envoy's default for outlier detection."""

COOLDOWN_S: Final = 30.0
"""How long an open circuit is passed over, and a probe may take; Envoy's base ejection time."""

MAX_WITNESSES: Final = 4 * THRESHOLD
"""Failures that are remembered of a run, of one caller ``THRESHOLD``: no caller fills the room."""

MAX_KEYS: Final = 10_000
"""Bound on what is remembered: model ids come from clients."""


class Admission(Enum):
    """Whether a model may be called."""

    YES = "yes"
    IF_NEEDED = "if needed"
    NO = "no"


@dataclass(slots=True)
class _State:
    witnesses: set[Witness] = field(default_factory=set)
    open_until: float = 0.0
    doubted_until: float = 0.0
    penalty_until: float = 0.0


class Suspicion(NamedTuple):
    """What is held against a key, with times from now on; all of it nothing when it was forgotten."""

    witnesses: frozenset[Witness] = frozenset()
    open_s: float = 0.0
    doubted_s: float = 0.0
    penalty_s: float = 0.0


class Breaker:
    """Remember failures; all times are seconds on one monotonic clock."""

    def __init__(self, *, threshold: int = THRESHOLD, cooldown_s: float = COOLDOWN_S) -> None:
        """Begin with every circuit closed."""
        self._threshold = threshold
        self._cooldown_s = cooldown_s
        self._states: OrderedDict[Key, _State] = OrderedDict()
        self._changed: dict[Key, None] = {}
        """What others were not told of; no more than there is room for."""

    @property
    def remembers(self) -> bool:
        """Whether anything is held against anybody."""
        return bool(self._states)

    def admit(self, keys: Sequence[Key], now: float, caller: str = "") -> Admission:
        """Say whether to make a call that all of ``keys`` are about.

        The one caller told YES after a cooldown probes the circuit.
        """
        states = [state for key in keys if (state := self._states.get(key)) is not None]
        if any(now < state.penalty_until for state in states):
            return Admission.NO
        suspected = [state for state in states if self._convinced(state, caller)]
        if any(now < state.doubted_until for state in states):
            return Admission.IF_NEEDED
        if any(now < state.open_until for state in suspected):
            return Admission.IF_NEEDED
        for state in suspected:
            state.open_until = now + self._cooldown_s
        return Admission.YES

    def _convinced(self, state: _State, caller: str) -> bool:
        """Say whether enough failed for a caller to be suspicious."""
        if len(state.witnesses) < self._threshold:
            return False
        counts = Counter(witness[0] for witness in state.witnesses)
        others = (min(n, self._threshold - 1) for name, n in counts.items() if name != caller)
        return counts[caller] + sum(others) >= self._threshold

    def wait_s(self, key: Key, now: float) -> float:
        """Return how long a model's penalty still lasts."""
        state = self._states.get(key)
        return max(0.0, state.penalty_until - now) if state else 0.0

    def succeeded(self, keys: Sequence[Key]) -> None:
        """Forget all that was held against these."""
        for key in keys:
            if self._states.pop(key, None) is not None:
                self._note(key)

    def open_circuits(self, now: float) -> list[Key]:
        """Return where circuits are open, or were until a moment ago, before a probe."""
        return [
            key
            for key, state in self._states.items()
            if len(state.witnesses) >= self._threshold and now < state.open_until + self._cooldown_s
        ]

    def changes(self, now: float) -> dict[Key, Suspicion]:
        """Return what changed here since this was asked last, and how it stands."""
        changed, self._changed = self._changed, {}
        return {key: self._held(key, now) for key in changed}

    def standing(self, now: float) -> dict[Key, Suspicion]:
        """Return what is held against whom, for people to see."""
        held = {key: self._held(key, now) for key in self._states}
        return {key: found for key, found in held.items() if found != Suspicion()}

    def take_in(self, key: Key, held: Suspicion, now: float) -> None:
        """Hold what another breaker does too, or forget what that forgot."""
        if held == Suspicion():
            self._states.pop(key, None)
            return
        state = self._room(key)
        before = len(state.witnesses)
        state.witnesses.update(sorted(held.witnesses - state.witnesses)[: MAX_WITNESSES - before])
        opens = before < self._threshold <= len(state.witnesses)  # neither saw enough by itself
        open_s = self._cooldown_s if opens else min(held.open_s, self._cooldown_s)
        state.open_until = max(state.open_until, now + open_s)
        state.doubted_until = max(state.doubted_until, now + held.doubted_s)
        state.penalty_until = max(state.penalty_until, now + min(held.penalty_s, MAX_WAIT_S))

    def _held(self, key: Key, now: float) -> Suspicion:
        if (state := self._states.get(key)) is None:
            return Suspicion()
        untils = (state.open_until, state.doubted_until, state.penalty_until)
        return Suspicion(frozenset(state.witnesses), *(max(0.0, until - now) for until in untils))

    def failed(
        self, key: Key, now: float, witness: Witness, retry_after_s: float | None = None
    ) -> None:
        """Count a failure, and keep the penalty the upstream asked for."""
        state = self._state(key)
        own = sum(caller == witness[0] for caller, _ in state.witnesses)
        if own < self._threshold and len(state.witnesses) < MAX_WITNESSES:
            state.witnesses.add(witness)
        if len(state.witnesses) >= self._threshold:
            state.open_until = now + self._cooldown_s
        if retry_after_s:
            state.penalty_until = now + min(retry_after_s, MAX_WAIT_S)

    def refused(self, key: Key, now: float, for_s: float) -> None:
        """Doubt for a while."""
        self._state(key).doubted_until = now + for_s

    def _state(self, key: Key) -> _State:
        """Return what is remembered under a key, to be changed."""
        self._note(key)
        return self._room(key)

    def _note(self, key: Key) -> None:
        """Have others told of a key."""
        if len(self._changed) < MAX_KEYS:
            self._changed[key] = None

    def _room(self, key: Key) -> _State:
        """Return what is remembered under a key; what was not spoken of for longest makes room."""
        state = self._states.setdefault(key, _State())
        self._states.move_to_end(key)
        while len(self._states) > MAX_KEYS:
            self._states.popitem(last=False)
        return state
