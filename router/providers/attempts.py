"""Which model to try next: a generator of attempts that is told how each one failed.  Pure.

    flow = attempts(candidates, admit)
    candidate = next(flow)
    ...call it; on failure: candidate = flow.send(failure); on success: flow.close()

A candidate is a model at one provider.  The order is the plan's; candidates whose circuit is
open go last, those in a penalty are not called and count as having failed, and a provider that
refused our key is not asked again.  When nothing is left, ``Exhausted`` says so to the client
with the status it can best act on.  Nothing here runs after the first byte of an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Final

from router.errors import Exhausted
from router.evidence.catalogue import Target
from router.providers.breaker import Admission
from router.providers.endpoints import Endpoint

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
class Candidate:
    """A model with its settings, at a provider that serves it."""

    target: Target
    endpoint: Endpoint

    @property
    def key(self) -> tuple[str, str]:
        """Under which the breaker knows it."""
        return self.endpoint.provider.name, self.target.model


@dataclass(frozen=True, slots=True)
class Failure:
    """How an attempt failed, before its first byte.

    ``status`` is the upstream's, 504 for a time-out and 502 for everything else; ``called`` is
    false when a penalty forbade the call.
    """

    candidate: Candidate
    status: int
    reason: str
    retry_after_s: float | None = None
    called: bool = True

    @property
    def refuses_key(self) -> bool:
        """Whether the provider refused our own key."""
        return self.status in KEY_REFUSED

    def __str__(self) -> str:
        """Write ``model=reason``, as headers name it."""
        return f"{self.candidate.target.model}={self.reason}"


Admit = Callable[[Candidate], tuple[Admission, float]]
"""Says whether to call a candidate now, and how long its penalty lasts."""


def attempts(
    candidates: Sequence[Candidate], admit: Admit
) -> Generator[Candidate, Failure, tuple[Failure, ...]]:
    """Yield candidates until one is served; return every failure when none was."""
    failures: list[Failure] = []
    refused: set[str] = set()
    suspected: list[Candidate] = []
    waiting: list[Failure] = []
    calls = 0

    def usable(candidate: Candidate) -> bool:
        return calls < MAX_ATTEMPTS and candidate.endpoint.provider.name not in refused

    for candidate in candidates:
        if not usable(candidate):
            continue
        admission, wait_s = admit(candidate)
        if admission is Admission.NO:
            waiting.append(Failure(candidate, 429, f"waits {wait_s:.0f} s", wait_s, called=False))
        elif admission is Admission.IF_NEEDED:
            suspected.append(candidate)
        else:
            calls += 1
            failures.append(failure := (yield candidate))
            refused |= {candidate.endpoint.provider.name} if failure.refuses_key else set()
    for candidate in suspected:
        if usable(candidate):
            calls += 1
            failures.append((yield candidate))
    return (*failures, *waiting)


def exhausted(failures: Sequence[Failure]) -> Exhausted:
    """Say to the client that every attempt failed, with the status it can best act on.

    429 when some upstream only wants us to wait, 503 when our keys were refused, 504 when the
    last one timed out, else 502.
    """
    tried = "; ".join(f"{f.candidate.target.model}: {f.reason}" for f in failures)
    waits = [f.retry_after_s or DEFAULT_RETRY_S for f in failures if f.status == 429]
    if waits:
        message = f"every model is rate-limited or failing ({tried}); retry after the wait given"
        return Exhausted(message, status=429, retry_after_s=min(waits), failures=failures)
    if not failures or all(f.refuses_key for f in failures):
        message = f"this gateway's credentials were refused ({tried}); its operator must fix them"
        return Exhausted(message, status=503, failures=failures)
    message = f"no model answered ({tried}); retry, or choose another model"
    status = 504 if failures[-1].status == 504 else 502
    return Exhausted(message, status=status, failures=failures)
