"""Frames out of films: pictures, exact times and scenes, in one pass or range by range; called by tasks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Literal

from reel_ingest.decoding import Film, Mismatch, Tally, open_film
from reel_ingest.extraction import Extraction, Progress, Way
from reel_ingest.movies import MovieInfo, probe
from reel_ingest.packets import PacketTable
from reel_ingest.ranges import Plan, Range, plan, plan_film
from reel_ingest.rendering import Crop, Frame, Look, target_size
from reel_ingest.scenes import WINDOW, RangeScores, SceneCuts, Scenes, join_scenes
from reel_ingest.selection import Sampling
from reel_shared import errors
from reel_shared.contracts import FrameChecks, QualityChecks

__all__ = [
    "ONE_PART", "Crop", "Frame", "Look", "MovieInfo", "Plan", "Progress", "Range", "RangeScores", "Sampling",
    "Scenes", "Tally", "extract_frames", "extract_range", "join_scenes", "plan", "probe", "target_size",
]  # fmt: skip

ONE_PART = "one-part"
"""The reason of the ``Conflict`` of a range that cannot be decoded apart."""


def extract_frames(
    path: Path,
    *,
    every_frames: int | None = None,
    every_seconds: float | None = None,
    per_scene: int | None = None,
    start_seconds: float = 0.0,
    end_seconds: float | None = None,
    mode: Literal["exact", "fast"] = "exact",
    width: int | None = None,
    height: int | None = None,
    keep_aspect: bool = True,
    quality: int = 90,
    crop: Crop = (0, 0, 0, 0),
    checks: QualityChecks | None = None,
    on_progress: Progress | None = None,
    tally: Tally | None = None,
) -> Iterator[Frame]:
    """Yield frames of a film in one pass, in order: source frames 0, N, 2N, …, the first one of every N seconds, or
    so many a scene, well apart.

    What the options mean is said by ``Sampling`` and ``Look``. Frames that are neither taken nor needed by others
    are not decoded. A part between ``start_seconds`` and ``end_seconds`` is decoded from the beginning all the
    same, so that its frames have the scenes that they have in the whole film.

    Raises ``BadMovie`` when the file is no film, or at the end when its data stops before its length.
    """
    sampling = Sampling(every_frames, every_seconds, per_scene, start_seconds, end_seconds, mode)
    look = Look(width, height, keep_aspect, quality, crop, checks or FrameChecks())
    tally = tally if tally is not None else Tally()
    yield from _until_it_works(lambda way: _one_pass(path, sampling, look, on_progress, tally, way), tally)


def extract_range(
    path: Path,
    plan: Plan,
    number: int,
    sampling: Sampling,
    look: Look,
    *,
    scores: RangeScores,
    tally: Tally,
    on_progress: Progress | None = None,
) -> Iterator[Frame]:
    """Yield the frames of one range of a plan, without scenes: ``join_scenes`` gives them from all ranges' scores.

    ``sampling`` must be that of the plan. ``scores`` and ``tally`` are complete when the frames are. Progress counts
    from the start of the range.

    Raises ``BadMovie`` as ``extract_frames`` does, ``Conflict`` when the plan is of another file, and when the film
    turns out not to be what its packets say, so that it must be planned in one part.
    """

    def run(way: Way) -> Iterator[Frame]:
        if way == "front to back" and len(plan.ranges) > 1:
            raise errors.Conflict(
                "The film's packets do not say which frames it has; extract it in one part.",
                reason=ONE_PART,
            )
        scores.clear()
        with _opened(path, sampling, way, tally) as film:
            if isinstance(film.table, PacketTable) and film.table.digest() != plan.digest:
                raise errors.Conflict("The plan is of another film; plan this one first.")
            work = Extraction(film, plan.ranges[number], sampling, look, on_progress, tally, scores, way)
            yield from (frame for frame in work.frames() if frame is not None)

    yield from _until_it_works(run, tally)


def _one_pass(
    path: Path, sampling: Sampling, look: Look, on_progress: Progress | None, tally: Tally, way: Way
) -> Iterator[Frame]:
    """Yield frames as soon as their scenes are final: the same judge as in ``join_scenes``, fed while decoding."""
    scores, cuts, waiting = RangeScores(), SceneCuts(), deque[Frame]()
    with _opened(path, sampling, way, tally) as film:
        whole = plan_film(film, sampling, 1).ranges[0]
        for frame in Extraction(film, whole, sampling, look, on_progress, tally, scores, way).frames():
            for anchor in range(cuts.settled + WINDOW + 1, len(scores.times)):
                cuts.add(scores.differences[anchor], scores.times[anchor])
            if frame is not None:
                waiting.append(frame)
            yield from _with_scenes(waiting, scores, cuts, cuts.settled)
    scores.close()
    yield from _with_scenes(waiting, scores, cuts, len(scores.times))
    tally.scenes = cuts.count


def _with_scenes(
    waiting: deque[Frame], scores: RangeScores, cuts: SceneCuts, settled: int
) -> Iterator[Frame]:
    places = scores.places
    while waiting and places and places[0][1] <= settled:
        yield replace(waiting.popleft(), scene=cuts.scene_of(places.popleft()[1]))


def _until_it_works(run: Callable[[Way], Iterator[Frame]], tally: Tally) -> Iterator[Frame]:
    """Decode from front to back when the packet table proves wrong; frames given before are not given twice."""
    way: Way = "selective"
    given = -1
    while True:
        try:
            for frame in run(way):
                if frame.index > given:
                    given = frame.index
                    yield frame
            return
        except Mismatch as reason:
            if way == "front to back":
                raise
            way = "front to back"
            tally.restart(str(reason))


def _opened(path: Path, sampling: Sampling, way: Way, tally: Tally) -> AbstractContextManager[Film]:
    reason = (tally.full_decode or "") if way == "front to back" else ""
    return open_film(path, fast=sampling.mode == "fast", without_table=reason)
