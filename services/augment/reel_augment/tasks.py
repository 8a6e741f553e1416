"""Owns the ``make_variants`` job: every original web picture it is asked about gets its variants in storage.

Called by the worker of the queue ``augment``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_augment import records
from reel_augment.balance import Stock, frames_wanted, needed, spread
from reel_augment.encoding import decode, encode, fits
from reel_augment.held_out import validation_ids
from reel_augment.lanes import in_lanes
from reel_augment.records import Made, Tally
from reel_augment.transforms import KINDS, Original, variant_seed
from reel_shared.contracts import (
    MAKE_VARIANTS,
    ImageState,
    MakeVariantsRequest,
    MakeVariantsResult,
    Source,
    Variant,
)
from reel_shared.contracts.variants import WebShare
from reel_shared.db.engine import transact
from reel_shared.db.models import Image
from reel_shared.errors import NotFound
from reel_shared.jobs import Outcome
from reel_shared.runner import Context, task
from reel_shared.settings import settings
from reel_shared.storage import storage

_CHUNK = 500


@task(MAKE_VARIANTS)
def make_variants(context: Context, request: MakeVariantsRequest) -> Outcome:
    """Make what is missing. Variants that stand from an earlier job are kept, whatever their seed."""
    if request.dataset_version_id is not None:
        return _gray_validation(context, request, validation_ids(request.dataset_version_id))
    web = transact(lambda session: _originals(session, request, Source.WEB))
    frames = transact(lambda session: _originals(session, request, Source.MOVIE))
    stocks = transact(lambda session: _stocks(session, [*web, *frames]))
    kinds: list[Variant] = [kind for kind in KINDS if kind in request.variants]
    already = sum(len(stocks[image.id].standing) for image in web)
    tally = Tally()
    shares: dict[str, WebShare] = {}
    if request.grayscale_frames:
        _make_gray_frames(context, request, frames, stocks, tally)
    if request.web_share is None:
        _make_all(context, request, web, [stocks[image.id] for image in web], kinds, None, tally)
    else:
        shares = _make_up_to_the_share(context, request, web, frames, stocks, kinds, tally)
    result = MakeVariantsResult(
        sources=len(web),
        made={},  # counted as they are written
        already=already,
        skipped_low_contrast=records.by_kind(tally.skipped),
        shares=shares,
    )
    return Outcome(result, write=lambda session: records.insert(session, tally, result))


def _gray_validation(context: Context, request: MakeVariantsRequest, held: set[str]) -> Outcome:
    """Give the validation pictures of a version, drawings and frames alike, the gray copies that they lack."""
    web = transact(lambda session: _originals(session, request, Source.WEB))
    frames = transact(lambda session: _originals(session, request, Source.MOVIE))
    judged = [image for image in (*web, *frames) if image.id in held]
    stocks = transact(lambda session: _stocks(session, judged))
    result = MakeVariantsResult(
        sources=sum(image.source == Source.WEB for image in judged),
        made={},  # counted as they are written
        already=sum(Variant.GRAYSCALE in stock.standing for stock in stocks.values()),
        skipped_low_contrast={},
    )
    tally = Tally()
    _make_all(context, request, judged, list(stocks.values()), [Variant.GRAYSCALE], None, tally)
    result.skipped_low_contrast = records.by_kind(tally.skipped)
    return Outcome(result, write=lambda session: records.insert(session, tally, result))


def _originals(session: Session, request: MakeVariantsRequest, source: Source) -> list[Image]:
    """Return the active originals of a source; a collection has web pictures only."""
    wanted = [
        Image.dataset == request.dataset,
        Image.source == source,
        Image.variant == Variant.ORIGINAL,
        Image.state == ImageState.ACTIVE,
        *([Image.label == request.label] if request.label else []),
        *([Image.collection_id == request.collection_id] if request.collection_id else []),
    ]
    return list(session.scalars(sa.select(Image).where(*wanted).order_by(Image.id)))


def _stocks(session: Session, originals: list[Image]) -> dict[str, Stock]:
    """Return what stands of each original and what is known to be impossible."""
    stocks = {}
    for image in originals:
        impossible = {Variant(kind) for kind in image.impossible_variants or ()}
        stocks[image.id] = Stock(image.id, set(), impossible)
    ids = list(stocks)
    for start in range(0, len(ids), _CHUNK):
        part = ids[start : start + _CHUNK]
        query = sa.select(Image.parent_id, Image.variant).where(Image.parent_id.in_(part))
        for parent, variant in session.execute(query):
            stocks[str(parent)].standing.add(Variant(variant))
    return stocks


def _make_gray_frames(
    context: Context,
    request: MakeVariantsRequest,
    frames: list[Image],
    stocks: dict[str, Stock],
    tally: Tally,
) -> None:
    """Give a seeded share of each class's frames a gray copy."""
    for label in sorted({image.label for image in frames}):
        of_class = [stocks[image.id] for image in frames if image.label == label]
        standing = sum(Variant.GRAYSCALE in stock.standing for stock in of_class)
        count = frames_wanted(request.grayscale_frames_share, frames=len(of_class), standing=standing)
        _make_all(context, request, frames, of_class, [Variant.GRAYSCALE], count, tally)


