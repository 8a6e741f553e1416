"""What cleaning found against what the studio planted: recall and precision. Called by mission and checks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from reel_shared.contracts import ImageState, JsonObject
from reelsight.studio.gallery import REJECTED, Offer


@dataclass(slots=True)
class Found:
    """One kind of finding, counted against the truth."""

    planted: int = 0
    right: int = 0
    wrong: int = 0

    @property
    def recall(self) -> float:
        return self.right / self.planted if self.planted else 1.0

    @property
    def precision(self) -> float:
        found = self.right + self.wrong
        return self.right / found if found else 1.0

    def __str__(self) -> str:
        return (
            f"{self.right} of {self.planted}, {self.wrong} wrong "
            f"(recall {self.recall:.2f}, precision {self.precision:.2f})"
        )


@dataclass(slots=True)
class Cleaning:
    """The web pictures as they stand after collecting."""

    states: Counter[str] = field(default_factory=Counter)
    active: Counter[str] = field(default_factory=Counter)
    """Pictures in use, by label."""
    duplicates: Found = field(default_factory=Found)
    conflicts: Found = field(default_factory=Found)
    rejected: Found = field(default_factory=Found)


def compare(images: Iterable[JsonObject], offers: Iterable[Offer]) -> Cleaning:
    """Compare web pictures, as ``GET /v1/images`` shows originals, with the offers they were fetched from.

    Of a picture and its copies any one may stay; what counts is that a duplicate points into its own group.
    """
    by_file = {offer.file: offer for offer in offers}
    offered = list(by_file.values())
    pictures = list(images)
    shown = {image["id"]: offer for image in pictures if (offer := offer_of(image, by_file)) is not None}
    contested = {offer.of for offer in offered if offer.fate == "conflict"}
    cleaning = Cleaning(
        duplicates=Found(planted=sum(offer.fate.endswith("duplicate") for offer in offered)),
        conflicts=Found(planted=sum(_is_contested(offer, contested) for offer in offered)),
        rejected=Found(planted=sum(offer.fate in REJECTED for offer in offered)),
    )
    for image in pictures:
        cleaning.states[image["state"]] += 1
        cleaning.active[image["label"]] += image["state"] == ImageState.ACTIVE
        offer = shown.get(image["id"])
        match image["state"]:
            case ImageState.DUPLICATE:
                other = shown.get(image["duplicate_of"])
                _count(cleaning.duplicates, offer and other and _group(offer) == _group(other))
            case ImageState.QUARANTINED:
                _count(cleaning.conflicts, offer and _is_contested(offer, contested))
            case ImageState.REJECTED:
                _count(cleaning.rejected, offer and offer.fate in REJECTED)
    return cleaning


def offer_of(image: JsonObject, by_file: Mapping[str, Offer]) -> Offer | None:
    """Return what a web picture was on offer; None where it comes from elsewhere."""
    return by_file.get((image["url"] or "").partition("/media/")[2])


def _group(offer: Offer) -> str:
    return offer.of or offer.id


def _is_contested(offer: Offer, contested: set[str]) -> bool:
    return offer.fate == "conflict" or offer.id in contested


def _count(found: Found, right: object) -> None:
    if right:
        found.right += 1
    else:
        found.wrong += 1


def compare_doubts(
    doubts: Iterable[JsonObject], images: Iterable[JsonObject], offers: Iterable[Offer]
) -> Found:
    """Compare the pictures whose label is doubted with those that the studio filed wrongly and that are in use.

    A person looks at each doubt, so that the suggested label need not be the right one.
    """
    by_file = {offer.file: offer for offer in offers}
    wrong = {
        image["id"]
        for image in images
        if (offer := offer_of(image, by_file)) is not None
        and offer.truth != offer.label
        and image["state"] == ImageState.ACTIVE
    }
    found = Found(planted=len(wrong))
    for doubt in doubts:
        _count(found, doubt["id"] in wrong)
    return found


def compare_decisions(images: Iterable[JsonObject], offers: Iterable[Offer]) -> Found:
    """Count the pictures under two labels that stand under the true one alone; wrong is any that stands otherwise."""
    offered = list(offers)
    by_file = {offer.file: offer for offer in offered}
    contested = {offer.of for offer in offered if offer.fate == "conflict"}
    found = Found(planted=len(contested))
    for image in images:
        offer = offer_of(image, by_file)
        if offer is not None and _is_contested(offer, contested) and image["state"] == ImageState.ACTIVE:
            _count(found, offer.truth == offer.label)
    return found
