"""A storage that keeps its objects in a dictionary, for unit tests of code that takes a ``Storage``."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, NamedTuple

from reel_shared.errors import NotFound
from reel_shared.object_storage import Storage
from reel_shared.s3 import PAGE, Body, ObjectInfo
from reel_shared.settings import S3


class _Held(NamedTuple):
    data: bytes
    info: ObjectInfo


class InMemoryStorage(Storage):
    """``Storage`` without a server: the same keys, hashes, limits and errors. ``objects`` shows what it holds."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        super().__init__(S3(), patience_seconds=1.0, objects=_Memory(self.objects))


class _Memory:
    def __init__(self, objects: dict[str, bytes]) -> None:
        self._objects = objects
        self._info: dict[str, ObjectInfo] = {}

    def put(self, key: str, source: BinaryIO, size: int, media_type: str, sha256: str) -> None:
        data = source.read()
        assert len(data) == size
        self._objects[key] = data
        self._info[key] = ObjectInfo(key, size, media_type, sha256, datetime.now(UTC))

    @contextmanager
    def open(self, key: str) -> Iterator[Body]:
        data, sha = self._bytes(key), self.head(key).sha256
        yield Body(len(data), sha, iter(io.BytesIO(data).read1, b""))

    def head(self, key: str) -> ObjectInfo:
        data = self._bytes(key)
        return self._info.get(key) or ObjectInfo(key, len(data), "", None, None)

    def page(self, prefix: str, after: str) -> Sequence[ObjectInfo]:
        keys = sorted(key for key in self._objects if key.startswith(prefix) and key > after)
        return [self.head(key)._replace(media_type="", sha256=None) for key in keys[:PAGE]]

    def remove(self, key: str) -> None:
        self._objects.pop(key, None)
        self._info.pop(key, None)

    def link(self, key: str, lifetime: timedelta, headers: dict[str, str]) -> str:
        return f"memory://{key}?seconds={lifetime.total_seconds():.0f}"

    def ensure(self) -> None:
        pass

    def answers(self) -> bool:
        return True

    def _bytes(self, key: str) -> bytes:
        try:
            return self._objects[key]
        except KeyError:
            raise NotFound(f"There is no file {key!r} in storage.") from None
