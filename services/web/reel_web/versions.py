"""Owns what the pages know of a dataset version's manifest: the side of each picture and the scenes of each film.

Called by ``pages.datasets``, ``pages.pictures`` and ``pages.splits``. A manifest never changes, so that what was read
of it is kept: the first look at a version of 100,000 pictures takes about a second, later ones nothing.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from sys import intern
from typing import Any

from reel_shared.contracts import JsonObject, StoredFile, Variant
from reel_shared.db.models import DatasetVersion
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

    @property
    def side(self) -> str:
        return next((side.value for side in _HELD if self.sides[side]), Side.EXCLUDED.value)


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


@lru_cache(maxsize=4)
def _read(key: str, sha256: str) -> VersionView:
    content = json.loads(hasty_storage().get_bytes(key, max_bytes=MAX_BYTES, sha256=sha256))
    side_of: dict[str, str] = {}
    reason_of: dict[str, str] = {}
    originals: Counter[str] = Counter()
    scenes: dict[str, dict[int, SceneView]] = defaultdict(dict)
    for image in content["images"]:
        side = intern(image["split"])
        side_of[image["id"]] = side
        if image.get("reason"):
            reason_of[image["id"]] = intern(image["reason"])
        if image.get("variant", Variant.ORIGINAL) != Variant.ORIGINAL:
            continue
        originals[side] += 1
        if image.get("scene") is None:
            continue
        movie_id, _, number = image["scene"].rpartition(":")
        start = image.get("time_seconds") or 0.0
        scene = scenes[movie_id].setdefault(int(number), SceneView(movie_id, int(number), start))
        scene.start = min(scene.start, start)
        scene.images.append(image["id"])
        scene.sides[side] += 1
    ordered = {
        movie_id: sorted(found.values(), key=lambda scene: (scene.start, scene.number))
        for movie_id, found in scenes.items()
    }
    return VersionView(
        side_of, reason_of, originals, ordered, content.get("request", {}), content.get("pins", [])
    )
