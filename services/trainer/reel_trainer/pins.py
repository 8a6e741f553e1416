"""Sides that a person chose by hand: which pictures a pin covers, and where pins contradict; called by ``splits``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reel_shared.contracts.versions import PinSide
from reel_shared.errors import Unprocessable
from reel_shared.manifest import ManifestImage


@dataclass(frozen=True)
class Pin:
    """A scene, a stretch ``start <= t < end`` in seconds of a film, or one picture."""

    id: str
    side: PinSide
    movie_id: str | None = None
    scene: int | None = None
    start_seconds: float | None = None
    end_seconds: float | None = None
    image_id: str | None = None

    @property
    def of(self) -> str:
        """What it covers, in words."""
        if self.image_id is not None:
            return f"picture {self.image_id}"
        if self.scene is not None:
            return f"scene {self.scene} of {self.movie_id}"
        return f"{self.start_seconds:g} to {self.end_seconds:g} s of {self.movie_id}"

    @property
    def whole_scene(self) -> str:
        """Of a pin on a scene: the scene as pictures name it."""
        return f"{self.movie_id}:{self.scene}"

    def __str__(self) -> str:
        return f"pin {self.id} ({self.of} to {self.side})"

    def covers(self, image: ManifestImage) -> bool:
        if self.image_id is not None:
            return image.id == self.image_id
        if image.movie_id != self.movie_id:
            return False
        if self.scene is not None:
            return image.scene == self.whole_scene
        if self.start_seconds is None or self.end_seconds is None or image.time_seconds is None:
            return False
        return self.start_seconds <= image.time_seconds < self.end_seconds


def covered(pins: Sequence[Pin], originals: Sequence[ManifestImage]) -> dict[str, list[Pin]]:
    """Return picture id -> the pins that cover it; pictures without any are not in it."""
    by_picture: dict[str, list[Pin]] = {}
    by_scene: dict[str, list[Pin]] = {}
    by_film: dict[str | None, list[Pin]] = {}
    for pin in pins:
        if pin.image_id is not None:
            by_picture.setdefault(pin.image_id, []).append(pin)
        elif pin.scene is not None:
            by_scene.setdefault(pin.whole_scene, []).append(pin)
        else:
            by_film.setdefault(pin.movie_id, []).append(pin)
    found: dict[str, list[Pin]] = {}
    for image in originals:
        mine = [
            *by_picture.get(image.id, ()),
            *by_scene.get(image.scene or "", ()),
            *(p for p in by_film.get(image.movie_id, ()) if p.covers(image)),
        ]
        if mine:
            found[image.id] = mine
    return found


def agreed(group: Sequence[ManifestImage], pinned: dict[str, list[Pin]]) -> Pin | None:
    """Return a pin that speaks for the whole group, or None without any. Raises Unprocessable, naming two that
    contradict each other and the pictures through which they meet."""
    first: tuple[Pin, ManifestImage] | None = None
    for image in group:
        for pin in pinned.get(image.id, ()):
            if first is None:
                first = pin, image
            elif pin.side != first[0].side:
                raise Unprocessable(
                    f"Two pins contradict each other: {first[0]} and {pin}. Pictures {first[1].id} and {image.id} "
                    "hang together by scene, page or likeness and must lie on one side; remove one of the pins."
                )
    return first[0] if first else None
