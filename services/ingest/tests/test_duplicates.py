"""Hashes agree with imagehash; near duplicates are found exactly."""

from __future__ import annotations

import cv2
import imagehash
import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from reel_ingest.duplicates import NearDuplicates, distance, phash

RNG = np.random.default_rng(5)


def picture(seed, size=(400, 700)):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (9, 16, 3), dtype=np.uint8)
    fine = rng.integers(0, 30, (*size, 3), dtype=np.uint8)
    return cv2.add(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC), fine)


def reference(image):
    return int(str(imagehash.phash(Image.fromarray(image))), 16)


@pytest.mark.parametrize("size", [(400, 700), (64, 64), (96, 1000), (31, 20), (1080, 1920)])
def test_agrees_with_imagehash(size):
    bits = [distance(phash(picture(seed, size)), reference(picture(seed, size))) for seed in range(12)]
    assert max(bits) <= 4
    assert np.mean(bits) <= 1.0


def test_a_recompressed_smaller_copy_is_near_and_another_picture_is_far():
    original = picture(1)
    small = cv2.resize(original, (350, 200), interpolation=cv2.INTER_AREA)
    copy = simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(small, quality=60))
    assert distance(phash(original), phash(copy)) <= 4
    assert distance(phash(original), phash(picture(2))) > 12


def test_grey_and_colour_of_one_picture_hash_alike():
    image = picture(3)
    assert phash(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)) == phash(image)


hashes = st.integers(min_value=0, max_value=2**64 - 1)


@settings(max_examples=60)
@given(known=st.lists(hashes, max_size=40), value=hashes, within=st.integers(0, 40))
def test_find_gives_a_nearest_hash_or_none(known, value, within):
    index = NearDuplicates((str(i), h) for i, h in enumerate(known))
    found = index.find(value, within)
    best = min((distance(h, value) for h in known), default=65)
    if best > within:
        assert found is None
    else:
        assert distance(known[int(found)], value) == best


def test_grows_past_its_first_room_and_finds_planted_neighbours():
    values = [int(v) for v in RNG.integers(0, 2**64, 5000, dtype=np.uint64)]
    index = NearDuplicates((str(i), v) for i, v in enumerate(values))
    assert len(index) == 5000
    for position in (0, 1023, 1024, 4999):
        flipped = values[position] ^ (1 << 63) ^ (1 << 5) ^ 1
        assert index.find(flipped, 3) == str(position)
        assert index.find(flipped, 2) is None
