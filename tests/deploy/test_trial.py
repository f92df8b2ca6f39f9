"""Two replicas with a real store and a real database, of which each goes and comes back."""

from __future__ import annotations

import pytest

from deploy.trial import trial


@pytest.mark.slow
async def test_two_replicas_lose_nothing_that_was_acknowledged_and_hold_their_limits():
    verdict = await trial(phase_s=1.0)
    failed = [said for said, held in verdict.kept.items() if not held]
    assert verdict.good, (failed, verdict.numbers)
