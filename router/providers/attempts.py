"""Which model to try next: a generator of attempts that is told how each one failed.  Pure.

    flow = attempts(planned, admit)
    attempt = next(flow)
    ...make it; on failure: attempt = flow.send(failure); on success: flow.close()

An attempt is a model at one provider.  The order is the plan's; those that are doubted go last, those
in a penalty are not called and count as having failed.  What a failure speaks of (``Fault``) says who
is left: a provider that refused our key is not asked again, one that refused our account only when
nothing else is left, and after a context that was too long only larger ones are asked.  When nothing
is left, ``to_tell`` names the refusal that goes to the client verbatim, or ``exhausted`` says so with
the status it can best act on.  Nothing here runs after the first byte of an answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from router.errors import Exhausted
from router.providers.breaker import Admission
from router.providers.endpoints import Endpoint
from router.values import Failure, Fault, Target

MAX_ATTEMPTS: Final = 4
"""Calls per request; a primary and the policy's three fallbacks."""

DEFAULT_RETRY_S: Final = 2.0
"""Told to a client whose upstream gave no ``Retry-After``: without one some clients give up and
others hammer, and they obey it literally, so it is small."""

PUT_OFF: Final = "goes last, for it failed or refused lately"
"""What is told of a model that is doubted, and was not asked because another answered."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A model with its settings, at a provider that serves it."""

    target: Target
    endpoint: Endpoint
    window_tokens: int | None = None
    """The model's context by the catalogue; None where that does not know it."""

    @property
    def account(self) -> str:
        """Name whose key is used where: ours at a provider, or one that a client brought."""
        endpoint = self.endpoint
        if not endpoint.theirs:
            return endpoint.provider.name
        digest = hashlib.blake2b(endpoint.key.encode("utf-8", "replace"), digest_size=8)
        return f"{endpoint.provider.name} {digest.hexdigest()}"

    @property
    def key(self) -> tuple[str, str]:
        """Under which the breaker knows it."""
        return self.account, self.target.unit.model

    def failed(
        self,
        status: int,
        reason: str,
        retry_after_s: float | None = None,
        *,
        called: bool = True,
        fault: Fault = Fault.MOMENT,
        window_tokens: int | None = None,
    ) -> Failure:
        """Say that it failed, and how."""
        provider = self.endpoint.provider.name
        window = window_tokens or self.window_tokens
        return Failure(
            self.target.unit, provider, status, reason, retry_after_s, called, fault, window
        )


Admit = Callable[[Attempt], tuple[Admission, float]]
"""Says whether to make an attempt now, and how long its penalty lasts."""

Larger = Callable[[int], Iterable[Attempt]]
"""Names further attempts with models whose context is larger than so many tokens."""


def no_larger(window_tokens: int) -> Iterable[Attempt]:
    """Name none."""
    return ()


@dataclass(slots=True)
class _Walk:
    """What is known so far of one request's attempts."""

    admit: Admit
    passed_over: list[Failure]
    failures: list[Failure] = field(default_factory=list)
    waiting: list[Failure] = field(default_factory=list)
    doubted: list[tuple[Attempt, Failure]] = field(default_factory=list)
    """To be asked when nothing better is left, and how that is told."""
    refused: dict[str, Fault] = field(default_factory=dict)
    """Account → what was refused of it: the key, or all."""
    window: int | None = None
    """The context that was too short, if one was."""

    def usable(self, attempt: Attempt) -> bool:
        """Say whether an attempt may still be made."""
        if len(self.failures) >= MAX_ATTEMPTS or self.refused.get(attempt.account) is Fault.KEY:
            return False
        return self.window is None or (attempt.window_tokens or 0) > self.window

    def admits(self, attempt: Attempt) -> bool:
        """Say whether to make an attempt now; if not, keep it for later, or as having failed."""
        admission, wait_s = self.admit(attempt)
        if admission is Admission.NO:
            told = attempt.failed(429, f"waits {wait_s:.0f} s", wait_s, called=False)
            self.waiting.append(told)
        elif admission is Admission.IF_NEEDED or attempt.account in self.refused:
            told = attempt.failed(502, PUT_OFF, called=False)
            self.doubted.append((attempt, told))
        else:
            return True
        self.passed_over.append(told)
        return False

    def note(self, attempt: Attempt, failure: Failure) -> None:
        """Learn from a failure who is left."""
        self.failures.append(failure)
        if failure.fault in (Fault.KEY, Fault.ACCOUNT):
            self.refused[attempt.account] = failure.fault
        if failure.fault is Fault.WINDOW:
            self.window = max(self.window or 0, failure.window_tokens or 0)


