"""A backup of database and bucket in one folder, and its way back into an empty database and any bucket.

``python -m reel_shared.backup save|restore FOLDER``; `reel backup` and `reel restore` for the platform of `reel up`.
The platform may go on meanwhile: the database is read at one moment, then the objects are copied. An object that is
deleted in between, and that this moment still names, makes it begin again; what was copied already is kept.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from pydantic import BaseModel

from reel_shared.backup_rows import Table, dump, load
from reel_shared.errors import BadRequest, Conflict, Corrupt, NotFound
from reel_shared.object_storage import Storage
from reel_shared.storage import storage
from reel_shared.telemetry import configure_logging

log = structlog.get_logger(__name__)
MANIFEST = "backup.json"
FORMAT = 1
LANES = 8
ROUNDS = 5
"""So often the database is read anew before it is said that objects vanish too quickly."""


class CopiedObject(BaseModel):
    key: str
    size: int
    sha256: str
    media_type: str


class Manifest(BaseModel):
    """What a backup holds, with hashes; written last, so that a folder without it is none."""

    format: int = FORMAT
    revision: str
    tables: list[Table]
    objects: int
    bytes: int
    objects_sha256: str
    already_gone: int
    """Objects that the database names and that were gone when the backup began, such as visitors' pictures."""


class _Found(NamedTuple):
    copied: dict[str, CopiedObject]
    lost: set[str]


def save(folder: Path, *, bucket: Storage | None = None) -> Manifest:
    """Back up the database and the bucket of the settings into ``folder``; a second time copies only what is new.

    Raises:
        Conflict: the database's schema is not this release's, or objects were deleted faster than they were copied.
        Corrupt: an object does not match its recorded hash.
        DatabaseUnavailable, StorageUnavailable: one of them is away.
    """
    source = bucket or storage()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    for number in range(1, ROUNDS + 1):
        before = {found.key for found in source.list("")}
        revision, tables, named = dump(folder / "tables")
        copied, lost = _copy(source, folder, named & before)
        if not lost:
            break
        log.info("backup.again", round=number, deleted_meanwhile=len(lost))
    else:
        raise Conflict(f"Objects were deleted in each of {ROUNDS} rounds; try again when less is going on.")
    lines = "".join(f"{copied[key].model_dump_json()}\n" for key in sorted(copied))
    _write(folder / "objects.jsonl", lines)
    _sweep(folder / "objects", copied.keys())
    manifest = Manifest(
        revision=revision,
        tables=tables,
        objects=len(copied),
        bytes=sum(one.size for one in copied.values()),
        objects_sha256=hashlib.sha256(lines.encode()).hexdigest(),
        already_gone=len(named - before),
    )
    _write(folder / MANIFEST, manifest.model_dump_json(indent=2))
    log.info("backup.saved", folder=str(folder), objects=manifest.objects, bytes=manifest.bytes)
    return manifest


def restore(folder: Path, *, bucket: Storage | None = None) -> Manifest:
    """Put a backup into the database and the bucket of the settings: all of it is verified before a row is written.

    Objects come first, rows in one transaction last; so one that was interrupted may be begun again.

    Raises:
        NotFound: the folder holds no whole backup.
        Corrupt: a file in it does not match its hash.
        Conflict: the database is not empty, or this release is older than the backup.
    """
    manifest, objects = verify(folder)
    target = bucket or storage()
    load(folder / "tables", manifest.revision, manifest.tables, check_only=True)
    target.ensure_bucket()
    with ThreadPoolExecutor(LANES, thread_name_prefix="restore") as pool:
        for _ in pool.map(lambda one: _put(target, folder, one), objects):
            pass
    load(folder / "tables", manifest.revision, manifest.tables)
    log.info("backup.restored", folder=str(folder), objects=manifest.objects)
    return manifest


