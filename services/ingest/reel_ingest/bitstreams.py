"""What a packet's first bytes say: may decoding begin here, does any other frame need it; called by packets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Data = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Facts:
    """What the decoder would learn of one packet of a film."""

    disposable: bool = False
    """No other frame is decoded from this one."""
    entry: bool = False
    """A run begun here gives every frame shown from here on just as a run from the start of the film."""
    headers: bool = False
    """It carries parameter sets that later packets need."""
    layer: int = 0
    """Temporal layer; only frames of the highest one are really disposable."""
    leading: bool = False
    """It cannot be decoded when the run begins at the entry before it."""
    hidden: bool = False
    """It gives no frame."""


Reader = Callable[[Any], Facts]

_PLAIN = Facts()


def reader(codec: str, extradata: bytes) -> Reader | None:
    """Return a function from packet to facts, or None for codecs whose packets are not known to be frames."""
    if codec in {"h264", "hevc"}:
        packed = extradata[:1] == b"\x01"
        length_at = 4 if codec == "h264" else 21
        length = (extradata[length_at] & 3) + 1 if packed and len(extradata) > length_at else 0
        read = _h264 if codec == "h264" else _hevc
        return lambda packet: read(_length_units(memoryview(packet), length) if length else _units(packet))
    return _READERS.get(codec)


def _length_units(data: memoryview, length: int) -> Iterator[Data]:
    place = 0
    while place + length < len(data):
        size = int.from_bytes(data[place : place + length], "big")
        place += length
        yield data[place : place + size]
        place += size


def _units(packet: Any) -> Iterator[Data]:
    """Yield NAL units of a byte stream, each from its header on; parameter sets and slice headers come early."""
    data = bytes(memoryview(packet))
    place = data.find(b"\0\0\1")
    while 0 <= place < len(data) - 4:
        yield memoryview(data)[place + 3 : place + 259]
        place = data.find(b"\0\0\1", place + 3)


def _h264(units: Iterator[Data]) -> Facts:
    headers = recovers = False
    for unit in units:
        if not unit:
            continue
        kind = unit[0] & 31
        if kind in {1, 2, 5}:
            # nal_ref_idc 0 is the standard's own word for "used by no other picture".
            used = unit[0] >> 5 & 3 or kind == 2
            return Facts(disposable=not used, entry=kind == 5 or recovers, headers=headers)
        headers = headers or kind in {7, 8}
        recovers = recovers or (kind == 6 and _recovers_at_once(unit))
    return _PLAIN  # no picture in it: it is damaged, and what it carries is not to be believed


def _recovers_at_once(unit: Data) -> bool:
    """Say whether an SEI unit holds a recovery point with a count of 0: exact from this picture on."""
    place = 1
    while place + 2 < len(unit):
        kind, place = _sei_number(unit, place)
        size, place = _sei_number(unit, place)
        if kind == 6:
            # The count is an Exp-Golomb code, 0 is the single bit 1; then comes exact_match_flag.
            return place < len(unit) and unit[place] & 0xC0 == 0xC0
        place += size
    return False


def _sei_number(unit: Data, place: int) -> tuple[int, int]:
    value = 0
    while place < len(unit) and unit[place] == 255:
        value, place = value + 255, place + 1
    return value + (unit[place] if place < len(unit) else 0), place + 1


def _hevc(units: Iterator[Data]) -> Facts:
    headers = False
    for unit in units:
        if len(unit) < 2:
            continue
        kind = unit[0] >> 1 & 63
        if kind < 32:
            return Facts(
                disposable=kind < 16 and kind % 2 == 0,
                entry=16 <= kind <= 21,
                headers=headers,
                layer=(unit[1] & 7) - 1,
                leading=kind in {8, 9},
            )
        headers = headers or kind in {32, 33, 34}
    return _PLAIN


def _mpeg2(packet: Any) -> Facts:
    data = bytes(memoryview(packet)[:4096])
    place = data.find(b"\0\0\1\0")
    if place < 0 or place + 5 >= len(data):
        return _PLAIN
    kind = data[place + 5] >> 3 & 7
    headers = 0 <= data.find(b"\0\0\1\xb3") < place
    # A sequence header repeats every table that a decoder needs, so only an I picture behind one is an entry.
    return Facts(disposable=kind == 3, entry=kind == 1 and headers)


def _mpeg4(packet: Any) -> Facts:
    data = bytes(memoryview(packet)[:4096])
    place = data.find(b"\0\0\1\xb6")
    if place < 0 or place + 4 >= len(data):
        return Facts(hidden=True)
    kind = data[place + 4] >> 6
    return Facts(disposable=kind == 2, entry=kind == 0)


def _vp8(packet: Any) -> Facts:
    first = memoryview(packet)[0]
    return Facts(entry=not first & 1, hidden=not first >> 4 & 1)


def _vp9(packet: Any) -> Facts:
    data = memoryview(packet)
    if data[-1] & 0xE0 == 0xC0:  # a superframe: some hidden frames and a shown one
        return Facts(entry=packet.is_keyframe)
    bits = data[0] << 8 | (data[1] if len(data) > 1 else 0)
    behind_profile = 4 + (bits >> 12 & 3 == 3)
    shows_old = bits >> (15 - behind_profile) & 1
    shown = bits >> (13 - behind_profile) & 1
    return Facts(entry=packet.is_keyframe, hidden=not shows_old and not shown)


def _by_container(packet: Any) -> Facts:
    return Facts(entry=packet.is_keyframe)


_READERS: dict[str, Reader] = {
    "mpeg1video": _mpeg2,
    "mpeg2video": _mpeg2,
    "mpeg4": _mpeg4,
    "vp8": _vp8,
    "vp9": _vp9,
    "av1": _by_container,
    "mjpeg": _by_container,
}