def attempts(
    planned: Sequence[Attempt],
    admit: Admit,
    larger: Larger = no_larger,
    passed_over: list[Failure] | None = None,
) -> Generator[Attempt, Failure, tuple[Failure, ...]]:
    """Yield attempts until one is served; return every failure when none was.

    ``larger`` is asked only when a context was too short and nothing planned is larger.  Who is not
    called is added to ``passed_over``, until it is called after all.
    """
    walk = _Walk(admit, [] if passed_over is None else passed_over)
    yield from _in_turn(walk, planned)
    if walk.window is not None:
        known = {attempt.key for attempt in planned}
        further = [attempt for attempt in larger(walk.window) if attempt.key not in known]
        yield from _in_turn(walk, further)
    for attempt, told in walk.doubted:
        if walk.usable(attempt):
            walk.passed_over.remove(told)
            walk.note(attempt, (yield attempt))
    return (*walk.failures, *walk.waiting)


def _in_turn(walk: _Walk, planned: Iterable[Attempt]) -> Generator[Attempt, Failure, None]:
    """Yield what is usable and not doubted, in order."""
    for attempt in planned:
        if walk.usable(attempt) and walk.admits(attempt):
            walk.note(attempt, (yield attempt))


def to_tell(failures: Sequence[Failure]) -> Failure | None:
    """Return the refusal that goes to the client verbatim; None where waiting or others may help.

    It is the first; but a context that is too long comes before all, since clients compact then.
    """
    refusals = [failure for failure in failures if failure.fault is not Fault.KEY]
    if long := next((f for f in refusals if f.fault is Fault.WINDOW), None):
        return long
    if any(failure.fault is Fault.MOMENT for failure in refusals):
        return None
    return refusals[0] if refusals else None


def overdue(failures: Sequence[Failure], waited_s: float) -> Exhausted:
    """Say to the client that no attempt answered in the time that all have together."""
    tried = "; ".join(f"{f.unit.model}: {f.reason}" for f in failures)
    message = (
        f"no model answered in {waited_s:g} s ({tried}); retry later, or send a smaller request"
    )
    return Exhausted(message, status=504, failures=failures)


def exhausted(failures: Sequence[Failure]) -> Exhausted:
    """Say to the client that every attempt failed, with the status it can best act on.

    429 when some upstream only wants us to wait, 503 when our keys were refused, 504 when the
    last one timed out, else 502.
    """
    tried = "; ".join(f"{f.unit.model}: {f.reason}" for f in failures)
    waits = [f.retry_after_s or DEFAULT_RETRY_S for f in failures if _waits(f)]
    if waits:
        message = f"every model is rate-limited or failing ({tried}); retry after the wait given"
        return Exhausted(message, status=429, retry_after_s=min(waits), failures=failures)
    if not failures or all(f.fault is Fault.KEY for f in failures):
        message = f"this gateway's credentials were refused ({tried}); its operator must fix them"
        return Exhausted(message, status=503, failures=failures)
    message = f"no model answered ({tried}); retry, or choose another model"
    status = 504 if failures[-1].status == 504 else 502
    return Exhausted(message, status=status, failures=failures)


def _waits(failure: Failure) -> bool:
    return failure.status == 429 and failure.fault is Fault.MOMENT
