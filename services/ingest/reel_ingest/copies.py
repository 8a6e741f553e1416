"""Copies among the pictures of a person's own folders, before anything is uploaded; called by ``reel pictures copies``.

The definitions are those of collecting and splitting: SHA-256 for the same file, ``reel_shared.groups`` for likeness.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from reel_ingest.encoded_hashing import hashes_encoded
from reel_ingest.lookahead import in_order
from reel_shared.errors import BadPicture, TooLarge
from reel_shared.groups import groups
from reel_shared.hamming import distances, distances_to_negatives
from reel_shared.images import MAX_BYTES

_AT_ONCE = 16
"""Files that a thread takes at a time; to hand over each one would cost a sixth of the work."""


class Place(NamedTuple):
    """A file, and the class that its folder names."""

    path: Path
    label: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture and what it is compared by."""

    place: Place
    bytes: int
    width: int
    height: int
    pixels: int
    """Inside its bars: those that show something."""
    sha256: str
    phash: str
    phash_with_bars: str | None
    scene: None = None
    page: None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """What is no picture that could be uploaded, and the short word why."""

    path: Path
    reason: str


class Member(NamedTuple):
    """A picture of a group, and how it is like the one that is kept."""

    seen: Seen
    kind: str
    """``kept``, ``exact``, ``near`` or ``negative``."""
    bits: int
    """By which it differs from the kept one; more than asked for where others lie between the two."""


@dataclass(frozen=True, slots=True)
class Group:
    """Pictures that are copies of one another; the first is the largest."""

    members: tuple[Member, ...]

    @property
    def labels(self) -> list[str]:
        return sorted({member.seen.place.label for member in self.members})

    @property
    def conflict(self) -> bool:
        """Whether one picture would come in under several classes."""
        return len(self.labels) > 1


def places(folders: Iterable[Path]) -> Iterator[Place | Skipped]:
    """Yield every file once, in order, with its class: the first-level folder that holds it, or else the folder itself.

    Linked folders are not entered: they may lead in circles, or out of what was asked for.
    """
    known: set[Path] = set()
    for root in folders:
        troubles: list[OSError] = []
        for folder, inner, files in os.walk(root, onerror=troubles.append):
            here = Path(folder)
            inner.sort()
            linked = [here / name for name in inner if (here / name).is_symlink()]
            yield from (Skipped(path, "linked-folder") for path in linked)
            parts = here.relative_to(root).parts
            label, real = parts[0] if parts else root.resolve().name, here.resolve()
            if real not in known:  # a folder may be named twice, or lie in another one that is
                known.add(real)
                yield from (Place(here / name, label) for name in sorted(files))
        yield from (Skipped(Path(error.filename), "unreadable") for error in troubles)


def look(found: Iterable[Place | Skipped], *, threads: int = 1) -> Generator[Seen | Skipped, None, None]:
    """Yield what each file is, in order. No more pictures are in memory than there are threads."""
    if threads == 1:
        yield from (_look(each) for each in found)
        return
    with closing(
        in_order(_batches(found), lambda batch: [_look(each) for each in batch], lanes=threads)
    ) as done:
        for _, results in done:
            yield from results


def _batches(found: Iterable[Place | Skipped]) -> Iterator[list[Place | Skipped]]:
    batch: list[Place | Skipped] = []
    for each in found:
        batch.append(each)
        if len(batch) == _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _look(place: Place | Skipped) -> Seen | Skipped:
    if isinstance(place, Skipped):
        return place
    try:
        standing = place.path.stat()
        if not stat.S_ISREG(standing.st_mode):  # to open a pipe would wait for ever
            return Skipped(place.path, "not-a-file")
        if standing.st_size > MAX_BYTES:
            return Skipped(place.path, "too-many-bytes")
        data = place.path.read_bytes()
        hashed = hashes_encoded(data)
    except OSError:
        return Skipped(place.path, "unreadable")
    except (BadPicture, TooLarge) as error:
        return Skipped(place.path, str(error.extra["reason"]))
    return Seen(
        place,
        len(data),
        hashed.width,
        hashed.height,
        round(hashed.width * hashed.height * hashed.inside),
        hashlib.sha256(data).hexdigest(),
        f"{hashed.phash:016x}",
        None if hashed.phash_with_bars is None else f"{hashed.phash_with_bars:016x}",
    )


def grouped(pictures: Sequence[Seen], *, distance: int) -> list[Group]:
    """Return the groups of copies: those across classes first, then the largest first."""
    sets: dict[int, list[Seen]] = {}
    for picture, name in zip(pictures, groups(pictures, near_distance=distance), strict=True):
        sets.setdefault(name, []).append(picture)
    found = [_group(members) for members in sets.values() if len(members) > 1]
    return sorted(found, key=lambda group: (not group.conflict, -len(group.members)))


def _group(pictures: list[Seen]) -> Group:
    first, *others = sorted(pictures, key=lambda seen: (-seen.pixels, -seen.bytes))
    members = [_member(first, other) for other in others]
    return Group((Member(first, "kept", 0), *members))


def _member(kept: Seen, other: Seen) -> Member:
    if other.sha256 == kept.sha256:
        return Member(other, "exact", 0)
    codes = np.array([_codes(kept)], dtype=np.uint64).ravel()
    plain = min(int(distances(codes, code).min()) for code in _codes(other))
    turned = min(int(distances_to_negatives(codes, code).min()) for code in _codes(other))
    return Member(other, "near", plain) if plain <= turned else Member(other, "negative", turned)


def _codes(seen: Seen) -> list[int]:
    return [int(code, 16) for code in (seen.phash, seen.phash_with_bars) if code]
