"""Which pictures hang together and must not be divided: by scene, web page, bytes or likeness.

The trainer splits by it; ingest asks it before it pins what it imports. Both must see the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from reel_shared.hamming import near_groups


class Hanging(Protocol):
    """What is looked at of an original."""

    @property
    def scene(self) -> str | None:
        """Unique over all films."""

    @property
    def page(self) -> str | None: ...
    @property
    def sha256(self) -> str: ...
    @property
    def phash(self) -> str: ...
    @property
    def phash_with_bars(self) -> str | None: ...


def groups(originals: Sequence[Hanging], *, near_distance: int, match_inverted: bool = True) -> list[int]:
    """Return for each picture the position of one that stands for its connected group.

    Connected are the same scene, web page or bytes, and pHashes within ``near_distance``. With ``match_inverted`` a
    picture's negative counts as itself; one with bars around it is found with and without them.
    """
    parents = list(range(len(originals)))

    def find(at: int) -> int:
        while parents[at] != at:
            parents[at] = parents[parents[at]]
            at = parents[at]
        return at

    first: dict[tuple[str, str | None], int] = {}
    for index, image in enumerate(originals):
        for key in (("scene", image.scene), ("page", image.page), ("file", image.sha256)):
            if key[1] is not None:
                parents[find(index)] = find(first.setdefault(key, index))
    codes, owners = _hashes(originals)
    for index, other in enumerate(near_groups(codes, near_distance, negatives=match_inverted).tolist()):
        parents[find(owners[index])] = find(owners[other])
    return [find(index) for index in range(len(originals))]


def _hashes(images: Sequence[Hanging]) -> tuple[npt.NDArray[np.uint64], list[int]]:
    """Return every hash, those with bars too, and the position of the picture that each is of."""
    found = [(image.phash, index) for index, image in enumerate(images)]
    found += [(image.phash_with_bars, index) for index, image in enumerate(images) if image.phash_with_bars]
    return np.array([int(code, 16) for code, _ in found], dtype=np.uint64), [index for _, index in found]
