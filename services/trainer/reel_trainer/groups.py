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

    With ``match_inverted`` a picture's negative counts as itself. Each group keeps the order of ``originals``.
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
    for index, other in alike(_codes(originals), near_distance, match_inverted=match_inverted):
        parents[find(index)] = find(other)
    members: dict[int, list[ManifestImage]] = defaultdict(list)
    for index, image in enumerate(originals):
        members[find(index)].append(image)
    return sorted(members.values(), key=lambda images: images[0].id)


def alike(codes: npt.NDArray[np.uint64], distance: int, *, match_inverted: bool) -> list[tuple[int, int]]:
    """Return pairs of positions that connect whatever lies within ``distance`` bits, by chains too.

    A negative is looked for by giving each code its complement as a second one.
    """
    if not match_inverted:
        return list(enumerate(near_groups(codes, distance).tolist()))
    both = near_groups(np.concatenate([codes, ~codes]), distance) % max(1, len(codes))
    return list(zip([*range(len(codes))] * 2, both.tolist(), strict=True))


def _codes(images: Sequence[ManifestImage]) -> npt.NDArray[np.uint64]:
    return np.array([int(image.phash, 16) for image in images], dtype=np.uint64)
