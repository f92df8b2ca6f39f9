"""Ask the servers of one's own for their models: once at the start, and again now and then.

Asking is bounded in time and bytes and never fails: of a server that does not answer, or does not
list, it is said why, and everything is taken to be there as before.  Nothing of this happens while a
request waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final, cast

import httpx
import orjson

from router.providers.endpoints import Endpoint
from router.providers.shelf import Listed
from router.values import checked_name

PATH: Final = "/models"
"""Below a base URL, in OpenAI's and Anthropic's API alike."""

ASKING_S: Final = 2.5
"""How long a server may take to list its models; a local one takes milliseconds."""

MAX_BYTES: Final = 8 << 20
"""Longest list; OpenRouter's, of 400 models, has about 1 MB."""

AGAIN_S: Final = 300.0
"""Seconds after which servers are asked again: models are pulled and removed while a gateway runs."""

TABLES: Final = ("data", "models")
"""Where a list stands: OpenAI's, Anthropic's and OpenRouter's; Ollama's and llama.cpp's own."""

NAMES: Final = ("id", "model", "name")
"""What an entry of a list is called by, the first that it has."""

CONTEXTS: Final = ("max_model_len", "context_length", "max_context_length", "context_window")
"""What vLLM, OpenRouter, LM Studio and Groq call the length of the context."""

OTHER_TYPES: Final = frozenset(
    {"embedding", "embeddings", "image", "audio", "video", "rerank", "reranker", "moderation"}
)
"""Values of ``type`` in lists that have it (LM Studio, Together) of what does not chat."""

OTHER_NAMES: Final = (
    "embed", "rerank", "whisper", "tts", "bge-", "dall-e", "stable-diffusion", "moderation",
)  # fmt: skip
"""In names of what does not chat, for lists without types: OpenAI's, Ollama's."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What servers listed when they were asked."""

    listed: Mapping[str, tuple[Listed, ...]] = field(default_factory=dict)
    """Provider → its models; one that is not here is taken to have whatever it is asked for."""
    silent: Mapping[str, str] = field(default_factory=dict)
    """Provider → why there is no list of it."""
    on: date = date.min

    def after(self, before: Inventory) -> Inventory:
        """Return what is known now: of a server that is silent, what it listed before."""
        kept = {name: before.listed[name] for name in self.silent if name in before.listed}
        silent = {name: why for name, why in self.silent.items() if name not in kept}
        return Inventory({**self.listed, **kept}, silent, self.on)


SHOWN: Final = 6
"""How many models of a server a line names."""


def said_of(inventory: Inventory) -> list[str]:
    """Say in words what servers have, a line each."""
    lines = []
    for server, listed in inventory.listed.items():
        names = [entry.name for entry in listed]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        lines.append(
            f"{server} has {', '.join(names[:SHOWN]) or 'none, so nothing is served'}{more}"
        )
    for server, why in inventory.silent.items():
        lines.append(f"{server} does not list its models ({why}): any name is sent to it")
    return lines


async def ask(servers: Iterable[Endpoint], transport: httpx.AsyncBaseTransport) -> Inventory:
    """Ask every server for its models, all at once."""
    asked = tuple(servers)
    answers = await asyncio.gather(*(_ask(server, transport) for server in asked))
    found = {s.provider.name: answer for s, answer in zip(asked, answers, strict=True)}
    listed = {name: answer for name, answer in found.items() if not isinstance(answer, str)}
    silent = {name: answer for name, answer in found.items() if isinstance(answer, str)}
    return Inventory(listed, silent, datetime.now(UTC).date())


async def _ask(server: Endpoint, transport: httpx.AsyncBaseTransport) -> tuple[Listed, ...] | str:
    """Return a server's list, or why there is none."""
    headers = [
        *server.provider.headers.items(),
        *server.auth_headers(),
        ("accept-encoding", "identity"),
    ]
    try:
        async with asyncio.timeout(ASKING_S):
            request = httpx.Request(
                "GET",
                server.base_url + PATH,
                headers=headers,
                extensions={"timeout": {"connect": ASKING_S, "read": ASKING_S}},
            )
            response = await transport.handle_async_request(request)
            try:
                if response.status_code != 200:
                    return f"status {response.status_code}"
                body = await _read(cast(AsyncIterable[bytes], response.stream))
            finally:
                await response.aclose()
        listed = listed_in(orjson.loads(body))
    except TimeoutError:
        return f"no answer within {ASKING_S:g} s"
    except ValueError as error:
        return str(error) if isinstance(error, NoList) else "the answer is not JSON"
    except Exception as error:  # whatever a server does must not keep the gateway from starting
        return f"no connection ({type(error).__name__})"
    return listed


class NoList(ValueError):
    """A server's answer is no list of models."""


async def _read(pieces: AsyncIterable[bytes]) -> bytes:
    read = bytearray()
    async for piece in pieces:
        read += piece
        if len(read) > MAX_BYTES:
            raise NoList(f"the list is longer than {MAX_BYTES:,} bytes")
    return bytes(read)


def listed_in(answer: object) -> tuple[Listed, ...]:
    """Read a list of models in any of the known shapes; raises NoList."""
    entries = answer
    if isinstance(answer, dict):
        key = next((name for name in TABLES if name in answer), None)
        if key is None:
            raise NoList("the answer is no list of models")
        entries = answer[key] or []  # Ollama without models writes null
    if not isinstance(entries, list):
        raise NoList("the answer is no list of models")
    found = [entry for raw in entries if isinstance(raw, dict) and (entry := _entry(raw))]
    if entries and not found:
        raise NoList("the list holds no model's name")
    return tuple({entry.name: entry for entry in found}.values())


def _entry(raw: Mapping[str, Any]) -> Listed | None:
    """Read one entry; None for what has no name that could be asked for."""
    name = next((raw[key] for key in NAMES if isinstance(raw.get(key), str) and raw[key]), "")
    try:
        checked_name(name)
    except ValueError:
        return None
    tokens = next(
        (raw[key] for key in CONTEXTS if type(raw.get(key)) is int and raw[key] > 0), None
    )
    other = raw.get("type") in OTHER_TYPES or any(part in name.lower() for part in OTHER_NAMES)
    return Listed(name, tokens, not other) if name else None
