"""Splits a dataset by whole groups, stratified by class and source, around pins, probe sets and gaps in time.

Called by ``versions``. The split looks at every original whatever the request filters, so models trained on
different sources are judged on the same validation pictures.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from reel_shared.contracts import BuildDatasetVersionRequest, Variant
from reel_shared.contracts.versions import GREY
from reel_shared.errors import Unprocessable
from reel_shared.manifest import ManifestImage, Side
from reel_trainer.choice import Choice
from reel_trainer.groups import group
from reel_trainer.pins import Pin, agreed, covered

FEW_GROUPS = 3
NAMED = 5
"""Pins without pictures that are named; an import may have left thousands, one a picture."""
FILTERED, PINNED = "filtered", "pinned"
NEAR_IN_TIME, WITH_PROBE, OF_HELD_OUT = "near-in-time", "with-probe", "of-held-out"
"""Why a picture is excluded: by the request, by a pin, a frame too near to a held-out one, in one group with a
picture of a probe set, a variant of a held-out original."""
GONE = frozenset({PINNED, WITH_PROBE})
"""Reasons that a version built upon another one decides anew."""


@dataclass(frozen=True)
class Place:
    side: Side
    reason: str = ""
    probe: str = ""


@dataclass(frozen=True)
class Split:
    places: dict[str, Place]
    """Picture id -> where it lies."""
    group_of: dict[str, str]
    """Original -> the first picture of its group, for groups of two or more."""
    groups: int
    warnings: list[str] = field(default_factory=list)


def split(
    images: Sequence[ManifestImage],
    request: BuildDatasetVersionRequest,
    *,
    pins: Sequence[Pin] = (),
    base: Mapping[str, Place] | None = None,
) -> Split:
    """Give each picture its side; the same pictures and seed give the same one in whatever order they come.

    Args:
        base: where the originals of an earlier version lie; its groups keep their sides.

    Raises:
        Unprocessable: pins contradict, or a class has too few groups and that is to be refused.
    """
    originals = sorted((image for image in images if image.variant == Variant.ORIGINAL), key=lambda i: i.id)
    probes = probe_names(originals, request)
    connected = group(originals, near_distance=request.near_distance, match_inverted=request.match_inverted)
    groups, ignored = connected, []
    if request.strategy == "random":
        # every picture on its own: what the article's author did first, and what the leak gap is measured against
        groups, pins, ignored = [[image] for image in originals], (), _ignored(pins)
    plan = _Plan(groups, probes, pins, base or {})
    chosen = Choice(
        plan.free_of_probes(),
        valid_fraction=request.valid_fraction,
        seed=request.seed,
        valid=plan.numbers(Side.VALID),
        train=plan.numbers(Side.TRAIN),
    )
    valid = chosen.run()
    independent = chosen.group_count if groups is connected else _independent(connected, probes)
    few = _few_groups(independent, plan.labels, refuse=request.few_groups == "refuse")
    few += [
        f"class {label} has no validation picture: all of it hangs together"
        for label in plan.labels
        if not chosen.taken_labels[label]
    ]
    held: dict[str, Place] = {}
    for number, members in enumerate(groups):
        place = plan.settled.get(number, Place(Side.TRAIN))
        if number in valid:
            place = Place(Side.VALID)
        for image in members:
            name = probes.get(image.id)
            held[image.id] = Place(Side.PROBE, probe=name) if name else place
    if request.strategy == "groups":
        _keep_the_gap(originals, held, request.min_gap_seconds)
    return Split(
        places=_places(images, held, request),
        group_of={image.id: members[0].id for members in connected if len(members) > 1 for image in members},
        groups=len(connected),
        warnings=[*few, *ignored, *plan.warnings],
    )


def probe_names(originals: Sequence[ManifestImage], request: BuildDatasetVersionRequest) -> dict[str, str]:
    """Return original -> the probe set it belongs to: the one it was collected for, or the first that it fits."""
    found = {}
    for image in originals:
        for probe in request.probes:
            if image.probe:
                break
            wanted = (probe.source, probe.style, probe.label)
            facts = (image.source, image.style, image.label)
            if all(one is None or one == fact for one, fact in zip(wanted, facts, strict=True)):
                found[image.id] = probe.name
                break
        if image.probe:
            found[image.id] = image.probe
    return found


class _Plan:
    """What is settled before anything is chosen: by pins, by probe sets, by an earlier version; in this order."""

    def __init__(
        self,
        groups: list[list[ManifestImage]],
        probes: dict[str, str],
        pins: Sequence[Pin],
        base: Mapping[str, Place],
    ) -> None:
        self.groups, self.probes = groups, probes
        self.labels = sorted({i.label for members in groups for i in members if i.id not in probes})
        pinned = covered(pins, [image for members in groups for image in members])
        used = {pin for found in pinned.values() for pin in found}
        idle = [pin for pin in pins if pin not in used]
        self.warnings = [f"{pin} covers no picture" for pin in idle[:NAMED]]
        if len(idle) > NAMED:
            self.warnings.append(f"{len(idle) - NAMED} more pins cover no picture")
        self.settled: dict[int, Place] = {}
        moved = 0
        for number, members in enumerate(groups):
            place = self._place(members, agreed(members, pinned))
            if place is None:
                stood = {p.side for i in members if (p := base.get(i.id)) and i.id not in probes}
                if stood:
                    moved += len(stood) > 1
                    place = Place(Side.TRAIN if Side.TRAIN in stood else Side.VALID)
            if place is not None:
                self.settled[number] = place
        if moved:
            self.warnings.append(
                f"{moved} group(s) of the base version's train and validation hang together now and train"
            )

    def numbers(self, side: Side) -> set[int]:
        return {number for number, place in self.settled.items() if place.side == side}

    def free_of_probes(self) -> list[list[ManifestImage]]:
        """The groups as they count towards the shares: without probe pictures, and empty where excluded."""
        barred = self.numbers(Side.EXCLUDED)
        return [
            [] if number in barred else [image for image in members if image.id not in self.probes]
            for number, members in enumerate(self.groups)
        ]

    def _place(self, members: Sequence[ManifestImage], pin: Pin | None) -> Place | None:
        probe = next((image for image in members if image.id in self.probes), None)
        if probe is not None and pin is not None and pin.side == "train":
            raise Unprocessable(
                f"The {pin} cannot be kept: picture {probe.id} of the probe set "
                f"{self.probes[probe.id]!r} hangs together with it, and nothing of a probe set enters training. "
                "Remove the pin or the probe set."
            )
        if pin is not None:
            side = Side(pin.side)
            return Place(side, PINNED if side == Side.EXCLUDED else "")
        return Place(Side.EXCLUDED, WITH_PROBE) if probe is not None else None


def _ignored(pins: Sequence[Pin]) -> list[str]:
    return (
        [f"{len(pins)} pin(s) are not kept: a random split asks nobody where a picture lies"] if pins else []
    )


def _independent(groups: list[list[ManifestImage]], probes: dict[str, str]) -> Counter[str]:
    """Return class -> groups with pictures of it that are of no probe set."""
    return Counter(
        label for members in groups for label in {image.label for image in members if image.id not in probes}
    )


def _few_groups(independent: Counter[str], labels: list[str], *, refuse: bool) -> list[str]:
    few = {label: n for label in labels if (n := independent[label]) < FEW_GROUPS}
    if few and refuse:
        named = ", ".join(f"{label} ({count})" for label, count in few.items())
        raise Unprocessable(
            f"Too few independent groups of pictures, fewer than {FEW_GROUPS}: {named}. Add scenes or pictures from "
            "other pages to these classes, or build with few_groups: warn."
        )
    return [
        f"class {label} has {count} independent group(s) of pictures; its accuracy says little"
        for label, count in few.items()
    ]


def _keep_the_gap(originals: Sequence[ManifestImage], held: dict[str, Place], gap: float) -> None:
    """Exclude training frames less than ``gap`` seconds from a held-out frame of the same film, in place."""
    times: dict[str, list[float]] = defaultdict(list)
    for image in originals:
        if held[image.id].side in (Side.VALID, Side.PROBE) and image.time_seconds is not None:
            times[image.movie_id or ""].append(image.time_seconds)
    ordered = {movie: np.sort(np.array(found)) for movie, found in times.items()}
    for image in originals:
        moments = ordered.get(image.movie_id or "")
        if moments is not None and image.time_seconds is not None and held[image.id].side == Side.TRAIN:
            after = int(np.searchsorted(moments, image.time_seconds))
            around = moments[max(0, after - 1) : after + 1]
            if float(np.abs(around - image.time_seconds).min()) < gap:
                held[image.id] = Place(Side.EXCLUDED, NEAR_IN_TIME)


def _places(
    images: Sequence[ManifestImage], held: dict[str, Place], request: BuildDatasetVersionRequest
) -> dict[str, Place]:
    by_id = {image.id: image for image in images}
    places = {}
    for image in images:
        place = held[root(image, by_id).id]
        altered = image.variant != Variant.ORIGINAL
        if altered and place.side in (Side.VALID, Side.PROBE):
            grey = request.grey_probe and place.side == Side.VALID and image.variant == Variant.GRAYSCALE
            place = Place(Side.PROBE, probe=GREY) if grey else Place(Side.EXCLUDED, OF_HELD_OUT)
        elif place.side == Side.TRAIN and (
            image.source not in request.train_sources or (altered and not request.variants)
        ):
            place = Place(Side.EXCLUDED, FILTERED)
        places[image.id] = place
    return places


def standing(images: Sequence[ManifestImage]) -> dict[str, Place]:
    """Return where the originals of an earlier version lie, as ``base`` of a new one: those that its request or the
    gap excluded belong to its training side; what a pin or a probe set decided is open again."""
    found = {}
    for image in images:
        if image.variant != Variant.ORIGINAL or image.split == Side.PROBE or image.reason in GONE:
            continue
        found[image.id] = Place(Side.VALID if image.split == Side.VALID else Side.TRAIN)
    return found


def root(image: ManifestImage, by_id: Mapping[str, ManifestImage]) -> ManifestImage:
    """Follow the lineage up to the original."""
    while image.parent_id is not None:
        image = by_id[image.parent_id]
    return image
