"""The ready studies: one module each, under its name, and all of them by name.

A new study is a module here that holds a ``STUDY``, and its name in ``NAMES``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from benchmarks.studies.study import Study

NAMES: Final = (
    "sessions", "routellm", "eleven", "agents", "promise", "table", "difficulty", "reading", "invariance",
)  # fmt: skip


def load_study(name: str) -> Study[Any]:
    """Import a study, and scikit-learn or matplotlib only with it; raises KeyError."""
    if name not in NAMES:
        raise KeyError(name)
    study: Study[Any] = import_module(f"benchmarks.studies.{name}").STUDY
    return study
