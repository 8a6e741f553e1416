"""Where work comes from: the id of an HTTP request and its W3C trace context, carried on to each job's log lines.

``web.requests`` binds them for a request, ``jobs.submit`` keeps them with the job, ``runner`` binds them again where
the job runs; so the parts of a job and the jobs that follow it have them too. They name and prove nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import structlog

_TRACEPARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<span>(?!0{16})[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
_SAMPLED = 1


class Origin(NamedTuple):
    request_id: str | None
    """None: no HTTP request stands at the beginning."""
    traceparent: str
    """Version 00 of https://www.w3.org/TR/trace-context/, as ``read_traceparent`` returns it; 55 characters."""

    @property
    def trace_id(self) -> str:
        return self.traceparent[3:35]


_here: ContextVar[Origin | None] = ContextVar("reel_origin", default=None)


def here() -> Origin | None:
    """Return where what runs now comes from."""
    return _here.get()


@contextmanager
def bound(origin: Origin) -> Iterator[None]:
    """Let what runs within come from ``origin``, and every log line say so: ``request`` and ``trace_id``."""
    said = {"trace_id": origin.trace_id}
    if origin.request_id is not None:
        said["request"] = origin.request_id
    before = _here.set(origin)
    try:
        with structlog.contextvars.bound_contextvars(**said):
            yield
    finally:
        _here.reset(before)


def read_traceparent(header: str) -> str | None:
    """Return a header ``traceparent`` in the form of version 00, without flags we do not know; None if it is none.

    Of a later version only what version 00 has is read, as the standard asks for.
    """
    found = _TRACEPARENT.fullmatch(header)
    if found is None or (found["version"] == "00" and found["more"] is not None):
        return None
    return f"00-{found['trace']}-{found['span']}-{int(found['flags'], 16) & _SAMPLED:02x}"


def new_traceparent() -> str:
    """Begin a trace that nobody records."""
    return f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-00"
