"""So many frames a scene, well apart, chosen while the film is decoded and with bounded memory; called by frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from reel_ingest.scenes import SceneCuts

ItemT = TypeVar("ItemT")
KeptT = TypeVar("KeptT")

ROOM = 4
"""Candidates kept for each frame wanted: a chosen frame lies within an eighth of its share from the best place."""


class Spread(Generic[ItemT, KeptT]):
    """Every ``stride``-th anchor of the scene is a candidate; when room runs out every other one goes.

    When the scene ends, ``count`` of them are chosen, nearest to the middles of as many equal parts. A scene with
    fewer candidates gives them all, so every scene with a usable frame gives at least one.
    """

    def __init__(self, count: int, keep: Callable[[ItemT], KeptT]) -> None:
        """``keep`` turns an item into what is held while its scene lasts."""
        self._count, self._keep = count, keep
        self._cuts = SceneCuts()
        self._anchors = 0
        self._open: deque[tuple[int, ItemT | None]] = deque()
        """Anchors whose scene is not final yet."""
        self._scene = self._start = self._next = 0
        self._stride = 1
        self._candidates: list[tuple[int, KeptT]] = []

    def add(self, item: ItemT | None, difference: int, milliseconds: int) -> list[tuple[int, KeptT]]:
        """Take the next anchor, None when it may not be chosen; return anchors and frames of a scene that ended."""
        self._cuts.add(difference, milliseconds)
        self._open.append((self._anchors, item))
        self._anchors += 1
        return self._settle(self._cuts.settled)

    def close(self) -> list[tuple[int, KeptT]]:
        """Return what is chosen of the last scenes."""
        return self._settle(self._anchors) + self._choose(self._anchors)

    def _settle(self, settled: int) -> list[tuple[int, KeptT]]:
        chosen = []
        while self._open and self._open[0][0] <= settled:
            anchor, item = self._open.popleft()
            if self._cuts.scene_of(anchor) != self._scene:
                chosen += self._choose(anchor)
                self._scene = self._cuts.scene_of(anchor)
                self._start, self._stride, self._next = anchor, 1, anchor
            # One that may not be chosen leaves its turn to the one behind it.
            if item is not None and anchor >= self._next:
                self._candidates.append((anchor, self._keep(item)))
                self._next = anchor + self._stride
                if len(self._candidates) > ROOM * self._count:
                    self._candidates = self._candidates[::2]
                    self._stride *= 2
                    self._next = self._candidates[-1][0] + self._stride
        return chosen

    def _choose(self, end: int) -> list[tuple[int, KeptT]]:
        candidates, self._candidates = self._candidates, []
        if len(candidates) <= self._count:
            return candidates
        # Only the part that may be chosen counts, when the wanted time begins or ends within the scene.
        first, last = candidates[0][0], min(end, candidates[-1][0] + self._stride)
        chosen, place = [], 0
        for number in range(self._count):
            goal = first + (2 * number + 1) * (last - first) / (2 * self._count)
            latest = len(candidates) - self._count + number
            place = min(range(place, latest + 1), key=lambda p: abs(candidates[p][0] - goal))
            chosen.append(candidates[place])
            place += 1
        return chosen
