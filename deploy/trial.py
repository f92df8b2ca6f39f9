"""``python -m deploy.trial``: two replicas with a real Redis and a real PostgreSQL, and what is done to them.

The processes of ``compose.yaml`` on this machine's loopback, without containers: two gateways (each with
a folder of its own, as on two machines), a load balancer that gives connections out in turn, Redis and
PostgreSQL.  Under load one replica is killed and started again, Redis stops and starts, PostgreSQL
stops and starts.  What must hold is in ``Verdict.kept``; numbers are printed as JSON, and the exit code is 1
when anything did not hold.

It runs from a checkout with the development requirements, where ``redis-server`` and PostgreSQL 15 are
installed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg

from router.values import Interface
from tests.gateway_rig import PATHS, ask
from tests.load import Answered
from tests.processes import Served, served
from tests.services import Service, postgres_server, redis_server

CONNECTIONS: Final = 12
PER_HOUR: Final = 40
"""What a stranger may ask in an hour, at all replicas together."""
AWAY_SHARE: Final = 0.25
"""Of what is left of a limit a replica admits so much while the store is away."""
KEY: Final = "sk-test"
"""Of the caller that asks all the time; it stands in the settings, the others are made by the command."""
PER_MINUTE: Final = 20
BUDGET_USD: Final = 0.25
TERMS: Final = {
    "key:rated": {"requests_per_minute": PER_MINUTE},
    "key:bounded": {"budgets": [{"usd": BUDGET_USD, "per": "week"}]},
}
GRACE_S: Final = 1.0
"""Replies that ended so long before a kill must be in the books."""
RECOVERS_S: Final = 10.0

EFFICIENT: Final = "kilo-auto/efficient"
PIN: Final = "anthropic/claude-opus-4.8"
PINNED: Final = {"x-session-id": "pinned"}


@dataclass
class Verdict:
    """What was measured, and what held."""

    numbers: dict[str, Any] = field(default_factory=dict)
    kept: dict[str, bool] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether everything held."""
        return all(self.kept.values())


class Replica:
    """A gateway that can be killed and started again with what it kept."""

    def __init__(self, folder: Path, config: Path, store: Service, database: Service) -> None:
        self._environ = {
            "config": config,
            "state_dir": folder,
            "store": store.url,
            "database": database.url,
            "secret_key": "the same for all",
            "trust_forwarded": True,
            "anonymous_per_hour": PER_HOUR,
            "away_share": AWAY_SHARE,
        }
        self._held: AbstractContextManager[Served] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._held = served(**self._environ)
        self.running = self._held.__enter__()

    def stop(self) -> None:
        """Tell it to stop, and wait for that; nothing where it does not run."""
        if self._held is not None:
            self._held.__exit__(None, None, None)
            self._held = None

    def kill(self) -> None:
        """End it at once."""
        self.running.kill()
        self.stop()

    @property
    def port(self) -> int:
        """Where it listens."""
        return httpx.URL(self.running.url).port or 0


CONFIG: Final = f"""
[[callers]]
name = "load"
sha256 = "{hashlib.sha256(KEY.encode()).hexdigest()}"
"""


def make_key(database: Service, account: str, said: object) -> str:
    """Make a key by the command, and say what holds for it; returns the key."""
    command = [sys.executable, "-m", "auto_efficient"]
    environ = os.environ | {"AUTO_EFFICIENT_DATABASE": database.url}
    name = account.removeprefix("key:")
    some = ["keys", "create", name], ["terms", "set", account, json.dumps(said)]
    made, _ = (
        subprocess.run([*command, *rest], env=environ, check=True, capture_output=True, text=True)
        for rest in some
    )
    return made.stdout.strip()


# The load balancer.


