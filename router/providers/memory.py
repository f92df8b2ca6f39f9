"""What is held against whom, from one request to the next: failures in, admission out.

Two breakers: failures with a client's own key are held only against that key, in a table of its
own, so that no flood of keys crowds out what is known of ours.  Of a refusal as much is remembered
as it shows (``router.providers.wordings``), and only of what the gateway chose: a client that names
a model can make it refuse anything.

What is held against our own keys is known to all processes that share it.  It names accounts, models and
what requests have; callers and requests are digests, so that it can lie where others look.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache

from router.providers.attempts import Attempt
from router.providers.breaker import MAX_KEYS, Admission, Breaker, Key, Suspicion
from router.providers.outgoing import Order, sent_fields
from router.providers.wordings import ALL, CALLERS, FIELDS, HELD_S, VAGUE_S
from router.values import Failure, Fault


class Memory:
    """Remember failures; all times are seconds on one monotonic clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin with nothing held against anybody."""
        self._clock = clock
        self._ours = Breaker()
        self._theirs = Breaker()

    def _of(self, attempt: Attempt) -> Breaker:
        return self._theirs if attempt.endpoint.theirs else self._ours

    def admit(self, order: Order, attempt: Attempt) -> tuple[Admission, float]:
        """Say whether to make an attempt now, and how long its penalty lasts."""
        breaker, now = self._of(attempt), self._clock()
        if not breaker.remembers:
            return Admission.YES, 0.0
        admission = breaker.admit(_keys(order, attempt), now, _named(order.caller))
        return admission, breaker.wait_s(attempt.key, now)

    def served(self, order: Order, attempt: Attempt) -> None:
        """Forget what was held against who serves, its account included."""
        breaker = self._of(attempt)
        if breaker.remembers:
            breaker.succeeded(_keys(order, attempt))

    def open_circuits(self) -> list[tuple[str, str]]:
        """Return which models are passed over at which providers, of our own keys."""
        found = self._ours.open_circuits(self._clock())
        return [(key[0], key[1]) for key in found if len(key) == 2]

    def changes(self) -> dict[Key, Suspicion]:
        """Return what changed of our own keys since this was asked last."""
        return self._ours.changes(self._clock())

    def standing(self) -> dict[Key, Suspicion]:
        """Return what is held against our own keys, for people to see."""
        return self._ours.standing(self._clock())

    def take_in(self, key: Key, held: Suspicion) -> None:
        """Hold against one of our own keys what another process does."""
        self._ours.take_in(key, held, self._clock())

    def note(self, order: Order, attempt: Attempt, failure: Failure, of: str) -> None:
        """Remember a failure; ``of`` says which requests it counts against."""
        breaker, now, fault = self._of(attempt), self._clock(), failure.fault
        account: Key = (attempt.account,)
        if fault is Fault.MOMENT:
            witness = (_named(order.caller), _digest(order.request.body))
            breaker.failed(attempt.key, now, witness, failure.retry_after_s)
        elif fault in (Fault.KEY, Fault.ACCOUNT):
            for whom in (account, attempt.key):  # another model of it may yet serve
                breaker.refused(whom, now, HELD_S[fault])
        elif order.routed and of == CALLERS:
            breaker.refused((*attempt.key, _caller(order)), now, VAGUE_S)
        elif order.routed and of:
            key: Key = attempt.key if of == ALL else (*attempt.key, of)
            breaker.refused(key, now, HELD_S[fault])


@lru_cache(maxsize=MAX_KEYS)
def _named(caller: str) -> str:
    return _digest(caller.encode("utf-8", "replace"))


def _digest(data: bytes | bytearray | memoryview) -> str:
    """Return what tells callers and requests apart, the same in every process."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def _caller(order: Order) -> str:
    return f"{CALLERS} {_named(order.caller)}"


def _keys(order: Order, attempt: Attempt) -> tuple[Key, ...]:
    """Name what could be held against an attempt: of its account, its model, and this request."""
    of = [_caller(order), *order.request.needs.abilities]
    of += [f"{FIELDS} {name}" for name in sent_fields(order, attempt)]
    return (attempt.account,), attempt.key, *((*attempt.key, name) for name in of)
