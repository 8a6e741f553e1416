"""Owns single requests to an S3 server, and what its refusals mean. ``object_storage`` adds patience and hashes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, BinaryIO, NamedTuple, Protocol

import urllib3
from minio import Minio
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

from reel_shared.errors import NotFound, ReelError, StorageUnavailable
from reel_shared.settings import S3

PAGE = 1000
_CHUNK = 2**20
_PART = 16 * 2**20
_FULL = frozenset(
    {"XMinioStorageFull", "InsufficientStorage", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded"}
)
_BUSY = frozenset({"InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout", "OperationAborted"})


class ObjectInfo(NamedTuple):
    """What storage says about an object. ``sha256`` is missing where another program wrote the object."""

    key: str
    size: int
    media_type: str
    sha256: str | None
    modified: datetime | None


class Body(NamedTuple):
    """An object being read."""

    size: int
    sha256: str | None
    chunks: Iterator[bytes]


class Objects(Protocol):
    """One request each; a missing key is ``NotFound``, a server that is away raises as the client does."""

    def put(self, key: str, source: BinaryIO, size: int, media_type: str, sha256: str) -> None: ...
    def open(self, key: str) -> Any: ...
    def head(self, key: str) -> ObjectInfo: ...
    def page(self, prefix: str, after: str) -> Sequence[ObjectInfo]: ...
    def remove(self, key: str) -> None: ...
    def link(self, key: str, lifetime: timedelta, headers: dict[str, str]) -> str: ...
    def ensure(self) -> None: ...
    def answers(self) -> bool: ...


class Bucket:
    """A bucket on a server, by the minio SDK. Safe to share between threads."""

    def __init__(self, s3: S3) -> None:
        self.name = s3.bucket
        self._client = connect(s3, s3.endpoint)
        self._hasty = connect(s3, s3.endpoint, seconds=2.0)
        public = s3.model_copy(update={"secure": s3.public_secure}) if s3.public_secure is not None else s3
        self._public = connect(public, s3.public_endpoint or s3.endpoint)

    def put(self, key: str, source: BinaryIO, size: int, media_type: str, sha256: str) -> None:
        """Send an object, in parts of 16 MiB; it appears when the last part has arrived."""
        self._client.put_object(
            self.name,
            key,
            source,
            size,
            content_type=media_type,
            metadata={"sha256": sha256},
            part_size=_PART,
        )

    @contextmanager
    def open(self, key: str) -> Iterator[Body]:
        response = self._client.get_object(self.name, key)
        try:
            size = int(response.headers.get("content-length") or 0)
            yield Body(size, response.headers.get("x-amz-meta-sha256"), response.stream(_CHUNK))
        finally:
            response.close()
            response.release_conn()

    def head(self, key: str) -> ObjectInfo:
        found = self._client.stat_object(self.name, key)
        sha = (found.metadata or {}).get("x-amz-meta-sha256")
        return ObjectInfo(key, found.size or 0, found.content_type or "", sha, found.last_modified)

    def page(self, prefix: str, after: str) -> Sequence[ObjectInfo]:
        found = self._client.list_objects(self.name, prefix, recursive=True, start_after=after or None)
        return [
            ObjectInfo(item.object_name or "", item.size or 0, "", None, item.last_modified)
            for item in islice(found, PAGE)
        ]

    def remove(self, key: str) -> None:
        self._client.remove_object(self.name, key)

    def link(self, key: str, lifetime: timedelta, headers: dict[str, str]) -> str:
        wanted: dict[str, Any] | None = dict(headers) or None
        url: str = self._public.presigned_get_object(
            self.name, key, expires=lifetime, response_headers=wanted
        )
        return url

    def ensure(self) -> None:
        try:
            if not self._client.bucket_exists(self.name):
                self._client.make_bucket(self.name)
        except S3Error as error:
            if error.code not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                raise

    def answers(self) -> bool:
        """Whether the bucket stands; waits two seconds at most."""
        return bool(self._hasty.bucket_exists(self.name))


def connect(s3: S3, endpoint: str, *, seconds: float = 30.0) -> Minio:
    """Return a client that gives up on a silent server after ``seconds``."""
    pool = urllib3.PoolManager(
        num_pools=4,
        maxsize=32,
        timeout=urllib3.Timeout(connect=min(3.0, seconds), read=seconds),
        # One quick second try for a kept connection that the server closed; waiting is the caller's work.
        retries=urllib3.Retry(connect=0, read=1, redirect=0, status=0, other=0, raise_on_status=False),
    )
    return Minio(
        endpoint,
        access_key=s3.access_key,
        secret_key=s3.secret_key.get_secret_value(),
        secure=s3.secure,
        region=s3.region,
        http_client=pool,
    )


FAULTS = (urllib3.exceptions.HTTPError, MinioException, ConnectionError, TimeoutError)
"""Everything the client raises about a server."""


def is_transient(error: Exception) -> bool:
    """Whether the same request may succeed a little later."""
    if isinstance(error, S3Error):
        status = getattr(error.response, "status", 0) or 0
        return status >= 500 or error.code in _BUSY
    if isinstance(error, InvalidResponseError):
        return error._code >= 500
    if isinstance(error, ServerError):
        return error.status_code >= 500
    return isinstance(error, FAULTS) and not isinstance(error, MinioException)


def meaning(error: Exception, what: str, endpoint: str) -> ReelError:
    """Translate a fault for people."""
    if isinstance(error, S3Error) and error.code in _FULL:
        return StorageUnavailable(f"Object storage at {endpoint} is full; make room.")
    if not isinstance(error, S3Error) or is_transient(error):
        detail = f"Object storage at {endpoint} does not answer; start it or try again later."
        return StorageUnavailable(detail)
    if error.code in {"NoSuchKey", "NoSuchObject"}:
        return NotFound(f"There is no file {what!r} in storage.")
    if error.code == "NoSuchBucket":
        return StorageUnavailable(f"The bucket for {what!r} does not exist; create it.")
    if error.code in {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}:
        detail = f"Object storage at {endpoint} refuses our access key; check REEL_S3__ACCESS_KEY."
        return StorageUnavailable(detail)
    if error.code == "RequestTimeTooSkewed":
        return StorageUnavailable(
            f"Object storage at {endpoint} refuses this host's clock; set it right (NTP)."
        )
    return StorageUnavailable(f"Object storage at {endpoint} answered {error.code}: {error.message}")
