"""A real Chromium before the real API and pages, with real storage and a database of its own for each module."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn
from playwright import sync_api as playwright

from reel_shared.db.engine import transaction
from reel_shared.embedded import Seaweed
from reel_shared.s3 import connect
from reel_shared.security import create_key
from reel_shared.testing import browser
from reel_shared.testing.browser import PATIENCE_SECONDS, WIDE
from reel_shared.testing.stack import forget
from reel_shared.web import sessions

START_SECONDS = 20


@dataclass(frozen=True)
class Site:
    url: str
    token: str
    cookie: str
    """Of somebody who is signed in with the token."""
    data: Path


@pytest.fixture(scope="module")
def site(_migrated_sqlite: Path, _s3: Seaweed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """API and pages of all services, answering; jobs are kept and wait, as no broker is there."""
    from reelsight.platform.application import app

    data = tmp_path_factory.mktemp("site")
    shutil.copyfile(_migrated_sqlite, data / "reelsight.db")
    _s3.start()
    bucket = f"reel-{data.name.replace('_', '-')}"
    access = _s3.settings(bucket)
    connect(access, _s3.endpoint).make_bucket(bucket)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("REEL_")]:
            patch.delenv(name)
        for name, value in {
            "DATA_DIR": data,
            "DATABASE__URL": f"sqlite:///{data / 'reelsight.db'}",
            "REDIS__URL": "redis://127.0.0.1:1/0",
            "S3__ENDPOINT": _s3.endpoint,
            "S3__ACCESS_KEY": access.access_key,
            "S3__SECRET_KEY": access.secret_key.get_secret_value(),
            "S3__BUCKET": bucket,
            "WEB__SECRET": "a secret that only this test knows",
        }.items():
            patch.setenv(f"REEL_{name}", str(value))
        forget()
        with transaction() as session:
            _, token = create_key(session, "browser", ["read", "submit", "admin"])
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app(), log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.02)
        assert server.started
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        answer = httpx.post(f"{url}/sign-in", data={"key": token}, trust_env=False, timeout=PATIENCE_SECONDS)
        yield Site(url, token, answer.cookies[sessions.COOKIE], data)
        server.should_exit = True
        thread.join(START_SECONDS)
        listener.close()
    forget()


@pytest.fixture
def open_page(chromium: playwright.Browser, site: Site) -> Iterator[Callable[..., playwright.Page]]:
    """Open an address of the site in a fresh, signed-in browser: ``open_page("/jobs", dark=True, size=PHONE)``."""
    cookie = {"name": sessions.COOKIE, "value": site.cookie, "url": site.url}
    with browser.pages(chromium, site.url, cookies=[cookie]) as opened:

        def signed_in(path: str, *, dark: bool = False, size: tuple[int, int] = WIDE) -> playwright.Page:
            scheme = "dark" if dark else "light"
            return opened(path, color_scheme=scheme, viewport=browser.viewport(size))

        yield signed_in
