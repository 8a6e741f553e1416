"""The job `extract_range`: the frames of one range of a film into storage, and a record of them for the whole.

`movies` submits such jobs, and decodes a film of one range by the same function.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path

from reel_ingest import catalogue, frames
from reel_ingest.film_cache import films
from reel_ingest.frame_records import record, write_range
from reel_ingest.lookahead import in_order
from reel_shared import json_lines
from reel_shared.contracts import (
    EXTRACT_RANGE,
    ExtractFramesRequest,
    ExtractRangeRequest,
    ExtractRangeResult,
    StoredFile,
)
from reel_shared.jobs import Outcome
from reel_shared.object_storage import content_key
from reel_shared.runner import Context, task
from reel_shared.storage import storage

UPLOADS = 4
"""Pictures on their way to storage at the same time; with those made ahead, all that is held of a film."""
UNIT = "seconds of film"


@task(EXTRACT_RANGE)
def extract_range(context: Context, request: ExtractRangeRequest) -> Outcome:
    """Store every frame of the range and its record. No rows are written: the whole film's job does that."""
    path, count = take_range(context, request)
    stored = json_lines.put("ranges", path)
    return Outcome(ExtractRangeResult(frames=stored, count=count))


def take_range(context: Context, request: ExtractRangeRequest) -> tuple[Path, int]:
    """Store the frames of a range; returns the file of their records, in ``context.scratch``, and their number."""
    film = films().fetch(request.film.key)
    plan = frames.Plan.from_json(request.plan)
    scores, tally = frames.RangeScores(), frames.Tally()
    total = seconds_of(plan.ranges[request.number])

    def report(done: float, _total: float) -> None:
        context.progress(min(round(done), total), total, unit=UNIT)

    taken = frames.extract_range(
        film,
        plan,
        request.number,
        sampling_of(request.film),
        look_of(request.film, request.crop),
        scores=scores,
        tally=tally,
        on_progress=report,
    )
    unwanted = catalogue.taken_down()
    path = context.scratch / f"range-{request.number}.jsonl"
    putting = in_order(taken, lambda frame: _put_frame(frame, unwanted), lanes=UPLOADS)
    with path.open("w") as file, closing(putting) as stored:
        records = (record(frame, picture) for frame, picture in stored)
        count = write_range(file, records, scores, tally)
    report(total, total)
    return path, count


def seconds_of(part: frames.Range) -> int:
    """Return a range's length as progress counts it."""
    return max(1, round(part.end_seconds - part.begin_seconds))


def sampling_of(request: ExtractFramesRequest) -> frames.Sampling:
    return frames.Sampling(
        every_frames=request.every_frames,
        every_seconds=request.every_seconds,
        per_scene=request.per_scene,
        start_seconds=request.start_seconds,
        end_seconds=request.end_seconds,
        mode=request.mode,
    )


def look_of(request: ExtractFramesRequest, crop: frames.Crop) -> frames.Look:
    return frames.Look(
        width=request.width,
        height=request.height,
        keep_aspect=request.keep_aspect,
        quality=request.quality,
        crop=crop,
        checks=request.quality_checks,
    )


def _put_frame(frame: frames.Frame, unwanted: frozenset[str]) -> StoredFile:
    """Store the frame's picture, unless it was taken down: then only its name is told."""
    sha256 = hashlib.sha256(frame.jpeg).hexdigest()
    if sha256 not in unwanted:
        return storage().put_bytes("frames", frame.jpeg, "image/jpeg", ".jpg")
    key = content_key("frames", sha256, ".jpg")
    return StoredFile(key=key, media_type="image/jpeg", size=len(frame.jpeg), sha256=sha256)
