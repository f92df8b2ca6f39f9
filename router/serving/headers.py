"""What the gateway says of a decision, or of an error, in the headers of its reply."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from router.decision.tiers import Plan
from router.errors import Exhausted, RouterError
from router.providers.upstream import EVENTS, Answered
from router.serving.asgi import Headers
from router.values import Failure

HEADER_CHARS: Final = 600
"""Longest value of a header that explains; nginx and others take 4 to 8 KiB for all of them."""

STREAM_HEADERS: Final = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]


TOLD_LATE: Final = (b"x-auto-", b"retry-after")
"""How headers begin that a stream can tell in a comment."""


class Told(NamedTuple):
    """One header of a reply; absent where there is nothing to say."""

    name: str
    meaning: str
    value: Callable[[str, Plan, Answered], str | None]
    """Of the decision's id, the plan and the reply."""


TOLD: Final = (
    Told(
        "x-auto-tier",
        "The tier that serves: the one asked for, or what is set for this mode or agent; absent for a "
        "model asked for by name.",
        lambda decision_id, made, reply: made.tier,
    ),
    Told(
        "x-auto-model",
        "The model that answers: the one that was asked or, where the reply names another that the "
        "catalogue or its server's list knows, that one.",
        lambda decision_id, made, reply: (
            reply.answers.model if reply.answers else reply.attempt.target.unit.model
        ),
    ),
    Told(
        "x-auto-served-model",
        "What the reply calls its model, where that is no name of the one that was asked: aggregators "
        "and local servers may serve another.",
        lambda decision_id, made, reply: reply.answers.own_name if reply.answers else None,
    ),
    Told(
        "x-auto-effort",
        "The reasoning effort that was set, if any.",
        lambda decision_id, made, reply: reply.attempt.target.unit.effort,
    ),
    Told(
        "x-auto-provider",
        "The provider that was called.",
        lambda decision_id, made, reply: reply.attempt.endpoint.provider.name,
    ),
    Told(
        "x-auto-reason",
        "Why, in one sentence.",
        lambda decision_id, made, reply: made.why,
    ),
    Told(
        "x-auto-move",
        "What the decision does to its session: begin, stay, switch, escalate, locked or replace.",
        lambda decision_id, made, reply: made.decision.move if made.decision else None,
    ),
    Told(
        "x-auto-decision-id",
        "Names this request in logs and records.",
        lambda decision_id, made, reply: decision_id,
    ),
    Told(
        "x-auto-fallbacks",
        "The models that were tried or passed over before, each with how it failed or why.",
        lambda decision_id, made, reply: _listed(reply.failures),
    ),
    Told(
        "x-auto-cost-usd",
        "What the answer cost, in US dollars: the provider's word, else its tokens at list price. Of a "
        "whole answer only: a stream tells it as `usage.cost`.",
        lambda decision_id, made, reply: _dollars(reply.usd),
    ),
    Told(
        "x-auto-saved-usd",
        "How many of them were saved against the caller's former model or, where that is not known, "
        "kilo-auto/frontier, for the same tokens at list price; below zero where it cost more.",
        lambda decision_id, made, reply: _dollars(reply.saved_usd),
    ),
    Told(
        "x-auto-task",
        "The task type that was read, `family/type`.",
        lambda decision_id, made, reply: made.assessment.task if made.assessment else None,
    ),
    Told(
        "x-auto-difficulty",
        "The expected difficulty, 1 to 4.",
        lambda decision_id, made, reply: (
            f"{made.assessment.expected_level:.2f}" if made.assessment else None
        ),
    ),
    Told(
        "x-auto-confidence",
        "The probability of that task type, 0 to 1.",
        lambda decision_id, made, reply: (
            f"{made.assessment.confidence:.2f}" if made.assessment else None
        ),
    ),
)
"""Every header that tells of a decision; docs/headers.md is written from it."""


def decision_headers(decision_id: str, made: Plan, reply: Answered) -> Headers:
    """Say what was decided and why."""
    said = ((told.name, told.value(decision_id, made, reply)) for told in TOLD)
    return [(name.encode(), ascii_of(value)) for name, value in said if value]


def error_headers(
    error: RouterError, decision_id: str | None = None, made: Plan | None = None
) -> Headers:
    """Return the headers of an error; a 429 always says when to come back."""
    headers = [(b"content-type", b"application/json")]
    if decision_id is not None:
        headers.append((b"x-auto-decision-id", decision_id.encode()))
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after_s))))
    if error.status == 401:
        headers += [(b"x-should-retry", b"false"), (b"www-authenticate", b"Bearer")]
    if isinstance(error, Exhausted) and error.failures:
        headers.append((b"x-auto-fallbacks", ascii_of(_listed(error.failures))))
    if made is not None:
        headers += [(b"x-auto-tier", ascii_of(made.tier))] if made.tier else []
        headers.append((b"x-auto-reason", ascii_of(made.why)))
    return headers


def early_headers(decision_id: str, made: Plan) -> Headers:
    """Return the headers of a stream that has to begin before it is known who serves it."""
    headers = [(b"content-type", EVENTS.encode()), (b"x-auto-decision-id", decision_id.encode())]
    return headers + ([(b"x-auto-tier", ascii_of(made.tier))] if made.tier else [])


def comment_of(headers: Headers) -> bytes:
    """Write what headers tell as a comment, for a stream whose headers are sent."""
    told = (b": %s: %s\n" % pair for pair in headers if pair[0].startswith(TOLD_LATE))
    return b"".join(told) + b"\n"


def _dollars(usd: float | None) -> str | None:
    """Write dollars without an exponent, to a millionth of a cent."""
    return None if usd is None else f"{usd:.8f}"


def _listed(failures: Sequence[Failure]) -> str:
    return ", ".join(map(str, failures))


def ascii_of(text: str) -> bytes:
    """Make a text fit for a header: one line of printable ASCII, not too long."""
    if len(text) > HEADER_CHARS:
        text = text[: HEADER_CHARS - 3] + "..."
    if not (text.isascii() and text.isprintable()):
        text = "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
    return text.encode("ascii")
