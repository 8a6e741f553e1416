"""Each provider made ready for a job, with this process's settings, storage and HTTP client; called by web_pictures."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import chain

from reel_ingest.fetch import Fetcher, Refused
from reel_ingest.tasks.shared_turns import SharedTurns
from reel_ingest.web_sources.archive import Archive
from reel_ingest.web_sources.folder import Folder
from reel_ingest.web_sources.openverse import Openverse
from reel_ingest.web_sources.provider import SourceProvider
from reel_ingest.web_sources.search_engine import SearchEngine
from reel_ingest.web_sources.urls import Urls
from reel_ingest.web_sources.wikimedia import Wikimedia
from reel_shared import errors
from reel_shared.contracts import CollectPicturesRequest
from reel_shared.runner import Context
from reel_shared.settings import Ingest, settings
from reel_shared.storage import storage


@cache
def fetcher() -> Fetcher:
    """This process's HTTP client: its memory of robots.txt lasts longer than one job, its pace is everybody's."""
    ingest = settings().ingest
    return Fetcher(
        user_agent=user_agent(ingest),
        allowed_hosts=ingest.allowed_hosts,
        seconds=ingest.fetch_seconds,
        per_host_per_second=ingest.fetches_per_host_per_second,
        turns=SharedTurns(settings().redis.url.get_secret_value()),
    )


def user_agent(ingest: Ingest) -> str:
    """Return who we say we are, with the contact that some sites' rules ask for."""
    return f"{ingest.user_agent} ({ingest.contact})" if ingest.contact else ingest.user_agent


def _openverse(_context: Context, _request: CollectPicturesRequest) -> SourceProvider:
    ingest = settings().ingest
    return Openverse(
        ingest.openverse_url,
        fetcher(),
        picture_bytes=settings().limits.picture_bytes,
        token=ingest.openverse_token.get_secret_value(),
    )


def _wikimedia(_context: Context, _request: CollectPicturesRequest) -> SourceProvider:
    return Wikimedia(
        settings().ingest.wikimedia_url, fetcher(), picture_bytes=settings().limits.picture_bytes
    )


def _ddgs(_context: Context, _request: CollectPicturesRequest) -> SourceProvider:
    limits, ingest = settings().limits, settings().ingest
    return SearchEngine(fetcher(), picture_bytes=limits.picture_bytes, seconds=ingest.fetch_seconds)


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
    "wikimedia": _wikimedia,
    "ddgs": _ddgs,
    "urls": _urls,
    "folder": _folder,
    "zip": _zip,
}
