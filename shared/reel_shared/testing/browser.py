"""A real Chromium for tests: the browser, pages that may not throw, what axe finds, pictures that are dropped.

A plugin of pytest; playwright is imported by what uses it, for most tests need none.
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from playwright._impl._api_structures import SetCookieParam
    from playwright.sync_api import Browser, ConsoleMessage, Page, ViewportSize

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE_SECONDS = 20
WIDE, PHONE = (1280, 860), (390, 844)

_GIVE = """([event, content]) => {
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    const data = new DataTransfer();
    data.items.add(new File([bytes], "a.jpg", { type: "image/jpeg" }));
    const how = { bubbles: true, cancelable: true };
    const made = event === "paste" ? new ClipboardEvent("paste", { clipboardData: data, ...how })
                                   : new DragEvent("drop", { dataTransfer: data, ...how });
    document.body.dispatchEvent(made);
}"""


Faults = Callable[["Page"], list[str]]


class Open(Protocol):
    """Opens a page in a fresh browser, as ``pages`` gives it."""

    def __call__(self, path: str = "/", **options: Any) -> Page: ...


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The system's Chromium, or the one that playwright has fetched for itself; the test is skipped without one.

    Not longer than a module: while playwright is there, nobody else in this process may run an event loop.
    """
    from playwright import sync_api as playwright

    with playwright.sync_playwright() as driver:
        path = CHROMIUM or driver.chromium.executable_path
        if not Path(path).exists():
            pytest.skip("no Chromium is found; `make test-browser` installs one")
        # Chromium's own sandbox needs rights that containers and root do not have.
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def pages(
    browser: Browser,
    url: str,
    *,
    patience: float = PATIENCE_SECONDS,
    cookies: Sequence[SetCookieParam] = (),
    tolerated: Sequence[str] = ("status of 4",),
) -> Iterator[Open]:
    """Yield what opens an address of the site in a fresh browser. Options are those of a playwright context.

    At the end it fails when a page threw, or was refused something by its content policy. ``tolerated`` are words of
    errors on the console that are none: refusals are shown by the page itself.
    """
    contexts, wrong = [], []

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error" and not any(words in message.text for words in tolerated):
            wrong.append(message.text)

    def opened(path: str = "/", **options: Any) -> Page:
        context = browser.new_context(base_url=url, **{"viewport": viewport(WIDE), **options})
        contexts.append(context)
        context.add_cookies(cookies)
        context.set_default_timeout(1000 * patience)
        page = context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def viewport(size: tuple[int, int]) -> ViewportSize:
    return {"width": size[0], "height": size[1]}


@pytest.fixture(scope="session")
def faults() -> Faults:
    """What axe finds that keeps people from using a page: serious and critical, each with where it is."""
    from axe_playwright_python import sync_playwright as axe  # type: ignore[import-untyped]

    def found(page: Page) -> list[str]:
        return [
            f"{violation['id']}: {node['target']} {node['failureSummary']}"
            for violation in axe.Axe().run(page).response["violations"]
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
        ]

    return found


def give(page: Page, event: str, content: bytes) -> None:
    """Let a picture be dropped on the page (``drop``), or pasted into it (``paste``)."""
    page.evaluate(_GIVE, [event, base64.b64encode(content).decode()])