@asynccontextmanager
async def balanced(replicas: Sequence[Replica]) -> AsyncIterator[int]:
    """Listen, and give each connection to the next replica that takes it; yields the port."""
    turn = 0
    open_: set[asyncio.StreamWriter] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal turn
        open_.add(writer)
        turn += 1
        first = turn  # who connects meanwhile must not make this one try the same replica twice
        for at in range(first, first + len(replicas)):
            port = replicas[at % len(replicas)].port
            with contextlib.suppress(OSError):
                there, back = await asyncio.open_connection("127.0.0.1", port)
                await asyncio.gather(pump(reader, back), pump(there, writer))
                break
        writer.close()
        open_.discard(writer)

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    for writer in open_:
        writer.transport.abort()
    while open_:  # noqa: ASYNC110 - what carried them ends by itself
        await asyncio.sleep(0.01)


# What must hold.


async def asked(
    replica: Replica, model: str, text: str = "fix it", **headers: str
) -> httpx.Response:
    """Ask a replica, on a connection of its own."""
    body = ask(Interface.CHAT, model, text=text)
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    if "x-forwarded-for" not in told:
        told = {"authorization": f"Bearer {KEY}"} | told
    async with httpx.AsyncClient(timeout=30) as client:
        return await client.post(
            replica.running.url + PATHS[Interface.CHAT], json=body, headers=told
        )


async def pin_holds(replicas: Sequence[Replica]) -> bool:
    """Say whether each replica serves the pinned session with its model."""
    found = [await asked(replica, EFFICIENT, **PINNED) for replica in replicas]
    return {answer.headers.get("x-auto-model") for answer in found} == {PIN}


async def sessions_hold(replicas: Sequence[Replica], n: int = 10) -> bool:
    """Say whether sessions that one replica began go on with their model at the other."""
    one, other = replicas
    for i in range(n):
        name, text = f"affinity {i}", f"Fix bug {i} of the lexer"
        began = await asked(one, EFFICIENT, text, x_session_id=name)
        after = await asked(other, EFFICIENT, text, x_session_id=name)
        if after.headers["x-auto-model"] != began.headers["x-auto-model"]:
            return False
        if after.headers["x-auto-move"] == "begin":
            return False
    return True


async def admitted(replicas: Sequence[Replica], n: int, **who: str) -> int:
    """Ask ``n`` times as somebody, all at once and at all replicas; return how often that was let in."""
    some = (asked(replicas[i % len(replicas)], "kilo-auto/free", **who) for i in range(n))
    found = [answer.status_code for answer in await asyncio.gather(*some)]
    assert set(found) <= {200, 429}, found
    return found.count(200)


async def limits_hold(
    replicas: Sequence[Replica], rated: str, bounded: str, verdict: Verdict
) -> None:
    """Use up an address's hour, a key's minute and a key's budget at both replicas."""
    n = await admitted(replicas, 2 * PER_HOUR, x_forwarded_for="203.0.113.1")
    verdict.numbers["admitted of a stranger's hour, at once at both"] = [n, PER_HOUR]
    verdict.kept["a limit of an hour holds across replicas"] = holds(n, PER_HOUR, replicas)
    while time.time() % 60 > 50:  # noqa: ASYNC110 - all in one minute, so that none of it slides away
        await asyncio.sleep(0.5)
    n = await admitted(replicas, 3 * PER_MINUTE, authorization=f"Bearer {rated}")
    verdict.numbers["admitted of a key's minute, at once at both"] = [n, PER_MINUTE]
    verdict.kept["a limit of a minute holds across replicas"] = holds(n, PER_MINUTE, replicas)
    verdict.numbers["times that a replica found the store too slow by then"] = slow(replicas)
    costs = await spent_by(replicas, authorization=f"Bearer {bounded}")
    verdict.numbers["dollars spent of a budget"] = [round(sum(costs), 4), BUDGET_USD, len(costs)]
    verdict.kept["a budget holds across replicas"] = 0 < sum(costs) <= BUDGET_USD + max(costs)


