"""What an uploaded file is, by its first bytes; names and Content-Type of the sender count for nothing."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Literal, NamedTuple

from reel_shared.errors import UnsupportedType

Family = Literal["picture", "film", "archive", "weights"]
HEAD_BYTES = 512


class MediaType(NamedTuple):
    name: str
    suffix: str
    family: Family


JPEG = MediaType("image/jpeg", ".jpg", "picture")
PNG = MediaType("image/png", ".png", "picture")
GIF = MediaType("image/gif", ".gif", "picture")
WEBP = MediaType("image/webp", ".webp", "picture")
BMP = MediaType("image/bmp", ".bmp", "picture")
MP4 = MediaType("video/mp4", ".mp4", "film")
MOV = MediaType("video/quicktime", ".mov", "film")
MATROSKA = MediaType("video/x-matroska", ".mkv", "film")
WEBM = MediaType("video/webm", ".webm", "film")
AVI = MediaType("video/x-msvideo", ".avi", "film")
MPEG_TS = MediaType("video/mp2t", ".ts", "film")
ZIP = MediaType("application/zip", ".zip", "archive")
SAFETENSORS = MediaType("application/vnd.safetensors", ".safetensors", "weights")
ACCEPTED = (JPEG, PNG, GIF, WEBP, BMP, MP4, MOV, MATROSKA, WEBM, AVI, MPEG_TS, ZIP, SAFETENSORS)

_PREFIXES = (
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"PK\x03\x04", ZIP),
)
_STILL_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"crx ")
"""Pictures that share MP4's container; none of them is decoded here."""
_MOV_ATOMS = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_TS_PACKETS = ((0, 188), (4, 192))
"""First sync byte and packet length: MPEG-TS, and M2TS with a time code before each packet."""
_HEADER_BYTES = range(2, 100_000_001)
"""How long the header of a safetensors file may be; the format's own bound."""


def sniff(head: bytes) -> MediaType | None:
    """Tell the type of a file from its first ``HEAD_BYTES`` bytes; None for what is not accepted."""
    for prefix, found in _PREFIXES:
        if head.startswith(prefix):
            return found
    if head[:4] == b"RIFF":
        return {b"WEBP": WEBP, b"AVI ": AVI}.get(head[8:12])
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return WEBM if b"webm" in head[:64] else MATROSKA if b"matroska" in head[:64] else None
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return BMP
    return _iso_media(head) or _transport_stream(head) or _weights(head)


def accept(head: bytes, families: Collection[Family]) -> MediaType:
    """Return the type of an upload.

    Raises:
        UnsupportedType: none that is known, or not of these families.
    """
    found = sniff(head[:HEAD_BYTES])
    if found is None or found.family not in families:
        wanted = ", ".join(media.suffix[1:] for media in ACCEPTED if media.family in families)
        what = (
            "of no kind that is known"
            if found is None
            else f"of the kind {found.suffix[1:]} ({found.family})"
        )
        raise UnsupportedType(f"The file is {what}, judged by its first bytes; send one of {wanted}.")
    return found


def _iso_media(head: bytes) -> MediaType | None:
    atom, brand = head[4:8], head[8:12]
    if atom == b"ftyp":
        return None if brand in _STILL_BRANDS else MOV if brand == b"qt  " else MP4
    return MOV if atom in _MOV_ATOMS else None


def _transport_stream(head: bytes) -> MediaType | None:
    for first, length in _TS_PACKETS:
        if len(head) > first + length and all(byte == 0x47 for byte in head[first::length]):
            return MPEG_TS
    return None


def _weights(head: bytes) -> MediaType | None:
    """Safetensors: the length of the header, little-endian, and the header, a JSON object of UTF-8."""
    length = int.from_bytes(head[:8], "little")
    header = head[8 : 8 + length]
    if length not in _HEADER_BYTES or not header.startswith(b"{"):
        return None
    if len(header) < length:  # it goes on behind what is seen here; a whole file this short is cut off
        return SAFETENSORS if len(head) == HEAD_BYTES and header[1:].lstrip()[:1] == b'"' else None
    try:
        return SAFETENSORS if isinstance(json.loads(header), dict) else None
    except ValueError:
        return None
