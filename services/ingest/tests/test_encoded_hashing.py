"""The hashes of a file are those of its pixels but for a few bits, and what is no picture is refused by its reason."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from reel_ingest.duplicates import distance
from reel_ingest.encoded_hashing import hashes_encoded
from reel_ingest.pictures import hashes
from reel_shared import errors
from reel_shared.images import open_picture

MOST = 4
SIZES = [
    (400, 700),
    (64, 64),
    (96, 1000),
    (31, 20),
    (227, 227),
    (1080, 1920),
    (60, 8),
    (720, 405),
    (1001, 1503),
]


def picture(seed, size=(400, 700)):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 226, (9, 16, 3), dtype=np.uint8)
    fine = rng.integers(0, 30, (*size, 3), dtype=np.uint8)
    return cv2.add(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC), fine)


def encoded(image, form="JPEG", mode="RGB", **options):
    buffer = io.BytesIO()
    Image.fromarray(image).convert(mode).save(buffer, form, **options)
    return buffer.getvalue()


def of_pixels(data):
    return hashes(np.asarray(open_picture(data)))


@pytest.mark.parametrize("size", SIZES)
def test_a_jpeg_has_the_hash_of_its_pixels(size):
    files = [encoded(picture(seed, size), quality=85) for seed in range(12)]
    bits = [distance(hashes_encoded(data).phash, of_pixels(data)[0]) for data in files]
    assert max(bits) <= MOST
    assert np.mean(bits) <= 1
    hashed = hashes_encoded(files[0])
    assert (hashed.height, hashed.width, hashed.phash_with_bars, hashed.inside) == (*size, None, 1.0)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize(
    "sides", [(60, 60, 0, 0), (57, 57, 0, 0), (0, 0, 83, 41), (0, 90, 0, 0), (30, 30, 30, 30)]
)
@pytest.mark.parametrize("level", [0, 255])
def test_bars_are_measured_to_the_pixel(sides, level, form):
    for seed in range(4):
        barred = cv2.copyMakeBorder(picture(seed), *sides, cv2.BORDER_CONSTANT, value=(level,) * 3)
        hashed = hashes_encoded(encoded(barred, form))
        assert distance(hashed.phash, hashes(picture(seed))[0]) <= MOST
        assert distance(hashed.phash_with_bars, hashes(barred)[1]) <= MOST
        assert hashed.inside == pytest.approx(picture(seed).size / barred.size, abs=0.01)
        assert (hashed.height, hashed.width) == barred.shape[:2]


@pytest.mark.parametrize("turn", range(2, 9))
def test_a_turned_jpeg_is_hashed_as_it_is_shown(turn):
    upright = picture(4, (300, 420))
    back = {
        2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1), 7: lambda a: np.rot90(a, 2).transpose(1, 0, 2), 8: lambda a: np.rot90(a, -1),
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = turn
    data = encoded(np.ascontiguousarray(back[turn](upright)), quality=90, exif=exif)
    assert distance(hashes_encoded(data).phash, hashes(upright)[0]) <= MOST


@pytest.mark.parametrize(
    ("form", "mode", "options"),
    [
        ("PNG", "RGB", {}),
        ("WEBP", "RGB", {}),
        ("GIF", "RGB", {}),
        ("BMP", "RGB", {}),
        ("JPEG", "CMYK", {"quality": 90}),
        ("JPEG", "L", {"quality": 90, "progressive": True}),
    ],
)
def test_other_formats_and_odd_jpegs(form, mode, options):
    data = encoded(picture(5), form, mode, **options)
    assert distance(hashes_encoded(data).phash, hashes(picture(5))[0]) <= MOST


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<html>", "not-a-picture"),
        (encoded(picture(7))[:3000], "truncated"),
        (b"\xff\xd8\xff" + bytes(50), "not-a-picture"),
    ],
)
def test_no_picture_is_refused_with_its_reason(data, reason):
    with pytest.raises(errors.BadPicture) as caught:
        hashes_encoded(data)
    assert caught.value.extra["reason"] == reason


def test_a_bomb_is_not_decoded():
    with pytest.raises(errors.TooLarge):
        hashes_encoded(encoded(np.zeros((7000, 7000), np.uint8), mode="L"))
