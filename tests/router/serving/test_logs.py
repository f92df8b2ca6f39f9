"""A client's words begin no line of the log, and act on no terminal."""

from __future__ import annotations

import io
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.serving.logs import FORMAT, LINE_CHARS, OneLine, one_line
from router.values import Interface
from tests.gateway_rig import PATHS, ask, gateway

FORGED = "2026-01-01 00:00:00,000 INFO router.requests: served"


def written(message: str, *args: object, error: BaseException | None = None) -> list[str]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(OneLine(FORMAT))
    record = logging.LogRecord(
        "n", logging.ERROR, "f", 1, message, args, (type(error), error, None) if error else None
    )
    handler.handle(record)
    return stream.getvalue().removesuffix("\n").split("\n")


@given(st.text())
def test_an_event_is_one_line(text):
    [line] = written("%s failed", text)
    assert line.isprintable()
    assert len(one_line(text * 1000)) <= 12 * LINE_CHARS


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r", "\v", "\f", "\x85", "\u2028", "\x1b[2K\r"])
def test_no_words_of_a_client_begin_a_line(ending):
    [line] = written("no tier %s", f"x{ending}{FORGED}")
    assert not line.startswith(FORGED)
    first, *rest = written("failed", error=ValueError(f"x{ending}{FORGED}"))
    assert rest
    assert all(line.startswith("  ") and line.isprintable() for line in rest)


def test_what_prints_stays_as_it_is():
    assert one_line("no model “größer” 世界") == "no model “größer” 世界"
    assert one_line("a\tb\n") == "a\\tb\\n"


async def test_the_line_of_a_request_is_one_whoever_formats_it(caplog):
    caplog.set_level(logging.INFO, "router.requests")
    async with gateway(log_requests=True) as client:
        for model in (f"x\n{FORGED}", f"kilo-auto/x\r{FORGED}", "openai/gpt-5.5"):
            await client.post(PATHS[Interface.CHAT], json=ask(Interface.CHAT, model))
        pin = {"x-auto-switch": f"maybe\x85{FORGED}".encode("latin-1")}
        await client.post(PATHS[Interface.CHAT], json=ask(Interface.CHAT, "a/b"), headers=pin)
    lines = [record.getMessage() for record in caplog.records if record.name == "router.requests"]
    assert len(lines) >= 3
    assert all(line.isprintable() for line in lines)
