"""Pictures under open licences through the Openverse API (https://api.openverse.org/v1/); a SourceProvider."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from reel_ingest.fetch import Fetcher, Refused
from reel_ingest.web_sources.provider import Candidate, Capabilities, Query
from reel_shared import errors

ANONYMOUS_PAGE_SIZE = 20
REGISTERED_PAGE_SIZE = 50
MAX_PAGES = 20
"""As deep as the API lets anyone page."""

_ANSWER_BYTES = 4 * 2**20


class Openverse:
    """Searches images; a bearer token raises the page size and the rate that the API allows."""

    name = "openverse"
    capabilities = Capabilities(time_window="none", licence=True, page_limit=MAX_PAGES * ANONYMOUS_PAGE_SIZE)

    def __init__(self, base_url: str, fetcher: Fetcher, *, picture_bytes: int, token: str = "") -> None:
        self._base_url = base_url.rstrip("/")
        self._fetcher = fetcher
        self._picture_bytes = picture_bytes
        self._token = token

    def count(self) -> None:
        """Only known at the end."""

    def search(self, query: Query) -> Iterator[Candidate]:
        largest = REGISTERED_PAGE_SIZE if self._token else ANONYMOUS_PAGE_SIZE
        size = min(largest, query.limit)
        given = 0
        for page in range(1, MAX_PAGES + 1):
            answer = self._page(query.words, page, size)
            for result in answer["results"]:
                if given == query.limit:
                    return
                if isinstance(result, dict) and result.get("url"):
                    given += 1
                    yield candidate_of(result)
            if page >= int(answer.get("page_count") or 0) or not answer["results"]:
                return

    def fetch(self, candidate: Candidate) -> bytes:
        return self._fetcher.get(candidate.url, max_bytes=self._picture_bytes).body

    def _page(self, words: str, page: int, size: int) -> dict[str, Any]:
        parameters = urlencode({"q": words, "page": page, "page_size": size, "mature": "false"})
        headers = {"Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        url = f"{self._base_url}/v1/images/?{parameters}"
        try:
            fetched = self._fetcher.get(url, max_bytes=_ANSWER_BYTES, crawl=False, headers=headers)
        except Refused as refused:
            if refused.reason in {"http-401", "http-403"}:
                raise errors.BadRequest("Openverse refuses the token; set a valid one or none.") from refused
            if refused.reason == "http-400":
                raise errors.BadRequest(
                    "Openverse does not understand the query; make it simpler."
                ) from refused
            raise errors.Unavailable(f"Openverse cannot be searched now: {refused.detail}") from refused
        return _parsed(fetched.body)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or not isinstance(answer.get("results"), list):
        raise errors.Unavailable("Openverse gave an answer that is not a list of images; try again later.")
    return answer


def candidate_of(result: dict[str, Any]) -> Candidate:
    """Read one entry of ``results``; missing and null fields become empty."""

    def text(field: str) -> str:
        return str(result.get(field) or "")

    def number(field: str) -> int | None:
        value = result.get(field)
        return value if isinstance(value, int) and value > 0 else None

    return Candidate(
        url=text("url"),
        provider=Openverse.name,
        provider_id=text("id"),
        title=text("title"),
        creator=text("creator"),
        licence=licence_name(text("license"), text("license_version")),
        licence_url=text("license_url"),
        attribution=text("attribution"),
        page_url=text("foreign_landing_url"),
        width=number("width"),
        height=number("height"),
    )


def licence_name(slug: str, version: str) -> str:
    """Return a licence as people write it: ``CC BY-SA 4.0``, ``CC0 1.0``, ``PDM 1.0``."""
    name = slug.upper()
    if slug.startswith("by") or slug in {"sampling+", "nc-sampling+"}:
        name = f"CC {name}"
    return f"{name} {version}".strip()
