"""Requests to the HTTP API and to links into its storage, sent again while nothing answers; called by ``client``."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from reel_shared.contracts import JsonObject

_STORAGE_SECONDS = 60.0


class ApiError(Exception):
    """The API refused, or a job failed; ``problem`` is the RFC 9457 object, the text its one sentence."""

    def __init__(self, problem: JsonObject) -> None:
        self.problem = problem
        self.status: int = problem.get("status", 0)
        super().__init__(problem.get("detail") or problem.get("title") or "The API refused the request.")

    @property
    def code(self) -> str:
        """The last part of the problem's type, such as ``not-found``."""
        return str(self.problem.get("type", "")).rpartition(":")[2]


class Unreachable(ApiError):
    """The API did not answer, however often it was asked."""


class Calls:
    """One Reelsight API. Use it as a context manager, or ``close`` it.

    Whatever may be repeated safely is repeated while the API does not answer, for ``patience`` seconds: reads
    always, and POSTs because each carries an Idempotency-Key of its own.
    """

    def __init__(
        self,
        base_url: str,
        token: str = "",
        *,
        timeout: float = 60.0,
        patience: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.patience = patience
        self._http = httpx.Client(
            base_url=base_url,
            timeout=httpx.Timeout(timeout, connect=5.0),
            headers={"Authorization": f"Bearer {token}"} if token else {},
            transport=transport,
            trust_env=False,
        )

    @property
    def base_url(self) -> str:
        return str(self._http.base_url).rstrip("/")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()
        if "_links" in vars(self):
            self._links.close()

    @cached_property
    def _links(self) -> httpx.Client:
        """For storage, which is never sent the key. Kept, since to make one reads every certificate of the system."""
        return httpx.Client(timeout=_STORAGE_SECONDS, trust_env=False)

    def get(self, path: str, **options: Any) -> JsonObject:
        return self._json("GET", path, **options)

    def post(self, path: str, **options: Any) -> JsonObject:
        headers = {"Idempotency-Key": uuid.uuid4().hex, **options.pop("headers", {})}
        return self._json("POST", path, headers=headers, **options)

    def fetch(self, path: str, **options: Any) -> bytes:
        """Return what the API answers that is no JSON object, such as a page."""
        return self._send("GET", path, **options).content

    def rows(self, path: str, **params: Any) -> Iterator[JsonObject]:
        """Yield the rows of any list, page by page."""
        wanted = {name: value for name, value in params.items() if value not in (None, "")}
        while True:
            page = self.get(path, params=wanted)
            yield from page["data"]
            if page["next_cursor"] is None:
                return
            wanted["cursor"] = page["next_cursor"]

    def download(self, url: str) -> bytes:
        """Return the bytes behind a presigned ``url`` of a result. The API key is not sent along."""
        answer = self._repeat(lambda: self._links.get(url), at=url)
        return _allowed(answer).content

    def save(self, url: str, path: Path) -> None:
        """Write the bytes behind a presigned ``url`` to a file, in parts; the file appears when it is whole."""
        part = path.with_name(f"{path.name}.part")

        def fetch() -> httpx.Response:
            with self._links.stream("GET", url) as answer:
                if answer.is_success:
                    with part.open("wb") as file:
                        for chunk in answer.iter_bytes():
                            file.write(chunk)
            return answer

        try:
            _allowed(self._repeat(fetch, at=url))
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def _json(self, method: str, path: str, **options: Any) -> JsonObject:
        answer = self._send(method, path, **options)
        found: JsonObject = answer.json() if answer.content else {}
        return found

    def _send(
        self, method: str, path: str, *, content: Path | bytes | None = None, **options: Any
    ) -> httpx.Response:
        def send() -> httpx.Response:
            if isinstance(content, Path):
                with content.open("rb") as file:
                    return self._http.request(method, path, content=file, **options)
            return self._http.request(method, path, content=content, **options)

        answer = self._repeat(send)
        if not answer.is_success:
            raise ApiError(_problem(answer))
        return answer

    def _repeat(self, send: Callable[[], httpx.Response], *, at: str = "") -> httpx.Response:
        """Send again, with backoff, while there is no answer or one that says to come back.

        Args:
            at: the address that is asked, where that is not the API.
        """
        deadline = time.monotonic() + self.patience
        pause = 0.1
        while True:
            answer, failure = _attempt(send)
            if answer is not None and not _come_back(answer):
                return answer
            wait = max(pause * random.uniform(0.5, 1.0), _retry_after(answer))
            if time.monotonic() + wait > deadline:
                if answer is None:
                    raise Unreachable(_unreachable(httpx.URL(at or self.base_url), failure)) from failure
                return answer
            time.sleep(wait)
            pause = min(pause * 2, 3.0)


def _attempt(send: Callable[[], httpx.Response]) -> tuple[httpx.Response | None, httpx.RequestError | None]:
    try:
        return send(), None
    except httpx.RequestError as error:
        return None, error


def _allowed(answer: httpx.Response) -> httpx.Response:
    """Return what storage answered. Raises ``ApiError`` where it refused."""
    if not answer.is_success:
        raise ApiError(
            {"status": answer.status_code, "detail": f"Storage refused the link ({answer.status_code})."}
        )
    return answer


def _come_back(answer: httpx.Response) -> bool:
    """Whether asking again may help: the API says so by Retry-After; a proxy's 502 to 504 always may."""
    if answer.status_code not in (429, 502, 503, 504):
        return False
    return "retry-after" in answer.headers or "problem+json" not in answer.headers.get("content-type", "")


def _retry_after(answer: httpx.Response | None) -> float:
    given = answer.headers.get("retry-after", "") if answer is not None else ""
    return float(given) if given.isdecimal() else 0.0


def _unreachable(url: httpx.URL, error: Exception | None) -> JsonObject:
    # the query of a link is a permission
    where = f"{url.scheme}://{url.netloc.decode()}"
    return {
        "type": "urn:reelsight:problem:unreachable",
        "title": "The API does not answer",
        "detail": f"Nothing answers at {where} ({type(error).__name__}); is the platform running?",
    }


def _problem(answer: httpx.Response) -> JsonObject:
    try:
        found = answer.json()
        if isinstance(found, dict) and "detail" in found:
            return found
    except ValueError:
        pass
    reason = f"{answer.request.method} {answer.request.url.path} was answered with {answer.status_code}"
    return {"status": answer.status_code, "title": answer.reason_phrase, "detail": f"{reason}."}
