"""Metrics for Prometheus: counters fed by records, and what the gateway is like when it is asked.

No label holds what a client wrote.  A model is one that the catalogue knows, a provider a configured
one, a tier one of the tiers; whatever else is said counts as ``other``, so the number of series does not
depend on who asks.  No database is read: what stands in the books may be asked of them.

With several workers each writes its counters to files of a folder that they share, and whichever is
asked adds them up (https://prometheus.github.io/client_python/multiprocess/).  What was counted by a
worker that ended stays counted; what only says how a worker stands goes with it.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client import Metric as Exposed
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from router import __version__
from router.books.record import TOKENS, Record
from router.callers.meters import MeterReading, Resource
from router.storage.schema import LATENCY_S
from router.values import Failure

log = logging.getLogger(__name__)

PREFIX: Final = "auto_efficient_"

MULTIPROC_DIR: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names the workers' folder; the library reads it when it is imported."""

OTHER: Final = "other"
NONE: Final = "none"
"""Labels of what is not known to the gateway, and of what there was not."""

MOST: Final = 500
"""Values of one label; the shipped catalogue has some hundred models."""

MOST_BUDGETS: Final = 200
"""Budgets that are told one by one; the rest is told as a sum."""

DECIDE_S: Final = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.125, 0.25, 0.5, 1.0)
"""Buckets, a factor of two apart: from memory a decision takes under a millisecond, anew some."""


class Family(NamedTuple):
    """A metric as Prometheus knows it; docs/metrics.md is written from these."""

    kind: type[Counter] | type[Gauge] | type[Histogram]
    name: str
    says: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def full_name(self) -> str:
        """As it is queried."""
        return PREFIX + self.name


REQUESTS: Final = Family(
    Counter,
    "requests_total",
    "Requests, by how they ended: served, refused, failed or left by their client.",
    ("end", "tier", "interface"),
)
TOKENS_USED: Final = Family(
    Counter,
    "tokens_total",
    "Tokens as providers reported them. cached and cache_write are part of input, reasoning of output.",
    ("kind", "model"),
)
COST: Final = Family(
    Counter,
    "cost_usd_total",
    "US dollars, by the provider's word or else the list price.",
    ("model", "provider"),
)
SAVED: Final = Family(
    Counter,
    "saved_usd_total",
    "US dollars that requests cost less than they would have at the baseline: frontier, balanced, or "
    "the model that the caller used before.",
    ("baseline",),
)
OVERSPENT: Final = Family(
    Counter,
    "overspent_usd_total",
    "US dollars that requests cost more than they would have there. What was saved in all is the "
    "difference of the two.",
    ("baseline",),
)
REQUEST_TIME: Final = Family(
    Histogram,
    "request_seconds",
    "Seconds from a request's head to its end, of those that were served.",
    ("tier",),
    LATENCY_S,
)
FIRST_BYTE_TIME: Final = Family(
    Histogram,
    "first_byte_seconds",
    "Seconds to the first byte of the answer, of those that were served.",
    ("tier",),
    LATENCY_S,
)
DECIDE_TIME: Final = Family(
    Histogram, "decide_seconds", "Seconds that deciding took, reading included.", (), DECIDE_S
)
FALLBACKS: Final = Family(
    Counter,
    "fallbacks_total",
    "Attempts that failed or were passed over, and what they failed by.",
    ("model", "provider", "fault"),
)
EVIDENCE: Final = Family(
    Counter,
    "evidence_total",
    "Decisions, by what their expected quality rests on: measured, related or prior. The share of "
    "the last two is borrowed.",
    ("kind",),
)
LEDGER_WAITING: Final = Family(
    Gauge, "ledger_waiting_rows", "Rows that are not in the database yet."
)
LEDGER_LOST: Final = Family(
    Counter, "ledger_lost_rows_total", "Rows that found no room and are in no database."
)
LOG_LOST: Final = Family(
    Counter, "log_lost_lines_total", "Lines of the log that found no room: standard error was slow."
)
BREAKER_OPEN: Final = Family(
    Gauge,
    "breaker_open",
    "1 while a model is passed over at a provider, for requests failed there in a row.",
    ("provider", "model"),
)
BUDGET_LEFT: Final = Family(
    Gauge,
    "budget_left_usd",
    "US dollars that are left of a budget in its period.",
    ("account", "period"),
)
TABLE: Final = Family(Gauge, "table_info", "1; which table decides.", ("version",))
BUILD: Final = Family(Gauge, "build_info", "1; which version of the gateway runs.", ("version",))

