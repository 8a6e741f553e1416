"""The small HTTP server of a process that is no API: ``/healthz``, ``/readyz`` and ``/metrics`` on REEL_METRICS_PORT.

Workers and the reaper start it; it answers from threads of its own while a job has the main thread.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from reel_shared.readiness import CHECK_SECONDS, PLATFORM, Check, ask, silent, summary
from reel_shared.settings import settings

log = structlog.get_logger(__name__)


def serve_probes() -> None:
    """Serve until the process ends; port 0 serves nothing."""
    if settings().metrics_port:
        address = (settings().metrics_host, settings().metrics_port)
        server = _Server(address, _Handler)
        threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()


class _Server(ThreadingTCPServer):
    # http.server's own would ask the name server who we are before it listens.
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what broke as everything else is said; a caller that left before its answer broke nothing."""
        if not isinstance(sys.exception(), ConnectionError):
            log.exception("probes.failed")


class _Handler(BaseHTTPRequestHandler):
    timeout = 10.0
    """A caller that says nothing holds its thread no longer, in seconds."""
    wbufsize = -1
    """An answer leaves in one piece: many a check reads the first line and closes, which resets what follows."""

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/healthz":
                self._json(200, {"status": "ok"})
            case "/readyz":
                self._json(*summary(look(PLATFORM)))
            case "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
            case _:
                self._json(404, {"status": "not found"})

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a line a probe would drown the jobs'."""

    def _json(self, status: int, content: dict[str, Any]) -> None:
        self._answer(status, "application/json", json.dumps(content).encode())

    def _answer(self, status: int, media_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def look(checks: Sequence[Check], seconds: float = CHECK_SECONDS) -> dict[str, dict[str, Any]]:
    """Run all checks at once and tell what each said within ``seconds``; one that hangs is left behind."""
    found: dict[str, dict[str, Any]] = {}

    def run(check: Check) -> None:
        found[check.name] = ask(check)

    threads = [threading.Thread(target=run, args=(check,), daemon=True) for check in checks]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return {check.name: found.get(check.name) or silent(seconds) for check in checks}
