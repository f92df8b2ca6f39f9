"""A client's words begin no line of the log, and act on no terminal."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.books.record import End, Record
from router.serving.logs import FORMAT, LINE_CHARS, TOLD_OF, JsonLine, OneLine, one_line
from router.values import Interface
from tests.conftest import ROOT
from tests.gateway_rig import PATHS, ask, gateway

FORGED = "2026-01-01 00:00:00,000 INFO router.requests: served"


def written(
    message: str,
    *args: object,
    error: BaseException | None = None,
    form: logging.Formatter | None = None,
) -> list[str]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(form or OneLine(FORMAT))
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


@given(st.text())
def test_an_event_in_json_is_one_line_that_says_what_was_said(text):
    [line] = written("%s failed", text, error=ValueError(text), form=JsonLine())
    assert line.isprintable()
    told = json.loads(line)
    assert told["message"] == f"{text} failed"
    assert (told["level"], told["logger"]) == ("ERROR", "n")
    assert "ValueError" in told["exception"]


KEYS = [
    "time",
    "id",
    "end",
    "status",
    "caller",
    "tier",
    "model",
    "effort",
    "provider",
    "move",
    "task",
    "tokens",
    "usd",
    "saved_usd",
    "ms",
    "first_ms",
    "why",
    "error",
    "failures",
]


def test_the_line_of_a_request_has_the_same_keys_whatever_became_of_it():
    record = Record("1", End.REFUSED, 400, "invalid_request", Interface.CHAT, 0.0012, at_s=0.0)
    event = logging.makeLogRecord({"msg": "m", TOLD_OF: record})
    told = json.loads(JsonLine().format(event))
    assert list(told) == KEYS
    assert (told["time"], told["ms"]) == ("1970-01-01T00:00:00.000+00:00", 1.2)


async def test_a_request_is_told_with_its_record(caplog):
    caplog.set_level(logging.INFO, "router.requests")
    async with gateway() as client:
        await client.post(PATHS[Interface.CHAT], json=ask(Interface.CHAT, "kilo-auto/efficient"))
        [record] = client.records
    [event] = [event for event in caplog.records if event.name == "router.requests"]
    told = json.loads(JsonLine().format(event))
    assert list(told) == KEYS
    assert told["id"] == record.decision_id
    assert told["tokens"]["input"] == record.usage.input_tokens


async def test_no_line_is_told_where_that_is_switched_off(caplog):
    caplog.set_level(logging.INFO, "router.requests")
    async with gateway(log_requests=False) as client:
        await client.post(PATHS[Interface.CHAT], json=ask(Interface.CHAT, "kilo-auto/efficient"))
    assert not [event for event in caplog.records if event.name == "router.requests"]


LOGS = """
import logging, sys, time
from router.serving.logs import ROOM, flush_log, log_to_stderr, lost_lines
from router.settings import LogFormat
log_to_stderr(logging.INFO, LogFormat.{form})
log = logging.getLogger("router.x")
logging.getLogger("library").info("not wanted")
began = time.monotonic()
for i in range({n}):
    log.info("line %d %s", i, "x" * {chars})
took = time.monotonic() - began
print(lost_lines(), took < 30, flush=True)
sys.stdin.read()
flush_log()
"""


def logging_process(n, chars, form="JSON"):
    return subprocess.Popen(
        [sys.executable, "-c", LOGS.format(n=n, chars=chars, form=form)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_who_reads_slowly_makes_nobody_wait_and_is_told_what_is_lost():
    with logging_process(n=12_000, chars=100) as run:
        lost, quick = run.stdout.readline().split()
        assert int(lost) > 0
        assert quick == "True"
        run.stdin.close()
        lines = run.stderr.read().splitlines()
        assert run.wait(20) == 0
    said = [json.loads(line)["message"] for line in lines]
    assert said[-1] == f"{lost} lines of the log are lost: they were not read in time"
    kept = [line for line in said if line.startswith("line ")]
    assert len(kept) + int(lost) == 12_000


CLOSED = """
import logging, os, sys
from router.serving.logs import flush_log, log_to_stderr, lost_lines
from router.settings import LogFormat

os.close(sys.stderr.fileno())
log_to_stderr(logging.INFO, LogFormat.JSON)
logging.getLogger("router.test").info("nobody reads this")
flush_log()
print(lost_lines())
"""


def test_a_reader_that_is_gone_is_not_told_for_ever_that_its_lines_are_lost():
    run = subprocess.run(
        [sys.executable, "-c", CLOSED],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )
    assert run.stdout == "1\n"


@pytest.mark.slow
def test_a_process_ends_though_nobody_reads_its_log():
    with logging_process(n=12_000, chars=100) as run:
        run.stdout.readline()
        run.stdin.close()
        assert run.wait(20) == 0
        run.stderr.close()


@pytest.mark.slow
def test_text_is_for_people():
    with logging_process(n=1, chars=1, form="TEXT") as run:
        _, told = run.communicate("")
    assert told.strip().endswith("INFO router.x: line 0 x")
    assert len(told.splitlines()) == 1
