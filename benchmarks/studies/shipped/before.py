"""The rule and the table that shipped until December 2026, for before and after.

The old artefact keeps joint draws of every cell in base64; it is read from the repository's history.
"""

from __future__ import annotations

import base64
import json
import subprocess
from typing import Any, Final

import numpy as np

from benchmarks.judge.replay import proven_picks
from benchmarks.studies.shipped.ground import Array32
from benchmarks.table.build import Posterior
from benchmarks.table.item_response import Ints
from classifier.tasks import N_LEVELS, TYPES
from router.evidence.catalogue import MODELS_DIR
from router.evidence.table import Stop, unit_of
from router.values import DIALS, Dial

COMMIT: Final = "03ea9b9"
"""The last one with the old table and its rule."""

DRAW_SCALE: Final = 65535
"""One is spelled so in the old artefact."""


def table_before() -> Posterior | None:
    """Return the old table; None outside a checkout that has its commit."""
    command = ["git", "show", f"{COMMIT}:models/table.json"]
    try:
        shown = subprocess.run(command, cwd=MODELS_DIR, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return posterior_of(json.loads(shown.stdout))


def posterior_of(raw: dict[str, Any]) -> Posterior:
    """Turn the old artefact's JSON into arrays."""
    units = tuple(unit_of(u["model"], u["effort"]) for u in raw["units"])
    shape = (len(TYPES), N_LEVELS, len(units))
    cells = {name: np.array(column).reshape(shape) for name, column in raw["cells"].items()}
    packed = np.frombuffer(base64.b64decode(raw["draws"]), dtype="<u2")
    return Posterior(
        units=units,
        draws=packed.reshape(*shape, -1).astype(np.float32) / np.float32(DRAW_SCALE),
        cost_usd=cells["cost_usd"],
        cost_upper_usd=cells["cost_upper_usd"],
        items=cells["items"].astype(np.int64),
        successes=cells["successes"].astype(float),
        scales={},
    )


def kept(posterior: Posterior, rows: Ints) -> Posterior:
    """Return some units only."""
    columns = ("draws", "cost_usd", "cost_upper_usd", "items", "successes")
    return Posterior(
        units=tuple(posterior.units[i] for i in rows),
        scales=posterior.scales,
        **{name: getattr(posterior, name)[:, :, rows] for name in columns},
    )


def stops() -> list[Stop]:
    """Return stops for a table whose rule knew no price."""
    return [Stop(dial.margin, 1.0) for dial in DIALS.values()]


def picks_before(posterior: Posterior, p_type: Array32, p_level: Array32, dial: Dial) -> Ints:
    """Pick as the old rule did, (n,)."""
    return proven_picks(posterior, p_type, p_level, dial.margin, dial.confidence)
