"""The jobs of the queue `ingest`: frames out of a film, pictures out of the web, into storage and the database.

Called by the worker of the queue.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Literal

from reel_ingest import catalogue, frames, pictures
from reel_ingest.borders import measure_borders
from reel_ingest.fetch import Fetcher, Refused
from reel_ingest.lookahead import in_order
from reel_ingest.pictures import Picture
from reel_ingest.sieve import Sieve
from reel_ingest.web_sources.archive import Archive
from reel_ingest.web_sources.folder import Folder
from reel_ingest.web_sources.openverse import Openverse
from reel_ingest.web_sources.provider import Query, SourceProvider
from reel_ingest.web_sources.urls import Urls
from reel_shared import errors
from reel_shared.contracts import (
    COLLECT_PICTURES,
    EXTRACT_FRAMES,
    CollectPicturesRequest,
    CollectPicturesResult,
    ExtractFramesRequest,
    ExtractFramesResult,
    StoredFile,
)
from reel_shared.db.models import Collection, Movie
from reel_shared.ids import new_id
from reel_shared.jobs import Outcome
from reel_shared.runner import Context, task
from reel_shared.settings import settings
from reel_shared.storage import storage

UPLOADS = 4
"""Pictures on their way to storage at the same time."""


@task(EXTRACT_FRAMES)
def extract_frames(context: Context, request: ExtractFramesRequest) -> Outcome:
    """Store every usable, new frame of the film; black, empty, damaged and repeated ones are counted only."""
    path = storage().get_file(
        request.key, context.scratch / "movie", max_bytes=settings().limits.upload_bytes
    )
    info = frames.probe(path)
    crop = _crop(path, request.crop_borders)
    sieve = Sieve(near_distance=request.near_distance, known=catalogue.known_pictures(request.dataset))
    tally = frames.Tally()
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
        crop=list(crop),
        job_id=context.job_id,
    )
    usable = _usable_frames(context, request, path, crop, sieve, tally)
    rows = []
    with closing(in_order(usable, _put_frame, lanes=UPLOADS)) as stored:
        rows = [catalogue.frame_row(movie, frame, file) for frame, file in stored]
    for _ in range(tally.lost):
        sieve.refuse("damaged")
    movie.scenes = tally.scenes
    seconds = min(request.end_seconds or float("inf"), info.duration_seconds or tally.last_seconds)
    _report_film(context, sieve, seconds, seconds)
    result = ExtractFramesResult(
        movie_id=movie.id,
        counts=sieve.counts,
        scenes=tally.scenes,
        duration_seconds=info.duration_seconds,
        frame_rate=info.frame_rate,
        codec=info.codec,
        width=info.width,
        height=info.height,
        crop=crop,
    )
    return Outcome(result, lambda session: catalogue.write(session, movie, rows, result.counts))


def _crop(path: Path, wish: Literal["auto", "none"] | int) -> frames.Crop:
    if wish == "auto":
        return measure_borders(path)
    width = 0 if wish == "none" else wish
    return (width, width, width, width)


def _usable_frames(
    context: Context,
    request: ExtractFramesRequest,
    path: Path,
    crop: frames.Crop,
    sieve: Sieve,
    tally: frames.Tally,
) -> Iterator[frames.Frame]:
    taken = frames.extract_frames(
        path,
        every_frames=request.every_frames,
        every_seconds=request.every_seconds,
        start_seconds=request.start_seconds,
        end_seconds=request.end_seconds,
        width=request.width,
        height=request.height,
        keep_aspect=request.keep_aspect,
        quality=request.quality,
        crop=crop,
        on_progress=lambda done, total: _report_film(context, sieve, done, total),
        tally=tally,
    )
    for frame in taken:
        if frame.refusal is not None:
            sieve.refuse(frame.refusal)
        elif sieve.admit(hashlib.sha256(frame.jpeg).hexdigest(), frame.phash):
            yield frame


def _report_film(context: Context, sieve: Sieve, done: float, total: float) -> None:
    whole = max(1, round(total))
    message = f"{sieve.counts.kept} frames kept"
    context.progress(min(round(done), whole), whole, unit="seconds of film", message=message)


def _put_frame(frame: frames.Frame) -> StoredFile:
    return storage().put_bytes("frames", frame.jpeg, "image/jpeg", ".jpg")


@task(COLLECT_PICTURES)
def collect_pictures(context: Context, request: CollectPicturesRequest) -> Outcome:
    """Store every usable, new picture that the provider finds, with its licence and maker."""
    provider = PROVIDERS[request.provider](context, request)
    known = provider.count()
    sieve = Sieve(near_distance=request.near_distance, known=catalogue.known_pictures(request.dataset))
    collection = Collection(
        id=new_id("col"),
        dataset=request.dataset,
        label=request.label,
        provider=request.provider,
        query=request.query,
        style=request.style,
        job_id=context.job_id,
    )

    def report(done: int, total: int | None) -> None:
        message = f"{sieve.counts.kept} pictures kept"
        context.progress(done, total, unit="pictures", message=message)

    found = pictures.collect_pictures(
        provider.search(Query(request.query, request.style, request.limit)),
        fetch=provider.fetch,
        sieve=sieve,
        max_pixels=settings().limits.picture_pixels,
        on_progress=lambda done: report(done, None if known is None else min(known, request.limit)),
    )
    with closing(in_order(found, _put_picture, lanes=UPLOADS)) as stored:
        rows = [catalogue.picture_row(collection, picture, file) for picture, file in stored]
    report(sieve.counts.seen, sieve.counts.seen)
    result = CollectPicturesResult(
        collection_id=collection.id,
        provider=request.provider,
        counts=sieve.counts,
        licences=dict(Counter(row["licence"] or "unknown" for row in rows)),
    )
    return Outcome(result, lambda session: catalogue.write(session, collection, rows, result.counts))


def _put_picture(picture: Picture) -> StoredFile:
    suffix = "." + picture.media_type.rpartition("/")[2]
    return storage().put_bytes("pictures", picture.data, picture.media_type, suffix)


@cache
def fetcher() -> Fetcher:
    """This process's HTTP client: its memory of robots.txt and of the pace lasts longer than one job."""
    ingest = settings().ingest
    return Fetcher(
        user_agent=ingest.user_agent,
        allowed_hosts=ingest.allowed_hosts,
        seconds=ingest.fetch_seconds,
        per_host_per_second=ingest.fetches_per_host_per_second,
    )


