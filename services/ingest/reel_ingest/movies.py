"""Opening film files safely and saying what they are; called by frames, borders and the tasks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
import numpy.typing as npt

from reel_shared import errors

MAX_PIXELS = 8192 * 4352
"""Largest frame that is decoded: 8K with room for encoder padding."""

PLANAR = {
    "yuv420p": 8, "yuvj420p": 8, "yuv422p": 8, "yuvj422p": 8, "yuv444p": 8, "yuvj444p": 8,
    "yuv420p10le": 10, "yuv422p10le": 10, "yuv444p10le": 10, "yuv420p12le": 12,
}  # fmt: skip
"""Pixel formats whose planes are read as they are, and their bits."""

# Playlists (HLS, DASH, concat) are left out on purpose: their demuxers open other files and addresses.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,gif,apng,h264,hevc,m4v,"
    "ivf,mxf,dv,nut,wtv,y4m,yuv4mpegpipe"
)


@dataclass(frozen=True, slots=True)
class MovieInfo:
    """What a film says of itself. Sizes are as displayed (rotation and pixel shape applied)."""

    duration_seconds: float
    frame_rate: float
    codec: str
    width: int
    height: int
    frames_estimate: int


def probe(path: Path) -> MovieInfo:
    """Read a film's header. Raises ``BadMovie`` for anything that is not a film with a picture."""
    with open_movie(path) as (container, stream):
        rate = frame_rate(stream)
        seconds = declared_seconds(container, stream) or 0.0
        turned = False
        for frame in container.decode(stream):
            turned = quarter_turns(frame) % 2 == 1
            break
        width, height = stream.codec_context.width, stream.codec_context.height
        sar = pixel_aspect(stream)
        width, height = displayed_size(width, height, sar)
        if turned:
            width, height = height, width
        return MovieInfo(
            duration_seconds=seconds,
            frame_rate=rate,
            codec=stream.codec_context.name,
            width=width,
            height=height,
            frames_estimate=stream.frames or round(seconds * rate),
        )


# PyAV 19, which Python 3.12 and later get, keeps titles that are no UTF-8 by itself and no longer takes the argument.
_TOLERANT: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
)


@contextmanager
def open_movie(path: Path) -> Iterator[tuple[Any, Any]]:
    """Open a film and give its container and its first real video stream, threads on.

    Only files with the formats above are opened, and only the file itself: a playlist inside an upload
    could otherwise name any file or address. Raises ``BadMovie``.
    """
    if not path.is_file() or path.stat().st_size == 0:
        raise errors.BadMovie("The film is empty; upload the whole file.")
    options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
    try:
        container = av.open(str(path), container_options=options, **_TOLERANT)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise errors.BadMovie(
            "The file cannot be read as a film; it is damaged, cut off or of a kind that is not accepted."
        ) from error
    with container:
        yield container, _video_stream(container)


def _video_stream(container: Any) -> Any:
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        raise errors.BadMovie("The file has no moving picture in it, only sound or other data.")
    stream = streams[0]
    context = stream.codec_context
    if context is None or not context.width or not context.height:
        raise errors.BadMovie(
            "The film's picture is of a kind that cannot be decoded here; convert it to H.264."
        )
    if context.width * context.height > MAX_PIXELS:
        raise errors.BadMovie(f"The film is {context.width}x{context.height}; at most 8K is accepted.")
    stream.thread_type = "AUTO"
    # One more than FFmpeg's own choice: the thread that renders takes its share of a core away.
    stream.codec_context.thread_count = min(16, len(os.sched_getaffinity(0)) + 2)
    return stream


def frame_rate(stream: Any) -> float:
    """Return frames per second, 24 when the file does not say or says nonsense."""
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    return rate if 1.0 <= rate <= 1000.0 else 24.0


def declared_seconds(container: Any, stream: Any) -> float | None:
    """Return how long the picture (not the sound) lasts by the file's own account, or None."""
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    # Matroska keeps the length of each stream as a tag; the container's length is that of the longest.
    if tag := _matroska_seconds(stream.metadata.get("DURATION", "")):
        return tag
    return container.duration / av.time_base if container.duration else None


def _matroska_seconds(tag: str) -> float | None:
    try:
        hours, minutes, seconds = tag.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


def pixel_aspect(stream: Any) -> Fraction:
    """Return width over height of one stored pixel; 1 unless the film is anamorphic."""
    aspect = stream.sample_aspect_ratio
    return Fraction(aspect) if aspect and Fraction(1, 4) <= aspect <= 4 else Fraction(1)


def displayed_size(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    return round(width * aspect), height


def quarter_turns(frame: Any) -> int:
    """Return by how many quarters a frame must be turned anticlockwise to stand upright."""
    return int(round(frame.rotation / 90) % 4)


def upright_rgb(frame: Any) -> npt.NDArray[np.uint8]:
    """Return a decoded frame as RGB (H, W, 3) uint8, turned upright, at its stored size."""
    picture: npt.NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
    turns = quarter_turns(frame)
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture


def plane_pixels(plane: Any, depth: int) -> npt.NDArray[Any]:
    """Return a view of a plane's samples (H, W), uint8 or uint16."""
    each = 1 if depth == 8 else 2
    rows: npt.NDArray[Any] = np.frombuffer(plane, f"u{each}").reshape(-1, plane.line_size // each)
    return rows[: plane.height, : plane.width]
