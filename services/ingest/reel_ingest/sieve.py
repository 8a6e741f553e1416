"""What becomes of each picture of a stream: active, duplicate, rejected, quarantined, refused; called by the tasks.

The rule of conflicts, for the same picture under two labels: a film's frame has a certain label, so a web picture
that repeats a frame of another class is quarantined and the frame stays active. Between two web pictures, or two
films, neither is trusted and both are quarantined. Only active pictures take part, so what is quarantined waits for a
person without doing harm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from reel_ingest.duplicates import NearDuplicates
from reel_ingest.likeness import EXACT, INVERTED, NEAR, Known, Like, Pool
from reel_shared.contracts import Counts, ImageState, Source

__all__ = [
    "CONFLICT", "EXACT", "INVERTED", "NEAR", "TAKEN_DOWN", "Known", "Settlement", "Sieve", "TakenDown", "Verdict",
]  # fmt: skip

CONFLICT = "conflict"
TAKEN_DOWN = "taken-down"


@dataclass(frozen=True, slots=True)
class TakenDown:
    """A picture that must not come back."""

    sha256: str
    phash: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a picture becomes."""

    state: ImageState
    reason: str = ""
    duplicate_of: str | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a stream ends. A picture without a verdict is not to be stored."""

    verdicts: dict[str, Verdict]
    contested: dict[str, str | None]
    """Older pictures to quarantine as conflicts, with the frame that contradicts them where it is certain."""
    counts: Counts


@dataclass(frozen=True, slots=True)
class _Picture:
    label: str
    source: Source
    sha256: str
    hashes: tuple[int, ...]
    quality: str | None


class Sieve:
    """Judges one stream; its pictures have the label and the source of the stream unless each comes with its own.

    ``known`` are the pictures of the dataset, the oldest first; ``near_distance`` is in bits of 64. Between two
    pictures of the stream ``own_distance`` holds instead, where it is given: -1 finds the same bytes only. The
    verdicts depend on the order of the pictures and on nothing else. ``counts`` says what was found so far.
    """

    def __init__(
        self,
        *,
        label: str,
        source: Source,
        near_distance: int,
        own_distance: int | None = None,
        known: Iterable[Known] = (),
        taken_down: Iterable[TakenDown] = (),
    ) -> None:
        self.counts = Counts()
        self._label, self._source, self._within = label, source, near_distance
        self._own = near_distance if own_distance is None else own_distance
        self._pool = Pool(known)
        self.known_ids = frozenset(one.id for one in self._pool.all)
        self._gone = _Gone(taken_down)
        self._refused: Counter[str] = Counter()
        self._pictures: dict[str, _Picture] = {}
        self._verdicts: dict[str, Verdict] = {}
        self._contested: dict[str, str | None] = {}

    def refuse(self, reason: str, times: int = 1) -> None:
        """Count what cannot be stored as a picture."""
        self._refused[reason] += times
        self.counts.seen += times
        self.counts.refused[reason] = self.counts.refused.get(reason, 0) + times

    def judge(
        self,
        image_id: str,
        sha256: str,
        phash: int,
        *,
        also: Sequence[int] = (),
        quality: str | None = None,
        label: str | None = None,
        source: Source | None = None,
    ) -> Verdict | None:
        """Judge a picture; None when it was taken down and must not be stored.

        Args:
            image_id: the id that it is to be stored under.
            phash: the hash that is stored with it.
            also: other hashes that it and its copies are found by.
            quality: the check that it fails; it is rejected for it and not compared, for such hashes mean nothing.
        """
        picture = _Picture(label or self._label, source or self._source, sha256, (phash, *also), quality)
        if self._gone.has(picture, self._within):
            self.refuse(TAKEN_DOWN)
            return None
        self.counts.seen += 1
        self._pictures[image_id] = picture
        if quality is not None:
            verdict = Verdict(ImageState.REJECTED, quality)
        else:
            like = self._pool.like(
                picture.sha256, picture.hashes, self._within, own=self._own, of=self._pictures
            )
            verdict = self._compare(image_id, picture, like, self._pool, self._contested)
            self._pool.add(_as_known(image_id, picture, verdict))
        self._verdicts[image_id] = verdict
        _count(self.counts, verdict)
        return verdict

    def settle(self, newcomers: Iterable[Known] = (), taken_down: Iterable[TakenDown] = ()) -> Settlement:
        """Judge again, against what was stored and taken down since the beginning; changes nothing in the sieve."""
        pool = Pool(one for one in newcomers if one.id not in self._pictures)
        gone = _Gone(taken_down)
        contested = dict(self._contested)
        verdicts: dict[str, Verdict] = {}
        moved: dict[str, str] = {}
        refused = self._refused.copy()
        counts = Counts(seen=refused.total() + len(self._pictures))
        for image_id, picture in self._pictures.items():
            verdict = self._verdicts[image_id]
            if gone.has(picture, self._within):
                refused[TAKEN_DOWN] += 1
                continue
            if verdict.state == ImageState.ACTIVE:
                like = pool.like(picture.sha256, picture.hashes, self._within)
                verdict = self._compare(image_id, picture, like, pool, contested)
                if verdict.state == ImageState.DUPLICATE and verdict.duplicate_of is not None:
                    moved[image_id] = verdict.duplicate_of
            elif verdict.duplicate_of in moved:
                verdict = replace(verdict, duplicate_of=moved[verdict.duplicate_of])
            verdicts[image_id] = verdict
            _count(counts, verdict)
        counts.refused = dict(refused)
        # What was taken down meanwhile is not stored, and contradicts nothing.
        stored = {older: by for older, by in contested.items() if by not in self._pictures or by in verdicts}
        contested = {older: by and moved.get(by, by) for older, by in stored.items()}
        return Settlement(verdicts, contested, counts)

    def _compare(
        self, image_id: str, picture: _Picture, like: Like, pool: Pool, contested: dict[str, str | None]
    ) -> Verdict:
        """Return the verdict on a picture among its like; adds the active ones that it puts in doubt."""
        certain = picture.source == Source.MOVIE
        if certain:
            # A frame says what the waiting web pictures are; it does not wait with them.
            like = [(one, how) for one, how in like if not _waits_for_a_film(one)]
        same = next(((one, how) for one, how in like if one.label == picture.label), None)
        if same is not None:
            return Verdict(ImageState.DUPLICATE, same[1], same[0].shown)
        others = [one for one, _ in like if one.stands]
        films = [one for one in others if one.source == Source.MOVIE]
        if certain and not films:
            for one in others:
                self._contest(one, image_id, pool, contested)
            return Verdict(ImageState.ACTIVE)
        if not others:
            return Verdict(ImageState.ACTIVE)
        standing_films = [one for one in films if one.state == ImageState.ACTIVE]
        if certain:
            self._contest(films[0], None, pool, contested)
            return Verdict(ImageState.QUARANTINED, CONFLICT, films[0].id)
        if standing_films:
            return Verdict(ImageState.QUARANTINED, CONFLICT, standing_films[0].id)
        self._contest(others[0], None, pool, contested)
        return Verdict(ImageState.QUARANTINED, CONFLICT, others[0].id)

    def _contest(self, one: Known, by: str | None, pool: Pool, contested: dict[str, str | None]) -> None:
        if one.state != ImageState.ACTIVE:
            return
        pool.quarantine(one)
        if one.id in self._pictures:  # it is not stored yet
            self._verdicts[one.id] = Verdict(ImageState.QUARANTINED, CONFLICT, by)
            self.counts.kept -= 1
            self.counts.conflicts += 1
        else:
            contested[one.id] = by


class _Gone:
    def __init__(self, taken_down: Iterable[TakenDown]) -> None:
        rows = list(taken_down)
        self._sha256 = {one.sha256 for one in rows}
        self._near = NearDuplicates(one.phash for one in rows)

    def has(self, picture: _Picture, within: int) -> bool:
        if picture.sha256 in self._sha256:
            return True
        values = picture.hashes if picture.quality is None else ()
        return any(self._near.find(value, within) is not None for value in values)


def _as_known(name: str, picture: _Picture, verdict: Verdict) -> Known | None:
    if verdict.state == ImageState.DUPLICATE:
        return None
    first, *more = picture.hashes
    return Known(name, picture.label, picture.source, picture.sha256, first, verdict.state, also=tuple(more))


def _waits_for_a_film(one: Known) -> bool:
    return one.source == Source.WEB and one.state == ImageState.QUARANTINED


def _count(counts: Counts, verdict: Verdict) -> None:
    if verdict.state == ImageState.ACTIVE:
        counts.kept += 1
    elif verdict.state == ImageState.QUARANTINED:
        counts.conflicts += 1
    elif verdict.state == ImageState.REJECTED:
        counts.rejected[verdict.reason] = counts.rejected.get(verdict.reason, 0) + 1
    elif verdict.reason == EXACT:
        counts.exact_duplicates += 1
    else:
        counts.near_duplicates += 1
