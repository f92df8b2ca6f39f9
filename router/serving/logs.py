"""What a log says: one line per event, whatever the words of a client hold.

Names of models, paths and errors quote what clients sent.  A line break among them would begin a
line that looks like ours, and an escape sequence would act on the terminal that shows it.
"""

from __future__ import annotations

import logging
from typing import Any, Final

FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"

LINE_CHARS: Final = 4000
"""Longest message; an error quotes some hundred characters of a request, an upstream's more."""


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


def log_to_stderr(level: int) -> None:
    """Let everything that is logged in this process go to standard error, as said above."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine(FORMAT))
    logging.basicConfig(level=level, handlers=[handler])
