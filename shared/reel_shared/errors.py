"""Every refusal and failure a person or a job may meet, with its HTTP status and problem type (RFC 9457).

Raised anywhere; turned into problem details by the web app factory and into ``job.error`` by the task base.
"""

from __future__ import annotations

import errno
from typing import Any, ClassVar

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def disk_is_full(error: BaseException) -> bool:
    """Whether a file could not be written because there is no room for it."""
    return isinstance(error, OSError) and error.errno in _DISK_FULL


class ReelError(Exception):
    """Base: ``detail`` says what is wrong and what to do, in one sentence."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong here"
    retryable: ClassVar[bool] = False
    """Whether running the same job again may help."""

    def __init__(self, detail: str = "", **extra: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.extra = extra

    def problem(self) -> dict[str, Any]:
        """Return the problem-details object, without ``instance`` and ``request_id``."""
        return {
            "type": f"urn:reelsight:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.extra,
        }


class BadRequest(ReelError):
    """Not JSON, a bad cursor, an empty file, a damaged zip."""

    status, code, title = 400, "bad-request", "The request cannot be read"


class BadPicture(BadRequest):
    """`reason` says why: `empty`, `not-a-picture`, `truncated`, `damaged`, `too-many-bytes`,
    `too-many-pixels`."""

    code, title = "bad-picture", "The picture cannot be used"


class BadMember(BadRequest):
    """A file in a zip; `reason` says why: `unsafe-path`, `link`, `encrypted`, `too-many-bytes`, `bomb`,
    `damaged`."""

    code, title = "bad-member", "The archive's file cannot be used"


class BadMovie(BadRequest):
    """No film, no moving picture in it, larger than 8K, or cut off."""

    code, title = "bad-movie", "The film cannot be used"


class Unauthorized(ReelError):
    """No key, or one that is wrong, expired or revoked."""

    status, code, title = 401, "unauthorized", "An API key is needed"


class Forbidden(ReelError):
    """The key lacks the scope, or a visitor asked for more than the demo gives."""

    status, code, title = 403, "forbidden", "The API key may not do this"


class NotFound(ReelError):
    """Also of a POST or a job: the object or model it names is not there."""

    status, code, title = 404, "not-found", "There is no such thing"


class Conflict(ReelError):
    """Canceling what has ended, replaying what has not failed, an `Idempotency-Key` still at work."""

    status, code, title = 409, "conflict", "The state does not allow this"


class TooLarge(ReelError):
    """See `GET /v1/limits`."""

    status, code, title = 413, "too-large", "Too large"


class UnsupportedType(ReelError):
    """Judged by the file's first bytes; or a body that is not JSON."""

    status, code, title = 415, "unsupported-type", "This kind of file is not accepted"


class Unprocessable(ReelError):
    """`errors` names each wrong field; also: an `Idempotency-Key` used for something else."""

    status, code, title = 422, "unprocessable", "The request does not fit"


class GatesFailed(Unprocessable):
    """``gates`` beside the detail are those that failed, each with its figures."""

    code, title = "gates-failed", "The model does not pass its gates"


class TooManyRequests(ReelError):
    """The prediction queue is full, or the key asks more often than `REEL_INFERENCE__KEY_REQUESTS_PER_SECOND`;
    `Retry-After` says when to come back."""

    status, code, title = 429, "too-many-requests", "Too many requests"


class Unavailable(ReelError):
    """A part that the work needs is away for now; trying again later may help."""

    status, code, title = 503, "unavailable", "A needed part is not available"
    retryable = True


class StorageUnavailable(Unavailable):
    """S3 has not answered for `REEL_S3__PATIENCE_SECONDS`."""

    code, title = "storage-unavailable", "Object storage is not available"


class DatabaseUnavailable(Unavailable):
    """A job's database has not answered for `REEL_DATABASE__PATIENCE_SECONDS`; a request is told at once."""

    code, title = "database-unavailable", "The database is not available"


class NoModel(Unavailable):
    """Train with `activate`, or activate a model."""

    code, title = "no-model", "No model is active yet"
    retryable = False


class Corrupt(ReelError):
    """Bytes in storage do not match their recorded hash."""

    code, title = "corrupt-object", "A stored file is damaged"


class JobTimeout(ReelError):
    """Longer than its kind's limit, or not begun within `REEL_JOBS__QUEUE_TTL_SECONDS`."""

    status, code, title = 504, "timeout", "The job ran out of time"


class DeadlinePassed(ReelError):
    """A prediction with `Grpc-Timeout`: its time ran out before a lane was free, and nothing was computed."""

    status, code, title = 504, "deadline-passed", "The request's deadline has passed"


class AttemptsExhausted(ReelError):
    """Its worker died every time."""

    code, title = "attempts-exhausted", "The job was tried as often as its kind allows"


_EVERY_PROBLEM = frozenset({"type", "title", "status", "detail", "attempts"})


def from_problem(problem: dict[str, Any], **extra: Any) -> ReelError:
    """Return the error that a job recorded, as it was raised; one of an unknown type is ``internal``."""
    code = str(problem.get("type", "")).rpartition(":")[2]
    told = {name: value for name, value in problem.items() if name not in _EVERY_PROBLEM}
    detail, extra = str(problem.get("detail", "")), {**told, **extra}
    found: list[type[ReelError]] = [ReelError]
    for kind in found:
        if kind.code == code:
            return kind(detail, **extra)
        found.extend(kind.__subclasses__())
    return ReelError(detail, **extra)


class Canceled(Exception):
    """The job's owner asked it to stop. Not an error."""


class LeaseLost(Exception):
    """Another worker owns the job now; whatever this one still holds must not be written."""