COUNTED: Final = (
    *(REQUESTS, TOKENS_USED, COST, SAVED, OVERSPENT, REQUEST_TIME, FIRST_BYTE_TIME, DECIDE_TIME),
    *(FALLBACKS, EVIDENCE, LEDGER_WAITING, LEDGER_LOST, LOG_LOST),
)
"""Kept by each worker, and added up."""

TOLD_NOW: Final = (BREAKER_OPEN, BUDGET_LEFT, TABLE, BUILD)
"""Told by the worker that is asked: what all of them know alike."""

FAMILIES: Final = (*COUNTED, *TOLD_NOW)


class Vitals(NamedTuple):
    """How a gateway is, beside what its requests came to."""

    budgets: Sequence[MeterReading] = ()
    circuits: Sequence[tuple[str, str]] = ()
    """Provider and model of those that are open."""
    waiting: int = 0
    """Rows of the ledger."""
    lost: int = 0
    lost_lines: int = 0
    """Of the log."""
    table: str | None = None
    """Version; None where nothing decides."""


Knows = Callable[[str], bool]
Label = Callable[[str | None], str]


def bounded(knows: Knows, most: int = MOST) -> Label:
    """Return what makes labels of names: those that are known, so many at most, and ``OTHER``."""
    seen: set[str] = set()

    def label(name: str | None) -> str:
        if name is None:
            return NONE
        if name in seen:
            return name
        if len(seen) < most and knows(name):
            seen.add(name)
            return name
        return OTHER

    return label


class Metrics:
    """The metrics of one process, and what it knows of the others'."""

    def __init__(
        self, *, models: Knows, providers: Knows, tiers: Knows, folder: Path | None = None
    ) -> None:
        """Begin to count; ``folder`` is what several workers share, as ``MULTIPROC_DIR`` names it."""
        self._model, self._provider, self._tier = map(bounded, (models, providers, tiers))
        self._folder = folder
        self._counted = CollectorRegistry()
        self._made: dict[str, Any] = {
            family.name: _made(family, self._counted) for family in COUNTED
        }
        self._series: dict[tuple[str, ...], Any] = {}
        self._vitals = Vitals()

    def tell(self, record: Record) -> None:
        """Count a request; a ``Tell``."""
        tier, of = self._tier(record.tier), self._of
        of(REQUESTS, record.end.value, tier, record.interface.value).inc()
        if record.decided_s is not None:
            of(DECIDE_TIME).observe(record.decided_s)
        if record.evidence is not None:
            of(EVIDENCE, record.evidence.value).inc()
        for failure in record.failures:
            of(
                FALLBACKS, *self._place(failure.unit.model, failure.provider), fault_of(failure)
            ).inc()
        if record.end == "served":
            of(REQUEST_TIME, tier).observe(record.total_s)
            if record.first_s is not None:
                of(FIRST_BYTE_TIME, tier).observe(record.first_s)
        if record.unit is not None and record.usage is not None:
            self._spend(record, *self._place(record.unit.model, record.provider))

    def _spend(self, record: Record, model: str, provider: str) -> None:
        """Count tokens and dollars."""
        for name in TOKENS:
            if n := getattr(record.usage, name):
                self._of(TOKENS_USED, name.removesuffix("_tokens"), model).inc(n)
        if record.usd is None:
            return
        self._of(COST, model, provider).inc(max(0.0, record.usd))
        for baseline, usd in (
            ("frontier", record.frontier_usd),
            ("balanced", record.balanced_usd),
            ("former", record.former_usd),
        ):
            if usd is not None:
                saved = usd - record.usd
                self._of(SAVED if saved > 0 else OVERSPENT, baseline).inc(abs(saved))

    def _place(self, model: str, provider: str | None) -> tuple[str, str]:
        return self._model(model), self._provider(provider)

    def _of(self, family: Family, *labels: str) -> Any:
        """Return one series."""
        key = (family.name, *labels)
        if (found := self._series.get(key)) is None:
            made = self._made[family.name]
            found = self._series[key] = made.labels(*labels) if labels else made
        return found

    def look(self, vitals: Vitals) -> None:
        """Take in how the gateway is now."""
        before, self._vitals = self._vitals, vitals
        self._of(LEDGER_WAITING).set(vitals.waiting)
        self._of(LEDGER_LOST).inc(max(0, vitals.lost - before.lost))
        self._of(LOG_LOST).inc(max(0, vitals.lost_lines - before.lost_lines))

    def exposed(self, accept: str) -> tuple[bytes, str]:
        """Return all of it as text, and of what type; ``accept`` is what who asks takes.

        It takes milliseconds and reads files: not for the event loop.
        """
        asked = CollectorRegistry()
        asked.register(_Plain(self._everyones, self._now))
        encode, kind = choose_encoder(accept)
        return encode(asked), kind

    def _everyones(self) -> Iterable[Exposed]:
        """Return what all workers counted."""
        if self._folder is None:
            return self._counted.collect()
        bury(self._folder)
        collector: Any = MultiProcessCollector
        added: Iterable[Exposed] = collector(None, str(self._folder)).collect()
        return added

    def _now(self) -> Iterator[Exposed]:
        vitals = self._vitals
        yield _gauge(
            BREAKER_OPEN,
            {(self._provider(name), self._model(model)): 1.0 for name, model in vitals.circuits},
        )
        yield _gauge(BUDGET_LEFT, budgets_left(vitals.budgets))
        yield _info(TABLE, vitals.table or NONE)
        yield _info(BUILD, __version__)


