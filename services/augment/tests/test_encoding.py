"""Files in and out: what is decoded quickly is what the careful way gives, and WebP loses nothing."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from reel_augment.encoding import LONGEST, decode, encode, fits
from reel_augment.transforms import KINDS
from reel_shared.errors import BadPicture, ReelError, TooLarge
from reel_shared.images import open_picture

LIMITS = {"max_pixels": 10**6, "max_bytes": 10**7}


def picture(height: int = 61, width: int = 83) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / 9), np.sin(x / 13 + y / 7), np.cos(y / 11)], -1) / 2 + 0.5
    return (255 * waves).astype(np.uint8)


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {"format": "JPEG", "quality": 90}),
        ("RGB", {"format": "JPEG", "quality": 60, "subsampling": 0}),
        ("RGB", {"format": "JPEG", "progressive": True}),
        ("RGB", {"format": "JPEG", "exif": turned()}),
        ("L", {"format": "JPEG"}),
        ("CMYK", {"format": "JPEG"}),
        ("RGB", {"format": "PNG"}),
        ("P", {"format": "PNG"}),
        ("RGB", {"format": "WEBP"}),
    ],
)
def test_decoded_as_the_careful_way_does(mode, options) -> None:
    stream = io.BytesIO()
    Image.fromarray(picture()).convert(mode).save(stream, **options)
    found = decode(stream.getvalue(), **LIMITS)
    np.testing.assert_array_equal(found, np.asarray(open_picture(stream.getvalue())))
    assert found.shape == ((83, 61, 3) if "exif" in options else (61, 83, 3))


def test_what_xmp_or_exif_behind_a_long_profile_turns_stands_upright() -> None:
    xmp = b"http://ns.adobe.com/xap/1.0/\x00<rdf:Description tiff:Orientation='1' tiff:Orientation=\"6\"/>"
    profile = b"".join(
        b"\xff\xe2\xff\xffICC_PROFILE\x00" + bytes((part, 2)) + bytes(0xFFFF - 16) for part in (1, 2)
    )
    plain = encode(KINDS[1], picture(), quality=90, format="jpeg").data
    for segment in (xmp, turned().tobytes()):
        header = profile + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment
        data = plain[:2] + header + plain[2:]
        found = decode(data, **LIMITS)
        assert found.shape == (83, 61, 3)
        np.testing.assert_array_equal(found, np.asarray(open_picture(data)))


def test_what_is_no_picture_or_too_large_is_said() -> None:
    data = encode(KINDS[1], picture(), quality=90, format="jpeg").data
    with pytest.raises(TooLarge):
        decode(data, max_pixels=100, max_bytes=10**7)
    with pytest.raises(TooLarge):
        decode(data, max_pixels=10**6, max_bytes=100)
    with pytest.raises(BadPicture):
        decode(data[: len(data) // 2], **LIMITS)


@settings(max_examples=80, deadline=None)
@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))),
    st.sampled_from(KINDS),
)
def test_webp_gives_back_every_pixel(image: np.ndarray, kind) -> None:
    file = encode(kind, image, quality=1, format="webp")
    assert (file.media_type, file.suffix) == ("image/webp", ".webp")
    np.testing.assert_array_equal(decode(file.data, **LIMITS), image)


@pytest.mark.parametrize("format", LONGEST)
def test_what_a_format_cannot_hold_is_refused_in_words(format) -> None:
    strip = np.zeros((1, LONGEST[format] + 1, 3), np.uint8)
    assert not fits(strip, format)
    with pytest.raises(ReelError, match=f"at most {LONGEST[format]} pixels on a side"):
        encode(KINDS[1], strip, quality=90, format=format)
    assert fits(strip[:, 1:], format)
    encode(KINDS[1], np.ascontiguousarray(strip[:, 1:]), quality=90, format=format)
