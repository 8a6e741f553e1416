"""Every variant against scikit-image's own call, on ordinary and on awkward pictures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage import exposure
from skimage.color import rgb2gray
from skimage.util import img_as_ubyte, random_noise

from reel_augment import levels, poisson, transforms
from reel_augment.transforms import make_variants, variant_seed
from reel_shared.contracts import Variant
from reel_shared.errors import BadPicture


def reference(img: np.ndarray, seed: int) -> tuple[dict[Variant, np.ndarray], set[Variant]]:
    """The rules in their plainest form, one scikit-image call each."""
    made: dict[Variant, np.ndarray] = {}
    skipped: set[Variant] = set()
    low = exposure.is_low_contrast(img)
    if low:
        skipped |= {Variant.GRAYSCALE, Variant.INVERT, Variant.NOISE}
    else:
        made[Variant.GRAYSCALE] = img_as_ubyte(np.repeat(rgb2gray(img)[:, :, np.newaxis], 3, axis=2))
        made[Variant.INVERT] = np.invert(img)
        made[Variant.NOISE] = img_as_ubyte(random_noise(img, mode="poisson", rng=seed))
    v_min, v_max = np.percentile(img, (0.2, 99.8))
    made[Variant.INTENSITY] = exposure.rescale_intensity(img, in_range=(v_min, v_max))
    if low:
        made[Variant.INTENSITY_INVERT] = np.invert(made[Variant.INTENSITY])
    for kind, result in (
        (Variant.LOG, exposure.adjust_log(img)),
        (Variant.SIGMOID, exposure.adjust_sigmoid(img)),
    ):
        if exposure.is_low_contrast(result):
            skipped.add(kind)
        else:
            made[kind] = result
    return made, skipped


def scene(height: int = 90, width: int = 140, low: float = 0, high: float = 255, seed: int = 0) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / 17 + y / 31), np.sin(x / 23), np.cos(y / 19 - x / 41)], axis=-1) / 2 + 0.5
    noise = np.random.default_rng(seed).normal(0, 0.04, waves.shape)
    return (low + (high - low) * (waves + noise).clip(0, 1)).astype(np.uint8)


def drawing() -> np.ndarray:
    """Black strokes on white: three channels, no colour, few levels."""
    page = np.full((120, 80, 3), 255, np.uint8)
    page[20:24, 10:70] = 0
    page[20:100, 38:42] = 30
    return page


PICTURES = {
    "film frame": scene(),
    "narrow range": scene(low=90, high=170),
    "low contrast": scene(low=120, high=130),
    "dark, log passes": scene(low=0, high=24),
    "mid grey, sigmoid passes": scene(low=120, high=142),
    "bright, sigmoid flattens": scene(low=225, high=255),
    "drawing": drawing(),
    "gray photograph": np.repeat(scene()[:, :, :1], 3, axis=2),
    "black": np.zeros((20, 30, 3), np.uint8),
    "white": np.full((20, 30, 3), 255, np.uint8),
    "one colour": np.broadcast_to(np.array([10, 200, 90], np.uint8), (20, 30, 3)),
    "one pixel": np.array([[[3, 250, 100]]], np.uint8),
    "two pixels": np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8),
    "odd strip": scene(height=3, width=17),
    "not contiguous": scene()[::2, ::-1],
}


@pytest.mark.parametrize("name", PICTURES)
def test_equals_scikit_image(name: str) -> None:
    picture = PICTURES[name]
    before = picture.copy()
    expected, skipped = reference(picture, seed=11)
    got = make_variants(picture, seed=11)
    assert list(got.images) == list(expected)
    assert got.skipped == skipped
    for kind, image in expected.items():
        assert got.images[kind].dtype == np.uint8
        np.testing.assert_array_equal(got.images[kind], image, err_msg=kind)
    np.testing.assert_array_equal(picture, before)


def test_the_pictures_meet_every_guard_both_ways() -> None:
    results = [make_variants(picture, seed=0) for picture in PICTURES.values()]
    made = set().union(*(result.images for result in results))
    skipped = set().union(*(result.skipped for result in results))
    assert made == set(Variant) - {Variant.ORIGINAL}
    assert skipped == made - {Variant.INTENSITY, Variant.INTENSITY_INVERT}


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(3))),
    st.integers(0, 2**64 - 1),
)
def test_equals_scikit_image_on_anything(picture: np.ndarray, seed: int) -> None:
    expected, skipped = reference(picture, seed)
    got = make_variants(picture, seed=seed)
    assert got.skipped == skipped
    assert got.images.keys() == expected.keys()
    for kind, image in expected.items():
        np.testing.assert_array_equal(got.images[kind], image, err_msg=kind)


@settings(max_examples=200, deadline=None)
@given(hnp.arrays(np.uint8, st.integers(1, 700)), st.floats(0, 100))
def test_percentile_is_numpys(values: np.ndarray, percent: float) -> None:
    assert levels.percentile(np.bincount(values, minlength=256), percent) == np.percentile(values, percent)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 255), st.floats(18, 34), st.tuples(*[st.floats(0, 1)] * 3))
def test_contrast_is_judged_as_scikit_image_does(
    seed: int, low: int, spread: float, tint: tuple[float, float, float]
) -> None:
    ramp = np.random.default_rng(seed).uniform(0, spread, (16, 16, 1)) * (0.5 + np.array(tint))
    picture = (low + ramp).clip(0, 255).astype(np.uint8)
    assert levels.is_low_contrast(picture) == exposure.is_low_contrast(picture)


def test_the_rough_luma_is_as_near_as_it_claims() -> None:
    levels = np.array([0, 1, 2, 127, 128, 254, 255], np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    rough = (colours.astype(np.uint16) @ np.array([54, 183, 19], np.uint16)) >> 8
    assert np.abs(rough - rgb2gray(colours) * 255).max() < 1.6


def test_strips_do_not_change_a_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = scene()
    whole = make_variants(picture, seed=5)
    monkeypatch.setattr(transforms, "_STRIP", 997)
    monkeypatch.setattr(poisson, "STRIP", 998)
    monkeypatch.setattr(levels, "STRIP_PIXELS", 300)
    for kind, image in make_variants(picture, seed=5).images.items():
        np.testing.assert_array_equal(image, whole.images[kind], err_msg=kind)


def test_noise_follows_the_picture_and_the_seed() -> None:
    picture, first, second = scene(), variant_seed("a" * 64, 42), variant_seed("b" * 64, 42)
    noise = [make_variants(picture, seed=s).images[Variant.NOISE] for s in (first, first, second)]
    np.testing.assert_array_equal(noise[0], noise[1])
    assert (noise[0] != noise[2]).any()
    assert len({first, second, variant_seed("a" * 64, 43)}) == 3
    assert 0 <= first < 2**63
    assert first == variant_seed("a" * 64, 42)


def test_no_variant_shares_memory_with_the_picture() -> None:
    picture = scene()
    assert not any(
        np.shares_memory(image, picture) for image in make_variants(picture, seed=0).images.values()
    )


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float64),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(picture: np.ndarray) -> None:
    with pytest.raises(BadPicture, match="RGB picture of 8 bits"):
        make_variants(picture, seed=0)
