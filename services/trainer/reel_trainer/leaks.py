"""Checks a finished manifest for leaks between training and what is held out; called by ``versions`` and before
each training.

Shares no code with ``splits``, so that it finds that module's mistakes too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from reel_shared.certificate import LeakCertificate, NearestByHash, NearestInTime, Neighbours, WorstPair
from reel_shared.contracts import SplitCertificate
from reel_shared.manifest import Manifest, ManifestImage, Side, identity
from reel_trainer.nearness import Hashes, Nearest, across, components, nearest_times

WORST = 20
"""Pairs listed, by hash and by time each."""


class Judged(NamedTuple):
    """Originals: those that training sees, in whatever variant, and those it must not, with the side they are on."""

    train: list[ManifestImage]
    held: list[ManifestImage]
    sides: list[str]
    """Of ``held``: ``valid`` or ``probe:<name>``."""


def certify(
    manifest: Manifest,
    *,
    groups: int = 0,
    warnings: Iterable[str] = (),
    manifest_sha256: str | None = None,
) -> LeakCertificate:
    """Return the certificate; certified only if nothing is shared, near in time, or a variant in validation.

    Near duplicates are judged on originals: a variant stands for the original it was made from.

    Args:
        groups, warnings: what the split said of itself; noted, not judged.
        manifest_sha256: the hash it is stored under, if that is not of the bytes it would be written as now.
    """
    judged = _judged(manifest)
    request = manifest.request
    near = across(_hashes(judged.train), _hashes(judged.held), request.near_distance)
    times = nearest_times(_moments(judged.train), _moments(judged.held))
    notes = list(warnings)
    altered = sum(image.parent_id is not None for image in manifest.on(Side.VALID))
    if altered:
        notes.append(f"{altered} variant(s) lie in validation, where only originals count")
    if request.strategy == "random":
        notes.append("a random split is never certified, whatever was found")
    seconds = [found[1] for found in times if found is not None]
    counts = {
        "shared_scenes": len(_facts(judged.train, "scene") & _facts(judged.held, "scene")),
        "shared_lineages": len(_facts(judged.train, "id") & _facts(judged.held, "id")),
        "shared_files": len(_facts(judged.train, "sha256") & _facts(judged.held, "sha256")),
        "shared_pages": len(_facts(judged.train, "page") & _facts(judged.held, "page")),
        "near_duplicates_across": near.pairs,
        "inverted_near_duplicates_across": near.inverted_pairs if request.match_inverted else 0,
        "groups_across": _groups_across(manifest, judged),
        "too_near_in_time": sum(apart < request.min_gap_seconds for apart in seconds),
        "variants_in_validation": altered,
    }
    summary = SplitCertificate(
        certified=request.strategy == "groups" and not any(counts.values()),
        strategy=request.strategy,
        **counts,
        nearest_distance_across=min((bits for _, bits in near.plain), default=None),
        nearest_inverted_across=min((bits for _, bits in near.inverted), default=None),
        near_distance=request.near_distance,
        nearest_seconds_across=min(seconds, default=None),
        min_gap_seconds=request.min_gap_seconds,
        probes=dict(sorted(Counter(image.probe for image in manifest.on(Side.PROBE)).items())),
        groups=groups,
        warnings=notes,
    )
    rows = [_neighbours(judged, index, near, times[index]) for index in range(len(judged.held))]
    by_hash, by_time = _worst(rows, judged)
    return LeakCertificate(
        manifest_sha256=manifest_sha256 or identity(manifest),
        dataset=manifest.dataset,
        classes=list(manifest.classes),
        train_originals=len(judged.train),
        valid_originals=sum(side == "valid" for side in judged.sides),
        summary=summary,
        worst_by_hash=by_hash,
        worst_by_time=by_time,
        neighbours=rows,
    )


def _judged(manifest: Manifest) -> Judged:
    roots = _roots(manifest)
    train = {roots[image.id].id: roots[image.id] for image in manifest.on(Side.TRAIN)}
    held: dict[str, tuple[ManifestImage, str]] = {}
    for image in manifest.on(Side.PROBE):
        held[roots[image.id].id] = roots[image.id], f"probe:{image.probe}"
    # a validation picture whose grey copy is a probe counts as what it is first of all
    for image in manifest.on(Side.VALID):
        held[roots[image.id].id] = roots[image.id], "valid"
    ordered = [held[name] for name in sorted(held)]
    return Judged(
        [train[name] for name in sorted(train)],
        [image for image, _ in ordered],
        [side for _, side in ordered],
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


def _facts(images: Sequence[ManifestImage], name: str) -> set[str]:
    return {value for image in images if (value := getattr(image, name))}


def _hashes(images: Sequence[ManifestImage]) -> Hashes:
    plain = [int(image.phash, 16) for image in images]
    barred = [int(image.phash_with_bars or image.phash, 16) for image in images]
    return Hashes(np.array(plain, dtype=np.uint64), np.array(barred, dtype=np.uint64))


def _bits(one: ManifestImage, other: ManifestImage) -> int:
    """Return in how many bits two pictures differ, with the bars around them or without."""
    ones, others = ({image.phash, image.phash_with_bars or image.phash} for image in (one, other))
    return min((int(a, 16) ^ int(b, 16)).bit_count() for a in ones for b in others)


def _moments(images: Sequence[ManifestImage]) -> list[tuple[str, float] | None]:
    return [
        (image.movie_id, image.time_seconds)
        if image.movie_id is not None and image.time_seconds is not None
        else None
        for image in images
    ]


def _groups_across(manifest: Manifest, judged: Judged) -> int:
    """Count connected groups with pictures on both sides, through excluded originals too."""
    originals = [image for image in manifest.images if image.parent_id is None]
    request = manifest.request
    facts = [[image.scene, image.page, image.sha256] for image in originals]
    bits = request.near_distance
    labels = components(facts, _hashes(originals), bits, inverted=request.match_inverted)
    of = {image.id: int(label) for image, label in zip(originals, labels, strict=True)}
    return len({of[image.id] for image in judged.train} & {of[image.id] for image in judged.held})


def _neighbours(judged: Judged, index: int, near: Nearest, in_time: tuple[int, float] | None) -> Neighbours:
    def by_hash(found: Sequence[tuple[int, int]]) -> NearestByHash | None:
        if not found:
            return None
        at, bits = found[index]
        return NearestByHash(id=judged.train[at].id, bits=bits)

    return Neighbours(
        id=judged.held[index].id,
        side=judged.sides[index],
        time=NearestInTime(id=judged.train[in_time[0]].id, seconds=in_time[1]) if in_time else None,
        hash=by_hash(near.plain),
        inverted=by_hash(near.inverted),
    )


def _worst(rows: Sequence[Neighbours], judged: Judged) -> tuple[list[WorstPair], list[WorstPair]]:
    """Return the closest pairs by hash, negatives among them, and by time."""
    images = {image.id: image for image in [*judged.train, *judged.held]}

    def pair(row: Neighbours, other: str, bits: int | None = None, *, inverted: bool = False) -> WorstPair:
        one, two = images[row.id], images[other]
        apart = None
        if one.movie_id == two.movie_id and one.time_seconds is not None and two.time_seconds is not None:
            apart = abs(one.time_seconds - two.time_seconds)
        return WorstPair(
            held_out=row.id,
            train=other,
            side=row.side,
            bits=_bits(one, two) if bits is None else bits,
            inverted=inverted,
            seconds=apart,
        )

    by_hash = [(row.hash.bits, False, row.id, row, row.hash.id) for row in rows if row.hash]
    by_hash += [(row.inverted.bits, True, row.id, row, row.inverted.id) for row in rows if row.inverted]
    by_time = [(row.time.seconds, row.id, row, row.time.id) for row in rows if row.time]
    return (
        [
            pair(row, other, bits, inverted=inverted)
            for bits, inverted, _, row, other in sorted(by_hash, key=lambda found: found[:3])[:WORST]
        ],
        [pair(row, other) for _, _, row, other in sorted(by_time, key=lambda found: found[:2])[:WORST]],
    )
