"""What would have changed a decision: made again with one thing otherwise, against a table of today.  Pure.

Each variation changes one of its basics and leaves the rest; who serves then is what the engine says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from classifier.tasks import N_LEVELS
from router.books.workings import Basics, again
from router.decision.engine import Engine
from router.errors import RouterError
from router.sessions.session import NEW
from router.values import DIALS, NO_LIMITS


class Variation(NamedTuple):
    """A decision made again with something otherwise."""

    what: str
    """That is otherwise."""
    unit: str | None
    """Who would serve; None: nobody fits."""
    why: str
    same: bool
    """Whether that is who was decided on."""
    quality: float | None = None
    usd: float | None = None


AS_IT_WAS: Final = "nothing"


def reconsidered(basics: Basics, engine: Engine, unit: str) -> list[Variation]:
    """Return a decision for ``unit`` made again, first with nothing changed but the table."""
    return [_varied(what, other, engine, unit) for what, other in _others(basics)]


def _others(basics: Basics) -> Iterator[tuple[str, Basics]]:
    yield AS_IT_WAS, basics
    for name, dial in DIALS.items():
        if name != basics.dial.name:
            yield f"dial {name}", replace(basics, dial=dial)
    if basics.limits != NO_LIMITS:
        yield "no limits", replace(basics, limits=NO_LIMITS)
    if basics.session.incumbent is not None:
        yield "a new session", replace(basics, session=NEW)
    for words, by in (("one level easier", -1), ("one level harder", 1)):
        read = basics.assessment
        moved = _moved(read.p_level, by)
        if not np.array_equal(moved, read.p_level):
            yield words, replace(basics, assessment=replace(read, p_level=moved))


def _moved(p_level: np.ndarray, by: int) -> np.ndarray:
    """Return a distribution over levels moved by one; what would leave the scale stays at its end."""
    moved = np.zeros_like(p_level)
    for level, p in enumerate(p_level):
        moved[min(max(level + by, 0), N_LEVELS - 1)] += p
    return moved


def _varied(what: str, basics: Basics, engine: Engine, unit: str) -> Variation:
    try:
        made = again(basics, engine)
    except RouterError as error:
        return Variation(what, None, str(error), same=False)
    served = str(made.unit)
    return Variation(
        what, served, made.why, served == unit, made.expected_quality, made.expected_cost_usd
    )
