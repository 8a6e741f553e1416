"""The job `extract_frames`: frames out of a film, into storage and the database.

The film is cut into ranges, each decoded by a job `extract_range` or, when there is one only, here; what they tell
of their frames is joined, and what is new among them is written.
"""

from __future__ import annotations

import math
from pathlib import Path

import simplejpeg

from reel_ingest import admission, catalogue, frames
from reel_ingest.borders import measure_borders
from reel_ingest.film_cache import films
from reel_ingest.frame_records import Joined, RangeRecord, join_ranges, read_range
from reel_ingest.sieve import Sieve
from reel_ingest.tasks.ranges import UNIT, extract_range, sampling_of, seconds_of, take_range
from reel_shared.contracts import (
    EXTRACT_FRAMES,
    EXTRACT_RANGE,
    MAX_PARTS,
    BordersReport,
    ExtractFramesRequest,
    ExtractFramesResult,
    ExtractRangeRequest,
    ExtractRangeResult,
    Source,
)
from reel_shared.db.models import Movie
from reel_shared.errors import Conflict
from reel_shared.fan_out import Part, fan_out
from reel_shared.ids import new_id
from reel_shared.jobs import Outcome
from reel_shared.runner import Context, task
from reel_shared.storage import storage

SAMPLING = {"every_frames", "every_seconds", "per_scene", "start_seconds", "end_seconds", "mode"}
PART_SECONDS = 600.0
"""Seconds of film in a range unless the request says how many: some ten seconds to a minute of work."""


@task(EXTRACT_FRAMES)
def extract_frames(context: Context, request: ExtractFramesRequest) -> Outcome:
    """Store every frame that was asked for in its state: active, duplicate, rejected, quarantined."""
    film = films().fetch(request.key)
    info = frames.probe(film)
    crop, borders = _borders(film, request)
    wanted = _parts(request, info.duration_seconds)
    plan = frames.plan(film, sampling_of(request), parts=wanted)
    try:
        ranges = _take(context, request, crop, plan)
    except Conflict as error:
        if error.extra.get("reason") != frames.ONE_PART:
            raise
        plan = frames.plan(film, sampling_of(request))
        ranges = _take(context, request, crop, plan)
    joined = join_ranges(ranges)
    movie = Movie(
        id=new_id("mov"),
        dataset=request.dataset,
        label=request.label,
        title=request.title,
        key=request.key,
        codec=info.codec,
        width=info.width,
        height=info.height,
        frame_rate=info.frame_rate,
        duration_seconds=info.duration_seconds,
        scenes=joined.tally.scenes,
        crop=list(crop),
        borders=None if borders is None else borders.model_dump(mode="json"),
        sampling=request.model_dump(mode="json", include=SAMPLING),
        job_id=context.job_id,
    )
    sieve = admission.open_sieve(
        dataset=request.dataset,
        label=request.label,
        source=Source.MOVIE,
        near_distance=request.near_distance,
    )
    rows = _judged(movie, joined, sieve)
    total = sum(map(seconds_of, plan.ranges))
    context.progress(total, total, unit=UNIT, message=f"{sieve.counts.kept} frames kept")
    result = ExtractFramesResult(
        movie_id=movie.id,
        counts=sieve.counts,
        scenes=joined.tally.scenes,
        duration_seconds=info.duration_seconds,
        frame_rate=info.frame_rate,
        codec=info.codec,
        width=info.width,
        height=info.height,
        crop=crop,
        borders=borders,
        parts=len(plan.ranges),
        mode=request.mode,
        largest_shift_seconds=joined.tally.largest_shift_seconds,
        notes=_notes(request, plan, joined, wanted),
    )

    return Outcome(result, lambda session: admission.write(session, movie, rows, sieve, result.counts))


def _borders(film: Path, request: ExtractFramesRequest) -> tuple[frames.Crop, BordersReport | None]:
    """Return what to cut, and what was measured when that decides."""
    if request.crop_borders != "auto":
        width = 0 if request.crop_borders == "none" else request.crop_borders
        return (width, width, width, width), None
    report, evidence = measure_borders(film)
    if evidence is not None:
        jpeg = simplejpeg.encode_jpeg(evidence, quality=90, colorspace="RGB")
        picture = storage().put_bytes("borders", jpeg, "image/jpeg", ".jpg")
        report = report.model_copy(update={"picture": picture})
    return report.crop, report


def _parts(request: ExtractFramesRequest, seconds: float) -> int:
    if request.parts != "auto":
        return request.parts
    wanted = min(request.end_seconds or seconds, seconds)
    return max(1, min(MAX_PARTS, math.ceil(wanted / PART_SECONDS)))


def _take(
    context: Context, request: ExtractFramesRequest, crop: frames.Crop, plan: frames.Plan
) -> list[RangeRecord]:
    """Have every range of the plan decoded and return their records in order."""
    cut = plan.to_json()
    wanted = [
        ExtractRangeRequest(film=request, crop=crop, plan=cut, number=number)
        for number in range(len(plan.ranges))
    ]
    if len(wanted) == 1:
        path, _ = take_range(context, wanted[0])
        return [read_range(path)]
    parts = [Part(each, seconds_of(part)) for each, part in zip(wanted, plan.ranges, strict=True)]
    results = fan_out(context, EXTRACT_RANGE, extract_range, parts, unit=UNIT)
    return [_fetch(context, number, result) for number, result in enumerate(results)]


def _fetch(context: Context, number: int, result: ExtractRangeResult) -> RangeRecord:
    path = context.scratch / f"range-{number}.jsonl"
    found = result.frames
    record = read_range(storage().get_file(found.key, path, max_bytes=found.size, sha256=found.sha256))
    path.unlink()
    context.check()
    return record


def _notes(request: ExtractFramesRequest, plan: frames.Plan, joined: Joined, wanted: int) -> list[str]:
    reason = plan.full_decode or joined.tally.full_decode
    notes = [f"Every frame was decoded, because {reason}."] if reason else []
    if len(plan.ranges) < wanted:
        why = "there are too few places in it where decoding may begin"
        if request.per_scene is not None:
            why = "frames are chosen by scene"
        elif reason:
            why = reason
        notes.append(f"The film was cut into {len(plan.ranges)}, not {wanted}, because {why}.")
    return notes


def _judged(movie: Movie, joined: Joined, sieve: Sieve) -> list[catalogue.Row]:
    """Have every frame judged in order and return the rows of all; what was taken down gets no verdict."""
    rows = []
    for frame in joined.frames:
        row = catalogue.frame_row(movie, frame)
        sieve.judge(row["id"], frame.sha256, frame.phash, quality=frame.refusal)
        rows.append(row)
    for _ in range(joined.tally.lost):
        sieve.refuse("damaged")
    return rows
