"""The split keeps whole groups on one side, is the same under every filter, and an independent check agrees."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reel_shared.contracts import BuildDatasetVersionRequest, Source
from reel_shared.errors import Unprocessable
from reel_shared.manifest import Manifest, ManifestImage, Side, identity
from reel_trainer.leaks import certify
from reel_trainer.versions import build_dataset_version


def picture(name: str, **changes: Any) -> ManifestImage:
    code = random.Random(name).getrandbits(64)
    facts = {
        "id": name,
        "key": f"images/{name}",
        "sha256": f"{code:064x}",
        "label": "tarzan",
        "source": "movie",
        "phash": f"{code:016x}",
        "width": 64,
        "height": 64,
    }
    return ManifestImage.model_validate(facts | changes)


def dataset(*, classes: int = 3, scenes: int = 8, frames: int = 6, web: int = 20) -> list[ManifestImage]:
    images = []
    for label in ("tarzan", "mulan", "kiki", "howl")[:classes]:
        for scene in range(scenes):
            for frame in range(frames):
                name = f"{label}-m{scene}-{frame}"
                images.append(picture(name, label=label, scene=f"{label}:{scene}"))
        for number in range(web):
            name = f"{label}-w{number}"
            images.append(picture(name, label=label, source="web", style="sketch"))
            images += [
                picture(f"{name}-{variant}", label=label, source="web", variant=variant, parent_id=name)
                for variant in ("log", "invert")
            ]
    return images


def build(images: list[ManifestImage], **request: Any) -> Manifest:
    return build_dataset_version(images, BuildDatasetVersionRequest(**request))[0]


def valid_ids(manifest: Manifest) -> set[str]:
    return {image.id for image in manifest.on(Side.VALID)}


@st.composite
def messy(draw: st.DrawFn) -> list[ManifestImage]:
    """Few codes, so near duplicates chain; scenes, sources and variants at random."""
    images: list[ManifestImage] = []
    for number in range(draw(st.integers(2, 40))):
        source = draw(st.sampled_from(["movie", "web"]))
        code = draw(st.integers(0, 40)) * 0x0101010101010101 ^ draw(st.integers(0, 7))
        label = draw(st.sampled_from(["a", "b", "c"])) if number > 1 else "ab"[number]
        scene = f"{label}{draw(st.integers(0, 5))}" if source == "movie" else None
        images.append(
            picture(f"i{number}", label=label, source=source, scene=scene, phash=f"{code % 2**64:016x}")
        )
        if draw(st.booleans()):
            images.append(
                picture(f"v{number}", label=label, source=source, variant="log", parent_id=f"i{number}")
            )
    return images


@settings(max_examples=60, deadline=None)
@given(messy(), st.integers(0, 3), st.sampled_from([0.1, 0.2, 0.5]))
def test_nothing_is_shared_whatever_comes(images: list[ManifestImage], seed: int, fraction: float) -> None:
    request = BuildDatasetVersionRequest(seed=seed, valid_fraction=fraction)
    manifest, certificate, _ = build_dataset_version(images, request)
    assert certificate.certified, certificate
    assert len(manifest.images) == len(images)
    trained = {image.label for image in manifest.on(Side.TRAIN)}
    assert trained == set(manifest.classes), "a class was left without training pictures"
    shuffled = random.Random(seed).sample(images, len(images))
    assert identity(build_dataset_version(shuffled, request)[0]) == identity(manifest)


def test_shares_are_about_what_was_asked() -> None:
    counts = build(dataset(), valid_fraction=0.25).counts()
    for label in ("tarzan", "mulan", "kiki"):
        assert counts["valid"]["movie"][label] == 12
        assert counts["valid"]["web"][label] == 5


def test_same_validation_under_every_filter() -> None:
    images = dataset()
    everything = build(images)
    films = build(images, train_sources=[Source.MOVIE])
    plain = build(images, variants=False)
    assert valid_ids(everything) == valid_ids(films) == valid_ids(plain)
    assert {image.source for image in films.on(Side.TRAIN)} == {Source.MOVIE}
    assert all(image.parent_id is None for image in plain.on(Side.TRAIN))
    assert valid_ids(build(images, seed=7)) != valid_ids(everything)


def test_variants_of_validation_originals_train_nobody() -> None:
    manifest = build(dataset())
    held = valid_ids(manifest)
    variants = [image for image in manifest.images if image.parent_id in held]
    assert variants
    assert {image.split for image in variants} == {Side.EXCLUDED}


def test_few_groups_are_told_and_never_empty_a_class() -> None:
    images = [
        *dataset(classes=1),
        *(picture(f"k{n}", label="kiki", scene="kiki:1") for n in range(10)),
        *(picture(f"h{n}", label="howl", scene=f"howl:{n}") for n in range(2)),
    ]
    manifest, certificate, _ = build_dataset_version(images, BuildDatasetVersionRequest())
    text = " / ".join(certificate.summary.warnings)
    assert "class kiki has 1 independent" in text
    assert "class kiki has no validation picture" in text
    assert "class howl has 2 independent" in text
    counts = manifest.counts()
    assert counts["train"]["movie"]["kiki"] == 10
    assert counts["train"]["movie"]["howl"] == counts["valid"]["movie"]["howl"] == 1


def test_too_little_is_refused() -> None:
    with pytest.raises(Unprocessable, match="no pictures yet"):
        build([])
    with pytest.raises(Unprocessable, match="only the class"):
        build(dataset(classes=1))


def moved(manifest: Manifest, name: str, side: Side) -> Manifest:
    images = [i.model_copy(update={"split": side}) if i.id == name else i for i in manifest.images]
    return manifest.model_copy(update={"images": images})


def test_planted_leaks_are_found() -> None:
    manifest = build(dataset())
    assert certify(manifest).certified

    held = next(image for image in manifest.on(Side.VALID) if image.scene)
    leak = certify(moved(manifest, held.id, Side.TRAIN)).summary
    assert (leak.certified, leak.shared_scenes) == (False, 1)

    variant = next(i for i in manifest.images if i.parent_id in valid_ids(manifest))
    leak = certify(moved(manifest, variant.id, Side.TRAIN)).summary
    assert (leak.certified, leak.shared_lineages) == (False, 1)

    leak = certify(moved(manifest, variant.id, Side.VALID)).summary
    assert not leak.certified
    assert "variant(s) lie in validation" in leak.warnings[0]

    web = next(image for image in manifest.on(Side.VALID) if image.source == "web")
    near = f"{int(web.phash, 16) ^ 0b111:016x}"
    twin = picture("twin", label=web.label, source="web", phash=near, split="train")
    leak = certify(manifest.model_copy(update={"images": [*manifest.images, twin]})).summary
    assert (leak.certified, leak.near_duplicates_across, leak.nearest_distance_across) == (False, 1, 3)
