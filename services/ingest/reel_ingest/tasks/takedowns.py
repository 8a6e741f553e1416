"""The job `take_down_pictures`: the files of pictures that had to go, and the versions and models that used them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import structlog
from sqlalchemy.orm import Session

from reel_ingest import takedowns
from reel_shared.contracts import (
    TAKE_DOWN_PICTURES,
    StoredFile,
    TakeDownPicturesRequest,
    TakeDownPicturesResult,
)
from reel_shared.db import locks
from reel_shared.db.engine import transact
from reel_shared.db.models import DatasetVersion, Takedown
from reel_shared.errors import NotFound
from reel_shared.jobs import Outcome
from reel_shared.object_storage import content_key
from reel_shared.runner import Context, task
from reel_shared.storage import storage

log = structlog.get_logger(__name__)
MANIFEST_BYTES = 2**30
_ORIGINALS = ("frames", "pictures")
"""Where jobs store what may come to be an original."""


@task(TAKE_DOWN_PICTURES)
def take_down_pictures(context: Context, request: TakeDownPicturesRequest) -> Outcome:
    """Delete the files and find the versions. The API has set the rows already; doing so again changes nothing."""
    # A picture with the same address that came between the request and now goes too, and one that just comes.
    rows = transact(lambda session: _remove(session, request, by=context.job_id))
    by_image = {row.image_id: row.id for row in rows}
    images = sorted(by_image)
    of_rows, variants = transact(lambda session: takedowns.objects(session, images))
    keys = sorted({*of_rows, *_put_back(rows)})
    for done, key in enumerate(keys, start=1):
        storage().delete(key)
        context.progress(done, len(keys), unit="files", message="deleting files")
    held: dict[str, list[str]] = {}
    for version in transact(lambda session: takedowns.versions(session, images)):
        context.check()
        found = sorted(by_image[name] for name in _pictures(version) & by_image.keys())
        if found:
            held[version.id] = found
    result = TakeDownPicturesResult(
        takedowns=sorted(by_image.values()),
        images=images,
        variants=variants,
        objects=len(keys),
        dataset_versions=sorted(held),
        models=[],
        look_alikes=transact(lambda session: takedowns.look_alikes(session, images)),
    )

    def write(session: Session) -> None:
        result.models = takedowns.finish(session, result.takedowns, held)

    return Outcome(result, write)


def _remove(session: Session, request: TakeDownPicturesRequest, *, by: str) -> list[Takedown]:
    locks.remove_alone(session)
    return takedowns.remove(session, request, by=by)


def _put_back(rows: Iterable[Takedown]) -> Iterator[str]:
    """Yield the files with these bytes: jobs may have stored them behind an earlier take-down, without a row."""
    for sha256 in sorted({row.sha256 for row in rows}):
        for prefix in _ORIGINALS:
            yield from (found.key for found in storage().list(content_key(prefix, sha256)))


def _pictures(version: DatasetVersion) -> set[str]:
    """Return the ids of the pictures in a version's manifest, of whatever format."""
    file = StoredFile.model_validate(version.manifest)
    try:
        data = storage().get_bytes(file.key, max_bytes=MANIFEST_BYTES, sha256=file.sha256)
    except NotFound:
        # Without its manifest a version cannot be read, nor trained on.
        log.warning("takedown.no_manifest", version=version.id)
        return set()
    return {image["id"] for image in json.loads(data)["images"]}
