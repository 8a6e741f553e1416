"""Web pictures: candidates in, described and stored pictures out, or the reason why not; called by tasks."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from reel_ingest.bars import without_bars
from reel_ingest.hashing import phash
from reel_ingest.lookahead import in_order
from reel_ingest.quality import assess
from reel_ingest.web_sources.provider import Candidate
from reel_shared import errors
from reel_shared.connection import Refused
from reel_shared.contracts import QualityChecks, StoredFile
from reel_shared.images import MAX_PIXELS, open_picture

LANES = 4
"""Pictures fetched, decoded and stored at the same time; each may hold some 120 MB of pixels for a moment."""

_MAGIC = ((b"\xff\xd8\xff", "jpeg"), (b"\x89PNG", "png"), (b"GIF8", "gif"), (b"RIFF", "webp"), (b"BM", "bmp"))

Store = Callable[[bytes, str], StoredFile]
"""Puts a picture's bytes, unchanged, with their media type, where they stay; may raise ``Refused``."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that can be used: where it lies, and what was found out about it. It does not hold its bytes."""

    file: StoredFile
    phash: int
    """Of what is inside its bars, where it has bars."""
    width: int
    height: int
    quality: dict[str, float]
    """Score by check."""
    refusal: str | None
    """The check that it fails (``dark``, ``blurred``, …), or None."""
    phash_with_bars: int | None = None
    """Of the whole picture, where it has bars."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a candidate gave no picture: the short word it is counted under, and whether it may pass."""

    reason: str
    transient: bool = False


@dataclass(frozen=True, slots=True)
class Sides:
    """Bounds on a picture's sides in pixels, both included."""

    shortest: int = 0
    longest: int | None = None

    def allow(self, width: int | None, height: int | None) -> bool:
        """Whether a picture of this size may come in; a side that is not known may."""
        sides = [side for side in (width, height) if side is not None]
        return all(self.shortest <= side and (self.longest is None or side <= self.longest) for side in sides)


def collect_pictures(
    candidates: Iterable[Candidate],
    *,
    fetch: Callable[[Candidate], bytes],
    store: Store,
    max_pixels: int = MAX_PIXELS,
    checks: QualityChecks | None = None,
    sides: Sides | None = None,
    lanes: int = LANES,
) -> Generator[tuple[Candidate, Picture | Refusal], None, None]:
    """Yield what became of every candidate, in the order of the candidates; pictures are stored by then.

    ``fetch`` and ``store`` are called from several threads. Errors that are nobody's bad picture, such as
    storage being away, are raised.
    """
    bounds = sides or Sides()

    def load(candidate: Candidate) -> Picture | Refusal:
        return load_picture(
            candidate, fetch=fetch, store=store, max_pixels=max_pixels, checks=checks, sides=bounds
        )

    yield from in_order(candidates, load, lanes=lanes)


def load_picture(
    candidate: Candidate,
    *,
    fetch: Callable[[Candidate], bytes],
    store: Store,
    max_pixels: int,
    checks: QualityChecks | None,
    sides: Sides,
) -> Picture | Refusal:
    """Fetch, decode, describe and store one picture, or say why it cannot be used."""
    if not sides.allow(candidate.width, candidate.height):
        return Refusal("outside-size")  # as its provider says, so it is not even fetched
    try:
        data = fetch(candidate)
        image = np.asarray(open_picture(data, max_pixels=max_pixels, max_bytes=len(data)))
        height, width = image.shape[:2]
        if not sides.allow(width, height):
            return Refusal("outside-size")
        file = store(data, media_type_of(data))
    except Refused as refused:
        return Refusal(refused.reason, refused.transient)
    except (errors.BadPicture, errors.TooLarge) as error:
        if "reason" not in error.extra:
            raise  # not about one picture: the whole archive is too large
        return Refusal(str(error.extra["reason"]))
    found = assess(image, checks)
    inside, whole = hashes(image)
    return Picture(
        file,
        inside,
        width,
        height,
        quality=found.scores,
        refusal=found.reason,
        phash_with_bars=whole,
    )


def hashes(image: npt.NDArray[np.uint8]) -> tuple[int, int | None]:
    """Return the hash of what is inside an RGB picture's bars, and that of the whole picture where it has bars."""
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    inside = without_bars(grey)
    return (phash(grey), None) if inside is None else (phash(inside), phash(grey))


def media_type_of(data: bytes) -> str:
    """Return the media type that a decoded picture's first bytes show."""
    return next(
        (f"image/{name}" for magic, name in _MAGIC if data.startswith(magic)), "application/octet-stream"
    )
