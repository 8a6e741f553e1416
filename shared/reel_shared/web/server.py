"""The API process of a service: each service's ``server.py`` calls ``main`` with its application factory's name."""

from __future__ import annotations

import pkgutil
import signal

from reel_shared.imports import without_collections

GRACE_SECONDS = 10
"""How long requests in flight may take to end after SIGTERM."""
KEEP_ALIVE_SECONDS = 30
"""How long a connection may lie idle: longer than who polls waits at most (10 s) and than the gateway keeps its own."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def main(factory: str) -> None:
    """Serve on ``REEL_WEB__HOST`` and ``REEL_WEB__PORT`` until SIGTERM.

    The application itself logs each request; uvicorn's access log would say the same once more.

    Args:
        factory: of the application, as ``package.module:function``. Imported here, and all that is large with it.
    """
    with without_collections():
        import structlog
        import uvicorn

        from reel_shared import tracing
        from reel_shared.settings import settings
        from reel_shared.telemetry import configure_logging

        configure_logging()
        web = settings().web
        if web.host not in _LOOPBACK and "public_demo" not in web.model_fields_set:
            structlog.get_logger(__name__).warning(
                "web.open_to_strangers",
                advice="The demo page takes pictures without a key; set REEL_WEB__PUBLIC_DEMO to true or false.",
            )
        application = pkgutil.resolve_name(factory)()
        tracing.configure(f"{application.title.lower().replace(' ', '-')}-api")
    signal.signal(signal.SIGTERM, _end)
    uvicorn.run(
        application,
        host=web.host,
        port=web.port,
        log_config=None,
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def _end(number: int, _frame: object) -> None:
    """End as the signal would: uvicorn has stopped by then, and raises it again before Python's own exit."""
    from reel_shared import tracing

    tracing.finish()
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
