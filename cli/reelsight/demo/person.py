"""What a person would say of the films' frames, read from the studio's scripts. Called by mission."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

from reel_shared.contracts import JsonObject
from reelsight.studio.catalogue import film
from reelsight.studio.script import Scene, write

KEPT_FOR_EACH = 5
"""Frames marked ``keep`` for each ``background``: how rare false alarms are can only be told from many of them."""


class Person:
    """Knows which scenes show nobody."""

    def __init__(self, labels: Iterable[str], *, seed: int, seconds: float) -> None:
        self._scenes: dict[str, Sequence[Scene]] = {
            label: write(film(label), seed=seed, seconds=seconds) for label in labels
        }

    def sees_nobody(self, frame: JsonObject) -> bool:
        """Whether a frame, as ``GET /v1/images`` shows it, is from a scene without characters."""
        scenes = self._scenes[frame["label"]]
        starts = [0.0, *accumulate(scene.seconds for scene in scenes)]
        number = min(bisect_right(starts, frame["time_seconds"]) - 1, len(scenes) - 1)
        return not scenes[number].roles

    def marks(self, frames: Sequence[JsonObject], *, each: int) -> dict[str, list[str]]:
        """Return ids to mark as ``background`` and as ``keep``: so many of each film, spread over it."""
        said: dict[str, list[str]] = {"background": [], "keep": []}
        for label in self._scenes:
            of_film = [frame for frame in frames if frame["label"] == label]
            empty = [frame["id"] for frame in of_film if self.sees_nobody(frame)]
            peopled = [frame["id"] for frame in of_film if not self.sees_nobody(frame)]
            said["background"] += _spread(empty, each)
            said["keep"] += _spread(peopled, KEPT_FOR_EACH * each)
        return said


def _spread(ids: list[str], count: int) -> list[str]:
    return ids[:: max(1, len(ids) // count)][:count]
