"""Answers searches of the gallery by day, as the API of Wikimedia Commons does. Called by server."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from reelsight.studio.gallery import Offer
from reelsight.studio.lookup import licence_of, matching

PATH = ("w", "api.php")
LARGEST_PAGE = 50
_MIME = {"jpg": "image/jpeg", "png": "image/png", "gif": "image/gif", "webp": "image/webp"}
_DAY = re.compile(r"creationdate:(>=|<)(\S+)")
_TYPE = re.compile(r"filetype:\S+")


def between(offers: Iterable[Offer], since: date | None, until: date | None) -> list[Offer]:
    """The offers of the days from `since` up to and without `until`."""
    return [
        offer
        for offer in offers
        if (since is None or since <= offer.day) and (until is None or offer.day < until)
    ]


def answer(offers: Sequence[Offer], query: Mapping[str, list[str]], base: str) -> dict[str, Any]:
    """One page of a generator's search in the file namespace, and where the next one begins.

    `sha1` is left out of what a file tells, so that copies of one file are candidates of their own.
    """
    try:
        text, size, start = query["gsrsearch"][-1], int(query["gsrlimit"][-1]), _start(query)
        days = {sign: date.fromisoformat(day) for sign, day in _DAY.findall(text)}
        if not 1 <= size <= LARGEST_PAGE or start < 0:
            raise ValueError(size, start)
    except (KeyError, ValueError):
        return {"error": {"code": "badvalue", "info": "gsrsearch, gsrlimit or gsroffset is not understood."}}
    phrase = _TYPE.sub(" ", _DAY.sub(" ", text))
    found = between(matching(offers, phrase), days.get(">="), days.get("<"))
    part = found[start : start + size]
    said: dict[str, Any] = {
        "batchcomplete": True,
        "query": {"pages": [_page(offer, start + number, base) for number, offer in enumerate(part, 1)]},
    }
    if start + size < len(found):
        said["continue"] = {"gsroffset": start + size, "continue": "gsroffset||"}
    return said


def _start(query: Mapping[str, list[str]]) -> int:
    return int(query.get("gsroffset", ["0"])[-1])


def _page(offer: Offer, index: int, base: str) -> dict[str, Any]:
    licence, deed = licence_of(offer)
    told = {
        "ObjectName": offer.title,
        "Artist": offer.creator,
        "LicenseShortName": licence,
        "LicenseUrl": deed,
        "Credit": "Reelsight studio",
    }
    return {
        "pageid": int(offer.id[:8], 16),
        "ns": 6,
        "title": f"File:{offer.title}.{offer.filetype}",
        "index": index,
        "imageinfo": [
            {
                "url": f"{base}/media/{offer.file}",
                "descriptionurl": f"{base}/pictures/{offer.id}",
                "mime": _MIME[offer.filetype],
                "timestamp": f"{offer.made_on}T12:00:00Z",
                "width": offer.width,
                "height": offer.height,
                "size": offer.filesize,
                "extmetadata": {name: {"value": value} for name, value in told.items()},
            }
        ],
    }
