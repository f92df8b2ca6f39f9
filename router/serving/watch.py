"""What a gateway looks at beside its requests: how it is, for its metrics, and whom to alert of it.

Every few seconds, and never in a request's way.  Alerts are posted by tasks of their own, through the
same transport as everything else; a receiver that hangs holds up nobody.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from router.books.alerts import (
    EVERY_S,
    SIGNATURE,
    AlertChanges,
    AlertFacts,
    Sighting,
    Webhook,
    alerts_of,
    alone,
    claim,
    payload,
    signed,
)
from router.books.metrics import Metrics, Vitals
from router.callers.directory import Directory
from router.callers.meters import Charge, Counter, MeterReading
from router.serving.gateway import Gateway
from router.serving.logs import lost_lines
from router.serving.telemetry import Telemetry
from router.settings import Settings
from router.storage.database import file_url, open_database

log = logging.getLogger(__name__)

ALERTS_FILE: Final = "alerts.db"

WAITS_S: Final = (1.0, 5.0, 25.0)
"""How long to wait before a receiver that did not answer well is asked again."""

TIMEOUT_S: Final = 5.0

AT_ONCE: Final = 20
"""Budgets that are read together: of a new one the ledger is asked, which takes some milliseconds each."""

POSTS: Final = 100
"""Alerts that are under way at once; what is more is logged only."""


class Watch:
    """Looks at a gateway."""

    def __init__(
        self,
        gateway: Gateway,
        telemetry: Telemetry,
        *,
        transport: httpx.AsyncBaseTransport,
        clock: Callable[[], float] = time.time,
        waits_s: Sequence[float] = WAITS_S,
    ) -> None:
        """Keep the parts; ``transport`` carries what is posted, and stays open."""
        self._gateway, self._telemetry = gateway, telemetry
        self._hooks = gateway.settings.alerts
        self._client = httpx.AsyncClient(transport=transport, timeout=TIMEOUT_S, trust_env=False)
        self._clock, self._waits_s = clock, waits_s
        self._readings: Sequence[MeterReading] | None = ()
        self._open_since: dict[tuple[str, str], float] = {}
        self._own: dict[str, dict[str, Sighting]] = {}
        """Webhook → what this process last saw to stand, for when the database is away."""
        self._posts: set[asyncio.Task[None]] = set()

    async def run(self, database: Engine | None) -> None:
        """Look for as long as the process serves; ``database`` is where alerts stand."""
        try:
            while True:
                try:
                    await self.turn(database)
                except Exception:  # whatever it is must not end the looking
                    log.exception("the gateway could not be looked at; it is tried again")
                await asyncio.sleep(EVERY_S)
        finally:
            for post in self._posts:
                post.cancel()

    async def turn(self, database: Engine | None) -> None:
        """Look once."""
        self._readings = await self._read()
        self.look()
        now_s = self._clock()
        circuits = self._gateway.upstream.memory.open_circuits()
        self._open_since = {key: self._open_since.get(key, now_s) for key in circuits}
        open_s = {key: now_s - since for key, since in self._open_since.items()}
        for hook in self._hooks:
            facts = AlertFacts(
                self._readings, *self._telemetry.tally.over(hook.window_s, now_s), open_s
            )
            changed = await self._changes(database, hook, facts, now_s)
            for alerts, ended in ((changed.begun, False), (changed.ended, True)):
                for alert in alerts:
                    self._begin(self._post(hook, payload(alert, ended=ended, at_s=now_s)))

    def look(self) -> Metrics:
        """Let the metrics know how the gateway is, and return them; reads nothing but memory."""
        gateway = self._gateway
        ledger = gateway.books.ledger if gateway.books else None
        self._telemetry.metrics.look(
            Vitals(
                budgets=self._readings or (),
                circuits=gateway.upstream.memory.open_circuits(),
                waiting=ledger.waiting if ledger else 0,
                lost=ledger.lost if ledger else 0,
                lost_lines=lost_lines(),
                table=table_version(gateway),
            )
        )
        return self._telemetry.metrics

    async def _read(self) -> Sequence[MeterReading] | None:
        """Return what the budgets show; None where that is not known."""
        charges = budgets_of(self._gateway.keys.directory)
        accounts, found = self._gateway.stores.accounts, list[MeterReading]()
        try:
            for i in range(0, len(charges), AT_ONCE):
                found += await accounts.readings(charges[i : i + AT_ONCE], self._clock())
        except Exception:
            log.exception("what is left of budgets cannot be read")
            return None
        return None if any(unknown(reading) for reading in found) else found

    async def _changes(
        self, database: Engine | None, hook: Webhook, facts: AlertFacts, now_s: float
    ) -> AlertChanges:
        """Return what this process is to tell a webhook; of no database or a broken one all that is new."""
        found, kept = alerts_of(hook, facts), self._own.get(hook.name, {})
        self._own[hook.name], own = alone(kept, found, facts.topics, now_s)
        if database is not None:
            try:
                return await asyncio.to_thread(
                    claim, database, hook.name, found, facts.topics, now_s
                )
            except SQLAlchemyError as error:
                log.warning("alerts are told without the database: %s", type(error).__name__)
        return own

    def _begin(self, post: Coroutine[Any, Any, None]) -> None:
        if len(self._posts) >= POSTS:
            post.close()
            log.error("an alert is not told: too many are under way")
            return
        task = asyncio.create_task(post)
        self._posts.add(task)
        task.add_done_callback(self._posts.discard)

    async def _post(self, hook: Webhook, told: Mapping[str, Any]) -> None:
        """Tell a webhook, more than once if need be."""
        log.warning("alert: %s", told["text"])
        body = orjson.dumps(told)
        headers = {"content-type": "application/json"}
        if secret := hook.secret.get_secret_value():
            headers[SIGNATURE] = signed(body, secret)
        said = ""
        for wait_s in (0.0, *self._waits_s):
            await asyncio.sleep(wait_s)
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    answer = await self._client.post(hook.url, content=body, headers=headers)
            except (httpx.HTTPError, TimeoutError) as error:
                said = type(error).__name__
                continue
            if answer.is_success:
                return
            said = f"status {answer.status_code}"
        log.error("a webhook of alerts does not take %s: %s", told["id"], said)


def budgets_of(directory: Directory) -> list[Charge]:
    """Return the budgets of all accounts, each once."""
    members = (directory.owner, directory.anonymous, *directory.by_digest.values())
    found = (Charge(*allowance) for member in members for allowance in member.allowances)
    return [*{charge.key: charge for charge in found if charge.meter.booked}.values()]


def unknown(reading: MeterReading) -> bool:
    """Say whether a meter could not be read, which is why it admits nothing."""
    return reading.refused and reading.counter == Counter(0)


def alerts_database(settings: Settings, shared: Path | None) -> Engine | None:
    """Open where the workers of a gateway without books keep which alerts stand; None for one process."""
    return open_database(file_url(shared / ALERTS_FILE)) if settings.alerts and shared else None


def table_version(gateway: Gateway) -> str | None:
    """Return which table decides; None where none does."""
    engine = gateway.data.current.engine
    return engine.table.version if engine else None
