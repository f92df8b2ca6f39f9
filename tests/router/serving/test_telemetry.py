"""A span of each request reaches a collector, with the names of the GenAI conventions and without text."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from router.serving.telemetry import traces_of
from router.settings import Settings
from router.values import Interface
from tests.conftest import ROOT
from tests.gateway_rig import PATHS, ask, fake_upstream, gateway, good, replies
from tests.services import free_port

CHAT = PATHS[Interface.CHAT]
EFFICIENT = "kilo-auto/efficient"
PROMPT = "my most private question"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, NOT_SAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"


class Collector(ThreadingHTTPServer):
    """Takes what OTLP over HTTP sends."""

    def __init__(self):
        self.requests: list[tuple[str, ExportTraceServiceRequest]] = []
        super().__init__(("127.0.0.1", 0), Taking)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for _, request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


class Taking(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.requests.append((self.path, ExportTraceServiceRequest.FromString(body)))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextmanager
def collector():
    with Collector() as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield found
        finally:
            found.shutdown()
            thread.join()


def said(holder):
    """Return the attributes of a span or an event."""
    kinds = {kv.key: kv.value.WhichOneof("value") for kv in holder.attributes}
    return {kv.key: getattr(kv.value, kinds[kv.key]) for kv in holder.attributes}


async def test_a_request_is_one_span_with_its_failed_attempts():
    async def first_fails(seen, writer):
        failing = seen.fields["model"] == "openai/gpt-5.5"
        return await (replies(503, b"{}") if failing else good)(seen, writer)

    with collector() as found:
        async with fake_upstream() as fake, gateway(fake, traces=found.url) as client:
            fake.play = first_fails
            body = ask(Interface.CHAT, EFFICIENT, text=PROMPT)
            await client.post(CHAT, json=body, headers={"traceparent": SAMPLED})
            [record] = client.records
            assert all("traceparent" not in seen.headers for seen in fake.seen)
        assert {path for path, _ in found.requests} == {"/v1/traces"}
        [span] = found.spans
        assert PROMPT.encode() not in b"".join(r.SerializeToString() for _, r in found.requests)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert span.name == f"chat {EFFICIENT}"
    assert span.kind == Span.SPAN_KIND_CLIENT
    assert span.end_time_unix_nano - span.start_time_unix_nano == pytest.approx(
        record.total_s * 1e9, rel=0.01, abs=1e6
    )
    told = said(span)
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.request.model"] == EFFICIENT
    assert told["gen_ai.response.model"] == "anthropic/claude-sonnet-4.6"
    assert told["gen_ai.usage.input_tokens"] == record.usage.input_tokens
    assert told["auto_efficient.cost_usd"] == pytest.approx(record.usd)
    assert told["auto_efficient.move"] == "begin"
    [event] = span.events
    assert event.name == "auto_efficient.attempt_failed"
    assert said(event)["error.type"] == "moment"
    assert span.start_time_unix_nano <= event.time_unix_nano <= span.end_time_unix_nano


async def test_a_refusal_is_an_error_and_a_client_that_samples_nothing_is_heard():
    with collector() as found:
        async with gateway(traces=f"{found.url}/v1/traces") as client:
            body = ask(Interface.CHAT, EFFICIENT)
            refused = await client.post(CHAT, json=body, headers={"x-auto-misspelt": "1"})
            assert refused.status_code == 400
            quiet = {"traceparent": NOT_SAMPLED}
            await client.post(CHAT, json=ask(Interface.CHAT, EFFICIENT), headers=quiet)
            broken = {"traceparent": "00-zz"}
            await client.post(CHAT, json=ask(Interface.CHAT, EFFICIENT), headers=broken)
        failed, fresh = found.spans
    assert failed.status.code == Status.STATUS_CODE_ERROR
    assert said(failed)["error.type"] == "invalid_request"
    assert not fresh.parent_span_id


async def test_a_collector_that_is_away_costs_no_request():
    async with gateway(traces=f"http://127.0.0.1:{free_port()}") as client:
        for _ in range(3):
            answer = await client.post(CHAT, json=ask(Interface.CHAT, EFFICIENT))
            assert answer.status_code == 200


def test_nothing_is_sent_unless_it_is_asked_for():
    assert traces_of(Settings(), {}) is None


WITHOUT = "import sys; sys.modules['opentelemetry.sdk'] = None; "


@pytest.mark.slow
def test_without_the_extra_one_line_says_what_to_install():
    code = WITHOUT + "from auto_efficient.cli import main; main()"
    told = subprocess.run(
        [sys.executable, "-c", code, "serve", "--port", "0"],
        env=os.environ
        | {"AUTO_EFFICIENT_TRACES": "http://localhost:4318", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert told.returncode == 2
    assert told.stderr.strip() == (
        "auto-efficient serve: settings: traces: OpenTelemetry is not installed; install "
        "auto-efficient with its otel extra, or take the setting traces away"
    )


@pytest.mark.slow
def test_a_variable_that_may_be_meant_for_others_ends_no_start():
    code = (
        "from router.serving.telemetry import traces_of; from router.settings import Settings; "
        "print(traces_of(Settings(), {'OTEL_EXPORTER_OTLP_ENDPOINT': 'http://localhost'}))"
    )
    told = subprocess.run(
        [sys.executable, "-c", WITHOUT + code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert told.stdout.strip() == "None"
    [line] = told.stderr.strip().splitlines()
    assert line.startswith("no traces are sent, though OTEL_EXPORTER_OTLP_ENDPOINT is set")
