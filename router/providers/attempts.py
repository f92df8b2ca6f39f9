"""Which model to try next: a generator of attempts that is told how each one failed.  Pure.

    flow = attempts(planned, admit)
    attempt = next(flow)
    ...make it; on failure: attempt = flow.send(failure); on success: flow.close()

An attempt is a model at one provider.  The order is the plan's; those whose circuit is open go last, those in a penalty are not called and count as having failed, and a provider that
refused our key is not asked again.  When nothing is left, ``Exhausted`` says so to the client
with the status it can best act on.  Nothing here runs after the first byte of an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Final

from router.errors import Exhausted
from router.providers.breaker import Admission
from router.providers.endpoints import Endpoint
from router.values import Failure, Target

MAX_ATTEMPTS: Final = 4
"""Calls per request; a primary and the policy's three fallbacks."""

RETRIED: Final = frozenset({408, 409, 425, 429, *range(500, 600)})
"""Statuses of an upstream that mean "another one may do better"."""

KEY_REFUSED: Final = frozenset({401, 402, 403})
"""Statuses that speak of our key or account, unless the client brought the key."""

DEFAULT_RETRY_S: Final = 2.0
"""Told to a client whose upstream gave no ``Retry-After``: without one some clients give up and
others hammer, and they obey it literally, so it is small."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A model with its settings, at a provider that serves it."""

    target: Target
    endpoint: Endpoint

    @property
    def key(self) -> tuple[str, str]:
        """Under which the breaker knows it."""
        return self.endpoint.provider.name, self.target.unit.model

    def failed(
        self, status: int, reason: str, retry_after_s: float | None = None, *, called: bool = True
    ) -> Failure:
        """Say that it failed, and how."""
        provider = self.endpoint.provider.name
        return Failure(self.target.unit, provider, status, reason, retry_after_s, called)


Admit = Callable[[Attempt], tuple[Admission, float]]
"""Says whether to make an attempt now, and how long its penalty lasts."""


def attempts(
    planned: Sequence[Attempt], admit: Admit
) -> Generator[Attempt, Failure, tuple[Failure, ...]]:
    """Yield attempts until one is served; return every failure when none was."""
    failures: list[Failure] = []
    refused: set[str] = set()
    suspected: list[Attempt] = []
    waiting: list[Failure] = []
    calls = 0

    def usable(attempt: Attempt) -> bool:
        return calls < MAX_ATTEMPTS and attempt.endpoint.provider.name not in refused

    for attempt in planned:
        if not usable(attempt):
            continue
        admission, wait_s = admit(attempt)
        if admission is Admission.NO:
            waiting.append(attempt.failed(429, f"waits {wait_s:.0f} s", wait_s, called=False))
        elif admission is Admission.IF_NEEDED:
            suspected.append(attempt)
        else:
            calls += 1
            failures.append(failure := (yield attempt))
            refused |= {attempt.endpoint.provider.name} if failure.status in KEY_REFUSED else set()
    for attempt in suspected:
        if usable(attempt):
            calls += 1
            failures.append((yield attempt))
    return (*failures, *waiting)


def exhausted(failures: Sequence[Failure]) -> Exhausted:
    """Say to the client that every attempt failed, with the status it can best act on.

    429 when some upstream only wants us to wait, 503 when our keys were refused, 504 when the
    last one timed out, else 502.
    """
    tried = "; ".join(f"{f.unit.model}: {f.reason}" for f in failures)
    waits = [f.retry_after_s or DEFAULT_RETRY_S for f in failures if f.status == 429]
    if waits:
        message = f"every model is rate-limited or failing ({tried}); retry after the wait given"
        return Exhausted(message, status=429, retry_after_s=min(waits), failures=failures)
    if not failures or all(f.status in KEY_REFUSED for f in failures):
        message = f"this gateway's credentials were refused ({tried}); its operator must fix them"
        return Exhausted(message, status=503, failures=failures)
    message = f"no model answered ({tried}); retry, or choose another model"
    status = 504 if failures[-1].status == 504 else 502
    return Exhausted(message, status=status, failures=failures)
