"""The table of a film's packets, read without decoding: number and time of every frame; called by decoding, ranges.

It is what makes selective and parallel decoding exact: which frames are due is known before one is decoded.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av.error
import numpy as np
import numpy.typing as npt

from reel_ingest import bitstreams

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

DEEPEST_REORDER = 64
"""Packets by which decoding order and showing order may differ: two fields for each of 32 kept frames."""


@dataclass(frozen=True, slots=True)
class PacketTable:
    """One row a packet in decoding order; about 30 bytes a frame. ``shown`` lists frames in showing order."""

    pts: Ints
    dts: Ints
    size: Ints
    disposable: Flags
    entry: Flags
    """Decoding may begin here."""
    shown: Ints
    """Time stamps of the frames that come out, ascending; the position is the frame's index."""
    order: Ints
    """Packet of every shown frame."""
    start: int
    """Time stamp of second 0."""
    time_base: Fraction

    @property
    def anchor_stamps(self) -> Ints:
        """Time stamps of the shown frames that are always decoded."""
        return self.shown[~self.disposable[self.order]]

    def seconds(self, pts: int) -> Fraction:
        return (pts - self.start) * self.time_base

    def digest(self) -> str:
        """Return a name for this very table; a plan made from another file has another one."""
        name = hashlib.sha256()
        for column in (self.pts, self.dts, self.size, self.shown):
            name.update(column.tobytes())
        return name.hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Unmapped:
    """Why the packets of a film do not say which frames it has; it is decoded from front to back instead."""

    reason: str


def read_table(container: Any, stream: Any) -> PacketTable | Unmapped:
    """Demux a film once; leaves the container at its end."""
    context = stream.codec_context
    read = bitstreams.reader(context.codec.canonical_name, bytes(context.extradata or b""))
    if read is None:
        return Unmapped(f"packets of {context.name} are not known to be frames")
    if context.codec.canonical_name == "h264" and context.field_order > 1:
        return Unmapped("the film is interlaced")
    pts, dts, size, layer = array("q"), array("q"), array("q"), array("b")
    disposable, entry, hidden = bytearray(), bytearray(), bytearray()
    own_headers, entries = False, 0
    for packet in stored_packets(container, stream):
        if packet.pts is None:
            return Unmapped("frames have no time stamps")
        if packet.is_corrupt:
            return Unmapped("packets are marked as damaged")
        facts = read(packet)
        if facts.hidden and not packet.is_discard:
            return Unmapped("some packets hold no frame")
        first = not pts
        # Up to the second entry, leading frames refer to what lies before the film's start and never come out.
        leads = facts.leading and entries < 2
        entries += facts.entry
        pts.append(packet.pts)
        dts.append(packet.pts if packet.dts is None else packet.dts)
        size.append(packet.size)
        layer.append(facts.layer)
        disposable.append(facts.disposable)
        # Headers in mid-film replace those of the container: then only entries that repeat them are entries.
        entry.append(facts.entry and packet.is_keyframe and (facts.headers or not own_headers))
        own_headers = (
            own_headers or (facts.headers and not first) or (facts.headers and not context.extradata)
        )
        hidden.append(packet.is_discard or leads)
    if not pts:
        return Unmapped("there are no packets")
    layers = np.frombuffer(layer, np.int8)
    return _build(
        np.frombuffer(pts, np.int64),
        np.frombuffer(dts, np.int64),
        np.frombuffer(size, np.int64),
        np.frombuffer(disposable, np.bool_) & (layers == layers.max()),
        np.frombuffer(entry, np.bool_),
        np.frombuffer(hidden, np.bool_),
        stream,
    )


def _build(
    pts: Ints, dts: Ints, size: Ints, disposable: Flags, entry: Flags, hidden: Flags, stream: Any
) -> PacketTable | Unmapped:
    order = np.argsort(pts, kind="stable")
    if np.any(np.diff(pts[order]) == 0):
        return Unmapped("two frames have the same time stamp")
    if np.any(np.abs(order - np.arange(len(order))) > DEEPEST_REORDER):
        return Unmapped("time stamps jump")
    order = order[~hidden[order]]
    if not len(order):
        return Unmapped("no packet gives a frame")
    start = int(pts[order[0]]) if stream.start_time is None else int(stream.start_time)
    return PacketTable(
        pts, dts, size, disposable, entry, pts[order], order, start, stream.time_base or Fraction(1, 90_000)
    )


def stored_packets(container: Any, stream: Any) -> Iterator[Any]:
    """Yield packets that hold data; a read error in the middle is the end of the data."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):
            return
        if packet.size:
            yield packet
