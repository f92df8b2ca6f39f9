"""Play: start a gateway, send it what a set-up asks, write down what it does.

Only what cannot repeat is masked: decision ids, ports, dates, waiting times, the temporary folder.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.recording.cases import SETUPS
from tests.recording.cases.case import Case, Cases, Reply, Setup
from tests.recording.cases.commands import COMMANDS, FILES
from tests.recording.formats import Fields
from tests.recording.upstream import Upstream, text_of

SETTLE_S = 0.003
"""Between requests: the gateway keeps its books after the last byte of a reply."""
STARTS_S = 60
"""How long a gateway may take to greet."""


@dataclass(frozen=True)
class Masks:
    """What cannot repeat, and nothing else; ``folder`` is where this run keeps its files."""

    folder: str

    def text(self, text: str) -> str:
        """Hide ports and the folder, and how long is still to wait: that counts down."""
        text = text.replace(self.folder, "FOLDER")
        text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text)
        return re.sub(r"\b(waits|come back in) \d+ s\b", r"\1 N s", text)

    def headers(self, headers: list[list[str]], body: str) -> list[list[str]]:
        """Hide a reply's date and id; the wait and the length where the body tells that they vary."""
        hidden = {"date": "DATE"}
        if self.text(body) != body:
            hidden["content-length"] = "N"
        if re.search("waits|come back in", body):
            hidden["retry-after"] = "N"
        masked = [[name, hidden.get(name, self.text(value))] for name, value in headers]
        id_of = re.compile(r"[0-9a-f]{16}")
        return [[n, id_of.sub("ID", v) if n == "x-auto-decision-id" else v] for n, v in masked]


@dataclass(frozen=True)
class Recorder:
    """Runs one checkout; ``folder`` is its home, empty but for what is written here."""

    command: list[str]
    cwd: Path
    models: Path
    folder: Path
    upstream: Upstream

    @property
    def masks(self) -> Masks:
        return Masks(str(self.folder))

    @property
    def environ(self) -> dict[str, str]:
        """An environment without any key, address or setting of this machine."""
        fixed = {"LANG": "C.UTF-8", "COLUMNS": "120", "TERM": "dumb", "NO_COLOR": "1"}
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), **fixed}

    async def setup(self, setup: Setup) -> list[Fields]:
        """Start a gateway, play its cases, stop it."""
        async with self._gateway(setup) as (greeting, client):
            entries = [{"name": f"{setup.name}/greeting", "text": self.masks.text(greeting)}]
            for cases in setup.cases:
                entries += [entry async for entry in self._play(cases(), client, setup.name)]
        return entries

    @asynccontextmanager
    async def _gateway(self, setup: Setup) -> AsyncIterator[tuple[str, httpx.AsyncClient]]:
        config = self.folder / "settings.toml"
        pace = "simulated_tokens_per_s = 0\n"
        config.write_text(pace + setup.config.replace("UPSTREAM", self.upstream.url), "utf-8")
        options = ["serve", "--host", "127.0.0.1", "--port", "0", "--config", str(config)]
        options += ["--upstream", self.upstream.url] if setup.single else []
        options += [] if setup.engine else ["--models", str(self._without_engine())]
        process = await self._start(options)
        assert process.stderr is not None
        try:
            async with asyncio.timeout(STARTS_S):
                greeting = await greeting_of(process.stderr)
            draining = asyncio.create_task(process.stderr.read())
            base = re.search(r"http://127\.0\.0\.1:\d+", greeting)
            assert base, f"the gateway did not start: {greeting}"
            headers = {"user-agent": "recorder", "content-type": "application/json"}
            async with httpx.AsyncClient(base_url=base[0], headers=headers, timeout=30) as client:
                yield greeting, client
        finally:
            with suppress(ProcessLookupError):  # it may have ended by itself
                process.terminate()
            await process.wait()
        await draining

    def _without_engine(self) -> Path:
        """Make a folder of data that lacks the table and the classifier."""
        folder = self.folder / "models"
        folder.mkdir(exist_ok=True)
        for name in ("catalogue.toml", "providers.toml"):
            shutil.copy(self.models / name, folder / name)
        return folder

    async def _start(self, options: list[str]) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *self.command, *options, cwd=self.cwd, env=self.environ, stdin=pipe, stdout=pipe, stderr=pipe
        )  # fmt: skip

    async def _play(
        self, cases: Cases, client: httpx.AsyncClient, setup: str
    ) -> AsyncIterator[Fields]:
        reply: Reply | None = None
        while True:
            try:
                case = cases.send(reply)  # type: ignore[arg-type]  # None starts a generator
            except StopIteration:
                return
            self.upstream.seen.clear()
            reply, headers = await ask_for(case, client)
            body = text_of(reply.body)
            yield {
                "name": f"{setup}/{case.name}",
                "status": reply.status,
                "headers": self.masks.headers(headers, body),
                "body": self.masks.text(body),
                "upstream": json.loads(self.masks.text(json.dumps(self.upstream.seen))),
            }
            await asyncio.sleep(SETTLE_S)

    async def commands(self) -> list[Fields]:
        """Run the command line, again and again."""
        for name, text in FILES.items():
            (self.folder / name).write_text(text, "utf-8")
        return [await self._route(options, stdin) for options, stdin in COMMANDS]

    async def _route(self, options: str, stdin: bytes) -> Fields:
        words = shlex.split(options)
        words = [str(self.folder / word) if word.endswith(".jsonl") else word for word in words]
        process = await self._start(["route", *words])
        out, told = await process.communicate(stdin)
        stdout, stderr = (self.masks.text(text_of(data)) for data in (out, told))
        name = f"cli/route {options} {text_of(stdin)}"
        return {"name": name, "status": process.returncode, "body": stdout, "stderr": stderr}


async def greeting_of(stderr: asyncio.StreamReader) -> str:
    """Read what a gateway says of itself, up to its last line or its end."""
    lines = []
    while line := text_of(await stderr.readline()):
        lines.append(line)
        if line.rstrip().endswith("}'"):
            break
    start = next((i for i, line in enumerate(lines) if "listens on" in line), 0)
    return "".join(lines[start:])


async def ask_for(case: Case, client: httpx.AsyncClient) -> tuple[Reply, list[list[str]]]:
    """Send a request; a connection that is closed without an answer has status 0."""
    headers = {name: value.encode() for name, value in case.headers.items()}
    request = client.build_request(case.method, case.path, content=case.body, headers=headers)
    try:
        response = await client.send(request)
    except httpx.TransportError as error:
        return Reply(0, {}, type(error).__name__.encode()), []
    pairs = [[n.decode().lower(), v.decode("latin-1")] for n, v in response.headers.raw]
    return Reply(response.status_code, dict(pairs), response.content), pairs


async def record(gateway: str, cwd: Path, models: Path, only: str = "") -> list[Fields]:
    """Play the set-ups that ``only`` matches against one checkout."""
    entries: list[Fields] = []
    with tempfile.TemporaryDirectory(prefix="recording-") as name:
        async with Upstream.running() as upstream:
            recorder = Recorder(shlex.split(gateway), cwd, models, Path(name), upstream)
            for setup in SETUPS:
                if re.search(only, setup.name):
                    entries += await recorder.setup(setup)
            if re.search(only, "cli"):
                entries += await recorder.commands()
    counts = Counter(entry["name"] for entry in entries)
    twice = [name for name, count in counts.items() if count > 1]
    assert not twice, f"entries of the same name: {twice[:9]}"
    return entries
