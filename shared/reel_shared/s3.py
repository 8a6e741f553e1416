"""Owns the connection to an S3 server and the reading of its refusals. Called by ``storage`` alone."""

from __future__ import annotations

import urllib3
from minio import Minio
from minio.error import InvalidResponseError, S3Error, ServerError

from reel_shared.errors import NotFound, ReelError, StorageUnavailable
from reel_shared.settings import S3

_BUSY = frozenset({"InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout", "OperationAborted"})


def connect(s3: S3, endpoint: str, *, seconds: float = 30.0) -> Minio:
    pool = urllib3.PoolManager(
        num_pools=4,
        maxsize=32,
        timeout=urllib3.Timeout(connect=min(3.0, seconds), read=seconds),
        # One quick second try for a kept connection that the server closed; waiting is _patiently's work.
        retries=urllib3.Retry(total=1, backoff_factor=0, redirect=0, status=0, raise_on_status=False),
    )
    return Minio(
        endpoint,
        access_key=s3.access_key,
        secret_key=s3.secret_key.get_secret_value(),
        secure=s3.secure,
        region=s3.region,
        http_client=pool,
    )


def is_transient(error: Exception) -> bool:
    if isinstance(error, S3Error):
        status = getattr(error.response, "status", 0) or 0
        return status >= 500 or error.code in _BUSY
    if isinstance(error, InvalidResponseError):
        return error._code >= 500
    if isinstance(error, ServerError):
        return error.status_code >= 500
    return isinstance(error, (urllib3.exceptions.HTTPError, ConnectionError, TimeoutError))


def away(endpoint: str) -> StorageUnavailable:
    return StorageUnavailable(f"Object storage at {endpoint} does not answer; start it or try again later.")


def refusal(error: S3Error, what: str, endpoint: str) -> ReelError:
    if error.code in {"NoSuchKey", "NoSuchObject"}:
        return NotFound(f"There is no file {what!r} in storage.")
    if error.code == "NoSuchBucket":
        return StorageUnavailable(f"The bucket for {what!r} does not exist; create it.")
    if error.code in {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}:
        return StorageUnavailable(
            f"Object storage at {endpoint} refuses our access key; check REEL_S3__ACCESS_KEY."
        )
    return StorageUnavailable(f"Object storage at {endpoint} answered {error.code}: {error.message}")
