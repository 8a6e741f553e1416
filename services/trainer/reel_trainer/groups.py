"""Finds the pictures that hang together and must not be divided; called by ``splits``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from reel_shared.hamming import near_groups
from reel_shared.manifest import ManifestImage


def group(
    originals: Sequence[ManifestImage], *, near_distance: int, match_inverted: bool = True
) -> list[list[ManifestImage]]:
    """Return connected groups: same scene, web page or bytes, or pHashes within ``near_distance``.

    With ``match_inverted`` a picture's negative counts as itself; one with bars around it is found with and without
    them. Each group keeps the order of ``originals``.
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
    members: dict[int, list[ManifestImage]] = defaultdict(list)
    for index, image in enumerate(originals):
        members[find(index)].append(image)
    return sorted(members.values(), key=lambda images: images[0].id)


def _hashes(images: Sequence[ManifestImage]) -> tuple[npt.NDArray[np.uint64], list[int]]:
    """Return every hash, those with bars too, and the position of the picture that each is of."""
    found = [(image.phash, index) for index, image in enumerate(images)]
    found += [(image.phash_with_bars, index) for index, image in enumerate(images) if image.phash_with_bars]
    return np.array([int(code, 16) for code, _ in found], dtype=np.uint64), [index for _, index in found]
