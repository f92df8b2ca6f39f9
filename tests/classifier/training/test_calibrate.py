"""Temperatures are fitted where there is something to fit them to."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.training.calibrate import best_temperature, cooled


def test_of_nothing_the_temperature_is_one():
    assert best_temperature(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0)) == 1.0
    assert best_temperature(np.full((2, 2), 0.5), np.eye(2), np.zeros(2)) == 1.0


def test_what_is_too_sure_is_cooled():
    """Of predictions sharpened threefold, the best temperature undoes it."""
    rng = np.random.default_rng(1)
    honest = rng.dirichlet(np.ones(4), 4000)
    drawn = np.eye(4)[[rng.choice(4, p=p) for p in honest]]
    sharp = cooled(honest, 1 / 3)
    assert best_temperature(sharp, drawn, np.ones(4000)) == pytest.approx(3, rel=0.15)
