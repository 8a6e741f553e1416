"""Web pictures: candidates in, accepted pictures out, everything counted; called by tasks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from reel_ingest.connection import Refused
from reel_ingest.duplicates import phash
from reel_ingest.lookahead import in_order
from reel_ingest.quality import refusal_reason
from reel_ingest.sieve import Sieve
from reel_ingest.web_sources.provider import Candidate
from reel_shared import errors
from reel_shared.images import MAX_PIXELS, open_picture

LANES = 4
"""Pictures fetched and decoded at the same time; each may hold some 120 MB of pixels for a moment."""

_MAGIC = ((b"\xff\xd8\xff", "jpeg"), (b"\x89PNG", "png"), (b"GIF8", "gif"), (b"RIFF", "webp"), (b"BM", "bmp"))


@dataclass(frozen=True, slots=True)
class Picture:
    """An accepted picture: its own bytes, unchanged, and what was found out about them."""

    candidate: Candidate
    data: bytes
    media_type: str
    sha256: str
    phash: int
    width: int
    height: int


def collect_pictures(
    candidates: Iterable[Candidate],
    *,
    fetch: Callable[[Candidate], bytes],
    sieve: Sieve,
    max_pixels: int = MAX_PIXELS,
    on_progress: Callable[[int], None] | None = None,
) -> Iterator[Picture]:
    """Yield the candidates' pictures that can be used and are new, in the order of the candidates.

    ``fetch`` is called from several threads. Whatever is not yielded is counted in ``sieve.counts`` with its
    reason. ``on_progress`` gets the number of candidates done; what it raises stops the work. Errors that are
    nobody's bad picture, such as storage being away, are raised.
    """
    results = in_order(candidates, lambda candidate: _load(candidate, fetch, max_pixels), lanes=LANES)
    with closing(results):
        for done, (_candidate, result) in enumerate(results, start=1):
            if isinstance(result, str):
                sieve.refuse(result)
            elif sieve.admit(result.sha256, result.phash):
                yield result
            if on_progress:
                on_progress(done)


def _load(candidate: Candidate, fetch: Callable[[Candidate], bytes], max_pixels: int) -> Picture | str:
    """Return the picture, or the reason why it cannot be used."""
    try:
        data = fetch(candidate)
        image = np.asarray(open_picture(data, max_pixels=max_pixels, max_bytes=len(data)))
    except Refused as refused:
        return refused.reason
    except (errors.BadPicture, errors.TooLarge) as error:
        if "reason" not in error.extra:
            raise  # not about one picture: the whole archive is too large
        return str(error.extra["reason"])
    if reason := refusal_reason(image):
        return reason
    return Picture(
        candidate=candidate,
        data=data,
        media_type=media_type_of(data),
        sha256=hashlib.sha256(data).hexdigest(),
        phash=phash(image),
        width=image.shape[1],
        height=image.shape[0],
    )


def media_type_of(data: bytes) -> str:
    """Return the media type that a decoded picture's first bytes show."""
    return next(
        (f"image/{name}" for magic, name in _MAGIC if data.startswith(magic)), "application/octet-stream"
    )