class _Plain:
    """Collects metrics without the times at which their series began, which double them."""

    def __init__(self, *sources: Callable[[], Iterable[Exposed]]) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Exposed]:
        """Yield them all."""
        for source in self._sources:
            for metric in source():
                metric.samples = [s for s in metric.samples if not s.name.endswith("_created")]
                yield metric


def fault_of(failure: Failure) -> str:
    """Name what a failure speaks of, in one word."""
    return failure.fault.name.lower()


def budgets_left(readings: Sequence[MeterReading]) -> dict[tuple[str, str], float]:
    """Return what is left by account and period: of the first ones each, of the others in all."""
    left: dict[tuple[str, str], float] = {}
    for reading in readings:
        meter = reading.charge.meter
        if meter.resource is not Resource.USD:
            continue
        account = reading.charge.account if len(left) < MOST_BUDGETS else OTHER
        key = (account, meter.period.value)
        left[key] = reading.remaining + (left.get(key, 0.0) if account == OTHER else 0.0)
    return left


def bury(folder: Path) -> None:
    """Let what only says how a worker stands end with it."""
    for path in folder.glob("gauge_live*_*.db"):
        pid = path.stem.rpartition("_")[2]
        if pid.isdigit() and not runs(int(pid)):
            dead: Any = mark_process_dead
            dead(int(pid), str(folder))


def runs(pid: int) -> bool:
    """Say whether a process runs; on Windows, where to ask would end it, that is assumed."""
    if sys.platform == "win32":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _made(family: Family, registry: CollectorRegistry) -> Any:
    options: dict[str, Any] = {"buckets": family.buckets} if family.buckets else {}
    if family.kind is Gauge:
        options["multiprocess_mode"] = "livesum"
    return family.kind(family.full_name, family.says, family.labels, registry=registry, **options)


def _gauge(family: Family, values: Mapping[tuple[str, str], float]) -> Exposed:
    found = GaugeMetricFamily(family.full_name, family.says, labels=family.labels)
    for labels, value in values.items():
        found.add_metric(labels, value)
    return found


def _info(family: Family, version: str) -> Exposed:
    name = family.full_name.removesuffix("_info")
    found = InfoMetricFamily(name, family.says, labels=())
    found.add_metric((), {"version": version})
    return found
