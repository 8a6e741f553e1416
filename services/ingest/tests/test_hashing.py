"""Hashes agree with imagehash, those of files with those of their pixels, and with those stored earlier."""

from __future__ import annotations

import io

import cv2
import imagehash
import numpy as np
import pytest
import simplejpeg
from PIL import Image

from reel_ingest.duplicates import distance
from reel_ingest.hashing import HIGHEST_DIFFERENCE, phash, phash_encoded, phash_files
from reel_shared import errors

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


def jpeg(image, quality=85, **options):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("size", SIZES)
def test_agrees_with_imagehash(size):
    bits = [distance(phash(picture(seed, size)), reference(picture(seed, size))) for seed in range(12)]
    assert max(bits) <= 4
    assert np.mean(bits) <= 0.6


@pytest.mark.parametrize("size", SIZES)
def test_a_jpeg_has_the_hash_of_its_pixels(size):
    files = [jpeg(picture(seed, size)) for seed in range(12)]
    bits = [distance(phash_encoded(data), phash(simplejpeg.decode_jpeg(data))) for data in files]
    assert max(bits) <= HIGHEST_DIFFERENCE
    assert np.mean(bits) <= 1


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


@pytest.mark.parametrize("turn", range(2, 9))
def test_a_turned_jpeg_is_hashed_as_it_is_shown(turn):
    upright = picture(4, (300, 420))
    back = {
        2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1), 7: lambda a: np.rot90(a, 2).transpose(1, 0, 2), 8: lambda a: np.rot90(a, -1),
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = turn
    data = jpeg(np.ascontiguousarray(back[turn](upright)), exif=exif)
    assert distance(phash_encoded(data), phash(upright)) <= HIGHEST_DIFFERENCE


@pytest.mark.parametrize("form", ["PNG", "WEBP", "GIF", "BMP"])
def test_other_formats(form):
    buffer = io.BytesIO()
    Image.fromarray(picture(5)).save(buffer, form)
    assert distance(phash_encoded(buffer.getvalue()), phash(picture(5))) <= 4


def test_odd_jpegs():
    image = Image.fromarray(picture(6))
    for mode in ("CMYK", "L"):
        buffer = io.BytesIO()
        image.convert(mode).save(buffer, "JPEG", quality=90, progressive=mode == "L")
        assert distance(phash_encoded(buffer.getvalue()), phash(picture(6))) <= 4


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<html>", "not-a-picture"),
        (jpeg(picture(7))[:3000], "truncated"),
        (b"\xff\xd8\xff" + bytes(50), "not-a-picture"),
    ],
)
def test_no_picture_is_refused_with_its_reason(data, reason):
    with pytest.raises(errors.BadPicture) as caught:
        phash_encoded(data)
    assert caught.value.extra["reason"] == reason


def test_a_bomb_is_not_decoded():
    with pytest.raises(errors.TooLarge):
        phash_encoded(jpeg(np.zeros((7000, 7000), np.uint8)))


@pytest.mark.parametrize("threads", [1, 3])
def test_files_in_order(tmp_path, threads):
    paths = []
    for number in range(9):
        paths.append(tmp_path / f"{number}.jpg")
        paths[-1].write_bytes(b"no picture" if number == 4 else jpeg(picture(number, (90, 120))))
    found = list(phash_files(paths, threads=threads))
    assert [path for path, _ in found] == paths
    assert [value for _, value in found] == [
        None if number == 4 else phash_encoded(path.read_bytes()) for number, path in enumerate(paths)
    ]
