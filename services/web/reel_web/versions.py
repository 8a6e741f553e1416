"""Owns what the pages know of a dataset version's manifest: the side of each picture and the scenes of each film.

Called by ``pages.datasets``, ``pages.pictures`` and ``pages.splits``. A manifest never changes, so that what was read
of it is kept. Of each picture only what the pages need is read: the rest of the JSON, nine tenths of it, never
becomes an object, so that the first look at a version of 100,000 pictures takes a quarter of a second.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from sys import intern
from typing import Any

import msgspec

from reel_shared.contracts import JsonObject, StoredFile, Variant
from reel_shared.db.models import DatasetVersion
from reel_shared.errors import Corrupt
from reel_shared.manifest import Side
from reel_shared.storage import hasty_storage

MAX_BYTES = 2**30
SIDES = tuple(str(side) for side in Side)
_HELD = (Side.VALID, Side.PROBE, Side.TRAIN)
"""A scene lies on the first of these that any of its pictures lies on: the gap excludes some of a training scene."""


@dataclass(slots=True)
class SceneView:
    """The originals of one scene: where they lie and the time that the scene takes in its film, seconds."""

    movie_id: str
    number: int
    start: float
    images: list[str] = field(default_factory=list)
    sides: Counter[str] = field(default_factory=Counter)
    side: str = ""
    """The one that the scene as a whole lies on."""


@dataclass(frozen=True, slots=True)
class VersionView:
    side_of: dict[str, str]
    reason_of: dict[str, str]
    """Of excluded pictures."""
    originals: Counter[str]
    """Side -> originals."""
    scenes: dict[str, list[SceneView]]
    """Movie id -> its scenes in the order of the film."""
    request: JsonObject
    pins: list[dict[str, Any]]


def view_of(version: DatasetVersion) -> VersionView:
    """Read a version's manifest, or recall it. Raises errors.StorageUnavailable, NotFound or Corrupt."""
    file = StoredFile.model_validate({k: v for k, v in version.manifest.items() if k != "url"})
    return _read(file.key, file.sha256)


class _Picture(msgspec.Struct, gc=False):
    """What the pages need of a manifest's picture."""

    id: str
    split: str
    reason: str = ""
    variant: str = Variant.ORIGINAL.value
    scene: str | None = None
    time_seconds: float | None = None


class _Manifest(msgspec.Struct):
    images: list[_Picture]
    request: dict[str, Any] = {}
    pins: list[dict[str, Any]] = []


@lru_cache(maxsize=4)
def _read(key: str, sha256: str) -> VersionView:
    data = hasty_storage().get_bytes(key, max_bytes=MAX_BYTES, sha256=sha256)
    try:
        content = msgspec.json.decode(data, type=_Manifest)
    except msgspec.DecodeError as error:
        raise Corrupt(f"The manifest cannot be read: {error}.") from error
    side_of = {image.id: intern(image.split) for image in content.images}
    reason_of = {image.id: intern(image.reason) for image in content.images if image.reason}
    frames = [image for image in content.images if image.variant == Variant.ORIGINAL]
    originals = Counter(image.split for image in frames)
    scenes: dict[str, dict[int, SceneView]] = defaultdict(dict)
    for image in frames:
        if image.scene is None:
            continue
        movie_id, _, number = image.scene.rpartition(":")
        start = image.time_seconds or 0.0
        scene = scenes[movie_id].setdefault(int(number), SceneView(movie_id, int(number), start))
        scene.start = min(scene.start, start)
        scene.images.append(image.id)
        scene.sides[side_of[image.id]] += 1
    for found in scenes.values():
        for scene in found.values():
            scene.side = next((side.value for side in _HELD if scene.sides[side]), Side.EXCLUDED.value)
    ordered = {
        movie_id: sorted(found.values(), key=lambda scene: (scene.start, scene.number))
        for movie_id, found in scenes.items()
    }
    return VersionView(side_of, reason_of, originals, ordered, content.request, content.pins)
