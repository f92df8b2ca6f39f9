"""Time without the cyclic collector, in which a body is parsed."""

from __future__ import annotations

import gc
import time
from threading import Lock
from typing import Final

LONGEST_S: Final = 2.0
"""After which a pause that others keep up ends by itself.  The largest body is parsed in less; under
one large body after the other the collector must run all the same."""


class Pause:
    """Time in which the cyclic collector does not run, in any thread.

    What a parser makes is no garbage, but each few hundred of its values start a collection that goes
    over them: 87,000 empty lists took four to eight times as long.  Pauses may overlap; the last to
    end brings the collector back, if it ran before the first, and so does one that begins when they
    have overlapped for ``longest_s``.
    """

    def __init__(self, longest_s: float = LONGEST_S) -> None:
        """Begin with nobody inside."""
        self._longest_s = longest_s
        self._began = 0.0
        self._lock = Lock()
        self._inside = 0
        self._was_on = False

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._began, self._was_on = time.monotonic(), gc.isenabled()
                gc.disable()
            elif self._was_on and time.monotonic() - self._began > self._longest_s:
                gc.enable()
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._was_on:
                gc.enable()


PAUSE: Final = Pause()
"""The collector is the process's, and so is its pause."""
