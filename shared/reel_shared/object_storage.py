"""Owns every access to object storage (S3). APIs and tasks reach it through ``storage.storage()``.

Objects are named by the SHA-256 of their bytes and never changed; a server that is away is waited for.
"""

from __future__ import annotations

import hashlib
import io
import re
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, TypeVar
from urllib.parse import quote

import stamina

from reel_shared.contracts import StoredFile
from reel_shared.errors import BadRequest, Corrupt, NotFound, StorageUnavailable, TooLarge
from reel_shared.s3 import FAULTS, PAGE, Body, Bucket, ObjectInfo, Objects, is_transient, meaning
from reel_shared.settings import S3

T = TypeVar("T")

_CHUNK = 2**20
_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_./-]{0,800}")


class Storage:
    """One bucket. Safe to share between threads.

    Every call waits up to ``patience_seconds`` for a server that is away, then raises ``StorageUnavailable``.
    A key that does not exist raises ``NotFound``.
    """

    def __init__(
        self, s3: S3, *, patience_seconds: float | None = None, objects: Objects | None = None
    ) -> None:
        self.bucket = s3.bucket
        self._s3 = s3
        self._patience = s3.patience_seconds if patience_seconds is None else patience_seconds
        self._objects: Objects = Bucket(s3) if objects is None else objects

    # --- writing ------------------------------------------------------------------------------------------

    def put_bytes(self, prefix: str, data: bytes, media_type: str, suffix: str = "") -> StoredFile:
        """Store ``data`` as ``{prefix}/{sha[:2]}/{sha}{suffix}``; nothing is sent when it stands already."""
        return self.put_named(named(prefix, data, media_type, suffix), data)

    def put_named(self, file: StoredFile, data: bytes) -> StoredFile:
        """Store ``data`` under the name that ``named`` gave it; nothing is sent when it stands already."""
        return self._put_once(file, data)

    def put_file(self, prefix: str, path: Path, media_type: str, suffix: str = "") -> StoredFile:
        """Store a file under the name of its content, in parts; it is read twice, never held whole."""
        size, sha = _measure(path)
        key = content_key(prefix, sha, suffix)
        stored = StoredFile(key=key, media_type=media_type, size=size, sha256=sha)
        return self._put_once(stored, path)

    def put_at(self, key: str, data: bytes | Path, media_type: str) -> StoredFile:
        """Store under a chosen key, for what belongs to one job: ``jobs/{id}/{token}/…``. Overwrites."""
        _check(key)
        if isinstance(data, Path):
            size, sha = _measure(data)
        else:
            size, sha = len(data), hashlib.sha256(data).hexdigest()
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
        _check(key)
        self._patiently(lambda: self._objects.remove(key), key)

    # --- reading ------------------------------------------------------------------------------------------

    def get_bytes(self, key: str, *, max_bytes: int, sha256: str | None = None) -> bytes:
        """Return an object's bytes, checked against ``sha256`` or else the hash recorded when it was stored.

        Raises ``TooLarge`` before reading a longer object, ``Corrupt`` when the hash differs.
        """
        _check(key)

        def read() -> bytes:
            buffer = io.BytesIO()
            self._download(key, buffer, max_bytes=max_bytes, sha256=sha256)
            return buffer.getvalue()

        return self._patiently(read, key)

    def get_file(
        self, key: str, path: Path, *, max_bytes: int | None = None, sha256: str | None = None
    ) -> Path:
        """Download to ``path``, checked as in ``get_bytes``; the name appears only when the file is whole."""
        _check(key)
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
        _check(key)
        return self._patiently(lambda: self._objects.head(key), key)

    def exists(self, key: str) -> bool:
        try:
            self.stat(key)
        except NotFound:
            return False
        return True

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects whose keys start with ``prefix``, in order, without media type and ``sha256``."""
        page = self._page(prefix, "")
        yield from page
        while len(page) == PAGE:
            page = self._page(prefix, page[-1].key)
            yield from page

    def presigned_url(self, key: str, *, download_name: str | None = None) -> str:
        """Return a link that a browser may open for ``url_lifetime_seconds``; no request is made.

        With ``download_name`` the browser saves the object under that name instead of showing it.
        """
        headers: dict[str, str] = {}
        if download_name is not None:
            plain = re.sub(r"[^A-Za-z0-9_.() -]", "_", download_name)[:200] or "file"
            names = f"filename=\"{plain}\"; filename*=UTF-8''{quote(download_name[:200], safe='')}"
            headers["response-content-disposition"] = f"attachment; {names}"
        return self._objects.link(_check(key), timedelta(seconds=self._s3.url_lifetime_seconds), headers)

    # --- the bucket ---------------------------------------------------------------------------------------

    def ensure_bucket(self) -> None:
        """Create the bucket unless it stands."""
        self._patiently(self._objects.ensure, self.bucket)

    def ready(self) -> None:
        """Raise ``StorageUnavailable`` unless the bucket answers within two seconds. For ``/readyz``."""
        try:
            standing = self._objects.answers()
        except FAULTS as error:
            raise meaning(error, self.bucket, self._s3.endpoint) from error
        if not standing:
            raise StorageUnavailable(f"The bucket {self.bucket!r} does not exist; create it.")

    # --- parts --------------------------------------------------------------------------------------------

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
                self._objects.put(stored.key, source, stored.size, stored.media_type, stored.sha256)

        self._patiently(send, stored.key)

    def _download(self, key: str, into: BinaryIO, *, max_bytes: int | None, sha256: str | None) -> None:
        digest = hashlib.sha256()
        body: Body
        with self._objects.open(key) as body:
            if max_bytes is not None and body.size > max_bytes:
                raise TooLarge(f"{key} has {body.size} bytes; at most {max_bytes} are read.", limit=max_bytes)
            for chunk in body.chunks:
                digest.update(chunk)
                into.write(chunk)
        wanted = sha256 or body.sha256
        if wanted is not None and digest.hexdigest() != wanted:
            detail = f"The stored file {key} does not match its hash; store it again."
            raise Corrupt(detail, key=key, expected=wanted, found=digest.hexdigest())

    def _page(self, prefix: str, after: str) -> Sequence[ObjectInfo]:
        return self._patiently(lambda: self._objects.page(prefix, after), prefix)

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
        except FAULTS as error:
            raise meaning(error, what, self._s3.endpoint) from error
        raise AssertionError("a retry loop ends by returning or raising")


def named(prefix: str, data: bytes, media_type: str, suffix: str = "") -> StoredFile:
    """Return how ``put_bytes`` would store ``data``; nothing is stored."""
    sha = hashlib.sha256(data).hexdigest()
    key = content_key(prefix, sha, suffix)
    return StoredFile(key=key, media_type=media_type, size=len(data), sha256=sha)


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
