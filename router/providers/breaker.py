"""When not to call a model: circuit breaker and ``Retry-After`` penalties.  Pure; time is told.

Per (provider, model) two clocks run.  A *penalty* is what the upstream asked for: until it ends
the model is not called at all.  The *circuit* is our own suspicion: after a run of failures the
model is passed over for a while, then one request probes it and its outcome decides.  Suspicion
gives way to need (as Envoy's panic threshold does): a model whose circuit is open is still
called when nothing better is left, because a wrong guess then costs a try, not an answer.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from typing import Final

Key = tuple[str, str]
"""Provider and model."""

THRESHOLD: Final = 5
"""Failures in a row that open a circuit; Envoy's default for outlier detection."""

COOLDOWN_S: Final = 30.0
"""How long an open circuit is passed over, and a probe may take; Envoy's base ejection time."""

MAX_PENALTY_S: Final = 300.0
"""The longest ``Retry-After`` that is obeyed; some upstreams name the end of the day."""

MAX_KEYS: Final = 10_000
"""Bound on what is remembered: model ids come from clients."""


class Admission(Enum):
    """Whether a model may be called."""

    YES = "yes"
    IF_NEEDED = "if needed"
    NO = "no"


@dataclass(slots=True)
class _State:
    failures: int = 0
    open_until: float = 0.0
    penalty_until: float = 0.0


class Breaker:
    """Remember failures; all times are seconds on one monotonic clock."""

    def __init__(self, *, threshold: int = THRESHOLD, cooldown_s: float = COOLDOWN_S) -> None:
        """Begin with every circuit closed."""
        self._threshold = threshold
        self._cooldown_s = cooldown_s
        self._states: OrderedDict[Key, _State] = OrderedDict()

    def admit(self, key: Key, now: float) -> Admission:
        """Say whether to call a model now; the one caller told YES after a cooldown probes it."""
        state = self._states.get(key)
        if state is None:
            return Admission.YES
        if now < state.penalty_until:
            return Admission.NO
        if state.failures < self._threshold:
            return Admission.YES
        if now < state.open_until:
            return Admission.IF_NEEDED
        state.open_until = now + self._cooldown_s
        return Admission.YES

    def wait_s(self, key: Key, now: float) -> float:
        """Return how long a model's penalty still lasts."""
        state = self._states.get(key)
        return max(0.0, state.penalty_until - now) if state else 0.0

    def succeeded(self, key: Key) -> None:
        """Close a model's circuit."""
        self._states.pop(key, None)

    def failed(self, key: Key, now: float, retry_after_s: float | None = None) -> None:
        """Count a failure, and keep the penalty the upstream asked for."""
        state = self._states.setdefault(key, _State())
        self._states.move_to_end(key)
        state.failures += 1
        if state.failures >= self._threshold:
            state.open_until = now + self._cooldown_s
        if retry_after_s:
            state.penalty_until = now + min(retry_after_s, MAX_PENALTY_S)
        while len(self._states) > MAX_KEYS:
            self._states.popitem(last=False)
