"""Let real coding agents hold a session with the gateway: ``python -m benchmarks.sessions.clients``.

Each client is run headless, four times in one session, against a gateway whose simulated provider
answers and calls tools: an ask, two complaints that it still fails, and an unrelated question.  What
the gateway decided for each model call is printed as a table.  Install the clients first, into any
folder (``npm install --prefix DIR opencode-ai @anthropic-ai/claude-code @openai/codex``), and name
it: ``--clients DIR/node_modules/.bin``.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer
import uvicorn

from router.books.record import Record
from router.serving.app import create_app
from router.settings import Settings

MODEL: Final = "kilo-auto/efficient"
PAUSE_S: Final = 120.0

ASKS: Final = (
    "The PDF export crashes when an order has no lines. Fix it; use {} to run the tests.",
    "It still fails with the same error. Please fix it, use {} again.",
    "It is still broken, that did not work. use {}",
    "Thanks. What does the retry setting in config.toml do?",
)
"""The simulated provider calls the tool that is named after "use"; what it runs does not exist."""


@dataclass(frozen=True, slots=True)
class Client:
    """How one client is started: its first turn and every further one, and what it needs to know."""

    tool: str
    first: tuple[str, ...]
    further: tuple[str, ...]
    prepare: Callable[[Path, str], Mapping[str, str]]


def opencode(folder: Path, url: str) -> Mapping[str, str]:
    """Write opencode's configuration; returns its environment."""
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": f"{url}/v1", "apiKey": "x"},
        "models": {MODEL: {}, "kilo-auto/small": {}},
    }
    config = {
        "model": f"auto/{MODEL}", "small_model": "auto/kilo-auto/small", "autoupdate": False,
        "permission": {"bash": "allow"}, "provider": {"auto": provider},
    }  # fmt: skip
    path = folder / "opencode.json"
    path.write_bytes(orjson.dumps(config))
    return {"OPENCODE_CONFIG": str(path)}


def claude(folder: Path, url: str) -> Mapping[str, str]:
    """Return Claude Code's environment."""
    return {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "x",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }


def codex(folder: Path, url: str) -> Mapping[str, str]:
    """Write Codex's configuration; returns its environment."""
    home = folder / ".codex"
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text(
        f'model = "{MODEL}"\nmodel_provider = "auto"\n[model_providers.auto]\nname = "auto"\n'
        f'base_url = "{url}/v1"\nwire_api = "responses"\nenv_key = "AUTO_KEY"\n'
    )
    return {"CODEX_HOME": str(home), "AUTO_KEY": "x"}


_CLAUDE: Final = ("--model", MODEL, "--allowedTools", "Bash")
_CODEX: Final = ("--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")

CLIENTS: Final = {
    "opencode": Client("bash", ("run", "{}"), ("run", "--continue", "{}"), opencode),
    "claude": Client("Bash", ("-p", "{}", *_CLAUDE), ("-p", "{}", "--continue", *_CLAUDE), claude),
    "codex": Client(
        "exec_command",
        ("exec", *_CODEX, "{}"),
        ("exec", "resume", "--last", *_CODEX, "{}"),
        codex,
    ),
}


async def hold_session(name: str, binary: Path, url: str) -> None:
    """Run a client's four turns in a fresh folder; raises RuntimeError when one fails."""
    client = CLIENTS[name]
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "HOME": folder, "PWD": folder, **client.prepare(Path(folder), url)}
        for k, ask in enumerate(ASKS):
            words = [
                w.format(ask.format(client.tool)) for w in (client.further if k else client.first)
            ]
            process = await asyncio.create_subprocess_exec(
                binary, *words, cwd=folder, env=environ, stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            async with asyncio.timeout(PAUSE_S):
                said, _ = await process.communicate()
            if process.returncode or b"simulated reply" not in said:
                raise RuntimeError(f"{name}, turn {k + 1}: {said[-500:].decode(errors='replace')}")


def row(name: str, served: Record) -> str:
    """Write one model call as a line of the table."""
    usage = served.usage
    cached = f"{usage.cached_tokens:,} of {usage.input_tokens:,}" if usage else "–"
    move = served.move or "–"
    cells = (name, served.tier or "–", move, str(served.unit), cached, served.why or "–")
    return f"| {' | '.join(cells)} |"


async def run(clients: Path) -> list[str]:
    """Serve, let every client that is installed hold its session, and return the table's lines."""
    served: list[Record] = []
    settings = Settings(port=0, simulated_tokens_per_s=0)
    app = create_app(settings, environ={}, record=served.append)
    config = uvicorn.Config(app, port=0, log_level="warning")
    listening = config.bind_socket()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve(sockets=[listening]))
    lines = ["| client | tier | move | model | input cached | why |", "|---|---|---|---|---|---|"]
    try:
        for name in CLIENTS:
            if (clients / name).exists():
                await hold_session(name, clients / name, url)
                lines += [row(name, one) for one in served]
                served.clear()
    finally:
        server.should_exit = True
        await running
    return lines


def main(
    clients: Annotated[Path, typer.Option(help="Folder with the clients' commands.")],
) -> None:
    """Print what the gateway decided for each call of each client."""
    lines = asyncio.run(run(clients.resolve()))
    typer.echo("\n".join(lines))
    if len(lines) == 2:
        raise typer.BadParameter(f"none of {', '.join(CLIENTS)} is in {clients}")


if __name__ == "__main__":
    typer.run(main)
