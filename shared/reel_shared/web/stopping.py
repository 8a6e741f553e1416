"""Whether this server is shutting down, so that held answers and event streams end instead of blocking it."""

from __future__ import annotations

import signal

from sse_starlette.sse import AppStatus


def is_stopping() -> bool:
    """True from SIGTERM on; uvicorn itself waits for open answers before it tells the application."""
    if AppStatus.should_exit:
        return True
    # Where uvicorn was imported before sse-starlette could hook in, its server is found through its handler.
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return bool(getattr(server, "should_exit", False))
