"""Time without the cyclic collector, in which a body is parsed."""

from __future__ import annotations

import gc
from threading import Lock
from typing import Final


class Pause:
    """Time in which the cyclic collector does not run, in any thread.

    What a parser makes is no garbage, but each few hundred of its values start a collection that goes
    over them: 87,000 empty lists took four to eight times as long.  Pauses may overlap; the last to
    end brings the collector back, if it ran before the first.
    """

    def __init__(self) -> None:
        """Begin with nobody inside."""
        self._lock = Lock()
        self._inside = 0
        self._was_on = False

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._was_on = gc.isenabled()
                gc.disable()
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._was_on:
                gc.enable()


PAUSE: Final = Pause()
"""The collector is the process's, and so is its pause."""
