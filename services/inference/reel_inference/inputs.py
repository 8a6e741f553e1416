"""What a prediction job is asked of: stored pictures by key, or the files of a stored zip; called by ``tasks``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from reel_shared.errors import BadRequest, TooLarge
from reel_shared.settings import settings
from reel_shared.storage import storage
from reel_shared.web.media import Family, accept
from reel_shared.zips import Zip

UPLOADS = "uploads"
PICTURES: tuple[Family, ...] = ("picture",)


class Input(NamedTuple):
    """One picture: how its line in the results names it, and what fetches its bytes."""

    name: dict[str, str]
    read: Callable[[], bytes]


def stored(keys: list[str]) -> list[Input]:
    """Return stored pictures, fetched when they are read."""
    most = settings().limits.picture_bytes
    return [Input({"key": key}, partial(storage().get_bytes, key, max_bytes=most)) for key in keys]


def keep(one: Input) -> str:
    """Store an archive's picture by itself, as an upload, and return its key."""
    data = one.read()
    found = accept(data, PICTURES)
    return storage().put_bytes(UPLOADS, data, found.name, found.suffix).key


@contextmanager
def archive(key: str, folder: Path) -> Iterator[list[Input]]:
    """Bring a zip to ``folder`` and yield its files in their order, read one by one; it is gone in the end.

    Raises:
        BadRequest: it is no zip, or holds no file.
        TooLarge: it has more files, or unpacks to more bytes, than an archive may.
        NotFound: nothing is stored under ``key``.
    """
    limits = settings().limits
    path = storage().get_file(key, folder / "inputs.zip", max_bytes=limits.archive_bytes)
    try:
        found = Zip(path, members=limits.archive_members, total_bytes=limits.archive_bytes)
        try:
            yield _files(found)
        finally:
            found.close()
    finally:
        path.unlink()


def _files(found: Zip) -> list[Input]:
    limits = settings().limits
    names = found.names()
    if not names:
        raise BadRequest("The archive holds no file.")
    if found.unpacked_bytes > limits.archive_bytes:
        raise TooLarge(
            f"The archive unpacks to {found.unpacked_bytes} bytes, and {limits.archive_bytes} are allowed; split it."
        )
    return [
        Input({"file": name}, partial(found.read, name, max_bytes=limits.picture_bytes)) for name in names
    ]
