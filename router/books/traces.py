"""Traces: a span of OpenTelemetry for each request, made from its record when it has ended.

Names are those of the GenAI semantic conventions 0.1.0, which were part of OpenTelemetry's until 1.41 and are
still in development (https://github.com/open-telemetry/semantic-conventions-genai); what they have no name
for begins with ``auto_efficient.``.  A span holds no prompt and no answer, as a record does not.  It is
a child of the span that the client's ``traceparent`` names, and sampled as that is; providers are not sent one.

The only module that knows OpenTelemetry, which is the ``otel`` extra.
"""

from __future__ import annotations

from typing import Any, Final

from router import __version__
from router.books.record import End, Record
from router.errors import BadArtefact
from router.values import Failure, PassThrough

PATH: Final = "/v1/traces"
"""Where collectors take traces over HTTP (https://opentelemetry.io/docs/specs/otlp/)."""

SERVICE: Final = "auto-efficient"

TIMEOUT_S: Final = 3.0
"""How long a collector may take for a batch, tries included; a gateway that ends waits for its last one."""

OPERATIONS: Final = {
    PassThrough.EMBEDDINGS: "embeddings",
    PassThrough.COMPLETIONS: "text_completion",
}
"""Of the conventions; a conversation is a ``chat``, whatever its format."""

PROVIDERS: Final = {
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "xai": "x_ai",
}
"""Providers whose name in the conventions is not ours."""

MISSING: Final = (
    "OpenTelemetry is not installed; install auto-efficient with its otel extra, or take the setting "
    "traces away"
)


class Traces:
    """Makes spans, and sends them in batches from a thread of the library's own."""

    def __init__(self, endpoint: str | None) -> None:
        """Begin; ``endpoint`` is a collector's URL, None leaves it to OpenTelemetry's own variables.

        Raises BadArtefact where the extra is not installed.
        """
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise BadArtefact(f"settings: traces: {MISSING}") from error
        address = address_of(endpoint) if endpoint else None
        exporter = OTLPSpanExporter(endpoint=address, timeout=TIMEOUT_S)
        about = {"service.name": SERVICE, "service.version": __version__}
        self._provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(SERVICE, __version__)

    def tell(self, record: Record) -> None:
        """Make a request's span; a ``Tell``."""
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        from opentelemetry.trace.status import Status, StatusCode

        carrier = {"traceparent": record.traceparent} if record.traceparent else {}
        span = self._tracer.start_span(
            span_name(record),
            TraceContextTextMapPropagator().extract(carrier),
            SpanKind.CLIENT,
            attributes=attributes(record),
            start_time=_ns(record.at_s - record.total_s),
        )
        if span.is_recording():
            for failure in record.failures:
                span.add_event(EVENT, failure_attributes(failure), _ns(answered_s(record)))
            if record.end in (End.FAILED, End.REFUSED):
                span.set_status(Status(StatusCode.ERROR, record.error))
        span.end(_ns(record.at_s))

    def close(self) -> None:
        """Send what is left; takes ``TIMEOUT_S`` where the collector is away."""
        self._provider.shutdown()


EVENT: Final = "auto_efficient.attempt_failed"


def address_of(endpoint: str) -> str:
    """Return where a collector takes traces."""
    endpoint = endpoint.rstrip("/")
    return endpoint if endpoint.endswith(PATH) else endpoint + PATH


def operation_of(record: Record) -> str:
    """Name what was asked for."""
    asked = record.interface
    return OPERATIONS[asked] if isinstance(asked, PassThrough) else "chat"


def span_name(record: Record) -> str:
    """Name a span: the operation, and the tier or the model that answered.

    Not what the client called it, which may be anything: backends count names.
    """
    of = record.tier or (record.unit.model if record.unit else "")
    return f"{operation_of(record)} {of}".strip()


def answered_s(record: Record) -> float:
    """Return when the attempts that failed were over: when an answer began, or all was."""
    first_s = record.total_s if record.first_s is None else record.first_s
    return record.at_s - record.total_s + first_s


def attributes(record: Record) -> dict[str, Any]:
    """Return what a span says of a request; nothing of what was not known."""
    unit, usage = record.unit, record.usage
    failed = record.end in (End.FAILED, End.REFUSED)
    said = {
        "gen_ai.operation.name": operation_of(record),
        "gen_ai.provider.name": PROVIDERS.get(record.provider or "", record.provider),
        "gen_ai.request.model": record.asked_model,
        "gen_ai.request.stream": record.streams,
        "gen_ai.response.model": record.served_model or (unit.model if unit else None),
        "gen_ai.response.time_to_first_chunk": record.first_s if record.streams else None,
        "gen_ai.conversation.id": record.session,
        "error.type": (record.error or str(record.status)) if failed else None,
        "http.response.status_code": record.status,
        "auto_efficient.decision_id": record.decision_id,
        "auto_efficient.end": record.end.value,
        "auto_efficient.caller": record.caller,
        "auto_efficient.team": record.team,
        "auto_efficient.tier": record.tier,
        "auto_efficient.model": unit.model if unit else None,
        "auto_efficient.effort": unit.effort if unit else None,
        "auto_efficient.provider": record.provider,
        "auto_efficient.interface": record.interface.value,
        "auto_efficient.task": record.task,
        "auto_efficient.difficulty": record.difficulty,
        "auto_efficient.confidence": record.confidence,
        "auto_efficient.evidence": record.evidence and record.evidence.value,
        "auto_efficient.move": record.move and record.move.value,
        "auto_efficient.why": record.why,
        "auto_efficient.decide_s": record.decided_s,
        "auto_efficient.cost_usd": record.usd,
        "auto_efficient.saved_usd": record.saved_usd,
    }
    if usage is not None:
        said |= {
            "gen_ai.usage.input_tokens": usage.input_tokens,
            "gen_ai.usage.output_tokens": usage.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
            "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens,
            "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
        }
    return {name: value for name, value in said.items() if value is not None}


def failure_attributes(failure: Failure) -> dict[str, Any]:
    """Return what an event says of an attempt that failed."""
    return {
        "gen_ai.request.model": failure.unit.model,
        "gen_ai.provider.name": PROVIDERS.get(failure.provider, failure.provider),
        "error.type": failure.fault.name.lower(),
        "http.response.status_code": failure.status,
        "auto_efficient.reason": failure.reason,
        "auto_efficient.called": failure.called,
    }


def _ns(at_s: float) -> int:
    """Return a time as OpenTelemetry counts it."""
    return int(at_s * 1e9)
