"""What the books cost: how fast they are written, how fast pages read ten million requests, how large.

``python -m benchmarks.speed.books --rows N --url URL`` fills an empty database with N requests of 90
days (500 callers in 20 teams, 25 models, sessions of some twenty requests) through the tables and sums
that the gateway keeps, and times every query that a page makes.  ``--ledger N`` tells N records to a
real ``Ledger`` instead and says how many rows a second it writes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from sqlalchemy import Engine, insert, text

from classifier.tasks import TYPES
from router.books import queries, rollups
from router.books.ledger import Ledger
from router.books.record import End, Record
from router.storage.database import open_database, writing
from router.storage.schema import GROUPS, requests
from router.values import Interface, Unit, Usage

DAYS: Final = 90
CALLERS: Final = 500
TEAMS: Final = 20
VENDORS: Final = ("anthropic", "openai", "google", "qwen", "deepseek")
MODELS: Final = tuple(f"{vendor}/model-{i}" for vendor in VENDORS for i in range(5))
TIERS: Final = ("kilo-auto/efficient", "kilo-auto/frontier", "kilo-auto/balanced", "kilo-auto/free")
ENDS: Final = ("served", "served", "failed", "refused", "left")
MOVES: Final = ("stay", "begin", "switch", "escalate")
EVIDENCE: Final = ("measured", "related", "prior")
WHY: Final = (
    "bug fixing (97% sure), difficulty 1.7 of 4: best buy of 57 likely near the best, 71% at $0.0531 "
    "for this request and the rest of its task, against 82% at $2.25"
)
BATCH: Final = 25_000
"""Rows of one transaction."""

SLOTS: Final = 8
"""Sessions that a caller has in a day."""

FIRST: Final[dict[str, Any]] = dict.fromkeys(requests.columns.keys()) | {
    "subagent": False,
    "anonymous": False,
}
"""What a row has unless it is said otherwise."""


class Timed(NamedTuple):
    """How long a query took."""

    name: str
    first_s: float
    best_s: float


def rows_of(n: int, begin: int, total: int, now_s: float) -> Iterator[dict[str, Any]]:
    """Yield requests ``begin`` to ``begin + n`` of ``total``, the oldest first."""
    rng = np.random.default_rng(begin)
    at_s = now_s - DAYS * 86_400 * (1 - (begin + np.arange(n)) / total)
    caller = (CALLERS * rng.random(n) ** 2).astype(int)
    session = ((caller * 1000) + (at_s // 86_400).astype(int) % 1000) * SLOTS
    session += rng.integers(0, SLOTS, n)
    mixed = (session * 2_654_435_761) % (1 << 32)  # Knuth's multiplicative hash
    tier = np.searchsorted((0.7, 0.8, 0.95), mixed / (1 << 32))
    model = np.where(rng.random(n) < 0.05, rng.integers(0, 25, n), (mixed >> 8) % 25)
    task = ((mixed >> 14) + (rng.random(n) < 0.3)) % len(TYPES)
    end = np.searchsorted((0.5, 0.96, 0.98, 0.99), rng.random(n))
    move = np.searchsorted((0.9, 0.96, 0.99), rng.random(n))
    known = np.searchsorted((0.5, 0.85), rng.random(n))
    input_tokens = rng.integers(1000, 120_000, n)
    output_tokens = rng.integers(20, 3000, n)
    first_s, longer_s = rng.lognormal(0.5, 0.8, n), rng.lognormal(1.5, 1.0, n)
    usd = input_tokens * 4e-7 + output_tokens * 3e-6
    columns = (caller, session, tier, model, task, end, move, known, input_tokens, output_tokens)
    floats = (at_s, first_s, longer_s, usd)
    for i, (row, numbers) in enumerate(
        zip(
            zip(*(c.tolist() for c in columns), strict=True),
            zip(*(c.tolist() for c in floats), strict=True),
            strict=True,
        ),
        begin,
    ):
        yield _row(i, row, numbers)


def _row(i: int, row: tuple[int, ...], numbers: tuple[float, ...]) -> dict[str, Any]:
    caller, session, tier, model, task, end, move, known, input_tokens, output_tokens = row
    at_s, first_s, longer_s, usd = numbers
    return FIRST | {
        "seq": i + 1,
        "decision_id": f"{i:016x}",
        "at_s": at_s,
        "end": ENDS[end],
        "status": 200 if end < 2 else 502,
        "interface": "chat",
        "total_s": first_s + longer_s,
        "first_s": first_s,
        "decided_s": 0.002,
        "caller": f"caller-{caller:03d}",
        "team": f"team-{caller % TEAMS:02d}",
        "asked_model": TIERS[tier],
        "streams": True,
        "body_bytes": input_tokens * 4,
        "mode": "code",
        "session": f"{session:032x}",
        "ask": f"{session:016x}",
        "tier": TIERS[tier],
        "task": TYPES[task],
        "difficulty": 1 + first_s % 3,
        "confidence": 0.9,
        "move": MOVES[move],
        "why": WHY,
        "evidence": EVIDENCE[known],
        "expected_quality": 0.7,
        "expected_cost_usd": usd * 8,
        "model": MODELS[model],
        "effort": "high",
        "provider": MODELS[model].partition("/")[0],
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "cached_tokens": input_tokens // 2,
        "cache_write_tokens": 0,
        "reasoning_tokens": 0,
        "usd": usd,
        "frontier_usd": usd * 6,
        "balanced_usd": usd * 2,
        "saved_usd": usd * 5,
        "failures": "" if end != 2 else "a/b=timeout (a 504, the moment)",
    }


def fill(engine: Engine, n: int, now_s: float) -> float:
    """Write n requests and their sums; return rows a second."""
    began = time.perf_counter()
    for begin in range(0, n, BATCH):
        rows = list(rows_of(min(BATCH, n - begin), begin, n, now_s))
        with writing(engine) as connection:
            connection.execute(insert(requests), rows)
            rollups.add(connection, rows)
        if begin % (BATCH * 20) == 0:
            sys.stderr.write(f"{begin + len(rows):,} rows, {time.perf_counter() - began:.0f} s\n")
    if engine.dialect.name == "postgresql":
        top = text(
            "SELECT setval(pg_get_serial_sequence('requests', 'seq'), max(seq)) FROM requests"
        )
        with writing(engine) as connection:
            connection.execute(top)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))
    return n / (time.perf_counter() - began)


def asked(now_s: float, total: int) -> dict[str, Callable[[Engine], object]]:
    """Return every query that a page makes, by name; ``total`` rows are there."""
    made: dict[str, Callable[[Engine], object]] = {}
    drawn = {"model": MODELS, "caller": ("caller-000", "caller-001", "caller-499")}
    for name, span in queries.SPANS.items():
        of: dict[str, Any] = {"span": span, "now_s": now_s}
        made[f"overview {name}: totals"] = partial(queries.totals, **of)
        made[f"overview {name}: series"] = partial(queries.series, **of)
        for by in GROUPS:
            made[f"overview {name}: by {by}"] = partial(queries.grouped, **of, by=by)
        for by, names in drawn.items():
            made[f"overview {name}: lines by {by}"] = partial(
                queries.lines, **of, by=by, names=names
            )
    sought = {
        "all": queries.Filter(),
        "caller": queries.Filter(caller="caller-499"),
        "model": queries.Filter(model=MODELS[7]),
        "end": queries.Filter(end="failed"),
        "task": queries.Filter(task=TYPES[3]),
        "tier": queries.Filter(tier=TIERS[3]),
        "nothing found": queries.Filter(caller="nobody", end="failed", model="x/y"),
        "caller, end, task": queries.Filter(caller="caller-499", end="failed", task=TYPES[3]),
    }
    for name, filter_ in sought.items():
        for place, before in (("newest", None), ("middle", total // 2)):
            made[f"decisions, {name}, {place}"] = partial(
                queries.page, sought=filter_, before=before
            )
    row = f"{total // 2:016x}"
    return made | {
        "decisions newer than the last": partial(
            queries.newer, sought=queries.Filter(), after=total - 20
        ),
        "one decision": partial(queries.one, decision_id=row),
        "its workings": partial(queries.working, decision_id=row),
        "sessions": partial(queries.sessions, before=None),
        "one session": lambda engine: queries.session(engine, _session_at(engine, total // 2)),
        "changes": queries.changes,
    }


def _session_at(engine: Engine, seq: int) -> str:
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT session FROM requests WHERE seq = :seq"), {"seq": seq}
        ).scalar()
    return str(found)


def timed(engine: Engine, now_s: float, total: int) -> list[Timed]:
    """Time every query: the first try, and the best of three."""
    found = []
    for name, query in asked(now_s, total).items():
        took = []
        for _ in range(3):
            began = time.perf_counter()
            query(engine)
            took.append(time.perf_counter() - began)
        found.append(Timed(name, took[0], min(took)))
    return found


def sizes(engine: Engine) -> dict[str, float]:
    """Return the size of the database in MB, by table with its indexes where that can be had."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            of = "SELECT relname, pg_total_relation_size(relid) FROM pg_stat_user_tables"
            return {name: round(size / 1e6, 1) for name, size in connection.execute(text(of))}
    path = Path(str(engine.url.database))
    return {path.name: round(path.stat().st_size / 1e6, 1)}


