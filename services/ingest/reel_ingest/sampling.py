"""A few frames from all over a film, cheaply; called by borders."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import av.error

from reel_ingest.movies import declared_seconds, frame_rate

SAMPLES = 40

_SHORT_SECONDS = 240.0


def sample(container: Any, stream: Any) -> Iterator[Any]:
    """Yield about ``SAMPLES`` frames: keyframes across a long film, every so many frames of a short one.

    One frame is decoded at a time; damaged ones are left out.
    """
    seconds = declared_seconds(container, stream) or 0.0
    if seconds > _SHORT_SECONDS:
        yield from _keyframes(container, stream, seconds)
    else:
        step = max(1, int(seconds * frame_rate(stream)) // SAMPLES)
        yield from islice(_whole(container.decode(stream)), 0, SAMPLES * step, step)


def _keyframes(container: Any, stream: Any, seconds: float) -> Iterator[Any]:
    # Only keyframes: after a seek into an open group of pictures the frames between them are garbage.
    stream.codec_context.skip_frame = "NONKEY"
    start, seen = stream.start_time or 0, set()
    for number in range(SAMPLES):
        offset = (number + 0.5) / SAMPLES * seconds
        try:
            container.seek(start + int(offset / stream.time_base), stream=stream)
        except av.error.FFmpegError:
            continue
        for frame in _whole(container.decode(stream)):
            if frame.pts not in seen:
                seen.add(frame.pts)
                yield frame
            break


def _whole(frames: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from (frame for frame in frames if not frame.is_corrupt)
    except av.error.FFmpegError:
        return
