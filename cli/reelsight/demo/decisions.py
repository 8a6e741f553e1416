"""What a person does between two versions: decide conflicts, have a picture taken down, pin a scene."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from reel_shared.client import ApiError, Client
from reel_shared.contracts import ImageState, JsonObject, Source, TakeDownPicturesResult, Variant
from reel_shared.contracts.curation import TakeDownPicturesRequest
from reel_shared.contracts.versions import SplitPinRequest
from reel_shared.manifest import Manifest, ManifestImage, Side
from reelsight.demo.cleaning import offer_of
from reelsight.demo.facts import Pinned, TakenDown
from reelsight.demo.work import MissionFailed, Work
from reelsight.studio.gallery import Offer

REASON = "The author asked for it."


def resolve(client: Client, web: Sequence[JsonObject], offers: Sequence[Offer]) -> set[str]:
    """Of each conflict keep the picture whose label is the true one; return those that are kept."""
    by_file = {offer.file: offer for offer in offers}
    kept = set()
    for image in web:
        offer = offer_of(image, by_file)
        if image["state"] == ImageState.QUARANTINED and offer and offer.truth == offer.label:
            client.resolve_conflict(image["id"])
            kept.add(image["id"])
    return kept


def take_down(work: Work, manifest: Manifest, offers: Sequence[Offer]) -> TakenDown:
    """Have one drawing taken down by its page, and look whether anything of it can still be had."""
    client = work.client
    image = _unwanted(manifest, offers)
    links = [row["file"]["url"] for row in _with_variants(client, image.id)]
    request = TakeDownPicturesRequest(page_url=image.page_url, reason=REASON)
    work.finish("take-down", client.take_down_pictures(request), TakeDownPicturesResult)
    rows = _with_variants(client, image.id)
    listed = sum(row["state"] != ImageState.REMOVED or row["file"] is not None for row in rows)
    held, marked = set(), set()
    for version in client.rows("/v1/dataset-versions", dataset=manifest.dataset):
        content = client.download(version["manifest"]["url"])
        held |= {version["id"]} if image.id.encode() in content else set()
        marked |= {version["id"]} if version["takedowns"] else set()
    return TakenDown(
        image_id=image.id,
        variants=len(links) - 1,
        left=listed + sum(_answers(client, link) for link in links),
        held_by=held,
        marked=marked,
    )


def _unwanted(manifest: Manifest, offers: Sequence[Offer]) -> ManifestImage:
    """Choose a drawing that is trained on with variants and that no other offer repeats, the first by its offer."""
    by_file = {offer.file: offer for offer in offers}
    repeated = {offer.of for offer in offers}
    varied = {image.parent_id for image in manifest.on(Side.TRAIN)}
    candidates = {
        offer.id: image
        for image in manifest.on(Side.TRAIN)
        if image.id in varied
        and (offer := offer_of(image.model_dump(include={"url"}), by_file)) is not None
        and offer.truth == offer.label
        and offer.id not in repeated
        and offer.fate == "kept"
    }
    if not candidates:
        raise MissionFailed("No drawing is trained on with variants, so that none can be taken down.")
    return candidates[min(candidates)]


def _with_variants(client: Client, image_id: str) -> list[JsonObject]:
    return [client.get(f"/v1/images/{image_id}"), *client.images(parent_id=image_id)]


def _answers(client: Client, link: str) -> bool:
    try:
        client.download(link)
    except ApiError:
        return False
    return True


def pin(client: Client, manifest: Manifest, label: str) -> Pinned:
    """Put a scene of a film that was trained on by its own on the validation side: the shortest, by frames."""
    scene, frames = min(_scenes(manifest, label), key=lambda found: (len(found[1]), found[0]))
    movie_id, _, number = scene.rpartition(":")
    client.pin_split(
        SplitPinRequest(dataset=manifest.dataset, side="valid", movie_id=movie_id, scene=int(number))
    )
    return Pinned(label=label, scene=int(number), frames=frames)


def _scenes(manifest: Manifest, label: str) -> Iterator[tuple[str, set[str]]]:
    """Yield a film's scenes of two frames or more that hang together with nothing else, all of them trained on."""
    scenes: dict[str, list[ManifestImage]] = defaultdict(list)
    groups: dict[str, set[str]] = defaultdict(set)
    for image in manifest.images:
        if image.variant == Variant.ORIGINAL:
            groups[image.group].add(image.scene or image.id)
            if image.source == Source.MOVIE and image.label == label and image.scene:
                scenes[image.scene].append(image)
    for scene, frames in scenes.items():
        trained = all(frame.split == Side.TRAIN for frame in frames)
        alone = all(groups[frame.group] == {scene} for frame in frames)
        if len(frames) > 1 and trained and alone:
            yield scene, {frame.id for frame in frames}
