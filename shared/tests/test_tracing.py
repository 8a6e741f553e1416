"""Trace headers are read as the standard says and no further; OpenTelemetry is there only when it is asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from reel_shared import tracing
from reel_shared.origins import Origin, bound, here, new_traceparent, read_traceparent

# The two of the standard's own example.
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"  # pragma: allowlist secret
SPAN = "00f067aa0ba902b7"
REPORT = """
import json, sys
from reel_shared import tracing
from reel_shared.telemetry import configure_logging
if "missing" in sys.argv:
    sys.modules["opentelemetry.sdk.trace"] = None
configure_logging()
tracing.configure("reelsight-test")
with tracing.span("GET /", "SERVER", None, {"url.path": "/"}) as span:
    span.note({"http.route": "/"}, name="GET /", failed=True)
found = [name for name in sys.modules if name.split(".")[0] in ("opentelemetry", "google", "requests")]
print(json.dumps({"traceparent": span.traceparent, "modules": found}))
"""


def report(*arguments: str, **env: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what a process that records one span says of itself, and its log."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT, *arguments],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), [json.loads(line) for line in done.stderr.splitlines()]


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        (f"00-{TRACE}-{SPAN}-01", "01"),
        (f"00-{TRACE}-{SPAN}-00", "00"),
        (f"00-{TRACE}-{SPAN}-ff", "01"),
        (f"cc-{TRACE}-{SPAN}-01-of-a-later-version", "01"),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}-01\n", None),
        ("", None),
        ("0" * 60_000, None),
    ],
)
def test_of_a_header_nothing_but_well_formed_ids_is_kept(header: str, kept: str | None) -> None:
    assert read_traceparent(header) == (kept and f"00-{TRACE}-{SPAN}-{kept}")


def test_without_an_endpoint_a_trace_is_handed_on_and_nothing_is_imported() -> None:
    for env in (
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
    ):
        found, lines = report(**env)
        assert read_traceparent(found["traceparent"]) == found["traceparent"]
        assert found["modules"] == []
        assert lines == []


@pytest.mark.parametrize(
    ("arguments", "env", "reason"),
    [
        (["missing"], {}, "install reel-shared[otel]"),
        ([], {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http/protobuf alone"),
    ],
)
def test_an_endpoint_that_cannot_be_used_is_one_clear_line(
    arguments: list[str], env: dict[str, str], reason: str
) -> None:
    found, lines = report(*arguments, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1", **env)
    (line,) = lines
    assert (line["event"], line["level"]) == ("tracing.off", "error")
    assert reason in line["reason"]
    assert read_traceparent(found["traceparent"]) is not None


def test_the_line_that_names_the_endpoint_holds_no_password() -> None:
    endpoint = "http://me:secret@127.0.0.1:1"  # pragma: allowlist secret
    _, lines = report(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_EXPORTER_OTLP_TIMEOUT="1")
    assert (lines[0]["event"], lines[0]["endpoint"]) == ("tracing.on", "http://127.0.0.1:1")
    assert "secret" not in json.dumps(lines)


def test_what_is_submitted_within_comes_from_there_and_is_let_go_afterwards() -> None:
    with bound(Origin("order-7", f"00-{TRACE}-{SPAN}-00")), tracing.submitting("a.b", "a", "job_1") as kept:
        assert kept == ("order-7", f"00-{TRACE}-{SPAN}-00")
    assert here() is None
    with tracing.submitting("a.b", "a", "job_1") as alone:
        assert alone.request_id is None
        assert read_traceparent(alone.traceparent) == alone.traceparent
    assert new_traceparent() != new_traceparent()
