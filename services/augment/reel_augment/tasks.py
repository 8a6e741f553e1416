"""Owns the ``make_variants`` job: every original web picture it is asked about gets its variants in storage.

Called by the worker of the queue ``augment``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import simplejpeg
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, aliased

from reel_augment import transforms
from reel_augment.transforms import variant_seed
from reel_shared.contracts import (
    MAKE_VARIANTS,
    MakeVariantsRequest,
    MakeVariantsResult,
    Source,
    StoredFile,
    Variant,
)
from reel_shared.db.engine import transact
from reel_shared.db.models import Image
from reel_shared.ids import new_id
from reel_shared.images import open_picture
from reel_shared.jobs import Outcome
from reel_shared.runner import Context, task
from reel_shared.settings import settings
from reel_shared.storage import storage

QUALITY = 90
LANES = 2
"""Pictures in work at a time; drawing noise lets other threads run. One of 40 megapixels holds some 800 MB."""
_CHUNK = 16
_INHERITED = (
    "dataset", "label", "source", "phash", "collection_id", "style", "title", "creator", "licence", "licence_url",
    "attribution", "page_url", "url", "provider",
)  # fmt: skip
"""What a variant has from its original. Its pHash too: a variant must never count as a picture of its own."""


@dataclass(frozen=True)
class Made:
    """One original and its variants, in storage."""

    original: Image
    width: int
    height: int
    files: dict[Variant, StoredFile]
    skipped: frozenset[Variant]


@task(MAKE_VARIANTS)
def make_variants(context: Context, request: MakeVariantsRequest) -> Outcome:
    """Make what is missing. A picture whose variants stand from an earlier job keeps those, whatever the seed."""
    waiting, sources, already = transact(lambda session: _originals(session, request))
    made: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    for done, one in enumerate(_made(waiting, request.seed), start=1):
        made.update(one.files.keys())
        skipped.update(one.skipped)
        rows.extend(_rows(one, request.seed, context.job_id))
        context.progress(done, len(waiting), unit="pictures", message="making variants")
    result = MakeVariantsResult(
        sources=sources,
        made=_by_kind(made),
        already=already,
        skipped_low_contrast=_by_kind(skipped),
    )
    return Outcome(result, write=lambda session: _insert(session, rows))


def _originals(session: Session, request: MakeVariantsRequest) -> tuple[list[Image], int, int]:
    """Return the originals without variants, how many originals there are, and how many variants they have."""
    wanted = [
        Image.dataset == request.dataset,
        Image.source == Source.WEB,
        Image.variant == Variant.ORIGINAL,
        *([Image.label == request.label] if request.label else []),
        *([Image.collection_id == request.collection_id] if request.collection_id else []),
    ]
    originals = session.scalars(sa.select(Image).where(*wanted).order_by(Image.id)).all()
    child = aliased(Image)
    counted = sa.select(Image.id, sa.func.count()).join(child, child.parent_id == Image.id)
    standing = {row[0]: int(row[1]) for row in session.execute(counted.where(*wanted).group_by(Image.id))}
    # A job writes all variants of a picture in one transaction: where one stands, all that can be made do.
    waiting = [original for original in originals if original.id not in standing]
    return waiting, len(originals), sum(standing.values())


def _made(originals: Sequence[Image], seed: int) -> Iterator[Made]:
    with ThreadPoolExecutor(LANES, thread_name_prefix="variants") as pool:
        for start in range(0, len(originals), _CHUNK):
            yield from pool.map(lambda original: _make(original, seed), originals[start : start + _CHUNK])


def _make(original: Image, seed: int) -> Made:
    limits = settings().limits
    data = storage().get_bytes(original.key, max_bytes=limits.picture_bytes, sha256=original.sha256)
    picture = np.asarray(open_picture(data, max_pixels=limits.picture_pixels, max_bytes=limits.picture_bytes))
    variants = transforms.make_variants(picture, seed=variant_seed(original.sha256, seed))
    files = {
        kind: storage().put_bytes("variants", _jpeg(kind, image), "image/jpeg", ".jpg")
        for kind, image in variants.images.items()
    }
    return Made(original, picture.shape[1], picture.shape[0], files, variants.skipped)


def _jpeg(kind: Variant, image: transforms.Picture) -> bytes:
    if kind is Variant.GRAYSCALE:
        one_channel = np.ascontiguousarray(image[:, :, :1])
        gray: bytes = simplejpeg.encode_jpeg(one_channel, quality=QUALITY, colorspace="GRAY")
        return gray
    # Full colour resolution: in drawings it is thin lines that differ in colour.
    colour: bytes = simplejpeg.encode_jpeg(image, quality=QUALITY, colorspace="RGB", colorsubsampling="444")
    return colour


def _rows(made: Made, seed: int, job_id: str) -> Iterator[dict[str, Any]]:
    inherited = {name: getattr(made.original, name) for name in _INHERITED}
    for kind, file in made.files.items():
        yield {
            **inherited,
            "id": new_id("img"),
            "variant": kind,
            "key": file.key,
            "sha256": file.sha256,
            "media_type": file.media_type,
            "size": file.size,
            "width": made.width,
            "height": made.height,
            "parent_id": made.original.id,
            "seed": variant_seed(made.original.sha256, seed) if kind is Variant.NOISE else None,
            "job_id": job_id,
        }


def _insert(session: Session, rows: list[dict[str, Any]]) -> None:
    """Add the variants; where another job was quicker with the same picture, its variants stay."""
    if not rows:
        return
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    session.execute(dialect.insert(Image).on_conflict_do_nothing(), rows)


def _by_kind(counts: Counter[str]) -> dict[str, int]:
    return {kind: counts[kind] for kind in Variant if counts[kind]}
