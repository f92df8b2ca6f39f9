"""Alerts: what of budgets, errors and providers somebody should be told.  Pure but for ``claim``.

An alert begins once and ends once.  That it stands is a row in the database, which the process that
writes it first tells of; whoever still sees it dates it anew, and the one that takes it away, once
nobody has seen it for ``QUIET_S``, tells of the end.  So of any number of processes one speaks, none has
to be the leader, and a restart repeats nothing.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from pydantic import Field, SecretStr
from sqlalchemy import Engine, and_, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from router.books.record import End, Record
from router.callers.meters import MeterReading, Period, Resource
from router.storage.database import writing
from router.storage.schema import alerts
from router.values import Entry

EVERY_S: Final = 5.0
"""How often it is looked whether something should be told."""

QUIET_S: Final = 4 * EVERY_S
"""How long nobody must have seen it before an alert is told to have ended."""

LEAST: Final = 20
"""Requests of a window, fewer of which say nothing of a share of errors."""

STEP_S: Final = 10.0
"""How finely a window slides."""

LONGEST_S: Final = 3600.0
"""The longest window."""

NAMED: Final = 5
"""Models that an alert names."""

SIGNATURE: Final = "x-auto-signature"


class Topic(StrEnum):
    """What an alert is about."""

    BUDGET = "budget"
    ERRORS = "errors"
    PROVIDER = "provider"


class Webhook(Entry):
    """Where alerts are sent, and from when on."""

    url: str = Field(pattern=r"^https?://.+", description="Is sent a POST with JSON.")
    on: frozenset[Topic] = Field(default=frozenset(Topic), description="What it is told of.")
    secret: SecretStr = Field(
        default=SecretStr(""),
        description=f"Signs what is sent: `{SIGNATURE}` is `sha256=` and the HMAC of the body.",
    )
    budget_share: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="Share of a budget that is spent; all of it is told too.",
    )
    error_share: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description=f"Share of requests that failed, of {LEAST} and more in the window.",
    )
    window_s: float = Field(default=300.0, ge=STEP_S, le=LONGEST_S, description="The window.")
    open_s: float = Field(
        default=60.0, ge=0, description="Seconds that a provider must have failed without a break."
    )

    @property
    def name(self) -> str:
        """Under which its alerts are kept: of the URL, which may hold a secret, a digest."""
        return hashlib.blake2b(self.url.encode(), digest_size=8).hexdigest()


class AlertFacts(NamedTuple):
    """What alerts are made from."""

    budgets: Sequence[MeterReading] | None
    """None while nobody knows."""
    requests: int
    """Of the window."""
    failed: int
    open_s: Mapping[tuple[str, str], float]
    """Provider and model → seconds for which its circuit was open."""

    @property
    def topics(self) -> frozenset[Topic]:
        """What these facts speak of."""
        return frozenset(Topic) - ({Topic.BUDGET} if self.budgets is None else frozenset())


class Alert(NamedTuple):
    """Something that somebody should be told."""

    id: str
    """Topic and subject, the same as long as it stands."""
    text: str
    details: Mapping[str, Any] = {}


def alerts_of(hook: Webhook, facts: AlertFacts) -> list[Alert]:
    """Return what holds now of all that a webhook is to be told."""
    found: list[Alert] = []
    if Topic.BUDGET in hook.on:
        for reading in facts.budgets or ():
            found += _budget(reading, hook.budget_share)
    if Topic.ERRORS in hook.on:
        found += _errors(hook, facts)
    if Topic.PROVIDER in hook.on:
        found += _providers(hook, facts)
    return found


def _budget(reading: MeterReading, share: float) -> Iterator[Alert]:
    charge, meter = reading.charge, reading.charge.meter
    if meter.slides or meter.limit <= 0:
        return
    for part in sorted({share, 1.0}):
        if reading.spent < part * meter.limit:
            continue
        said = f"{_amount(meter.resource, reading.spent)} of {_amount(meter.resource, meter.limit)}"
        of = "credit" if meter.period is Period.TOTAL else f"budget of this {meter.period}"
        then = "; what costs something is refused" if part == 1.0 else ""
        yield Alert(
            f"{Topic.BUDGET}:{charge.key}:{reading.counter.window}:{part:g}",
            f"{charge.account} has spent {part:.0%} of its {of}: {said}{then}",
            {
                "account": charge.account,
                "resource": meter.resource.value,
                "period": meter.period.value,
                "share": part,
                "spent": round(reading.spent, 6),
                "limit": meter.limit,
            },
        )


def _amount(resource: Resource, value: float) -> str:
    return f"${value:,.2f}" if resource is Resource.USD else f"{value:,.0f} {resource}"


def _errors(hook: Webhook, facts: AlertFacts) -> Iterator[Alert]:
    if facts.requests < LEAST or facts.failed < hook.error_share * facts.requests:
        return
    share = facts.failed / facts.requests
    yield Alert(
        f"{Topic.ERRORS}:{hook.window_s:g}:{hook.error_share:g}",
        f"{share:.0%} of requests failed: {facts.failed} of {facts.requests} in {hook.window_s:g} s",
        {"requests": facts.requests, "failed": facts.failed, "window_s": hook.window_s},
    )


def _providers(hook: Webhook, facts: AlertFacts) -> Iterator[Alert]:
    down: dict[str, list[str]] = {}
    for (provider, model), open_s in sorted(facts.open_s.items()):
        if open_s >= hook.open_s:
            down.setdefault(provider, []).append(model)
    for provider, models in down.items():
        more = f" and {len(models) - NAMED} more" if len(models) > NAMED else ""
        yield Alert(
            f"{Topic.PROVIDER}:{provider}",
            f"{provider} fails at {', '.join(models[:NAMED])}{more}; others are asked instead",
            {"provider": provider, "models": models},
        )


class Tally:
    """How many requests ended in this process of late, and how many of them failed."""

    def __init__(self) -> None:
        self._steps: OrderedDict[int, list[int]] = OrderedDict()

    def tell(self, record: Record) -> None:
        """Count a request; a ``Tell``."""
        step = int(record.at_s // STEP_S)
        counted = self._steps.setdefault(step, [0, 0])
        counted[0] += 1
        counted[1] += record.end is End.FAILED
        while len(self._steps) > LONGEST_S / STEP_S + 1:
            self._steps.popitem(last=False)

    def over(self, window_s: float, now_s: float) -> tuple[int, int]:
        """Return how many there were in a window, and how many failed."""
        since = (now_s - window_s) // STEP_S
        found = [counted for step, counted in self._steps.items() if step > since]
        return sum(n for n, _ in found), sum(failed for _, failed in found)


class AlertChanges(NamedTuple):
    """What is to be told, by this process."""

    begun: Sequence[Alert] = ()
    ended: Sequence[Alert] = ()


class Sighting(NamedTuple):
    """An alert that stands, and when it was last seen to."""

    alert: Alert
    seen_s: float


def alone(
    kept: Mapping[str, Sighting],
    found: Sequence[Alert],
    topics: Collection[Topic],
    now_s: float,
    quiet_s: float = QUIET_S,
) -> tuple[dict[str, Sighting], AlertChanges]:
    """Return what stands by its id, and what of it is to be told, as ``claim`` does where nobody else tells."""
    seen = {alert.id: Sighting(alert, now_s) for alert in found}
    gone = [
        id_
        for id_, sighting in kept.items()
        if id_ not in seen and sighting.seen_s < now_s - quiet_s and id_.partition(":")[0] in topics
    ]
    stands = {id_: sighting for id_, sighting in kept.items() if id_ not in gone} | seen
    begun = [alert for alert in found if alert.id not in kept]
    return stands, AlertChanges(begun, [kept[id_].alert._replace(details={}) for id_ in gone])


def claim(
    engine: Engine,
    hook: str,
    found: Sequence[Alert],
    topics: Collection[Topic],
    now_s: float,
    quiet_s: float = QUIET_S,
) -> AlertChanges:
    """Write down what holds, and return what of it, and of what holds no more, is for this process to tell.

    Nothing of which the facts do not speak ends.  Raises ``SQLAlchemyError``.
    """
    with engine.connect() as connection:
        kept = connection.execute(select(alerts).where(alerts.c.hook == hook)).all()
    stale = [
        row for row in kept if row.seen_s < now_s - quiet_s and row.id.partition(":")[0] in topics
    ]
    gone = [row for row in stale if row.id not in {alert.id for alert in found}]
    if not found and not gone:
        return AlertChanges()
    insert = (postgresql if engine.dialect.name == "postgresql" else sqlite).insert
    begun, ended = [], []
    with writing(engine) as connection:
        for alert in found:
            new = {"hook": hook, "id": alert.id, "said": alert.text, "seen_s": now_s}
            made = insert(alerts).values(new).on_conflict_do_nothing().returning(alerts.c.id)
            if connection.execute(made).first() is not None:
                begun.append(alert)
        ids = [alert.id for alert in found]
        seen = and_(alerts.c.hook == hook, alerts.c.id.in_(ids), alerts.c.seen_s < now_s)
        connection.execute(update(alerts).where(seen).values(seen_s=now_s))
        for row in gone:
            still = and_(
                alerts.c.hook == hook, alerts.c.id == row.id, alerts.c.seen_s == row.seen_s
            )
            if connection.execute(delete(alerts).where(still)).rowcount:
                ended.append(Alert(row.id, row.said))
    return AlertChanges(begun, ended)


def payload(alert: Alert, *, ended: bool, at_s: float) -> dict[str, Any]:
    """Return what a webhook is sent; ``text`` is what chats show."""
    return {
        "text": f"Over: {alert.text}" if ended else alert.text,
        "id": alert.id,
        "topic": alert.id.partition(":")[0],
        "state": "ended" if ended else "begun",
        "at": datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds"),
        "details": dict(alert.details),
    }


def signed(body: bytes, secret: str) -> str:
    """Return the signature of a body."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
