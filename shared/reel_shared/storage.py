"""Owns every access to object storage (S3 through the minio SDK). APIs and tasks call ``storage()``.

Objects are named by the SHA-256 of their bytes and never changed; a server that is away is waited for.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar
from urllib.parse import quote

import stamina
import urllib3
from minio.error import MinioException, S3Error

from reel_shared.contracts import StoredFile
from reel_shared.errors import BadRequest, Corrupt, NotFound, ReelError, StorageUnavailable, TooLarge
from reel_shared.s3 import away, connect, is_transient, refusal
from reel_shared.settings import S3, settings

T = TypeVar("T")

_CHUNK = 2**20
_PART = 16 * 2**20
_PAGE = 1000
_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_./-]{0,800}")


class ObjectInfo(NamedTuple):
    """What storage says about an object. ``sha256`` is missing where another program wrote the object."""

    key: str
    size: int
    media_type: str
    sha256: str | None
    modified: datetime | None


class Storage:
    """One bucket. Safe to share between threads.

    Every call waits up to ``patience_seconds`` for a server that is away, then raises ``StorageUnavailable``.
    A key that does not exist raises ``NotFound``.
    """

    def __init__(self, s3: S3, *, patience_seconds: float | None = None) -> None:
        self.bucket = s3.bucket
        self._s3 = s3
        self._patience = s3.patience_seconds if patience_seconds is None else patience_seconds
        self._client = connect(s3, s3.endpoint)
        self._public = connect(s3, s3.public_endpoint or s3.endpoint)

    # --- writing ------------------------------------------------------------------------------------------

    def put_bytes(self, prefix: str, data: bytes, media_type: str, suffix: str = "") -> StoredFile:
        """Store ``data`` as ``{prefix}/{sha[:2]}/{sha}{suffix}``; nothing is sent when it stands already."""
        sha = hashlib.sha256(data).hexdigest()
        stored = StoredFile(
            key=content_key(prefix, sha, suffix), media_type=media_type, size=len(data), sha256=sha
        )
        return self._put_once(stored, data)

    def put_file(self, prefix: str, path: Path, media_type: str, suffix: str = "") -> StoredFile:
        """Store a file under the name of its content, in parts; it is read twice, never held whole."""
        size, sha = _measure(path)
        stored = StoredFile(
            key=content_key(prefix, sha, suffix), media_type=media_type, size=size, sha256=sha
        )
        return self._put_once(stored, path)

    def put_at(self, key: str, data: bytes | Path, media_type: str) -> StoredFile:
        """Store under a chosen key, for what belongs to one job: ``jobs/{id}/{token}/…``. Overwrites."""
        _check(key)
        size, sha = (
            _measure(data) if isinstance(data, Path) else (len(data), hashlib.sha256(data).hexdigest())
        )
        stored = StoredFile(key=key, media_type=media_type, size=size, sha256=sha)
        self._upload(stored, data)
        return stored

    def put_stream(
        self,
        prefix: str,
        stream: BinaryIO | Iterable[bytes],
        media_type: str,
        suffix: str = "",
        *,
        max_bytes: int,
    ) -> StoredFile:
        """Store an upload of unknown length, through a file on disk; ``TooLarge`` beyond ``max_bytes``."""
        with tempfile.NamedTemporaryFile(prefix="reel-upload-") as spool:
            total = 0
            for chunk in _chunks(stream):
                total += len(chunk)
                if total > max_bytes:
                    detail = f"The upload is larger than {max_bytes / 2**20:.6g} MiB; send a smaller file."
                    raise TooLarge(detail, reason="too-many-bytes", limit=max_bytes)
                spool.write(chunk)
            spool.flush()
            return self.put_file(prefix, Path(spool.name), media_type, suffix)

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        self._patiently(lambda: self._remove(_check(key)), key)

    # --- reading ------------------------------------------------------------------------------------------

    def get_bytes(self, key: str, *, max_bytes: int, sha256: str | None = None) -> bytes:
        """Return an object's bytes, checked against ``sha256`` or else the hash recorded when it was stored.

        Raises ``TooLarge`` before reading a longer object, ``Corrupt`` when the hash differs.
        """
        buffer = io.BytesIO()

        def read() -> bytes:
            buffer.seek(0)
            buffer.truncate()
            self._download(key, buffer, max_bytes=max_bytes, sha256=sha256)
            return buffer.getvalue()

        return self._patiently(read, key)

    def get_file(
        self, key: str, path: Path, *, max_bytes: int | None = None, sha256: str | None = None
    ) -> Path:
        """Download to ``path``, checked as in ``get_bytes``; the name appears only when the file is whole."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}.part")

        def read() -> Path:
            with part.open("wb") as file:
                self._download(key, file, max_bytes=max_bytes, sha256=sha256)
            return part.replace(path)

        try:
            return self._patiently(read, key)
        finally:
            part.unlink(missing_ok=True)

    def stat(self, key: str) -> ObjectInfo:
        return self._patiently(lambda: self._head(_check(key)), key)

    def exists(self, key: str) -> bool:
        try:
            self.stat(key)
        except NotFound:
            return False
        return True

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects whose keys start with ``prefix``, in order, without media type and ``sha256``."""
        after = ""
        while True:
            page = self._patiently(lambda after=after: self._page(prefix, after), prefix)  # type: ignore[misc]
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].key

    def presigned_url(self, key: str, *, download_name: str | None = None) -> str:
        """Return a link that a browser may open for ``url_lifetime_seconds``; no request is made."""
        headers: dict[str, Any] = {}
        if download_name is not None:
            plain = re.sub(r"[^A-Za-z0-9_.() -]", "_", download_name)[:200] or "file"
            encoded = quote(download_name[:200], safe="")
            headers["response-content-disposition"] = (
                f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"
            )
        lifetime = timedelta(seconds=self._s3.url_lifetime_seconds)
        url: str = self._public.presigned_get_object(
            self.bucket, _check(key), expires=lifetime, response_headers=headers or None
        )
        return url

    # --- the bucket ---------------------------------------------------------------------------------------

    def ensure_bucket(self) -> None:
        """Create the bucket unless it stands."""

        def ensure() -> None:
            try:
                if not self._client.bucket_exists(self.bucket):
                    self._client.make_bucket(self.bucket)
            except S3Error as error:
                if error.code not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                    raise

        self._patiently(ensure, self.bucket)

    def ready(self) -> None:
        """Raise ``StorageUnavailable`` at once unless the bucket answers. For ``/readyz``."""
        try:
            standing = connect(self._s3, self._s3.endpoint, seconds=2.0).bucket_exists(self.bucket)
        except (urllib3.exceptions.HTTPError, MinioException, OSError) as error:
            raise away(self._s3.endpoint) from error
        if not standing:
            raise StorageUnavailable(f"The bucket {self.bucket!r} does not exist; create it.")

    # --- single requests; the only part that talks to the server ------------------------------------------

    def _put_once(self, stored: StoredFile, data: bytes | Path) -> StoredFile:
        try:
            standing = self.stat(stored.key)
        except NotFound:
            standing = None
        if standing is None or (standing.size, standing.sha256) != (stored.size, stored.sha256):
            self._upload(stored, data)
        return stored

    def _upload(self, stored: StoredFile, data: bytes | Path) -> None:
        def send() -> None:
            with data.open("rb") if isinstance(data, Path) else io.BytesIO(data) as source:
                self._client.put_object(
                    self.bucket,
                    stored.key,
                    source,
                    stored.size,
                    content_type=stored.media_type,
                    metadata={"sha256": stored.sha256},
                    part_size=_PART,
                )

        self._patiently(send, stored.key)

    def _download(self, key: str, into: BinaryIO, *, max_bytes: int | None, sha256: str | None) -> None:
        response = self._client.get_object(self.bucket, _check(key))
        try:
            size = int(response.headers.get("content-length") or 0)
            if max_bytes is not None and size > max_bytes:
                raise TooLarge(f"{key} has {size} bytes; at most {max_bytes} are read.", limit=max_bytes)
            digest = hashlib.sha256()
            for chunk in response.stream(_CHUNK):
                digest.update(chunk)
                into.write(chunk)
        finally:
            response.close()
            response.release_conn()
        _verify(key, digest.hexdigest(), sha256 or response.headers.get("x-amz-meta-sha256"))

    def _head(self, key: str) -> ObjectInfo:
        found = self._client.stat_object(self.bucket, key)
        metadata = found.metadata or {}
        sha = metadata.get("x-amz-meta-sha256")
        return ObjectInfo(key, found.size or 0, found.content_type or "", sha, found.last_modified)

    def _remove(self, key: str) -> None:
        self._client.remove_object(self.bucket, key)

    def _page(self, prefix: str, after: str) -> Sequence[ObjectInfo]:
        found = self._client.list_objects(self.bucket, prefix, recursive=True, start_after=after or None)
        return [
            ObjectInfo(item.object_name or "", item.size or 0, "", None, item.last_modified)
            for item in islice(found, _PAGE)
        ]

    def _patiently(self, request: Callable[[], T], what: str) -> T:
        """Run a request again, with backoff and jitter, for as long as only the server's absence stops it."""
        retries = stamina.retry_context(
            on=is_transient,
            attempts=None,
            timeout=self._patience,
            wait_initial=0.1,
            wait_max=2.0,
            wait_jitter=0.3,
        )
        try:
            for attempt in retries:
                with attempt:
                    return request()
        except ReelError:
            raise
        except S3Error as error:
            raise refusal(error, what, self._s3.endpoint) from error
        except (urllib3.exceptions.HTTPError, MinioException) as error:
            raise away(self._s3.endpoint) from error
        raise AssertionError("a retry loop ends by returning or raising")


@cache
def storage() -> Storage:
    """Return this process's storage, as the settings name it."""
    return Storage(settings().s3)


# A forked worker must not share its parent's sockets.
os.register_at_fork(after_in_child=storage.cache_clear)


def content_key(prefix: str, sha256: str, suffix: str = "") -> str:
    """Return the key of content: ``{prefix}/{sha[:2]}/{sha}{suffix}``."""
    return _check(f"{prefix}/{sha256[:2]}/{sha256}{suffix}")


def _check(key: str) -> str:
    if not _KEY.fullmatch(key) or ".." in key or "//" in key:
        raise BadRequest(f"{key[:80]!r} is not a storage key: letters, digits and ._-/ only, no '..'.")
    return key


def _measure(path: Path) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def _chunks(stream: BinaryIO | Iterable[bytes]) -> Iterator[bytes]:
    if hasattr(stream, "read"):
        return iter(lambda: stream.read(_CHUNK), b"")
    return iter(stream)


def _verify(key: str, found: str, wanted: str | None) -> None:
    if wanted is not None and found != wanted:
        detail = f"The stored file {key} does not match its hash; store it again."
        raise Corrupt(detail, key=key, expected=wanted, found=found)
