"""The files that the open web mixes in: odd formats, copies, and things that are no pictures. Called by gallery."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from reelsight.studio.ink import Picture

HUGE_SIDE = 12_000


def rgb(picture: Picture) -> Image.Image:
    return Image.fromarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))


def encoded(image: Image.Image, kind: str, *, quality: int = 88) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=quality)
    return buffer.getvalue()


def animated_gif(image: Image.Image) -> bytes:
    """The drawing, trembling on three frames."""
    side = image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
    paper = side.getpixel((2, 2))
    frames = [side.rotate(turn, Image.Resampling.BICUBIC, fillcolor=paper) for turn in (0, 1.2, -1.2)]
    buffer = io.BytesIO()
    palettes = [frame.quantize(64) for frame in frames]
    palettes[0].save(buffer, "GIF", save_all=True, append_images=palettes[1:], duration=160, loop=0)
    return buffer.getvalue()


def transparent_png(image: Image.Image) -> bytes:
    """The picture in an oval; outside it there is nothing."""
    oval = Image.new("L", image.size, 0)
    ImageDraw.Draw(oval).ellipse((4, 4, image.width - 4, image.height - 4), fill=255)
    layer = image.convert("RGBA")
    layer.putalpha(oval)
    return encoded(layer, "PNG")


def in_format(picture: Picture, kind: str, *, quality: int) -> bytes:
    """Encode as ``jpg``, ``png``, ``webp``, ``gif`` (animated), ``grey.png``, ``rgba.png`` or ``cmyk.jpg``."""
    image = rgb(picture)
    match kind:
        case "gif":
            return animated_gif(image)
        case "grey.png":
            return encoded(image.convert("L"), "PNG")
        case "rgba.png":
            return transparent_png(image)
        case "cmyk.jpg":
            return encoded(image.convert("CMYK"), "JPEG", quality=quality)
        case "webp":
            return encoded(image, "WEBP", quality=quality)
        case "png":
            return encoded(image, "PNG")
        case "jpg":
            return encoded(image, "JPEG", quality=quality)
    raise ValueError(f"the studio writes no {kind!r} files")


def recompressed(data: bytes) -> bytes:
    """A copy saved again at a low quality."""
    return encoded(_opened(data), "JPEG", quality=52)


def shrunk(data: bytes) -> bytes:
    """A copy at two thirds of the size."""
    image = _opened(data)
    size = (round(image.width * 0.66), round(image.height * 0.66))
    return encoded(image.resize(size, Image.Resampling.LANCZOS), "PNG")


def inverted(data: bytes) -> bytes:
    """A copy as a negative."""
    return encoded(ImageOps.invert(_opened(data)), "PNG")


def framed(data: bytes) -> bytes:
    """A copy with black bars above and below, as players show it."""
    image = _opened(data)
    bar = round(image.height * 0.14)
    return encoded(ImageOps.expand(image, (0, bar, 0, bar), "black"), "JPEG")


def blurred(data: bytes) -> bytes:
    """A copy so far out of focus that nobody can tell what it shows."""
    image = _opened(data)
    return encoded(image.filter(ImageFilter.GaussianBlur(max(image.size) / 24)), "JPEG")


def truncated(data: bytes) -> bytes:
    return data[: len(data) * 45 // 100]


def page_not_found() -> bytes:
    """What many servers send in place of a picture that is gone."""
    return b"<!doctype html>\n<title>Gone</title>\n<h1>This picture was removed by its owner.</h1>\n"


@cache
def huge_png() -> bytes:
    """A valid PNG of a few kB whose pixels would fill hundreds of megabytes."""
    deflate = zlib.compressobj(9)
    row = b"\0" + b"\0" * (HUGE_SIDE // 8)
    body = b"".join(deflate.compress(row) for _ in range(HUGE_SIDE)) + deflate.flush()
    header = struct.pack(">IIBBBBB", HUGE_SIDE, HUGE_SIDE, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def seen(data: bytes) -> Image.Image:
    """The first frame on white, as a viewer shows it."""
    layer = Image.open(io.BytesIO(data)).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def likeness(data: bytes) -> int:
    """64 bits of the picture's coarse shape: the signs of its lowest cosine waves against their median."""
    grey = cv2.cvtColor(np.asarray(seen(data)), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:8, :8]
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def _opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")
