"""Files that callers send: streamed to disk under a byte cap, judged by their content, stored by their hash.

Called by ``POST /v1/uploads`` and by endpoints that take files beside their fields (``read_submission``,
``read_batch``).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from reel_shared.contracts import StoredFile
from reel_shared.errors import BadRequest, Forbidden, NotFound, ReelError, TooLarge, UnsupportedType
from reel_shared.retention import VISITORS
from reel_shared.security import Principal
from reel_shared.settings import settings
from reel_shared.storage import hasty_storage, storage
from reel_shared.web.media import HEAD_BYTES, Family, MediaType, accept
from reel_shared.web.requests import tighten_body

PREFIX = "uploads"
ALL: tuple[Family, ...] = ("picture", "film", "archive", "weights")
_CHUNK = 2**20
ModelT = TypeVar("ModelT", bound=BaseModel)


def byte_cap(family: Family) -> int:
    limits = settings().limits
    return {
        "picture": limits.picture_bytes,
        "film": limits.upload_bytes,
        "archive": limits.archive_bytes,
        "weights": limits.archive_bytes,
    }[family]


def largest() -> int:
    """For ``large_body``: the most bytes that any file may have."""
    return max(byte_cap(family) for family in ALL)


async def receive_upload(
    request: Request, principal: Principal, *, families: Collection[Family] = ALL
) -> StoredFile:
    """Store the request's file: the raw body, or the part ``file`` of a multipart form.

    The endpoint must be marked with ``large_body(largest)``. Visitors without a key may send pictures only.

    Raises:
        TooLarge: more bytes than its family may have; refused before it is read where Content-Length tells.
        UnsupportedType: its first bytes are of no accepted kind; the rest is not read.
    """
    allowed = _allowed(request, principal, families)
    prefix = _prefix(principal)
    if not _is_form(request):
        return await _receive_raw(request, allowed, prefix)
    async with request.form(max_files=1, max_fields=100) as form:
        return await _store_part(form.get("file"), allowed, prefix)


async def read_submission(
    request: Request, principal: Principal, model: type[ModelT], *, families: Collection[Family]
) -> ModelT:
    """Read a request model that names a stored file by ``key``: from JSON, or from a multipart form.

    In a form the file is the part ``file``, the other fields are form fields, and ``metadata`` is JSON text.
    """
    allowed = _allowed(request, principal, families)
    if not _is_form(request):
        return _validated(model, await _read_json(request))
    async with request.form(max_files=1, max_fields=100) as form:
        fields = _fields(form)
        # The fields are judged before the file is stored; a key in the right form stands in for the file's.
        _validated(model, {**fields, "key": f"{PREFIX}/file"})
        stored = await _store_part(form.get("file"), allowed, _prefix(principal))
    return _validated(model, {**fields, "key": stored.key})


async def read_batch(
    request: Request,
    model: type[ModelT],
    *,
    families: Collection[Family],
    max_files: int,
    check: Callable[[ModelT], object],
) -> ModelT:
    """Read a request model that names stored files by ``keys``: from JSON, or from a form with parts ``file``.

    The fields, by the model and by ``check``, and the head of every file are judged before one is stored. An archive,
    where ``families`` has it, comes alone and is named by ``archive``.

    Raises:
        BadRequest, UnsupportedType, TooLarge: what is wrong with a file, and with which; none is stored.
    """
    if not _is_form(request):
        return _validated(model, await _read_json(request))
    async with request.form(max_files=max_files, max_fields=100) as form:
        parts = [part for part in form.getlist("file") if isinstance(part, UploadFile)]
        if not parts:
            raise BadRequest("The form holds no file; send one or more as parts 'file'.")
        body = _validated(model, {**_fields(form), "keys": [f"{PREFIX}/file"]})
        await run_in_threadpool(check, body)
        judged = [(part, await _judge_named(part, families)) for part in parts]
        packed = any(media.family == "archive" for _, media in judged)
        if packed and len(judged) > 1:
            raise BadRequest("An archive comes alone; send one, or pictures.")
        stored = [await _store(part, media, PREFIX) for part, media in judged]
    named = {"archive": stored[0].key} if packed else {"keys": [one.key for one in stored]}
    return _validated(model, {**_fields(form), **named})


async def require_stored(key: str) -> None:
    """Refuse a request that names a file by a key under which nothing lies.

    Raises:
        NotFound: nothing lies there.
        StorageUnavailable: nobody knows, for storage is away.
    """
    if not await run_in_threadpool(lambda: hasty_storage().exists(key)):
        raise NotFound(f"Nothing is stored under {key}; POST /v1/uploads stores a file and names its key.")


def _allowed(request: Request, principal: Principal, families: Collection[Family]) -> frozenset[Family]:
    allowed = frozenset(families)
    if not principal.may("submit"):
        allowed &= {"picture"}
    if not allowed:
        raise Forbidden("Sending such files needs an API key with the scope 'submit'.")
    tighten_body(request.scope, max(byte_cap(family) for family in allowed))
    return allowed


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


def _prefix(principal: Principal) -> str:
    return PREFIX if principal.may("submit") else VISITORS


async def _receive_raw(request: Request, families: Collection[Family], prefix: str) -> StoredFile:
    media: MediaType | None = None
    head, pending, size = b"", bytearray(), 0
    announced = int(request.headers.get("content-length") or 0)
    with tempfile.NamedTemporaryFile(prefix="reel-upload-") as spool:
        async for chunk in request.stream():
            size += len(chunk)
            pending += chunk
            if media is None:
                head = bytes(pending[:HEAD_BYTES])
                media = accept(head, families) if len(head) == HEAD_BYTES else None
            if media is not None:
                _check_size(max(size, announced), media.family)
            if len(pending) >= _CHUNK:
                await run_in_threadpool(spool.write, bytes(pending))
                pending.clear()
        if size == 0:
            raise BadRequest(
                "The body is empty; send the file's bytes, or a multipart form with a part 'file'."
            )
        found = media or accept(head, families)
        _check_size(size, found.family)
        spool.write(pending)
        spool.flush()
        return await run_in_threadpool(storage().put_file, prefix, Path(spool.name), found.name, found.suffix)


def _fields(form: FormData) -> dict[str, Any]:
    fields: dict[str, Any] = {name: value for name, value in form.items() if isinstance(value, str)}
    if "metadata" in fields:
        fields["metadata"] = _parsed(fields["metadata"])
    return fields


async def _store_part(part: UploadFile | str | None, families: Collection[Family], prefix: str) -> StoredFile:
    if not isinstance(part, UploadFile):
        raise BadRequest("The form has no file, or an empty one; send it as the part 'file'.")
    return await _store(part, await _judge(part, families), prefix)


async def _judge(part: UploadFile, families: Collection[Family]) -> MediaType:
    if not part.size:
        raise BadRequest("The form has no file, or an empty one; send it as the part 'file'.")
    head = await part.read(HEAD_BYTES)
    await part.seek(0)
    media = accept(head, families)
    _check_size(part.size, media.family)
    return media


async def _judge_named(part: UploadFile, families: Collection[Family]) -> MediaType:
    """Likewise for one of many: the refusal says which, by the name that the sender gave it."""
    try:
        return await _judge(part, families)
    except ReelError as error:
        name = (part.filename or "")[:100]
        raise type(error)(f"{name!r} is refused. {error.detail}", file=name, **error.extra) from None


async def _store(part: UploadFile, media: MediaType, prefix: str) -> StoredFile:
    return await run_in_threadpool(
        lambda: storage().put_stream(
            prefix, part.file, media.name, media.suffix, max_bytes=byte_cap(media.family)
        )
    )


def _check_size(size: int, family: Family) -> None:
    cap = byte_cap(family)
    if size > cap:
        raise TooLarge(f"The {family} file may have at most {cap} bytes; send a smaller one.", limit=cap)


async def _read_json(request: Request) -> Any:
    if "json" not in request.headers.get("content-type", ""):
        raise UnsupportedType("Send JSON that names the file by its key, or a multipart form with the file.")
    return _parsed((await request.body()).decode(errors="replace"))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise RequestValidationError(
            [{"type": "json_invalid", "loc": ("body",), "msg": str(error)}]
        ) from error


def _validated(model: type[ModelT], data: Any) -> ModelT:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        found = [{**item, "loc": ("body", *item["loc"])} for item in error.errors(include_url=False)]
        raise RequestValidationError(found) from error
