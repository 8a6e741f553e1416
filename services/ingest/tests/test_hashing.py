"""Hashes agree with imagehash and with those stored earlier; a picture's are those inside and with its bars."""

from __future__ import annotations

import cv2
import imagehash
import numpy as np
import pytest
import simplejpeg
from PIL import Image

from reel_ingest.duplicates import distance
from reel_ingest.hashing import phash
from reel_ingest.pictures import hashes

SIZES = [(400, 700), (64, 64), (96, 1000), (31, 20), (227, 227), (1080, 1920), (60, 8), (720, 405)]


def picture(seed, size=(400, 700)):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (9, 16, 3), dtype=np.uint8)
    fine = rng.integers(0, 30, (*size, 3), dtype=np.uint8)
    return cv2.add(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC), fine)


def reference(image):
    return int(str(imagehash.phash(Image.fromarray(image))), 16)


def earlier(image):
    """The hash of version 0001 of the schema: a Lanczos step by Pillow and a normalised DCT by OpenCV."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    coarse = (min(grey.shape[1], 128), min(grey.shape[0], 128))
    if coarse != grey.shape[::-1]:
        grey = cv2.resize(grey, coarse, interpolation=cv2.INTER_AREA)
    small = Image.fromarray(grey).resize((32, 32), Image.Resampling.LANCZOS)
    low = cv2.dct(np.asarray(small, dtype=np.float32))[:8, :8]
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


@pytest.mark.parametrize("size", SIZES)
def test_agrees_with_imagehash(size):
    bits = [distance(phash(picture(seed, size)), reference(picture(seed, size))) for seed in range(12)]
    assert max(bits) <= 4
    assert np.mean(bits) <= 0.6


@pytest.mark.parametrize("size", SIZES)
def test_hashes_that_were_stored_earlier_can_be_compared(size):
    bits = [distance(phash(picture(seed, size)), earlier(picture(seed, size))) for seed in range(12)]
    assert max(bits) <= 4
    assert np.mean(bits) <= 1


def test_a_recompressed_smaller_copy_is_near_and_another_picture_is_far():
    original = picture(1)
    small = cv2.resize(original, (350, 200), interpolation=cv2.INTER_AREA)
    copy = simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(small, quality=60))
    assert distance(phash(original), phash(copy)) <= 4
    assert distance(phash(original), phash(picture(2))) > 12


def test_grey_and_colour_of_one_picture_hash_alike():
    image = picture(3)
    assert phash(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)) == phash(image)


def test_a_plain_picture_has_a_hash():
    assert phash(np.full((90, 90, 3), 128, np.uint8)) >> 63 == 1
    assert phash(np.zeros((90, 90, 3), np.uint8)) == 0


@pytest.mark.parametrize("size", SIZES)
def test_the_hashes_of_a_web_picture(size):
    plain = picture(8, size)
    assert hashes(plain) == (phash(plain), None)
    bar = max(4, size[0] // 5)
    barred = cv2.copyMakeBorder(plain, bar, bar, 0, 0, cv2.BORDER_CONSTANT)
    assert hashes(barred) == (phash(plain), phash(barred))
