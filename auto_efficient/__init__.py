"""Auto Efficient: serve each request with the cheapest model that evidence shows to be adequate.

What stands in ``__all__`` is the public interface: it changes with the version, and is documented in
docs/embed.md.  Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from router import __version__

if TYPE_CHECKING:
    from classifier.model import Assessment
    from router.books.record import End, Record, Tell, as_row
    from router.callers.keys import Key
    from router.decision.engine import Engine
    from router.errors import RouterError
    from router.serving.app import create_app, serve
    from router.sessions.file import FileSessions
    from router.sessions.session import Session
    from router.sessions.steps import hear, on_decision, on_request, on_serving, on_usage
    from router.sessions.store import MemorySessions, Sessions
    from router.settings import Settings
    from router.values import (
        DIALS,
        Decision,
        Dial,
        Failure,
        Interface,
        Limits,
        Move,
        Needs,
        Unit,
        Usage,
    )
    from router.wire.request import ChatRequest, from_text, parse

_HOMES: Final = {
    "Assessment": "classifier.model",
    "ChatRequest": "router.wire.request",
    "DIALS": "router.values",
    "Decision": "router.values",
    "Dial": "router.values",
    "End": "router.books.record",
    "Engine": "router.decision.engine",
    "Failure": "router.values",
    "FileSessions": "router.sessions.file",
    "Interface": "router.values",
    "Key": "router.callers.keys",
    "Limits": "router.values",
    "MemorySessions": "router.sessions.store",
    "Move": "router.values",
    "Needs": "router.values",
    "Record": "router.books.record",
    "RouterError": "router.errors",
    "Session": "router.sessions.session",
    "Sessions": "router.sessions.store",
    "Settings": "router.settings",
    "Tell": "router.books.record",
    "Unit": "router.values",
    "Usage": "router.values",
    "as_row": "router.books.record",
    "create_app": "router.serving.app",
    "from_text": "router.wire.request",
    "hear": "router.sessions.steps",
    "on_decision": "router.sessions.steps",
    "on_request": "router.sessions.steps",
    "on_serving": "router.sessions.steps",
    "on_usage": "router.sessions.steps",
    "parse": "router.wire.request",
    "serve": "router.serving.app",
}

__all__ = [
    "Assessment",
    "ChatRequest",
    "DIALS",
    "Decision",
    "Dial",
    "End",
    "Engine",
    "Failure",
    "FileSessions",
    "Interface",
    "Key",
    "Limits",
    "MemorySessions",
    "Move",
    "Needs",
    "Record",
    "RouterError",
    "Session",
    "Sessions",
    "Settings",
    "Tell",
    "Unit",
    "Usage",
    "__version__",
    "as_row",
    "create_app",
    "from_text",
    "hear",
    "on_decision",
    "on_request",
    "on_serving",
    "on_usage",
    "parse",
    "serve",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