async def paid(replicas: Sequence[Replica]) -> None:
    """Ask as another stranger until each replica has told the store what it admitted alone.

    A replica does so with its next request that is counted, a second or more after it failed.
    """
    until = time.monotonic() + RECOVERS_S
    for replica in replicas:
        while replica.running.said.count("store is back") < replica.running.said.count(
            "store is away"
        ):
            assert time.monotonic() < until, replica.running.said
            await asked(replica, "kilo-auto/free", x_forwarded_for="203.0.113.3")
            await asyncio.sleep(0.2)


def slow(replicas: Sequence[Replica]) -> int:
    """Return how often a replica had no answer from the store in time: on a machine that does much else."""
    return sum(replica.running.said.count("the shared store is away") for replica in replicas)


def holds(n: int, limit: int, replicas: Sequence[Replica]) -> bool:
    """Say whether a limit held: exactly, but where a replica found the store too slow and took its share."""
    alone = min(slow(replicas), len(replicas))
    return n == limit if not alone else 0 < n <= limit + alone * math.ceil(AWAY_SHARE * limit)


async def spent_by(replicas: Sequence[Replica], **who: str) -> list[float]:
    """Ask in fours, at all replicas, until the budget is used up; return what each request cost."""
    costs: list[float] = []
    for _ in range(100):
        some = (
            asked(replicas[i % len(replicas)], "openai/gpt-5.5", "x" * 4000, **who)
            for i in range(4)
        )
        found = await asyncio.gather(*some)
        costs += [float(a.headers["x-auto-cost-usd"]) for a in found if a.status_code == 200]
        if all(answer.status_code == 402 for answer in found):
            return costs
    raise AssertionError(f"the budget is not used up: {costs}")


async def healthy(replicas: Sequence[Replica]) -> float:
    """Wait until every replica says that all is well; return the seconds that it took."""
    began = time.monotonic()
    async with httpx.AsyncClient() as client:
        for replica in replicas:
            while (await client.get(f"{replica.running.url}/readyz")).json()["status"] != "ok":
                if time.monotonic() - began > RECOVERS_S:
                    return float("inf")
                await asyncio.sleep(0.05)
    return round(time.monotonic() - began, 2)


# What is done.


async def killed(replicas: Sequence[Replica], phase_s: float, verdict: Verdict) -> float:
    """Kill a replica and start it again; returns when it ended."""
    await asyncio.to_thread(replicas[0].kill)
    ended_s = time.monotonic()
    verdict.kept["pins hold at the replica that is left"] = await pin_holds(replicas[1:])
    await asyncio.sleep(phase_s)
    await asyncio.to_thread(replicas[0].start)
    verdict.numbers["seconds until a killed replica serves again"] = round(
        time.monotonic() - ended_s - phase_s, 1
    )
    verdict.kept["pins hold at the replica that is back"] = await pin_holds(replicas)
    return ended_s


async def without_store(
    store: Service, replicas: Sequence[Replica], phase_s: float, verdict: Verdict
) -> None:
    """Stop the store and start it again."""
    who, half = {"x_forwarded_for": "203.0.113.2"}, PER_HOUR // 2
    before = await admitted(replicas, half, **who)
    store.stop()
    meanwhile = await admitted(replicas, 2 * PER_HOUR, **who)
    verdict.numbers["admitted of a limit, store away"] = [before, meanwhile, PER_HOUR]
    most = len(replicas) * math.ceil(AWAY_SHARE * PER_HOUR)
    verdict.kept["without the store a limit opens no further than its share"] = (
        before <= half and 0 < meanwhile <= most
    )
    verdict.kept["pins hold without the store"] = await pin_holds(replicas)
    await asyncio.sleep(phase_s)
    store.start()
    verdict.numbers["seconds until the store is used again"] = await healthy(replicas)
    await paid(replicas)
    rest = await admitted(replicas, 2 * PER_HOUR, **who)
    verdict.numbers["admitted of a limit, store back"] = rest
    verdict.kept["what was admitted meanwhile is counted after"] = (
        before + meanwhile + rest <= PER_HOUR
    )
    verdict.kept["pins hold after the store is back"] = await pin_holds(replicas)


