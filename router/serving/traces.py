"""Whether traces are sent, and where."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from router.books.traces import MISSING, Traces
from router.errors import BadArtefact
from router.settings import Settings

log = logging.getLogger(__name__)

OTLP: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""Variables of OpenTelemetry's that name a collector."""


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
