"""What an upstream's refusal means for this request: the client's to hear, or another's turn.  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from router.providers.attempts import Attempt
from router.providers.outgoing import Order, sent_fields
from router.providers.refusals import applies_to, fault_of, in_dialect, masked, read, window_of
from router.providers.waits import wait_s
from router.values import Failure, Fault
from router.wire.format import FORMATS


class Verdict(NamedTuple):
    """What becomes of a refusal."""

    body: bytes
    """What the client is told: now, or when nobody serves it."""
    failure: Failure | None
    """None where the client is to hear it at once."""
    of: str
    """Which later requests it counts against, as ``refusals.applies_to`` says."""


def judge(
    order: Order,
    attempt: Attempt,
    status: int,
    body: bytes,
    *,
    headers: Mapping[str, str],
    now_s: float,
) -> Verdict:
    """Say what a refusal speaks of and who hears of it; ``now_s`` is the time since the epoch."""
    body = masked(body, attempt.endpoint.key)
    said = read(body)
    wording = fault_of(status, said)
    fault = wording.fault
    body = in_dialect(FORMATS[order.request.interface], status, body, said, wording)
    if _is_clients(order, attempt, status, fault):
        return Verdict(body, None, "")
    wait = wait_s(headers, now_s)
    failure = attempt.failed(
        status,
        f"status {status}" if fault is Fault.MOMENT else f"status {status} ({fault.value})",
        said.wait_s if wait is None else wait,
        fault=fault,
        window_tokens=window_of(said) if fault is Fault.WINDOW else None,
    )
    return Verdict(body, failure, applies_to(wording, said, sent_fields(order, attempt)))


def _is_clients(order: Order, attempt: Attempt, status: int, fault: Fault) -> bool:
    """Say whether a refusal goes to the client at once.

    So does what nobody could serve, and what a client's own key is refused; where the client named
    the model also what speaks of that, but for 403, which another provider of it may not say.
    """
    theirs = attempt.endpoint.theirs
    if fault is Fault.REQUEST or (fault is Fault.KEY and theirs):
        return True
    if order.routed or fault is Fault.MOMENT:
        return False
    return theirs or fault in (Fault.WINDOW, Fault.FIT) or (fault is Fault.MODEL and status != 403)
