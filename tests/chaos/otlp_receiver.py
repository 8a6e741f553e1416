"""A receiver of OpenTelemetry's spans over HTTP, for tests: takes them apart and keeps them."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Seen(NamedTuple):
    """One span; ids are lower-case hexadecimal."""

    service: str
    name: str
    kind: str
    trace_id: str
    id: str
    parent: str
    failed: bool
    attributes: dict[str, str | int]


class Receiver:
    def __init__(self) -> None:
        self.spans: list[Seen] = []
        spans = self.spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                body = self.rfile.read(int(self.headers["Content-Length"]))
                spans.extend(_seen(body))
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.end_headers()
                self.wfile.write(ExportTraceServiceResponse().SerializeToString())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def of(self, name: str) -> list[Seen]:
        return [span for span in self.spans if span.name == name]


def _seen(body: bytes) -> list[Seen]:
    found = ExportTraceServiceRequest.FromString(body)
    return [
        Seen(
            service=str(_values(group.resource.attributes)["service.name"]),
            name=span.name,
            kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
            trace_id=span.trace_id.hex(),
            id=span.span_id.hex(),
            parent=span.parent_span_id.hex(),
            failed=span.status.code == span.status.STATUS_CODE_ERROR,
            attributes=_values(span.attributes),
        )
        for group in found.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _values(attributes: object) -> dict[str, str | int]:
    return {each.key: each.value.string_value or each.value.int_value for each in attributes}  # type: ignore[attr-defined]
