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
from axe_playwright_python import sync_playwright as axe
from playwright import sync_api as playwright

from reel_shared.db.engine import transaction
from reel_shared.embedded import Seaweed
from reel_shared.s3 import connect
from reel_shared.security import create_key
from reel_shared.testing.stack import forget
from reel_shared.web import sessions

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
START_SECONDS = 20
PATIENCE_SECONDS = 20
WIDE, PHONE = (1280, 860), (390, 844)


@pytest.fixture(scope="module")
def chromium() -> Iterator[playwright.Browser]:
    """The system's Chromium, or the one that playwright has fetched for itself.

    Not longer than a module: while playwright is there, nobody else in this process may run an event loop.
    """
    with playwright.sync_playwright() as driver:
        path = CHROMIUM or driver.chromium.executable_path
        if not Path(path).exists():
            pytest.skip("no Chromium is found; `make test-browser` installs one")
        # Chromium's own sandbox needs rights that containers and root do not have.
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


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
    from reelsight.platform.server import app

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
    """Open an address of the site in a fresh, signed-in browser: ``open_page("/jobs", dark=True, size=PHONE)``.

    A page that throws, or is refused something by its content policy, fails the test at its end.
    """
    contexts: list[playwright.BrowserContext] = []
    wrong: list[str] = []

    def heard(message: playwright.ConsoleMessage) -> None:
        if (
            message.type == "error" and "status of 4" not in message.text
        ):  # refusals are shown by the page itself
            wrong.append(message.text)

    def opened(path: str, *, dark: bool = False, size: tuple[int, int] = WIDE) -> playwright.Page:
        context = chromium.new_context(
            base_url=site.url,
            color_scheme="dark" if dark else "light",
            viewport={"width": size[0], "height": size[1]},
        )
        contexts.append(context)
        context.add_cookies([{"name": sessions.COOKIE, "value": site.cookie, "url": site.url}])
        context.set_default_timeout(1000 * PATIENCE_SECONDS)
        page = context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture(scope="session")
def faults() -> Callable[[playwright.Page], list[str]]:
    """What axe finds that keeps people from using a page: serious and critical, each with where it is."""

    def found(page: playwright.Page) -> list[str]:
        return [
            f"{violation['id']}: {node['target']} {node['failureSummary']}"
            for violation in axe.Axe().run(page).response["violations"]
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
        ]

    return found
