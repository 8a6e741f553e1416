"""Owns safe decoding of strangers' pictures, and THE preprocessing.

Every service that opens a picture calls it.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from reel_shared.errors import BadPicture, TooLarge

PREPROCESSING = "center-crop-bilinear/1"
"""Names what ``preprocess`` does; stored with each model and checked before serving it."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""The decoders strangers may reach. Not TIFF: many codecs behind one header, and hardly a web picture."""

MAX_PIXELS = 40_000_000
MAX_BYTES = 20 * 2**20

_ORIENTATION_TAG = 0x0112
_XMP_TAG = b"tiff:Orientation"
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow only warns between one and two times its own limit; a picture there is refused like any larger one.
warnings.simplefilter("error", Image.DecompressionBombWarning)


def open_picture(
    data: bytes | BinaryIO,
    *,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
    target: int | None = None,
) -> Image.Image:
    """Decode a picture to upright RGB; transparency lies on white, of an animation the first frame is taken.

    ``target`` allows a JPEG to be decoded at a half, a quarter or an eighth of its size, as long as both
    sides stay at least twice ``target`` pixels.

    Raises ``BadPicture`` or ``TooLarge`` with ``extra["reason"]``: ``empty``, ``not-a-picture``,
    ``truncated``, ``damaged``, ``too-many-bytes`` or ``too-many-pixels``.
    """
    raw = data if isinstance(data, bytes) else data.read(max_bytes + 1)
    if not raw:
        raise BadPicture("The file is empty; send a picture.", reason="empty")
    if len(raw) > max_bytes:
        detail = f"The picture is larger than {max_bytes / 2**20:.3g} MiB; send a smaller file."
        raise TooLarge(detail, reason="too-many-bytes", limit=max_bytes)
    image = _read_header(raw, max_pixels)
    if target is not None:
        image.draft(None, (2 * target, 2 * target))
    try:
        image.load()
        upright = image.transpose(_UPRIGHT[turn]) if (turn := _orientation(image)) in _UPRIGHT else image
        return _to_rgb(upright)
    except MemoryError:
        raise
    except Exception as error:  # a decoder fed with arbitrary bytes raises nearly anything
        _refuse_damaged(error)


def read_size(path: Path) -> tuple[int, int]:
    """Return (width, height) as a file's header says, reading no more of it than that.

    Raises ``BadPicture`` like ``open_picture``, and OSError for a file that is not there.
    """
    with path.open("rb") as file:
        if not file.peek(1):
            raise BadPicture("The file is empty; send a picture.", reason="empty")
        with _opened(file) as image:
            return image.size


def is_turned(data: bytes) -> bool:
    """Whether ``open_picture`` shows a picture other than it is stored, as its EXIF or XMP says."""
    # Most pictures say nothing of it; following their segments takes a fraction of what parsing them does.
    if data.startswith(b"\xff\xd8") and not _may_be_turned(data):
        return False
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return _orientation(image) in _UPRIGHT
    except (
        Exception
    ):  # a decoder fed with arbitrary bytes raises nearly anything; opening it in full says what
        return False


_START_OF_SCAN, _APP1, _FILL = 0xDA, 0xE1, 0xFF
_WITHOUT_LENGTH = frozenset({0x00, 0x01, *range(0xD0, 0xDA)})


def _may_be_turned(jpeg: bytes) -> bool:
    """Whether a segment before the pixels may speak of an orientation, or the segments cannot be followed."""
    place = 2
    while place + 4 <= len(jpeg) and jpeg[place] == _FILL:
        marker = jpeg[place + 1]
        if marker == _START_OF_SCAN:
            return False
        if marker == _FILL:
            place += 1
            continue
        length = jpeg[place + 2] << 8 | jpeg[place + 3]
        if marker in _WITHOUT_LENGTH or length < 2:
            break
        start, end = place + 4, place + 2 + length
        if marker == _APP1 and (jpeg.startswith(b"Exif", start) or jpeg.find(_XMP_TAG, start, end) >= 0):
            return True
        place = end
    return True


def _read_header(raw: bytes, max_pixels: int) -> Image.Image:
    """Parse the header only; no pixel is decoded before its size is known to be allowed."""
    limit = min(max_pixels, Image.MAX_IMAGE_PIXELS or max_pixels)
    try:
        image = _opened(io.BytesIO(raw))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels(limit) from None
    if image.width * image.height > limit:
        raise _too_many_pixels(limit, f"{image.width} x {image.height}")
    return image


def _opened(file: BinaryIO) -> Image.Image:
    try:
        return Image.open(file, formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise
    except UnidentifiedImageError:
        detail = f"The file is not a picture that can be read; send one of {', '.join(FORMATS)}."
        raise BadPicture(detail, reason="not-a-picture") from None
    except Exception as error:
        _refuse_damaged(error)


def _too_many_pixels(limit: int, size: str = "") -> TooLarge:
    measured = f" ({size})" if size else ""
    detail = f"The picture has too many pixels{measured}; at most {limit / 1e6:.3g} million are allowed."
    return TooLarge(detail, reason="too-many-pixels", limit=limit)


def _refuse_damaged(error: Exception) -> NoReturn:
    text = str(error).lower()
    if isinstance(error, EOFError) or "truncated" in text or "not enough" in text:
        raise BadPicture("The picture ends too early; send the whole file.", reason="truncated") from error
    raise BadPicture("The picture is damaged and cannot be decoded.", reason="damaged") from error


def _orientation(image: Image.Image) -> int:
    """Return the orientation by EXIF, or else by XMP; unreadable EXIF means upright, as viewers show it."""
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow's own conversion clips 16-bit values at 255 and turns the picture white.
        eight_bits = np.clip(np.asarray(image).astype(np.int64) >> 8, 0, 255).astype(np.uint8)
        return Image.fromarray(eight_bits).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        paper = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(paper, layer).convert("RGB")
    # A plain copy drops the file's metadata, so that saving the picture cannot publish it.
    return Image.frombytes("RGB", image.size, image.tobytes()) if image.mode == "RGB" else _plain(image)


def _plain(image: Image.Image) -> Image.Image:
    rgb = image.convert("RGB")
    rgb.info.clear()
    return rgb


def preprocess(image: Image.Image | npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """Cut the centre square of the shorter side and resize it: uint8 (size, size, 3), RGB.

    Training, serving and explaining all call this one function. It gives the same pixels as fastai's
    ``Resize(size, method='crop')`` on the validation side, including its rounding.
    """
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    if picture.mode != "RGB":
        raise ValueError(f"preprocess takes RGB, not {picture.mode}: open the picture with open_picture")
    width, height = picture.size
    scale = min(width / size, height / size)
    side = max(1, int(scale * size))
    left, top = int(0.5 * (width - side)), int(0.5 * (height - side))
    square = picture.crop((left, top, left + side, top + side))
    return np.array(square.resize((size, size), Image.Resampling.BILINEAR), dtype=np.uint8)


def to_jpeg(image: Image.Image | npt.NDArray[np.uint8], *, quality: int = 90) -> bytes:
    """Encode RGB or grey pixels as JPEG without any metadata."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    options: dict[str, Any] = {"format": "JPEG", "quality": quality, "exif": b"", "icc_profile": None}
    buffer = io.BytesIO()
    (picture if picture.mode in {"RGB", "L"} else picture.convert("RGB")).save(buffer, **options)
    return buffer.getvalue()
