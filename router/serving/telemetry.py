"""Who is told of requests beside the books: the metrics, what alerts are made from, the traces."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from router.books.alerts import Tally
from router.books.metrics import MULTIPROC_DIR, Metrics
from router.books.record import Tell
from router.books.traces import MISSING, Traces
from router.errors import BadArtefact
from router.serving.live import LiveData
from router.serving.logs import flush_log
from router.settings import Settings

log = logging.getLogger(__name__)

OTLP: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""Variables of OpenTelemetry's that name a collector."""


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What is told of requests in one process."""

    metrics: Metrics
    tally: Tally
    traces: Traces | None

    @property
    def tells(self) -> tuple[Tell, ...]:
        """Tell each of them."""
        traces = (self.traces.tell,) if self.traces else ()
        return (self.metrics.tell, self.tally.tell, *traces)

    def close(self) -> None:
        """Send what is left, and write the last lines of the log."""
        if self.traces is not None:
            self.traces.close()
        flush_log()


def telemetry_of(
    settings: Settings, data: LiveData, providers: frozenset[str], environ: Mapping[str, str]
) -> Telemetry:
    """Make it; raises BadArtefact for traces that cannot be sent."""
    return Telemetry(metrics_of(data, providers), Tally(), traces_of(settings, environ))


def metrics_of(data: LiveData, providers: frozenset[str]) -> Metrics:
    """Make the metrics of a process; its labels are what the gateway knows."""
    folder = os.environ.get(MULTIPROC_DIR)
    return Metrics(
        models=lambda name: data.current.catalogue.model(name) is not None,
        providers=providers.__contains__,
        tiers=lambda name: data.current.catalogue.tier(name) is not None,
        folder=Path(folder) if folder else None,
    )


def traces_of(settings: Settings, environ: Mapping[str, str]) -> Traces | None:
    """Make the traces if they are wanted; raises BadArtefact where a setting's extra is missing.

    OpenTelemetry's own variables may be meant for others: without the extra they are one line of the log.
    """
    if settings.traces:
        return Traces(settings.traces)
    named = [name for name in OTLP if environ.get(name)]
    if not named:
        return None
    try:
        return Traces(None)
    except BadArtefact:
        log.warning("no traces are sent, though %s is set: %s", named[0], MISSING)
        return None
