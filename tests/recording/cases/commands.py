"""What the command line is asked: ``auto-efficient route``."""

from __future__ import annotations

import json
import shlex

from tests.recording.cases.asks import ASKS
from tests.recording.cases.case import ask
from tests.recording.formats import WIRES

ASKING = {"x-kilocode-mode": "ask"}
LINES = [
    *({"text": text} for text in ASKS),
    *({"path": w.path, "headers": ASKING, "body": ask(w, ASKS[0])} for w in WIRES),
]
FILES = {
    "asks.jsonl": "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in LINES),
    "broken.jsonl": '{"text": "hi"}\n{"text": 7}\nno\n[]\n',
}
"""What the commands read; ``missing.jsonl`` is not among it."""
LIMITS = [
    "", "--dial quality", "--dial economy", "--open-weights", "--allow-logging", "--max-cost 0.05",
    "--deny minimax/minimax-m3 --deny openai/gpt-5.5", "--dial quality --open-weights --max-cost 0.3",
]  # fmt: skip
COMMANDS: list[tuple[str, bytes]] = [
    *((f"--jsonl asks.jsonl {limits}", b"") for limits in LIMITS),
    ("--jsonl broken.jsonl", b""),
    ("--jsonl missing.jsonl", b""),
    *((f"{shlex.quote(text)} --json", b"") for text in (ASKS[0], ASKS[50], "")),
    (f"{shlex.quote(ASKS[7])} --dial quality", b""),
    (f"{shlex.quote(ASKS[7])} --mode title -H 'x-auto-dial: economy' --json", b""),
    ("hello --dial fastest", b""),
    ("hello --max-cost 0 --json", b""),
    *((f"--path {wire.path} --json", json.dumps(ask(wire, ASKS[34])).encode()) for wire in WIRES),
    ("--path /v1/telegrams --json", b"{}"),
    ("--json", b"{"),
]
"""What ``auto-efficient route`` is called with, and its standard input."""
