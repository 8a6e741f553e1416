"""Decoded frames turned into pictures: upright, cropped, scaled, as JPEG with hash and quality; called by frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from reel_ingest import duplicates
from reel_ingest.movies import PLANAR, plane_pixels, quarter_turns
from reel_ingest.quality import assess
from reel_shared import errors
from reel_shared.contracts import FrameChecks, QualityChecks

Crop = tuple[int, int, int, int]
"""Pixels cut from the upright film: top, right, bottom, left."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame taken from a film."""

    index: int
    """Position among the film's frames, from 0."""
    pts: int | None
    """Presentation time stamp as stored, in the stream's time base."""
    time_seconds: float
    """Exact time since the stream's start."""
    scene: int
    """Number of the scene, from 0, counted from the start of the film; -1 until the ranges are joined."""
    jpeg: bytes
    width: int
    height: int
    phash: int
    quality: dict[str, float]
    """Score by check."""
    refusal: str | None
    """The check that the picture fails (``dark``, ``blurred``, …), or None."""
    shift_seconds: float = 0.0
    """In fast mode: from this frame to the one that was due."""


@dataclass(frozen=True, slots=True)
class Look:
    """How every taken frame is cut, scaled, encoded and judged.

    With ``keep_aspect`` the picture fits inside ``width`` x ``height`` and is never enlarged; otherwise it is
    stretched.
    """

    width: int | None = None
    height: int | None = None
    keep_aspect: bool = True
    quality: int = 90
    crop: Crop = (0, 0, 0, 0)
    checks: QualityChecks = field(default_factory=FrameChecks)

    def take(
        self, frame: Any, aspect: Fraction, *, index: int, seconds: float, shift_seconds: float = 0.0
    ) -> Frame:
        """Make a ``Frame`` of a decoded one; ``aspect`` is width over height of a stored pixel."""
        picture = self.render(frame, aspect)
        height, width = picture.shape[:2]
        found = assess(picture, self.checks)
        return Frame(
            index=index,
            pts=frame.pts,
            time_seconds=seconds,
            scene=-1,
            jpeg=simplejpeg.encode_jpeg(
                picture, quality=self.quality, colorspace="RGB", colorsubsampling="420"
            ),
            width=width,
            height=height,
            phash=duplicates.phash(picture),
            quality=found.scores,
            refusal=found.reason,
            shift_seconds=shift_seconds,
        )

    def render(self, frame: Any, aspect: Fraction) -> npt.NDArray[np.uint8]:
        """Return the picture as RGB (H, W, 3) uint8. Raises ``Unprocessable`` when the crop leaves nothing."""
        turns = quarter_turns(frame)
        part = _cropped(frame, self.crop, turns)
        width, height = round(part.width * aspect), part.height
        box = (height, width) if turns % 2 else (width, height)
        size = target_size(*box, self.width, self.height, keep_aspect=self.keep_aspect)
        across, down = size[::-1] if turns % 2 else size
        # One step from the stored planes to the final size: several times cheaper than by a full-size RGB picture.
        method = "AREA" if across * down <= part.width * part.height else "BICUBIC"
        if (across, down) == (part.width, part.height):
            # Without scaling, swscale leaves the last few columns of planes unwritten unless 16 divides the width.
            plain = part.reformat(across, down, "rgb24", interpolation=method, threads=1)
            picture = plain.to_ndarray()
        else:
            # As planes: swscale makes those in half the time of packed RGB, with colour of full resolution.
            scaled = part.reformat(across, down, "gbrp", interpolation=method, threads=1)
            green, blue, red = (plane_pixels(plane, 8) for plane in scaled.planes)
            picture = cv2.merge([red, green, blue])
        return np.ascontiguousarray(np.rot90(picture, turns), dtype=np.uint8)


def _cropped(frame: Any, crop: Crop, turns: int) -> Any:
    """Cut a decoded frame by pixels of the upright film.

    Where colour has half the size, an odd number at the top or left of the stored frame cuts one more.
    """
    if not any(crop):
        return frame
    # The upright film's top is the stored one's right side after a quarter turn, and so on round.
    top, right, bottom, left = crop[-turns:] + crop[:-turns] if turns else crop
    depth = PLANAR.get(frame.format.name)
    if depth is None:
        frame, depth = frame.reformat(format="yuv444p", threads=1), 8
    coarse = (16 // frame.format.chroma_width(16), 16 // frame.format.chroma_height(16))
    left, top = -(-left // coarse[0]) * coarse[0], -(-top // coarse[1]) * coarse[1]
    width, height = frame.width - left - right, frame.height - top - bottom
    if width < 16 or height < 16:
        size = f"{frame.width}x{frame.height}"
        raise errors.Unprocessable(f"Cutting {crop} pixels leaves nothing of a {size} film.")
    part = av.VideoFrame(width, height, frame.format.name)
    part.colorspace, part.color_range = frame.colorspace, frame.color_range
    for number, (source, target) in enumerate(zip(frame.planes, part.planes, strict=True)):
        across, down = coarse if number else (1, 1)
        pixels, cut = plane_pixels(source, depth), plane_pixels(target, depth)
        y, x = top // down, left // across
        np.copyto(cut, pixels[y : y + cut.shape[0], x : x + cut.shape[1]])
    return part


def target_size(
    width: int, height: int, wide: int | None, high: int | None, *, keep_aspect: bool
) -> tuple[int, int]:
    """Return width and height of a (width, height) picture in a box; a missing side of the box is free."""
    if not keep_aspect:
        return wide or width, high or height
    scale = min(Fraction(wide or width, width), Fraction(high or height, height), Fraction(1))
    return max(1, round(width * scale)), max(1, round(height * scale))
