"""Decoding of hostile and odd pictures, and the one preprocessing function."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw

from reel_shared.errors import BadPicture, ReelError, TooLarge
from reel_shared.images import is_turned, open_picture, preprocess, to_jpeg


def encode(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def scene(width: int, height: int) -> Image.Image:
    """A picture with large shapes, as films have: scaled decoding may be compared on it."""
    image = Image.new("RGB", (width, height), (30, 60, 120))
    draw = ImageDraw.Draw(image)
    draw.ellipse((width // 4, height // 4, width // 2, height // 2), fill=(220, 180, 40))
    draw.rectangle((width // 2, height // 2, width - 20, height - 20), fill=(20, 160, 60))
    return image


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )


def reason(data: bytes, **limits: int) -> str:
    with pytest.raises((BadPicture, TooLarge)) as refused:
        open_picture(data, **limits)
    error = refused.value
    assert isinstance(error, ReelError)
    assert error.detail.endswith(".")
    return str(error.extra["reason"])


def test_a_bomb_is_refused_from_its_header() -> None:
    bomb = encode(Image.new("1", (12_000, 12_000)), "PNG", optimize=True)
    assert len(bomb) < 40_000
    assert reason(bomb) == "too-many-pixels"


@pytest.mark.parametrize("size", [(10_000, 9_000), (30_000, 30_000), (2**31 - 1, 2**31 - 1), (8000, 5001)])
def test_a_claimed_size_is_refused_without_decoding(size: tuple[int, int]) -> None:
    assert reason(png_header(*size)) == "too-many-pixels"


def test_the_pixel_limit_is_exact() -> None:
    assert open_picture(encode(noise(40, 25), "PNG"), max_pixels=1000).size == (40, 25)
    assert reason(encode(noise(41, 25), "PNG"), max_pixels=1000) == "too-many-pixels"


def test_the_byte_limit_holds_for_bytes_and_streams() -> None:
    data = encode(noise(40, 40), "PNG")
    assert open_picture(io.BytesIO(data), max_bytes=len(data)).size == (40, 40)
    assert reason(data, max_bytes=len(data) - 1) == "too-many-bytes"
    with pytest.raises(TooLarge):
        open_picture(io.BytesIO(data), max_bytes=len(data) - 1)


@pytest.mark.parametrize(
    "data",
    [
        b"<!doctype html><title>Not found</title>",
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        b"%PDF-1.7",
        b"\x00" * 64,
        encode(Image.new("RGB", (9, 9)), "TIFF"),
        encode(Image.new("RGB", (9, 9)), "ICO"),
        encode(Image.new("RGB", (9, 9)), "PPM"),
    ],
    ids=["html", "svg", "pdf", "zeros", "tiff", "ico", "ppm"],
)
def test_what_is_no_accepted_picture_is_refused(data: bytes) -> None:
    assert reason(data) == "not-a-picture"


def test_an_empty_file_is_refused() -> None:
    assert reason(b"") == "empty"


@pytest.mark.parametrize(
    ("form", "options"),
    [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("BMP", {}), ("GIF", {})],
)
def test_a_truncated_picture_is_refused(form: str, options: dict[str, bool]) -> None:
    data = encode(noise(64, 64), form, **options)
    assert reason(data[: len(data) * 2 // 3]) == "truncated"


def test_a_truncated_webp_is_refused() -> None:
    data = encode(noise(64, 64), "WEBP")
    assert reason(data[: len(data) * 2 // 3]) in {"truncated", "damaged", "not-a-picture"}


def test_a_damaged_png_is_refused() -> None:
    data = bytearray(encode(noise(64, 64), "PNG"))
    data[len(data) // 2] ^= 0xFF
    assert reason(bytes(data)) in {"damaged", "truncated"}


def test_no_prefix_of_a_picture_breaks_out() -> None:
    for form in ("JPEG", "PNG", "WEBP", "GIF", "BMP"):
        data = encode(noise(24, 24), form)
        for end in range(0, len(data), 7):
            try:
                open_picture(data[:end])
            except (BadPicture, TooLarge):
                pass


def test_no_flipped_byte_breaks_out() -> None:
    random = np.random.default_rng(1)
    for form in ("JPEG", "PNG", "WEBP", "GIF", "BMP"):
        data = np.frombuffer(encode(noise(24, 24), form), np.uint8)
        for _ in range(150):
            broken = data.copy()
            broken[random.integers(0, len(data), 3)] = random.integers(0, 256, 3)
            try:
                open_picture(broken.tobytes(), max_pixels=10**6)
            except (BadPicture, TooLarge):
                pass


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (30, 20), color) for color in ("red", "green", "blue")]
    for form in ("GIF", "WEBP"):
        data = encode(frames[0], form, save_all=True, append_images=frames[1:], lossless=True)
        picture = open_picture(data)
        assert (picture.mode, picture.size) == ("RGB", (30, 20))
        assert picture.getpixel((15, 10)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("mode", "color", "form", "expected"),
    [
        ("L", 77, "PNG", (77, 77, 77)),
        ("1", 1, "PNG", (255, 255, 255)),
        ("CMYK", (255, 0, 0, 0), "JPEG", (0, 255, 255)),
        ("I;16", 0x8000, "PNG", (128, 128, 128)),
        ("RGBA", (255, 0, 0, 0), "PNG", (255, 255, 255)),
        ("RGBA", (255, 0, 0, 128), "PNG", (255, 127, 127)),
        ("RGBA", (0, 0, 0, 0), "WEBP", (255, 255, 255)),
        ("LA", (0, 0), "PNG", (255, 255, 255)),
    ],
)
def test_every_mode_becomes_rgb(mode: str, color: object, form: str, expected: tuple[int, ...]) -> None:
    picture = open_picture(encode(Image.new(mode, (16, 12), color), form))
    assert (picture.mode, picture.size) == ("RGB", (16, 12))
    assert np.abs(np.subtract(picture.getpixel((8, 6)), expected)).max() <= 2


def test_a_palette_is_resolved_with_its_transparent_entry() -> None:
    image = Image.new("P", (10, 10), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    assert open_picture(encode(image, "PNG")).getpixel((5, 5)) == (10, 200, 30)
    assert open_picture(encode(image, "PNG", transparency=1)).getpixel((5, 5)) == (255, 255, 255)
    grey = encode(Image.new("L", (10, 10), 9), "PNG", transparency=9)
    assert open_picture(grey).getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright(orientation: int) -> None:
    from PIL import ImageOps

    image = scene(160, 96)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(image, "PNG", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert np.array_equal(np.asarray(open_picture(data)), np.asarray(expected))


def test_unreadable_exif_does_no_harm() -> None:
    data = encode(scene(64, 48), "JPEG", exif=b"Exif\x00\x00II*\x00garbage" + b"\xff" * 40)
    assert open_picture(data).size == (64, 48)


def test_metadata_is_not_carried_along() -> None:
    exif = Image.Exif()
    exif[0x010E] = "a home address"
    for source in (scene(64, 48), scene(64, 48).convert("L")):
        picture = open_picture(encode(source, "JPEG", exif=exif, icc_profile=b"x" * 200))
        assert picture.info == {}
        assert not Image.open(io.BytesIO(to_jpeg(picture))).getexif()


@pytest.mark.parametrize("target", [64, 224])
def test_scaled_decoding_changes_no_more_than_noise(target: int) -> None:
    data = encode(scene(2400, 1600), "JPEG", quality=92)
    whole, scaled = open_picture(data), open_picture(data, target=target)
    assert scaled.width < whole.width
    assert min(scaled.size) >= 2 * target
    difference = np.abs(preprocess(whole, target).astype(int) - preprocess(scaled, target))
    assert difference.mean() < 0.5
    assert np.percentile(difference, 99.9) <= 12


@pytest.mark.parametrize("size", [1, 7, 64, 224, 300])
def test_preprocessing_equals_fastai(size: int) -> None:
    from fastai.vision.augment import Resize, ResizeMethod  # seconds of imports, for this test alone
    from fastai.vision.core import PILImage

    resize = Resize(size, method=ResizeMethod.Crop)
    shapes = [(640, 360), (361, 640), (224, 224), (225, 224), (99, 301), (37, 53), (1001, 333), (300, 301)]
    for seed, (width, height) in enumerate(shapes):
        image = noise(width, height, seed)
        expected = np.asarray(resize(PILImage(image), split_idx=1))
        assert np.array_equal(preprocess(image, size), expected), (width, height)


def test_preprocessing_takes_arrays_and_the_smallest_pictures() -> None:
    image = noise(50, 30)
    result = preprocess(np.asarray(image), 16)
    assert (result.shape, result.dtype) == ((16, 16, 3), np.uint8)
    assert np.array_equal(result, preprocess(image, 16))
    for width, height in ((1, 1), (1, 500), (2, 1)):
        assert preprocess(noise(width, height), 49).shape == (49, 49, 3)
    with pytest.raises(ValueError, match="RGB"):
        preprocess(Image.new("L", (9, 9)), 4)


def test_jpeg_quality_is_used() -> None:
    image = noise(64, 64)
    small, large = to_jpeg(image, quality=20), to_jpeg(np.asarray(image), quality=95)
    assert len(small) < len(large)
    assert open_picture(large).size == (64, 64)


@pytest.mark.parametrize("orientation", [None, 1, 6])
def test_turned_jpegs_are_known_wherever_their_header_says_so(orientation: int | None) -> None:
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    # Another segment of the header, that looks like the beginning of the pixels.
    profile = b"\xff\xda" * 20_000
    data = encode(scene(64, 48), "JPEG", exif=exif.tobytes() if orientation else b"", icc_profile=profile)
    first, behind = data.index(b"Exif") if orientation else 0, data.index(b"ICC_PROFILE")
    if orientation:  # Pillow writes EXIF before the profile; cameras also the other way round
        start, end = first - 4, first - 2 + int.from_bytes(data[first - 2 : first], "big")
        rest = behind - 2 + int.from_bytes(data[behind - 2 : behind], "big")
        data = data[:start] + data[end:rest] + data[start:end] + data[rest:]
    assert is_turned(data) == (orientation == 6)


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


TURNED = Image.Exif()
TURNED[0x0112] = 6
XMP = b"http://ns.adobe.com/xap/1.0/\x00<x:xmpmeta><rdf:Description "
PROFILE = b"".join(segment(0xE2, b"ICC_PROFILE\x00" + bytes((n, 3)) + bytes(60_000)) for n in (1, 2, 3))


@pytest.mark.parametrize(
    ("header", "turned"),
    [
        (segment(0xE1, XMP + b'tiff:Orientation="6"/>'), True),
        (segment(0xE1, XMP + b"/><tiff:Orientation>8</tiff:Orientation>"), True),
        (segment(0xE1, XMP + b'tiff:Orientation="1"/>'), False),
        (PROFILE + segment(0xE1, TURNED.tobytes()), True),
        (PROFILE + segment(0xE1, XMP + b'tiff:Orientation="6"/>'), True),
        (b"\xff\xff" + segment(0xE1, TURNED.tobytes()), True),
        (PROFILE, False),
        (segment(0xFE, b"tiff:Orientation"), False),
    ],
)
def test_turned_jpegs_are_known_whoever_says_so_and_however_far_behind(header: bytes, turned: bool) -> None:
    data = to_jpeg(scene(64, 48))
    data = data[:2] + header + data[2:]
    assert open_picture(data).size == ((48, 64) if turned else (64, 48))
    assert is_turned(data) == turned


@pytest.mark.parametrize("odd", [b"\xff\xe2\x00\x00", b"\xff\xd0", b""])
def test_a_header_that_cannot_be_followed_is_left_to_the_decoder(odd: bytes) -> None:
    data = to_jpeg(scene(64, 48))
    data = data[:2] + odd + segment(0xE1, TURNED.tobytes()) + data[2:]
    assert is_turned(data) == (open_picture(data).size == (48, 64))
    assert not is_turned(data[:20])
