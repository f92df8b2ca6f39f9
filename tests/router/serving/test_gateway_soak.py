"""A short soak; ``python -m benchmarks.speed.soak`` is the long one."""

from __future__ import annotations

import pytest
import uvloop

from benchmarks.speed.soak import soak
from tests.gateway_rig import StubEngine


@pytest.mark.slow
def test_a_thousand_mixed_failures_lose_duplicate_and_leave_nothing():
    found = uvloop.run(soak(1200, 48, load_engine=lambda folder, catalogue: StubEngine()))
    for what in ("lost", "not_ended", "duplicated", "tasks_left", "upstream_connections_left"):
        assert found[what] == 0, found
    assert {"200", "SSE", "400", "429", "502"} <= found["seen"].keys()
    sizes = [part["mb"] for part in found["parts"]]
    assert sizes[-1] < sizes[1] + 15
