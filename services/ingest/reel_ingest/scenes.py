"""Scene cuts found while a film is decoded: PySceneDetect judges differences measured on tiny pictures.

Called by frames. Only the frames that are always decoded are compared ("anchors"), so a film's scenes do not depend
on which of its frames are taken, nor on how it is cut into ranges: ``join_scenes`` runs the judge once over all.
"""

from __future__ import annotations

import base64
import zlib
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scenedetect import FrameTimecode
from scenedetect.detectors import AdaptiveDetector

from reel_ingest.tiny_pictures import TINY, Tiny

WINDOW = 2
"""Anchors before and after a cut that the detector compares it with; its verdict comes so many anchors late."""

SHORTEST_MS = 490
"""A scene lasts at least half a second, give or take the rounding of time stamps."""


class _Judge(AdaptiveDetector):  # type: ignore[misc]
    """PySceneDetect's decision on differences that were measured before, perhaps on another machine."""

    def _calculate_frame_score(self, timecode: FrameTimecode, frame_img: npt.NDArray[np.float64]) -> float:
        return float(frame_img[0])


class SceneCuts:
    """The cuts of one film, found as the differences between its anchors are added in order.

    The scene of anchor ``i`` is final once ``settled >= i``. A cut in the last two anchors, or one less than
    half a second after another, is not seen: such frames stay with the scene before them, which keeps
    neighbouring pictures together.
    """

    def __init__(self) -> None:
        self._judge = _Judge(min_scene_len=SHORTEST_MS, window_width=WINDOW)
        self._unasked: deque[tuple[int, float]] = deque(maxlen=WINDOW + 1)
        self._ask = 1
        self._last = -1
        self.cuts: list[int] = []
        """First anchor of every scene but the first."""

    def add(self, difference: int, milliseconds: int) -> None:
        """Take the next anchor: how it differs from the one before it, and when it is shown."""
        self._last += 1
        score = difference / (TINY[0] * TINY[1] * 3)
        self._unasked.append((max(milliseconds, 0), score))
        # No smaller difference can be a cut, so the detector is asked only about those and their windows.
        if score >= self._judge.min_content_val:
            self._ask = WINDOW + 1
        if self._ask == 0:
            return
        self._ask -= 1
        while self._unasked:
            time, value = self._unasked.popleft()
            # It gets "frames" of a millisecond, so that its shortest scene is a time at any frame rate.
            if self._judge.process_frame(FrameTimecode(time, 1000.0), np.array([value])):
                self.cuts.append(self.settled)

    @property
    def settled(self) -> int:
        """The last anchor whose scene will not change."""
        return self._last - WINDOW

    @property
    def count(self) -> int:
        return len(self.cuts) + 1

    def scene_of(self, anchor: int) -> int:
        return bisect_right(self.cuts, anchor)


