"""Record what a gateway does, seen from outside; compare two recordings.

Use it before and after each move of a refactoring, which must change nothing that a client or a
provider can see.  Every reply and everything that the upstream received is written down, byte for
byte; what was meant to change shows as a difference, to be read, and nothing else may::

    python -m tests.recording record --gateway .venv/bin/auto-efficient --out before.json
    python -m tests.recording record --gateway .venv/bin/auto-efficient --out after.json
    python -m tests.recording compare before.json after.json      # exit code 1 if they differ

A recording takes one to three minutes.  ``--cwd`` plays another checkout with the same cases:
nothing of the project is imported, so any commit that keeps the command line will do, and this
folder also runs by its path, ``python tests/recording record ...``.

To read it: ``formats`` (what both sides say), ``upstream`` (who answers), ``cases`` (what is
asked), ``play`` (how it is written down), ``compare``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from pathlib import Path

if not __package__:  # run by its path
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from tests.recording.compare import report
from tests.recording.play import record


def write(args: argparse.Namespace) -> int:
    entries = asyncio.run(record(args.gateway, args.cwd, args.cwd / args.models, args.only))
    args.out.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", "utf-8")
    sys.stdout.write(f"wrote {len(entries)} entries to {args.out}\n")
    return 0


def compare(args: argparse.Namespace) -> int:
    sides = (json.loads(path.read_text("utf-8")) for path in (args.old, args.new))
    old, new = ([e for e in side if re.search(args.only, e["name"])] for side in sides)
    told, differ = report(old, new, args.most, args.lines)
    sys.stdout.write(told + "\n")
    return int(differ)


def main() -> int:
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m tests.recording", description=about)
    commands = parser.add_subparsers(required=True)
    recording = commands.add_parser("record", help="play every case against a checkout")
    recording.set_defaults(run=write)
    option = recording.add_argument
    option(
        "--gateway", required=True, help="the checkout's auto-efficient command, seen from --cwd"
    )
    option("--cwd", type=Path, default=".", help="folder to run it in: the checkout")
    option("--models", default="models", help="its data, seen from --cwd")
    option("--out", type=Path, required=True, help="file to write")
    option("--only", default="", help="set-ups to play, a regular expression; alike on both sides")
    comparing = commands.add_parser("compare", help="print differences; exit 1 if there are any")
    comparing.set_defaults(run=compare)
    option = comparing.add_argument
    option("old", type=Path)
    option("new", type=Path)
    option("--only", default="", help="entries to compare, a regular expression")
    option("--most", type=int, default=30, help="differing parts to print")
    option("--lines", type=int, default=40, help="lines to print of each")
    args = parser.parse_args()
    return int(args.run(args))


if __name__ == "__main__":
    sys.exit(main())