async def without_database(database: Service, phase_s: float, verdict: Verdict) -> None:
    """Stop the database and start it again."""
    await asyncio.to_thread(database.stop)
    await asyncio.sleep(phase_s)
    await asyncio.to_thread(database.start)
    await asyncio.sleep(phase_s)


def booked(database: Service) -> list[str]:
    """Return the decision ids in the books."""
    with psycopg.connect(database.url.replace("+psycopg", "")) as connection:
        rows = connection.execute("SELECT decision_id FROM requests").fetchall()
    return [str(id_) for (id_,) in rows]


async def trial(phase_s: float) -> Verdict:
    """Run it all."""
    verdict = Verdict()
    with ExitStack() as held:
        store = held.enter_context(redis_server(keeps=True))
        database = held.enter_context(postgres_server())
        root = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="trial-")))
        (root / "auto-efficient.toml").write_text(CONFIG, "utf-8")
        replicas = [
            Replica(root / name, root / "auto-efficient.toml", store, database)
            for name in ("one", "other")
        ]
        for replica in replicas:
            held.callback(replica.stop)
        await asyncio.gather(*(asyncio.to_thread(replica.start) for replica in replicas))
        keys = [await asyncio.to_thread(make_key, database, *said) for said in TERMS.items()]
        ended_s, answered = await _under_load(replicas, keys, store, database, phase_s, verdict)
        for replica in replicas:
            await asyncio.to_thread(replica.stop)
        _count(answered, ended_s, booked(database), verdict)
    return verdict


async def _under_load(
    replicas: Sequence[Replica],
    keys: Sequence[str],
    store: Service,
    database: Service,
    phase_s: float,
    verdict: Verdict,
) -> tuple[float, Answered]:
    answered, began = Answered(), time.monotonic()
    async with balanced(replicas) as port:
        asking = asyncio.create_task(answered.ask(port, CONNECTIONS))
        await asked(replicas[0], EFFICIENT, **PINNED, x_auto_pin=PIN)
        verdict.kept["a pin set at one replica holds at both"] = await pin_holds(replicas)
        verdict.kept["sessions go on at the other replica"] = await sessions_hold(replicas)
        await limits_hold(replicas, *keys, verdict)
        await asyncio.sleep(phase_s)
        ended_s = await killed(replicas, phase_s, verdict)
        await without_store(store, replicas, phase_s, verdict)
        await without_database(database, phase_s, verdict)
        answered.stop()
        await asking
    verdict.numbers["requests per second"] = round(len(answered.at) / (time.monotonic() - began))
    return ended_s, answered


def _count(answered: Answered, ended_s: float, rows: Sequence[str], verdict: Verdict) -> None:
    """Compare what clients were answered with the books."""
    unbooked = {id_: at_s - ended_s for id_, at_s in answered.at.items() if id_ not in set(rows)}
    verdict.numbers |= {
        "replies": len(answered.at),
        "cut by the kill": answered.cut,
        "refused": len(answered.refused),
        "rows": len(rows),
        "replies that are in no row": len(unbooked),
        "seconds before the kill of the oldest of them": round(
            -min(unbooked.values(), default=0.0), 2
        ),
    }
    verdict.kept["every request was answered, but those that the kill cut"] = (
        not answered.refused and answered.cut <= 2 * CONNECTIONS
    )
    verdict.kept["nothing acknowledged a second before the kill, or after it, is lost"] = all(
        -GRACE_S < at_s <= 0.1 for at_s in unbooked.values()
    )
    verdict.kept["no row is there twice"] = len(rows) == len(set(rows))


def main() -> None:
    """Run the trial, print what was found; exits with 1 when anything did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phase-s", type=float, default=5.0, help="seconds of load between events")
    args = parser.parse_args()
    verdict = asyncio.run(trial(args.phase_s))
    found = {"numbers": verdict.numbers, "kept": verdict.kept}
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    sys.exit(not verdict.good)


if __name__ == "__main__":
    main()
