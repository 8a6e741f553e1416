"""What stays of a range's frames once their pictures are stored: a file of JSON lines, small enough to hold for a film.

Written where a range is decoded, read where the ranges are joined; called by tasks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TextIO

from reel_ingest.frames import Frame, RangeScores, Tally, join_scenes
from reel_shared.contracts import StoredFile
from reel_shared.errors import Corrupt


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """A frame without its picture, which lies under ``key``; the fields are those of ``Frame`` and ``StoredFile``."""

    index: int
    pts: int | None
    time_seconds: float
    scene: int
    key: str
    media_type: str
    sha256: str
    size: int
    width: int
    height: int
    phash: int
    quality: dict[str, float]
    refusal: str | None


@dataclass(frozen=True, slots=True)
class RangeRecord:
    """One range as it was read back."""

    frames: list[FrameRecord]
    scores: RangeScores
    tally: Tally


@dataclass(frozen=True, slots=True)
class Joined:
    """A film's frames in order, with their scenes, and what its ranges met; ``tally`` is the sum of theirs."""

    frames: list[FrameRecord]
    tally: Tally


def record(frame: Frame, picture: StoredFile) -> FrameRecord:
    """Return what stays of a frame whose picture is stored."""
    return FrameRecord(
        index=frame.index,
        pts=frame.pts,
        time_seconds=frame.time_seconds,
        scene=frame.scene,
        key=picture.key,
        media_type=picture.media_type,
        sha256=picture.sha256,
        size=picture.size,
        width=frame.width,
        height=frame.height,
        phash=frame.phash,
        quality=frame.quality,
        refusal=frame.refusal,
    )


def write_range(file: TextIO, frames: Iterable[FrameRecord], scores: RangeScores, tally: Tally) -> int:
    """Write a line for each frame, as they come, and a last one with scores and tally, which are complete then.

    Returns how many frames there were.
    """
    count = 0
    for frame in frames:
        file.write(_line(asdict(frame)))
        count += 1
    file.write(_line({"frames": count, "scores": scores.to_json(), "tally": asdict(tally)}))
    return count


def read_range(path: Path) -> RangeRecord:
    """Read what ``write_range`` wrote. Raises ``Corrupt`` when its end is missing."""
    frames: list[FrameRecord] = []
    end = None
    with path.open() as file:
        for data in map(json.loads, file):
            if "frames" in data:
                end = data
            else:
                frames.append(FrameRecord(**data))
    if end is None or end["frames"] != len(frames):
        raise Corrupt("The record of a film's range is not whole; submit the film again.")
    return RangeRecord(frames, RangeScores.from_json(end["scores"]), Tally(**end["tally"]))


def join_ranges(ranges: Iterable[RangeRecord]) -> Joined:
    """Put the ranges of a film, in order, together: their scenes are numbered through as in one pass."""
    parts = list(ranges)
    scenes = join_scenes(part.scores for part in parts)
    frames = [
        _with_scene(frame, scenes.by_frame[frame.index])
        for frame in chain.from_iterable(part.frames for part in parts)
    ]
    return Joined(frames, _sum((part.tally for part in parts), scenes.count))


def _with_scene(frame: FrameRecord, scene: int) -> FrameRecord:
    # Set in place: a copy of each would hold a long film's records twice.
    object.__setattr__(frame, "scene", scene)
    return frame


def _sum(tallies: Iterator[Tally], scenes: int) -> Tally:
    total = Tally(scenes=scenes)
    for tally in tallies:
        total.frames += tally.frames
        total.decoded += tally.decoded
        total.corrupt += tally.corrupt
        total.lost += tally.lost
        total.last_seconds = max(total.last_seconds, tally.last_seconds)
        total.largest_shift_seconds = max(total.largest_shift_seconds, tally.largest_shift_seconds, key=abs)
        total.full_decode = total.full_decode or tally.full_decode
    return total


def _line(data: dict[str, object]) -> str:
    return json.dumps(data, separators=(",", ":")) + "\n"
