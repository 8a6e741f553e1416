"""Finds the pictures that hang together and must not be divided; called by ``splits``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from reel_shared.groups import groups
from reel_shared.manifest import ManifestImage


def group(
    originals: Sequence[ManifestImage], *, near_distance: int, match_inverted: bool = True
) -> list[list[ManifestImage]]:
    """Return the connected groups of ``reel_shared.groups``, each in the order of ``originals``."""
    members: dict[int, list[ManifestImage]] = defaultdict(list)
    found = groups(originals, near_distance=near_distance, match_inverted=match_inverted)
    for image, name in zip(originals, found, strict=True):
        members[name].append(image)
    return sorted(members.values(), key=lambda images: images[0].id)
