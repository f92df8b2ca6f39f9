"""Keep a record of every request: one line of JSON each, in a file.

Run ``python -m examples.record_hook requests.jsonl`` instead of ``auto-efficient serve``; settings are
read as always.  A record holds no text of anybody's: what is in it is said in docs/privacy.md.

``record`` is called on the event loop at the end of every request and must not wait, so lines go
through a queue to a thread that writes.  It serves one worker: with several, write to something
that processes can share.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from pathlib import Path

import orjson

from auto_efficient import Record, Settings, as_row, serve


class JsonLines:
    """Write each record as a line; ``close`` waits until all are written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write)
        self._writer.start()

    def __call__(self, record: Record) -> None:
        """Take a record, without waiting for the disk."""
        self._lines.put(orjson.dumps(as_row(record)) + b"\n")

    def close(self) -> None:
        """Write what is left."""
        self._lines.put(None)
        self._writer.join()

    def _write(self) -> None:
        with self._path.open("ab", buffering=0) as file:
            while (line := self._lines.get()) is not None:
                file.write(line)


def main() -> None:
    """Serve, and keep the records in the file that is named."""
    records = JsonLines(Path(sys.argv[1]))
    try:
        serve(Settings.load(environ=os.environ), record=records)
    finally:
        records.close()


if __name__ == "__main__":
    main()
