"""Pictures of a report, as data URIs out of the decoded pictures that a model was judged on. Called by ``page``."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from reel_shared.manifest import ManifestImage
from reel_trainer.cache import PictureCache, Pixels

BUDGET = 3_600_000
"""Characters of all data URIs together: the rest of a report is text, and the whole stays below 5 MB."""
THUMBNAIL = 104
QUALITY = 76


class Decoded(NamedTuple):
    """``cache`` holds the pictures of ``rows`` in their order."""

    rows: Sequence[ManifestImage]
    cache: PictureCache


class Gallery:
    """Finds pictures by their ids and draws them until the budget is spent; then every drawing is ``""``."""

    def __init__(self, judged: Sequence[Decoded], *, budget: int = BUDGET) -> None:
        self.left = budget
        self._places = {
            row.id: (part.cache, number) for part in judged for number, row in enumerate(part.rows)
        }
        self._thumbnails: dict[str, str] = {}

    def place(self, image_id: str) -> tuple[PictureCache, int]:
        """Return the cache that a picture lies in and its number there."""
        return self._places[image_id]

    def square(self, image_id: str) -> Pixels:
        """Return (side, side, 3), what the model saw."""
        cache, number = self._places[image_id]
        squares: Pixels = cache.squares([number])
        return squares.reshape(squares.shape[1:])

    def mean(self, image_ids: Sequence[str]) -> Pixels:
        """Return the mean (side, side, 3) of pictures: what is alike in all of them stays sharp."""
        squares = np.stack([self.square(image_id) for image_id in image_ids])
        mean: Pixels = squares.mean(axis=0).round().astype(np.uint8)
        return mean

    def thumbnail(self, image_id: str) -> str:
        if image_id not in self._thumbnails:
            self._thumbnails[image_id] = self.draw(self.square(image_id), side=THUMBNAIL)
        return self._thumbnails[image_id]

    def draw(self, pixels: npt.NDArray[np.uint8] | npt.NDArray[np.float64], *, side: int) -> str:
        """Return pixels (H, W, 3) of 0..255 as a JPEG of at most ``side`` pixels, in a data URI."""
        picture = Image.fromarray(np.rint(pixels).astype(np.uint8))
        picture.thumbnail((side, side))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=QUALITY)
        uri = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
        if len(uri) > self.left:
            self.left = 0
            return ""
        self.left -= len(uri)
        return uri
