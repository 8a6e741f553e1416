"""Checks a finished manifest for leaks between train and validation; called by ``versions`` and before training.

Shares no code with ``splits``, so that it finds that module's mistakes too.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from reel_shared.contracts import SplitCertificate
from reel_shared.manifest import Manifest, ManifestImage, Side

ROWS = 256


def certify(manifest: Manifest, *, groups: int, warnings: list[str] | None = None) -> SplitCertificate:
    """Return the certificate; ``certified`` only if nothing is shared and no variant is in validation.

    Near duplicates are judged on originals: a variant stands for the original it was made from.
    """
    roots = _roots(manifest)
    train = _distinct(roots[image.id] for image in manifest.on(Side.TRAIN))
    valid = _distinct(roots[image.id] for image in manifest.on(Side.VALID))
    scenes = {image.scene for image in train if image.scene} & {image.scene for image in valid if image.scene}
    lineages = {image.id for image in train} & {image.id for image in valid}
    distance = manifest.request.near_distance
    near, nearest = _across(_codes(train), _codes(valid), distance)
    altered = sum(image.parent_id is not None for image in manifest.on(Side.VALID))
    notes = list(warnings or [])
    if altered:
        notes.append(f"{altered} variant(s) lie in validation, where only originals count")
    return SplitCertificate(
        certified=not (scenes or lineages or near or altered),
        shared_scenes=len(scenes),
        shared_lineages=len(lineages),
        near_duplicates_across=near,
        nearest_distance_across=nearest,
        near_distance=distance,
        groups=groups,
        warnings=notes,
    )


def _roots(manifest: Manifest) -> dict[str, ManifestImage]:
    """Map every picture to its original, by walking the lineage one generation at a time."""
    by_id = {image.id: image for image in manifest.images}
    ancestors = dict(by_id)
    for _ in by_id:
        step = {name: by_id[a.parent_id] for name, a in ancestors.items() if a.parent_id is not None}
        if not step:
            return ancestors
        ancestors.update(step)
    raise ValueError("the lineage of these pictures runs in a circle")


def _distinct(images: Iterable[ManifestImage]) -> list[ManifestImage]:
    return list({image.id: image for image in images}.values())


def _codes(images: list[ManifestImage]) -> npt.NDArray[np.uint8]:
    """Return the pHashes as bytes: (n, 8)."""
    return np.frombuffer(bytes.fromhex("".join(image.phash for image in images)), np.uint8).reshape(-1, 8)


def _across(
    train: npt.NDArray[np.uint8], valid: npt.NDArray[np.uint8], distance: int
) -> tuple[int, int | None]:
    """Count pairs within ``distance`` bits, and return the smallest distance (None when a side is empty)."""
    if not len(train) or not len(valid):
        return 0, None
    bits = np.array([value.bit_count() for value in range(256)], dtype=np.uint8)
    near, nearest = 0, 64
    for start in range(0, len(valid), ROWS):
        rows = valid[start : start + ROWS]
        apart = np.zeros((len(rows), len(train)), dtype=np.uint8)
        for byte in range(8):
            apart += bits[rows[:, byte, None] ^ train[None, :, byte]]
        near += int((apart <= distance).sum())
        nearest = min(nearest, int(apart.min()))
    return near, nearest