def counts(engine: Engine) -> dict[str, int]:
    """Return how many rows the tables of sums have."""
    with engine.connect() as connection:
        return {
            name: int(connection.execute(text(f"SELECT count(*) FROM {name}")).scalar() or 0)
            for name in ("hours", "days", "days_by")
        }


def ledger_rows_per_s(engine: Engine, n: int) -> float:
    """Tell a real ledger n records, as fast as it takes them; return how many it writes a second."""
    rows = list(rows_of(n, 0, n, time.time()))
    ledger = Ledger(engine)
    began, now_s = time.perf_counter(), time.time()
    for i, row in enumerate(rows):
        while ledger.waiting > 10_000:
            time.sleep(0.005)
        ledger.tell(
            Record(
                decision_id=f"ledger-{began:.0f}-{i:x}"[:32],
                end=End(row["end"]),
                status=row["status"],
                error=None,
                interface=Interface.CHAT,
                total_s=row["total_s"],
                at_s=now_s,
                first_s=row["first_s"],
                caller=row["caller"],
                team=row["team"],
                session=row["session"],
                tier=row["tier"],
                task=row["task"],
                why=row["why"],
                unit=Unit(row["model"], row["effort"]),
                provider=row["provider"],
                usage=Usage(row["input_tokens"], row["output_tokens"], row["cached_tokens"]),
                usd=row["usd"],
                frontier_usd=row["frontier_usd"],
                balanced_usd=row["balanced_usd"],
                saved_usd=row["saved_usd"],
            )
        )
    ledger.close(60.0)
    return n / (time.perf_counter() - began)


def main() -> None:
    """Run it and print what was found as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=0, help="fill an empty database with so many")
    parser.add_argument("--url", required=True, help="of the database")
    parser.add_argument("--ledger", type=int, default=0, help="rows to write through the ledger")
    args = parser.parse_args()
    engine, now_s = open_database(args.url), time.time()
    found: dict[str, Any] = {}
    if args.rows:
        found["filled_rows_per_s"] = round(fill(engine, args.rows, now_s))
    if args.ledger:
        found["ledger_rows_per_s"] = round(ledger_rows_per_s(engine, args.ledger))
    else:
        total = queries.newest(engine)
        found |= {"rows": total, "sums": counts(engine), "mb": sizes(engine)}
        found["queries"] = [row._asdict() for row in timed(engine, now_s, total)]
    engine.dispose()
    sys.stdout.write(json.dumps(found, indent=1, default=lambda s: round(s, 4)) + "\n")


if __name__ == "__main__":
    main()
