"""Builds a dataset version: split, manifest and certificate; called by the ``build_dataset_version`` task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from reel_shared.certificate import LeakCertificate
from reel_shared.contracts import BuildDatasetVersionRequest, Variant
from reel_shared.contracts.versions import GREY
from reel_shared.errors import Unprocessable
from reel_shared.manifest import Manifest, ManifestImage, ManifestPin, Side
from reel_trainer.leaks import certify
from reel_trainer.pins import Pin, covered
from reel_trainer.splits import Split, probe_names, split, standing

NO_CLASS = "probe-without-class"
"""Pictures of a probe set that show what is no class: nothing is trained on it, so nothing can be judged by it."""


class Built(NamedTuple):
    manifest: Manifest
    certificate: LeakCertificate
    left_out: dict[str, int]
    """Originals that are not in the manifest, by state or reason."""


def build_dataset_version(
    images: Sequence[ManifestImage],
    request: BuildDatasetVersionRequest,
    *,
    pins: Sequence[Pin] = (),
    base: Manifest | None = None,
    left_out: Mapping[str, int] | None = None,
) -> Built:
    """Return the manifest and its certificate. Raises Unprocessable when there is nothing to learn from.

    Variants whose original is not among ``images`` are left out: their lineage cannot be kept on one side.
    ``left_out`` counts by state what the caller did not pass on; it is returned with what is left out here.
    """
    counted = Counter(left_out or {})
    known = {image.id for image in images}
    whole = [image for image in images if image.parent_id is None or image.parent_id in known]
    originals = [image for image in whole if image.variant == Variant.ORIGINAL]
    probes = probe_names(originals, request)
    classes = sorted({image.label for image in originals if image.id not in probes})
    foreign = {image.id for image in originals if image.label not in classes}
    if foreign:
        counted[NO_CLASS] += len(foreign)
        whole = [image for image in whole if image.label in classes]
    _enough(classes, request, counted)
    if base is not None:
        _fits(base, request)
    found = split(whole, request, pins=pins, base=standing(base.images) if base else None)
    manifest = Manifest(
        dataset=request.dataset,
        classes=classes,
        request=request,
        pins=_pins(pins, originals) if request.strategy == "groups" else [],
        images=[_placed(image, found) for image in whole],
    )
    warnings = [*found.warnings, *_lacking(manifest), *_waiting(counted)]
    certificate = certify(manifest, groups=found.groups, warnings=warnings)
    return Built(manifest, certificate, dict(sorted(counted.items())))


def _enough(classes: list[str], request: BuildDatasetVersionRequest, left_out: Counter[str]) -> None:
    other = sum(left_out.values())
    aside = f" ({other} more take no part)" if other else ""
    if not classes:
        raise Unprocessable(
            f"Dataset {request.dataset!r} has no pictures yet{aside}; ingest films or web pictures."
        )
    if len(classes) < 2:
        raise Unprocessable(
            f"Dataset {request.dataset!r} has only the class {classes[0]!r}{aside}; a classifier needs two or more."
        )


def _fits(base: Manifest, request: BuildDatasetVersionRequest) -> None:
    if base.dataset != request.dataset:
        raise Unprocessable(
            f"The base version is of the dataset {base.dataset!r}, not of {request.dataset!r}."
        )
    if base.request.strategy != "groups":
        raise Unprocessable(
            "The base version was split at random; there are no groups whose sides could be kept."
        )


def _placed(image: ManifestImage, found: Split) -> ManifestImage:
    place = found.places[image.id]
    facts = {"split": place.side, "reason": place.reason, "probe": place.probe}
    return image.model_copy(update={**facts, "group": found.group_of.get(image.id, "")})


def _pins(pins: Sequence[Pin], originals: Sequence[ManifestImage]) -> list[ManifestPin]:
    count = Counter(pin.id for found in covered(pins, originals).values() for pin in found)
    return [
        ManifestPin(id=pin.id, side=pin.side, of=pin.of, images=count[pin.id])
        for pin in sorted(pins, key=lambda pin: pin.id)
    ]


def _lacking(manifest: Manifest) -> list[str]:
    """Return a sentence on each class that nothing teaches, on probe sets without pictures and a gap that costs."""
    found = []
    trained = {image.label for image in manifest.on(Side.TRAIN)}
    found += [f"class {label} has no training picture" for label in manifest.classes if label not in trained]
    filled = {image.probe for image in manifest.on(Side.PROBE)}
    for probe in manifest.request.probes:
        if probe.name not in filled:
            found.append(f"no picture fits the probe set {probe.name}")
    if manifest.request.grey_probe:
        grey = {image.parent_id for image in manifest.on(Side.PROBE) if image.probe == GREY}
        held = manifest.on(Side.VALID)
        lacking = sum(image.id not in grey for image in held)
        if lacking:
            found.append(
                f"{lacking} of {len(held)} validation pictures have no grayscale variant for the probe set {GREY}; "
                "make them with the dataset_version_id of POST /v1/variants, then build upon that version"
            )
    return found


def _waiting(left_out: Counter[str]) -> list[str]:
    count = left_out["quarantined"]
    return [f"{count} quarantined picture(s) wait for a person and take no part"] if count else []
