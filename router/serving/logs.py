"""What a log says: one line per event, whatever the words of a client hold.

Names of models, paths and errors quote what clients sent.  A line break among them would begin a
line that looks like ours, and an escape sequence would act on the terminal that shows it.  So a line is
a JSON object, which escapes them, or text whose every character prints.

Lines are written by a thread of its own: whoever reads standard error slowly makes nobody wait.  It has
room for ``ROOM`` lines, and what finds none is counted and told once there is room again.
"""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
from datetime import UTC, datetime
from logging.handlers import QueueHandler
from typing import Any, Final

from router.books.record import TOKENS, Record, as_row
from router.settings import LogFormat
from router.wire.loose import dumps

FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"

LINE_CHARS: Final = 4000
"""Longest message; an error quotes some hundred characters of a request, an upstream's more."""

ROOM: Final = 10_000
"""Lines that wait, some 2 KB each: ten seconds of a busy gateway."""

ENDS_S: Final = 1.0
"""How long a process that ends waits for its last lines."""

log = logging.getLogger(__name__)


TOLD_OF: Final = "request"
"""The attribute of a log record that holds a request's ``Record``."""

WHO: Final = ("end", "status", "caller", "tier", "model", "effort", "provider", "move", "task")
WHY: Final = ("why", "error", "failures")
"""Fields of ``as_row`` that a request's line tells as they are."""


def one_line(text: str) -> str:
    """Return a text with every character that does not print written as its escape, cut."""
    text = text if len(text) <= LINE_CHARS else text[: LINE_CHARS - 3] + "..."
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class OneLine(logging.Formatter):
    """Write each message as one line; those of a traceback begin with a space, as no message does."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Escape the message."""
        record.message = one_line(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        """Set the traceback in."""
        lines = super().formatException(ei).splitlines()
        return "\n".join("  " + one_line(line) for line in lines)


class JsonLine(logging.Formatter):
    """Write each event as one line that is a JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Tell of a request by its fields, of anything else in words."""
        told = getattr(record, TOLD_OF, None)
        if isinstance(told, Record):
            return _dumped(request_fields(told))
        fields = {
            "time": _time(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage()[:LINE_CHARS],
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return _dumped(fields)


def request_fields(record: Record) -> dict[str, Any]:
    """Return what the log tells of a request, always under the same keys; no prompt, and no secret."""
    row, first_s = as_row(record), record.first_s
    tokens = {name.removesuffix("_tokens"): row[name] for name in TOKENS}
    return {
        "time": _time(record.at_s),
        "id": record.decision_id,
        **{name: row[name] for name in WHO},
        "tokens": tokens if record.usage else None,
        "usd": record.usd,
        "saved_usd": record.saved_usd,
        "ms": round(record.total_s * 1e3, 1),
        "first_ms": None if first_s is None else round(first_s * 1e3, 1),
        **{name: row[name] for name in WHY},
    }


def _time(at_s: float) -> str:
    """Write a time as RFC 3339 has it, in UTC."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")


def _dumped(fields: dict[str, Any]) -> str:
    """Write an object on one line: U+0085 and its like, which JSON lets stand, end lines for some."""
    text = dumps(fields).decode()
    return text if text.isprintable() else _escaped(text)


def _escaped(text: str) -> str:
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


class QueuedLines(QueueHandler):
    """Queues lines for a thread that writes them, and never waits: it counts what finds no room."""

    def __init__(self, form: logging.Formatter, room: int = ROOM) -> None:
        """Begin to write."""
        self._lines: queue.Queue[logging.LogRecord] = queue.Queue(room)
        super().__init__(self._lines)
        self._form = form
        self.lost = 0
        """Lines, since the process began."""
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Write the message out, for its parts may change; a request's does not."""
        if getattr(record, TOLD_OF, None) is None:
            record.msg, record.args = record.getMessage(), None
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue a line if there is room."""
        try:
            self._lines.put_nowait(record)
        except queue.Full:
            self.lost += 1

    def flush(self) -> None:
        """Wait until what is queued is written, ``ENDS_S`` at most."""
        lines = self._lines
        with lines.all_tasks_done:
            lines.all_tasks_done.wait_for(lambda: not lines.unfinished_tasks, ENDS_S)

    def _run(self) -> None:
        told = 0
        while True:
            written = self._write(self._lines.get())
            self._lines.task_done()
            if written and self.lost > told and self._lines.empty():
                missing, told = self.lost - told, self.lost
                log.warning("%d lines of the log are lost: they were not read in time", missing)

    def _write(self, record: logging.LogRecord) -> bool:
        """Write past the buffer of ``sys.stderr``, for whose lock a process that ends would wait.

        Says whether it could: of a closed one nothing is logged, which would be lost in turn, for ever.
        """
        try:
            data = (self._form.format(record) + "\n").encode("utf-8", "backslashreplace")
            while data:
                data = data[os.write(sys.stderr.fileno(), data) :]
        except (
            Exception
        ):  # whatever a line holds, and whoever closed its reader: the next one comes
            self.lost += 1
            return False
        return True


FORMS: Final = {LogFormat.JSON: JsonLine(), LogFormat.TEXT: OneLine(FORMAT)}


def log_to_stderr(level: int, form: LogFormat) -> None:
    """Let what is logged in this process go to standard error, as said above; once.

    ``level`` is of what the gateway says; of what libraries say, warnings go there.
    """
    logging.basicConfig(level=logging.WARNING, handlers=[QueuedLines(FORMS[form])])
    logging.getLogger("router").setLevel(level)


def lost_lines() -> int:
    """Return how many lines of this process's log are lost."""
    return sum(found.lost for found in _queues())


def flush_log() -> None:
    """Wait a moment for what is logged to be written: a signal may end the process next."""
    for found in _queues():
        found.flush()


def _queues() -> list[QueuedLines]:
    return [found for found in logging.getLogger().handlers if isinstance(found, QueuedLines)]
