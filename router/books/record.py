"""The record of a request: one small row, told once at every end, and no text of anybody's."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from enum import Enum, StrEnum
from typing import Final, NamedTuple

from router.values import Failure, Move, Spoken, Support, Unit, Usage

log = logging.getLogger("router.requests")


class End(StrEnum):
    """How a request ended, as its client saw it."""

    SERVED = "served"
    """With a whole answer."""
    REFUSED = "refused"
    """By the gateway or the upstream, for what the request is or who sent it."""
    FAILED = "failed"
    """Nobody could answer, or the answer broke off."""
    LEFT = "left"
    """The client did not wait for the end."""


class Workings(NamedTuple):
    """What a decision was made from."""

    candidates: str
    """The first few, in short: ``model@effort quality task_usd``, one after the other."""
    made: bytes
    """All of it as JSON; see ``router.books.workings``."""
    ask: str
    """What the user asked for, in their words."""


@dataclass(frozen=True, slots=True)
class Record:
    """One request; None stands for what was not known by the time it ended."""

    decision_id: str
    """As in ``x-auto-decision-id``."""
    end: End
    status: int | None
    """HTTP status that the client was sent; None when it left before."""
    error: str | None
    """Code of the gateway's own error."""
    interface: Spoken
    """What it was asked in: a wire format, or an endpoint that passes requests through."""
    total_s: float
    """Seconds from the request's head to its end."""
    answer_id: str | None = None
    """The provider's name of its answer."""
    at_s: float = 0.0
    """When it ended, in seconds since 1970."""
    first_s: float | None = None
    """Seconds to the first byte of the answer."""
    decided_s: float | None = None
    """Seconds that deciding took, reading included."""
    caller: str | None = None
    team: str | None = None
    anonymous: bool = False
    asked_model: str | None = None
    """What the client named: a tier, a model, nothing."""
    streams: bool | None = None
    body_bytes: int = 0
    mode: str | None = None
    """The client's agent mode."""
    agent: str | None = None
    """The client's name of the agent that asks, where it has several."""
    subagent: bool = False
    session: str | None = None
    """Key of the session, a hash scoped by caller."""
    ask: str | None = None
    """Digest of the user's ask and its place."""
    tier: str | None = None
    """None for a model that was asked for by name."""
    task: str | None = None
    """Most probable task type, ``family/type``."""
    difficulty: float | None = None
    """Expected level, 1 to 4."""
    confidence: float | None = None
    """Probability of the task type, in [0, 1]."""
    move: Move | None = None
    why: str | None = None
    evidence: Support | None = None
    """What the expected quality rests on."""
    expected_quality: float | None = None
    expected_cost_usd: float | None = None
    unit: Unit | None = None
    """Who answered."""
    provider: str | None = None
    served_model: str | None = None
    """What the reply calls its model, where that is no name of the unit's."""
    usage: Usage | None = None
    """Tokens, as the provider reported them."""
    usd: float | None = None
    """Dollars: the provider's word, else the list price; None without usage."""
    frontier_usd: float | None = None
    """What kilo-auto/frontier would have cost, by ``router.books.others``."""
    balanced_usd: float | None = None
    """What kilo-auto/balanced would have."""
    former_usd: float | None = None
    """What the model that the caller used before would have."""
    saved_usd: float | None = None
    """Against ``former_usd`` where it is known, else ``frontier_usd``; below zero where it cost more."""
    failures: tuple[Failure, ...] = ()
    """The attempts before, and who was passed over, in order."""
    traceparent: str | None = None
    """Of the trace that the client's request is part of, as W3C's Trace Context has it."""
    workings: Callable[[], Workings] | None = field(default=None, repr=False, compare=False)
    """Writes out what the decision was made from; not on the event loop.  None where no decision was."""


Plain = str | int | float | bool | None

UNFOLDED: Final = frozenset({"unit", "usage", "failures", "traceparent", "workings"})
"""Fields that a row holds as others, or not: plain values only."""

TOKENS: Final = (
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)
"""What a row keeps of ``usage``; its dollars are in ``usd``."""


def as_row(record: Record) -> dict[str, Plain]:
    """Return a record as one flat row of plain values: a line of JSON, a row of a database.

    Every row has the same keys.  ``unit`` becomes ``model`` and ``effort``, ``usage`` its ``TOKENS``,
    and ``failures`` one text, each with its kind, empty when there were none.
    """
    row: dict[str, Plain] = {}
    for told in fields(record):
        if told.name not in UNFOLDED:
            value = getattr(record, told.name)
            row[told.name] = value.value if isinstance(value, Enum) else value
    row["model"] = record.unit.model if record.unit else None
    row["effort"] = record.unit.effort if record.unit else None
    for name in TOKENS:
        row[name] = getattr(record.usage, name) if record.usage else None
    row["failures"] = ", ".join(
        f"{failure} ({failure.provider} {failure.status}, {failure.fault})"
        for failure in record.failures
    )
    return row


Tell = Callable[[Record], None]
"""Told of every request at its end, on the event loop: it must not wait."""


def telling_all(*tells: Tell) -> Tell:
    """Return what tells several; one that fails is logged and keeps nothing from the others."""

    def tell_each(record: Record) -> None:
        for tell in tells:
            try:
                tell(record)
            except Exception:
                log.exception("request %s could not be recorded", record.decision_id)

    return tell_each


def unrecorded(record: Record) -> None:
    """Keep no books."""