@dataclass(slots=True)
class RangeScores:
    """What one range of a film knows of its scenes; filled while its frames are taken, complete at the end.

    ``to_json`` and ``from_json`` carry it between machines: about 4 bytes for each anchor, and some tiny pictures.
    """

    times: array[int] = field(default_factory=lambda: array("q"))
    """Milliseconds of the anchors."""
    differences: array[int] = field(default_factory=lambda: array("q"))
    """Of each anchor from the one before it; 0 for the first of the range."""
    places: deque[tuple[int, int]] = field(default_factory=deque)
    """Index of every taken frame, and the anchor of this range to whose scene it belongs."""
    head: Tiny | None = None
    """The first anchor."""
    last: Tiny | None = None
    """The last anchor so far."""
    loose: list[tuple[int, Tiny]] = field(default_factory=list)
    """Index and picture of taken frames behind the last anchor: the next one decides where they belong."""

    def add_anchor(self, picture: Tiny, milliseconds: int) -> None:
        """Take the next anchor; frames behind the one before it get their place."""
        self.times.append(milliseconds)
        if self.last is None:
            self.differences.append(0)
            self.head = picture
        else:
            self.differences.append(difference(self.last, picture))
        self.places += _settle(self.loose, self.last, picture, len(self.times) - 1)
        self.loose.clear()
        self.last = picture

    def add_taken(self, index: int, picture: Tiny | None) -> None:
        """Note a taken frame: with its picture when it is no anchor, else it is the anchor added last."""
        if picture is None:
            self.places.append((index, len(self.times) - 1))
        else:
            self.loose.append((index, picture))

    def clear(self) -> None:
        """Begin again."""
        blank = RangeScores()
        for entry in fields(self):
            setattr(self, entry.name, getattr(blank, entry.name))

    def close(self) -> None:
        """Give the frames behind the film's last anchor their place."""
        self.places += [(index, max(0, len(self.times) - 1)) for index, _ in self.loose]
        self.loose.clear()

    def to_json(self) -> dict[str, Any]:
        places = [number for place in self.places for number in place]
        loose = [(index, _pack(picture)) for index, picture in self.loose]
        return {
            "times": _pack(np.diff(np.frombuffer(self.times, np.int64), prepend=0)),
            "differences": _pack(np.frombuffer(self.differences, np.int64)),
            "places": places,
            "head": None if self.head is None else _pack(self.head),
            "last": None if self.last is None else _pack(self.last),
            "loose": loose,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RangeScores:
        numbers = data["places"]
        return cls(
            times=array("q", np.cumsum(_numbers(data["times"])).tolist()),
            differences=array("q", _numbers(data["differences"]).tolist()),
            places=deque(zip(numbers[::2], numbers[1::2], strict=True)),
            head=_tiny(data["head"]),
            last=_tiny(data["last"]),
            loose=[(index, _picture(packed)) for index, packed in data["loose"]],
        )


@dataclass(frozen=True, slots=True)
class Scenes:
    """The scenes of a film, joined from its ranges."""

    count: int
    by_frame: dict[int, int]
    """Scene, from 0, of every taken frame by its index."""


def join_scenes(ranges: Iterable[RangeScores]) -> Scenes:
    """Number the scenes of a film from what its ranges, in order, have measured; the same as in one pass."""
    cuts, anchors, places = SceneCuts(), 0, dict[int, int]()
    loose: list[tuple[int, Tiny]] = []
    last: Tiny | None = None
    for part in ranges:
        if part.head is not None:
            places.update(_settle(loose, last, part.head, anchors))
            loose = []
        for number, (time, change) in enumerate(zip(part.times, part.differences, strict=True)):
            seam = number == 0 and last is not None and part.head is not None
            cuts.add(difference(last, part.head) if seam else change, time)
        places.update((index, anchors + anchor) for index, anchor in part.places)
        anchors += len(part.times)
        loose += part.loose
        last = part.last if part.last is not None else last
    places.update((index, max(0, anchors - 1)) for index, _ in loose)
    return Scenes(cuts.count, {index: cuts.scene_of(anchor) for index, anchor in sorted(places.items())})


def _settle(
    loose: list[tuple[int, Tiny]], before: Tiny | None, after: Tiny, number: int
) -> list[tuple[int, int]]:
    """Place frames between two anchors with the one they resemble; ``number`` is that of the anchor ``after``."""
    placed, later = [], before is None
    for index, picture in loose:
        later = later or before is None or difference(picture, after) < difference(before, picture)
        placed.append((index, number if later else number - 1))
    return placed


def difference(left: Any, right: Any) -> int:
    """Return the sum of absolute differences in hue, saturation and value of two tiny pictures."""
    return int(cv2.norm(left, right, cv2.NORM_L1))


def _pack(numbers: npt.NDArray[Any]) -> str:
    data = np.ascontiguousarray(numbers, dtype=np.uint8 if numbers.dtype == np.uint8 else "<i4")
    return base64.b64encode(zlib.compress(data.tobytes())).decode("ascii")


def _numbers(packed: str) -> npt.NDArray[np.int32]:
    return np.frombuffer(zlib.decompress(base64.b64decode(packed)), "<i4")


def _picture(packed: str) -> Tiny:
    flat = np.frombuffer(zlib.decompress(base64.b64decode(packed)), np.uint8)
    return flat.reshape(TINY[1], TINY[0], 3)


def _tiny(packed: str | None) -> Tiny | None:
    return None if packed is None else _picture(packed)