def _openverse(_context: Context, _request: CollectPicturesRequest) -> SourceProvider:
    ingest = settings().ingest
    return Openverse(
        ingest.openverse_url,
        fetcher(),
        picture_bytes=settings().limits.picture_bytes,
        token=ingest.openverse_token.get_secret_value(),
    )


def _urls(_context: Context, request: CollectPicturesRequest) -> SourceProvider:
    return Urls(
        request.urls,
        fetcher(),
        picture_bytes=settings().limits.picture_bytes,
        licence=request.licence,
        attribution=request.attribution,
    )


def _folder(_context: Context, request: CollectPicturesRequest) -> SourceProvider:
    limit = settings().limits.picture_bytes

    def read(key: str) -> bytes:
        try:
            return storage().get_bytes(key, max_bytes=limit)
        except errors.TooLarge as error:
            raise Refused("too-many-bytes", error.detail) from error
        except errors.NotFound as error:
            raise Refused("missing", error.detail) from error
        except errors.BadRequest as error:
            raise Refused("bad-name", error.detail) from error

    prefix = request.folder.rstrip("/") + "/"
    keys = (found.key for found in storage().list(prefix))
    first = next(keys, None)
    if first is None:
        raise errors.Unprocessable(f"Nothing lies under {prefix} in the bucket; put pictures there first.")
    return Folder(chain([first], keys), read, licence=request.licence, attribution=request.attribution)


def _zip(context: Context, request: CollectPicturesRequest) -> SourceProvider:
    assert request.key is not None  # the contract asks for it
    limits = settings().limits
    path = storage().get_file(request.key, context.scratch / "pictures.zip", max_bytes=limits.archive_bytes)
    return Archive(
        path,
        picture_bytes=limits.picture_bytes,
        members=limits.archive_members,
        total_bytes=limits.archive_bytes,
        licence=request.licence,
        attribution=request.attribution,
    )


PROVIDERS: dict[str, Callable[[Context, CollectPicturesRequest], SourceProvider]] = {
    "openverse": _openverse,
    "urls": _urls,
    "folder": _folder,
    "zip": _zip,
}
