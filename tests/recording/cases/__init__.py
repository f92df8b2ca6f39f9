"""The set-ups: each is one gateway and what it is asked, from data tables and generators."""

from __future__ import annotations

from tests.recording.cases.callers import callers, key_rows
from tests.recording.cases.case import Setup
from tests.recording.cases.edges import listings, refusals, routes
from tests.recording.cases.faults import TIGHT, falls, faults, impatience
from tests.recording.cases.providers import ROWS, handovers, providers, simulated, unread
from tests.recording.cases.requests import clients, contents, matrix, modes, wishes
from tests.recording.cases.sessions import sessions, stored

SETUPS = (
    Setup("requests", (matrix, modes, wishes, clients, contents)),
    Setup("sessions", (sessions, stored)),
    Setup("edges", (routes, listings, refusals)),
    Setup("faults", (faults,)),
    Setup("falls", (falls,)),
    Setup("tight", (impatience,), TIGHT + key_rows()),
    Setup("callers", (callers,), key_rows()),
    Setup("providers", (providers, handovers), ROWS, single=False),
    Setup("vendors", (providers, stored), ROWS.replace("AGGREGATED", ""), single=False),
    Setup("simulated", (simulated,), single=False),
    Setup("no engine", (unread,), engine=False),
)