def verify(folder: Path) -> tuple[Manifest, list[CopiedObject]]:
    """Read a backup and compare every file with its hash. Raises NotFound and Corrupt."""
    path = folder / MANIFEST
    if not path.exists():
        raise NotFound(f"{folder} holds no whole backup: {MANIFEST} is missing.")
    manifest = Manifest.model_validate_json(path.read_text())
    if manifest.format != FORMAT:
        raise Conflict(f"The backup has format {manifest.format}; this release reads {FORMAT}.")
    for table in manifest.tables:
        _check(folder / "tables" / f"{table.name}.jsonl", table.sha256)
    _check(folder / "objects.jsonl", manifest.objects_sha256)
    lines = (folder / "objects.jsonl").read_text().splitlines()
    objects = [CopiedObject.model_validate_json(line) for line in lines]
    with ThreadPoolExecutor(LANES, thread_name_prefix="verify") as pool:
        for _ in pool.map(lambda one: _check(folder / "objects" / one.key, one.sha256), objects):
            pass
    return manifest, objects


# --- parts ------------------------------------------------------------------------------------------------


def _copy(source: Storage, folder: Path, needed: set[str]) -> _Found:
    """Copy everything that lies in the bucket; of what the database names, tell what has gone since."""
    known = {one.key: one for one in _known(folder)}
    with ThreadPoolExecutor(LANES, thread_name_prefix="backup") as pool:
        keys = [found.key for found in source.list("")]
        done = pool.map(lambda key: _fetch(source, folder, key, known.get(key)), keys)
        copied = {one.key: one for one in done if one is not None}
    _write(folder / "objects.jsonl", "".join(f"{one.model_dump_json()}\n" for one in copied.values()))
    return _Found(copied, needed - copied.keys())


def _known(folder: Path) -> Iterator[CopiedObject]:
    path = folder / "objects.jsonl"
    if path.exists():
        yield from (CopiedObject.model_validate_json(line) for line in path.read_text().splitlines())


def _fetch(source: Storage, folder: Path, key: str, known: CopiedObject | None) -> CopiedObject | None:
    path = folder / "objects" / key
    # Most keys are the hash of their content and never change; what is there already need not come again.
    if known is not None and known.sha256 in key and path.exists() and path.stat().st_size == known.size:
        return known
    try:
        info = source.stat(key)
        source.get_file(key, path)
    except NotFound:
        return None
    except BadRequest:
        log.warning("backup.left_out", key=key[:200], reason="not a name that the platform uses")
        return None
    return CopiedObject(key=key, size=info.size, sha256=_hash(path), media_type=info.media_type)


def _put(target: Storage, folder: Path, one: CopiedObject) -> None:
    try:
        standing = target.stat(one.key)
    except NotFound:
        standing = None
    if standing is None or (standing.size, standing.sha256) != (one.size, one.sha256):
        target.put_at(one.key, folder / "objects" / one.key, one.media_type or "application/octet-stream")


def _sweep(objects: Path, keys: Iterable[str]) -> None:
    """Remove what an earlier backup in this folder had and the bucket has no longer."""
    kept = {objects / key for key in keys}
    for path in objects.rglob("*"):
        if path.is_file() and path not in kept:
            path.unlink()


def _check(path: Path, sha256: str) -> None:
    if not path.exists() or _hash(path) != sha256:
        raise Corrupt(
            f"The backup's file {path} does not match its hash; take another backup.", key=path.name
        )


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    part.replace(path)


def main(arguments: list[str] | None = None) -> None:
    """Save or restore as the settings say, and print what the backup holds."""
    parser = argparse.ArgumentParser(prog="python -m reel_shared.backup")
    parser.add_argument("action", choices=["save", "restore", "verify"])
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args(arguments)
    configure_logging()
    if asked.action == "verify":
        manifest, _ = verify(asked.folder)
    else:
        manifest = (save if asked.action == "save" else restore)(asked.folder)
    sys.stdout.write(json.dumps(summary(manifest)) + "\n")


def summary(manifest: Manifest) -> dict[str, Any]:
    """Say what a backup holds."""
    rows = sum(table.rows for table in manifest.tables)
    return {"rows": rows, "objects": manifest.objects, "bytes": manifest.bytes, "schema": manifest.revision}


if __name__ == "__main__":
    main()
