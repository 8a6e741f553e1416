"""Pictures of Wikimedia Commons through its API (https://commons.wikimedia.org/w/api.php); a SourceProvider."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from reel_ingest.fetch import Fetched, Fetcher, Refused
from reel_ingest.web_sources.plain_text import plain_text
from reel_ingest.web_sources.provider import Candidate, Capabilities, Query
from reel_shared import errors

PAGE_SIZE = 50
PAGE_LIMIT = 10_000
"""As deep as the search engine behind it goes."""
WIDTH = 1280
"""Larger pictures are asked for at this width: originals may have hundreds of megapixels."""
MAX_LAG = 5
"""Seconds that the servers' copies may lag behind; beyond that they ask robots to wait."""
_PATIENCE = 4
_LONGEST_WAIT = 60.0
_ANSWER_BYTES = 8 * 2**20
_WAITING = {"maxlag", "ratelimited", "readonly"}


class Wikimedia:
    """Searches the file namespace. Its rules ask for a user agent that names a contact."""

    name = "wikimedia"
    capabilities = Capabilities(time_window="exact", licence=True, page_limit=PAGE_LIMIT)

    def __init__(
        self,
        api_url: str,
        fetcher: Fetcher,
        *,
        picture_bytes: int,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._api_url = api_url
        self._fetcher = fetcher
        self._picture_bytes = picture_bytes
        self._sleep = sleep

    def count(self) -> None:
        """Only known at the end."""

    def search(self, query: Query) -> Iterator[Candidate]:
        given = 0
        onward: dict[str, Any] = {}
        while given < query.limit:
            answer = self._page(query, min(PAGE_SIZE, query.limit - given), onward)
            pages = answer.get("query", {}).get("pages", [])
            for page in sorted(pages, key=lambda page: int(page.get("index", 0))):
                candidate = candidate_of(page)
                if candidate is not None and given < query.limit:
                    given += 1
                    yield candidate
            onward = answer.get("continue") or {}
            if not onward or int(onward.get("gsroffset", 0)) >= PAGE_LIMIT:
                return

    def fetch(self, candidate: Candidate) -> bytes:
        return self._fetcher.get(candidate.url, max_bytes=self._picture_bytes).body

    def _page(self, query: Query, size: int, onward: dict[str, Any]) -> dict[str, Any]:
        parameters = {
            "action": "query",
            "format": "json",
            "formatversion": "2",
            "maxlag": MAX_LAG,
            "generator": "search",
            "gsrnamespace": 6,
            "gsrsearch": phrase(query),
            "gsrlimit": size,
            "prop": "imageinfo",
            "iiprop": "url|size|mime|sha1|timestamp|extmetadata",
            "iiextmetadatafilter": "LicenseShortName|LicenseUrl|Artist|Credit|ObjectName|DateTimeOriginal",
            "iiurlwidth": WIDTH,
            **onward,
        }
        url = f"{self._api_url}?{urlencode(parameters)}"
        for _ in range(_PATIENCE):
            fetched = self._ask(url)
            answer = _parsed(fetched)
            error = answer.get("error")
            if not error:
                return answer
            if error.get("code") not in _WAITING:
                raise errors.Unprocessable(
                    f"Wikimedia Commons does not take the query ({error.get('code')}); make it simpler."
                )
            self._sleep(min(fetched.retry_after or MAX_LAG, _LONGEST_WAIT))
        raise errors.Unavailable("Wikimedia Commons is busy and asks robots to wait; try again later.")

    def _ask(self, url: str) -> Fetched:
        try:
            return self._fetcher.get(
                url, max_bytes=_ANSWER_BYTES, crawl=False, headers={"Accept": "application/json"}
            )
        except Refused as refused:
            if refused.reason == "http-403":
                raise errors.Unprocessable(
                    "Wikimedia Commons turns us away; name a real contact in REEL_INGEST__CONTACT."
                ) from refused
            raise errors.Unavailable(
                f"Wikimedia Commons cannot be searched now: {refused.detail}"
            ) from refused


def phrase(query: Query) -> str:
    """Return the search expression: the words, bitmaps and drawings only, and the days in the engine's own terms."""
    terms = [query.words.replace(":", " "), "filetype:bitmap|drawing"]
    if query.since is not None:
        terms.append(f"creationdate:>={query.since.isoformat()}")
    if query.until is not None:
        terms.append(f"creationdate:<{query.until.isoformat()}")
    return " ".join(terms)


def _parsed(fetched: Fetched) -> dict[str, Any]:
    try:
        answer = json.loads(fetched.body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise errors.Unavailable("Wikimedia Commons gave an answer that cannot be read; try again later.")
    return answer


def candidate_of(page: dict[str, Any]) -> Candidate | None:
    """Read one page of the file namespace; None for what is no picture."""
    info = (page.get("imageinfo") or [{}])[0]
    if not str(info.get("mime", "")).startswith("image/") or not info.get("url"):
        return None
    smaller = bool(info.get("thumburl")) and (
        int(info.get("width") or 0) > WIDTH or info["mime"] not in {"image/jpeg", "image/png", "image/webp"}
    )

    def told(field: str) -> str:
        return plain_text(str((info.get("extmetadata") or {}).get(field, {}).get("value") or ""))

    title = str(page.get("title", "")).removeprefix("File:").rpartition(".")[0]
    creator, licence = told("Artist"), told("LicenseShortName")
    return Candidate(
        url=str(info["thumburl"] if smaller else info["url"]),
        provider=Wikimedia.name,
        provider_id=str(info.get("sha1") or page.get("pageid") or ""),
        title=told("ObjectName") or title,
        creator=creator,
        licence=licence,
        licence_url=told("LicenseUrl"),
        attribution=_attribution(title, creator, told("Credit"), licence),
        page_url=str(info.get("descriptionurl") or ""),
        width=_positive(info.get("thumbwidth" if smaller else "width")),
        height=_positive(info.get("thumbheight" if smaller else "height")),
        taken_at=_moment(info.get("timestamp")),
    )


def _attribution(title: str, creator: str, credit: str, licence: str) -> str:
    by = f" by {creator}" if creator else ""
    source = f" ({credit})" if credit else ""
    under = f", {licence}" if licence else ""
    return f'"{title}"{by}{source}, via Wikimedia Commons{under}'


def _positive(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else None
