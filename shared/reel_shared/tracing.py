"""OpenTelemetry: spans of requests, of submitted jobs and of jobs that run, where an endpoint is set.

``OTEL_EXPORTER_OTLP_ENDPOINT`` and the other variables of the standard are read by OpenTelemetry itself. Without an
endpoint nothing of it is imported here (FastAPI has its API) and a span is only the trace context that is handed on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import structlog

from reel_shared.origins import Origin, bound, here, new_traceparent

log = structlog.get_logger(__name__)
Kind = Literal["SERVER", "PRODUCER", "CONSUMER"]
PROTOCOL = "http/protobuf"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")

_provider: Any = None
_tracer: Any = None
"""None: nobody wants spans. Of this process, so that every module that records asks the same one."""


class Span:
    """One that is recorded, or, without a tracer, only its place in the trace."""

    def __init__(self, traceparent: str, recorded: Any = None) -> None:
        self.traceparent = traceparent
        self._recorded = recorded

    def note(self, attributes: Mapping[str, Any], *, name: str | None = None, failed: bool = False) -> None:
        """Add what became known on the way, without effect where nothing is recorded."""
        if self._recorded is None:
            return
        self._recorded.set_attributes(attributes)
        if name is not None:
            self._recorded.update_name(name)
        if failed:
            from opentelemetry.trace import StatusCode

            self._recorded.set_status(StatusCode.ERROR)


def configure(service: str) -> None:
    """Record from now on if the environment says where to; one line in the log says so, or why not.

    Args:
        service: the process's name among others, unless the environment has one.
    """
    global _provider, _tracer
    endpoint = next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), None)
    if endpoint is None or not _wanted():
        return
    protocol = next((os.environ[name] for name in _PROTOCOLS if os.environ.get(name)), PROTOCOL)
    if protocol != PROTOCOL:
        log.error("tracing.off", reason=f"Spans are sent by {PROTOCOL} alone, not by {protocol}.")
        return
    try:
        _provider = _new_provider(service)
    except ImportError as error:
        log.error(
            "tracing.off",
            reason="OpenTelemetry is not installed; install reel-shared[otel], or unset the endpoint.",
            missing=error.name,
        )
        return
    _tracer = _provider.get_tracer("reel_shared")
    log.info("tracing.on", endpoint=_without_password(endpoint))


def finish() -> None:
    """Send what is left and record no more; for a process that ends without Python's own exit."""
    if _provider is not None:
        _provider.shutdown()


def _wanted() -> bool:
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not disabled and os.environ.get("OTEL_TRACES_EXPORTER", "otlp") != "none"


def _without_password(endpoint: str) -> str:
    scheme, found, rest = endpoint.rpartition("@")
    return f"{scheme.partition('//')[0]}//{rest}" if found else endpoint


def _new_provider(service: str) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create()
    if str(resource.attributes["service.name"]).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": service}))
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


@contextmanager
def span(
    name: str, kind: Kind, parent: str | None, attributes: Mapping[str, Any], *, quiet: bool = False
) -> Iterator[Span]:
    """Record what is done within.

    Args:
        parent: the ``traceparent`` that it belongs to; None begins a trace.
        quiet: hand the trace on only, for what would drown the rest.
    """
    if _tracer is None or quiet:
        yield Span(parent or new_traceparent())
        return
    from opentelemetry import trace

    context = _context(parent, remote=kind != "PRODUCER")
    recorded = _tracer.start_span(name, context, trace.SpanKind[kind], attributes)
    # As the current one too, so that what other libraries record of themselves finds its place.
    with trace.use_span(recorded, end_on_exit=True):
        ids = recorded.get_span_context()
        made = f"00-{ids.trace_id:032x}-{ids.span_id:016x}-{ids.trace_flags & 1:02x}"
        yield Span(made, recorded)


def _context(traceparent: str | None, *, remote: bool) -> Any:
    from opentelemetry import trace
    from opentelemetry.context import Context

    if traceparent is None:
        return Context()
    _, trace_id, span_id, flags = traceparent.split("-")
    ids = trace.SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=remote, trace_flags=trace.TraceFlags(int(flags, 16))
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(ids), Context())


@contextmanager
def submitting(kind: str, queue: str, job_id: str) -> Iterator[Origin]:
    """Record that a job is submitted; yields what is to be kept with it, whose trace its worker goes on with."""
    origin = here()
    parent = origin.traceparent if origin else None
    with span(f"create {queue}", "PRODUCER", parent, _message("create", kind, queue, job_id)) as recorded:
        yield Origin(origin.request_id if origin else None, recorded.traceparent)


@contextmanager
def processing(
    kind: str, queue: str, job_id: str, attempt: int, request_id: str | None, traceparent: str | None
) -> Iterator[Span]:
    """Record an attempt of a job, as a child of its submission, and let what it does come from there."""
    about = {**_message("process", kind, queue, job_id), "reel.job.attempt": attempt}
    with (
        span(f"process {queue}", "CONSUMER", traceparent, about) as recorded,
        bound(Origin(request_id, recorded.traceparent)),
    ):
        yield recorded


def _message(operation: str, kind: str, queue: str, job_id: str) -> dict[str, Any]:
    """Return attributes as OpenTelemetry's conventions for messaging name them, and the job's kind."""
    return {
        "messaging.system": "celery",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": queue,
        "messaging.message.id": job_id,
        "reel.job.kind": kind,
    }
