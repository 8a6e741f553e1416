"""The split keeps whole groups on one side, is the same under every filter, and an independent check agrees."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reel_shared.contracts import BuildDatasetVersionRequest, Source
from reel_shared.errors import Unprocessable
from reel_shared.hamming import INVERTED
from reel_shared.manifest import Manifest, ManifestImage, Side, identity
from reel_trainer.leaks import certify
from reel_trainer.pins import Pin
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


def few_scenes(**request: Any) -> Any:
    """Two classes of 30 frames: one scene of mulan, eight of tarzan."""
    images = [picture(f"t{n}", scene=f"t:{n % 8}") for n in range(30)]
    images += [picture(f"m{n}", label="mulan", scene="m:0") for n in range(30)]
    return build_dataset_version(images, BuildDatasetVersionRequest(**request))


@pytest.mark.parametrize("strategy", ["groups", "random"])
def test_few_groups_are_refused_where_that_is_asked(strategy: str) -> None:
    """A random split counts groups too: thirty frames of one scene are one independent fact."""
    with pytest.raises(Unprocessable, match=r"fewer than 3: mulan \(1\)\. Add scenes") as refused:
        few_scenes(few_groups="refuse", strategy=strategy)
    assert refused.value.status == 422
    warnings = few_scenes(strategy=strategy).certificate.summary.warnings
    assert "class mulan has 1 independent group(s) of pictures; its accuracy says little" in warnings


def test_a_random_split_says_that_it_keeps_no_pins() -> None:
    images = dataset()
    pins = [Pin(f"pin_{n}", "valid", image_id=image.id) for n, image in enumerate(images[:5])]
    kept = build_dataset_version(images, BuildDatasetVersionRequest(), pins=pins)
    assert [pin.images for pin in kept.manifest.pins] == [1] * 5
    assert not kept.certificate.summary.warnings
    random_ = BuildDatasetVersionRequest(strategy="random")
    found = build_dataset_version(images, random_, pins=pins)
    assert found.manifest.pins == []
    assert found.certificate.summary.warnings[0].startswith("5 pin(s) are not kept: a random split")
    assert found.manifest.images == build_dataset_version(images, random_).manifest.images


def test_one_source_page_is_one_group() -> None:
    images = [*dataset(web=0), *(picture(f"o{n}", label="mulan", source="web") for n in range(20))]
    pages = ("https://a.example/p#1", "https://a.example/p", "https://a.example/p/")
    images += [
        picture(f"p{page}{n}", source="web", page_url=pages[n].replace("/p", f"/p{page}"))
        for page in range(6)
        for n in range(3)
    ]
    for seed in range(5):
        built = build_dataset_version(images, BuildDatasetVersionRequest(seed=seed))
        found = {image.id: image for image in built.manifest.images}
        sides = [{found[f"p{page}{n}"].split for n in range(3)} for page in range(6)]
        assert all(len(side) == 1 for side in sides)
        assert {Side.VALID} in sides
        assert {found[f"p0{n}"].group for n in range(3)} == {"p00"}
        assert built.certificate.summary.shared_pages == 0


@pytest.mark.parametrize("bits", [0, 7])
def test_the_negative_of_a_picture_goes_where_it_goes_as_ingest_judges_it(bits: int) -> None:
    """All bits but the highest turn over and one odd one is forgiven: 6 bits are near, and a seventh is the odd one."""
    images = dataset(web=0)
    turned = int(images[0].phash, 16) ^ INVERTED ^ (2**bits - 1)
    twin = picture("twin", source="web", phash=f"{turned:016x}")
    other = picture("beyond", source="web", phash=f"{turned ^ 2**20:016x}")
    grouped = {i.id: i.group for i in build([*images, twin]).images}
    assert grouped["twin"] == grouped[images[0].id] != ""
    alone = {i.id: i.group for i in build([*images, twin], match_inverted=False).images}
    assert alone["twin"] == ""
    if bits == 7:
        assert {i.id: i.group for i in build([*images, other]).images}["beyond"] == ""


def test_a_copy_with_bars_around_it_goes_where_its_picture_goes() -> None:
    images = dataset(web=0)
    near = f"{int(images[0].phash, 16) ^ 0b11:016x}"
    barred = picture("barred", source="web", phash_with_bars=near)
    grouped = {i.id: i.group for i in build([*images, barred]).images}
    assert grouped["barred"] == grouped[images[0].id] != ""
    turned = f"{int(images[0].phash, 16) ^ INVERTED:016x}"
    negative = picture("negative", source="web", phash_with_bars=turned)
    grouped = {i.id: i.group for i in build([*images, negative]).images}
    assert grouped["negative"] == grouped[images[0].id]


def seconds(label: str, *moments: float) -> list[ManifestImage]:
    """Frames of one film, each a scene of its own."""
    return [
        picture(f"{label}{n}", label=label, movie_id=label, scene=f"{label}:{n}", time_seconds=moment)
        for n, moment in enumerate(moments)
    ]


@pytest.mark.parametrize(("apart", "side"), [(1.9, Side.EXCLUDED), (2.0, Side.TRAIN)])
def test_the_gap_is_kept_to_the_tenth_of_a_second(apart: float, side: Side) -> None:
    images = [*seconds("kiki", 50, 50 + apart, 50 - apart, 80, 110), *seconds("howl", *range(0, 100, 10))]
    pins = [Pin("pin_1", "valid", image_id="kiki0")] + [
        Pin(f"pin_{n + 1}", "train", image_id=f"kiki{n}") for n in (1, 2, 3, 4)
    ]
    built = build_dataset_version(images, BuildDatasetVersionRequest(), pins=pins)
    found = {image.id: image for image in built.manifest.images}
    assert (found["kiki0"].split, found["kiki3"].split) == (Side.VALID, Side.TRAIN)
    for name in ("kiki1", "kiki2"):
        assert (found[name].split, found[name].reason) == (side, "near-in-time" * (side == Side.EXCLUDED))
    assert built.certificate.certified
    planted = [
        image.model_copy(update={"split": Side.TRAIN, "reason": ""}) if image.id == "kiki1" else image
        for image in built.manifest.images
    ]
    leak = certify(built.manifest.model_copy(update={"images": planted})).summary
    assert leak.too_near_in_time == (1 if side == Side.EXCLUDED else 0)
    assert leak.certified == (side == Side.TRAIN)
    assert leak.nearest_seconds_across == pytest.approx(apart)


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ({"source": "web"}, lambda image: image.source == "web"),
        ({"style": "cosplay"}, lambda image: image.style == "cosplay"),
        ({"label": "mulan", "source": "web"}, lambda image: (image.label, image.source) == ("mulan", "web")),
    ],
)
def test_a_probe_set_is_what_its_filters_fit_and_nothing_of_it_trains(wanted: Any, fits: Any) -> None:
    images = [*dataset(), *(picture(f"c{n}", source="web", style="cosplay") for n in range(4))]
    built = build_dataset_version(images, BuildDatasetVersionRequest(probes=[{"name": "apart", **wanted}]))
    found = {image.id: image for image in built.manifest.images}
    probe = {image.id for image in built.manifest.on(Side.PROBE)}
    assert probe == {image.id for image in images if image.parent_id is None and fits(image)}
    assert {found[name].probe for name in probe} == {"apart"}
    assert built.certificate.summary.probes == {"apart": len(probe)}
    assert {i.reason for i in found.values() if i.parent_id in probe} <= {"of-held-out"}
    assert built.certificate.certified
    counts = built.manifest.counts()
    assert all(label in counts["train"]["movie"] for label in built.manifest.classes)


def test_what_hangs_together_with_a_probe_neither_trains_nor_validates() -> None:
    page = "https://a.example/p"
    images = [
        *dataset(),
        picture("cosplay", source="web", style="cosplay", page_url=page),
        picture("beside", source="web", style="sketch", page_url=page),
        picture("like", source="web", phash=f"{int(picture('beside').phash, 16) ^ 1:016x}"),
        picture("like-log", source="web", variant="log", parent_id="like"),
    ]
    probes = [{"name": "cosplay", "style": "cosplay"}]
    built = build_dataset_version(images, BuildDatasetVersionRequest(probes=probes))
    found = {image.id: (image.split, image.reason) for image in built.manifest.images}
    assert found["cosplay"] == (Side.PROBE, "")
    assert {found[name] for name in ("beside", "like", "like-log")} == {(Side.EXCLUDED, "with-probe")}
    assert built.certificate.certified
    with pytest.raises(
        Unprocessable, match=r"pin_1 .* cannot be kept: picture cosplay of the probe set 'cosplay'"
    ):
        build_dataset_version(
            images, BuildDatasetVersionRequest(probes=probes), pins=[Pin("pin_1", "train", image_id="like")]
        )


def test_a_version_built_upon_another_keeps_its_sides() -> None:
    images = dataset()
    base = build(images, seed=1)
    before = {image.id: image.split for image in base.images}
    more = [
        *images,
        *(picture(f"new-{n}", label="kiki", source="web") for n in range(30)),
        *(picture(f"more-{n}", label="mulan", scene="mulan:0") for n in range(6)),
    ]
    request = {"seed": 9, "valid_fraction": 0.4}
    after = {i.id: i.split for i in build_upon(base, more, **request).images}
    assert {name: after[name] for name in before} == before
    assert {after[f"new-{n}"] for n in range(30)} == {Side.TRAIN, Side.VALID}
    assert {after[f"more-{n}"] for n in range(6)} == {before["mulan-m0-0"]}
    anew = {i.id: i.split for i in build(more, **request).images}
    assert {name: anew[name] for name in before} != before


def build_upon(base: Manifest, images: list[ManifestImage], **request: Any) -> Manifest:
    wanted = BuildDatasetVersionRequest(base_version="dsv_1", **request)
    return build_dataset_version(images, wanted, base=base).manifest


def test_grey_copies_of_validation_pictures_are_judged_apart_and_nothing_else_changes() -> None:
    images = dataset(web=20)
    base = build(images)
    copies = [
        picture(
            f"{i.id}-grey", label=i.label, source=i.source, scene=i.scene, variant="grayscale", parent_id=i.id
        )
        for i in images
        if i.id in valid_ids(base) or i.id.endswith(("-0", "w1"))
    ]
    manifest = build_upon(base, [*images, *copies], grey_probe=True)
    assert valid_ids(manifest) == valid_ids(base)
    assert manifest.counts()["valid"] == base.counts()["valid"]
    probe = manifest.on(Side.PROBE)
    assert {image.parent_id for image in probe} == valid_ids(base)
    assert {(image.probe, image.variant.value) for image in probe} == {("grey", "grayscale")}
    assert {image.source for image in probe} == {Source.MOVIE, Source.WEB}
    held = {image.id for image in probe} | valid_ids(base)
    assert not held & {name for image in manifest.on(Side.TRAIN) for name in (image.id, image.parent_id)}
    summary = certify(manifest).summary
    assert (summary.certified, summary.probes) == (True, {"grey": len(probe)})
    without = build_upon(base, [*images, *copies])
    assert not without.on(Side.PROBE)
    assert {i.reason for i in without.images if i.parent_id in valid_ids(base)} == {"of-held-out"}


def test_validation_pictures_without_a_grey_copy_are_counted() -> None:
    images = dataset()
    held = sorted(valid_ids(build(images)))
    copies = [
        picture(f"{name}-grey", label=name.split("-")[0], source="web", variant="grayscale", parent_id=name)
        for name in held[:3]
    ]
    built = build_dataset_version([*images, *copies], BuildDatasetVersionRequest(grey_probe=True))
    assert built.certificate.summary.warnings[-1].startswith(
        f"{len(held) - 3} of {len(held)} validation pictures have no grayscale variant"
    )


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