def _make_up_to_the_share(
    context: Context,
    request: MakeVariantsRequest,
    web: list[Image],
    frames: list[Image],
    stocks: dict[str, Stock],
    kinds: list[Variant],
    tally: Tally,
) -> dict[str, WebShare]:
    """Make, class by class, as many variants as bring web pictures to the wanted share; probe sets do not count."""
    assert request.web_share is not None
    shares = {}
    for label in sorted({image.label for image in web}):
        of_web = [stocks[image.id] for image in web if image.label == label and not image.probe]
        of_film = [stocks[image.id] for image in frames if image.label == label and not image.probe]
        film = sum(1 + (Variant.GRAYSCALE in stock.standing) for stock in of_film)
        before = sum(1 + len(stock.standing) for stock in of_web)
        lacking = needed(request.web_share, frames=film, web=before)
        made = _make_all(context, request, web, of_web, kinds, lacking, tally)
        shares[label] = WebShare(
            frames=film,
            web_before=before,
            web_after=before + made,
            before=before / (before + film) if before + film else 0.0,
            after=(before + made) / (before + made + film) if before + made + film else 0.0,
            short=lacking - made,
        )
    return shares


def _make_all(
    context: Context,
    request: MakeVariantsRequest,
    originals: list[Image],
    stocks: list[Stock],
    kinds: list[Variant],
    count: int | None,
    tally: Tally,
) -> int:
    """Make ``count`` variants, or all that are missing; return how many were made.

    What a picture's contrast does not allow is known only once it is open, so there may be several rounds.
    """
    images = {image.id: image for image in originals}
    by_id = {stock.id: stock for stock in stocks}
    made = 0
    while plan := spread(stocks, kinds, None if count is None else count - made, seed=request.seed):
        before = made
        todo = [(images[name], wanted) for name, wanted in sorted(plan.items())]
        for one in _made(todo, request):
            stock = by_id[one.original.id]
            _note(one, stock, kinds, request, context.job_id, tally)
            made += len(one.files)
            context.progress(
                tally.done, max(tally.done, len(originals)), unit="pictures", message="making variants"
            )
        if count is None or made >= count or made == before:
            break
    return made


def _made(todo: list[tuple[Image, list[Variant]]], request: MakeVariantsRequest) -> Iterator[Made]:
    work: Callable[[tuple[Image, list[Variant]]], Made] = lambda item: _make(*item, request)  # noqa: E731
    yield from in_lanes(todo, work, pixels=lambda item: item[0].width * item[0].height)


def _make(original: Image, kinds: list[Variant], request: MakeVariantsRequest) -> Made:
    limits = settings().limits
    try:
        data = storage().get_bytes(original.key, max_bytes=limits.picture_bytes, sha256=original.sha256)
    except NotFound:
        if not transact(lambda session: _is_removed(session, original.id)):
            raise
        return Made(original, original.width, original.height, {}, frozenset(), gone=True)
    picture = decode(data, max_pixels=limits.picture_pixels, max_bytes=limits.picture_bytes)
    height, width = picture.shape[:2]
    if not fits(picture, request.format):
        return Made(original, width, height, {}, frozenset(), too_long=True)
    source = Original(picture)
    files = {}
    seed = variant_seed(original.sha256, request.seed)
    for kind, image in source.variants(kinds, seed=seed, noise=request.noise):
        file = encode(kind, image, quality=request.quality, format=request.format)
        files[kind] = storage().put_bytes("variants", file.data, file.media_type, file.suffix)
    return Made(original, width, height, files, source.impossible)


def _is_removed(session: Session, image_id: str) -> bool:
    return session.scalar(sa.select(Image.state).filter_by(id=image_id)) == ImageState.REMOVED


def _note(
    one: Made, stock: Stock, kinds: list[Variant], request: MakeVariantsRequest, job_id: str, tally: Tally
) -> None:
    stock.standing |= one.files.keys()
    stock.impossible |= set(kinds) if one.gone or one.too_long else one.impossible
    if one.too_long:
        tally.too_long.add(one.original.id)
    if one.original.id not in tally.looked_at and one.original.source == Source.WEB:
        # The inverse of the intensity stands in for others where contrast is low; it is not missed elsewhere.
        tally.skipped.update((one.impossible - {Variant.INTENSITY_INVERT}) & set(kinds))
    tally.looked_at.add(one.original.id)
    if not (one.gone or one.too_long):
        tally.impossible[one.original.id] = sorted(one.impossible)
    tally.rows.extend(records.rows(one, request.seed, job_id))
