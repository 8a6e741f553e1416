"""A film opened for decoding: its packet table, and the frames of a range of it in showing order; called by frames."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from fractions import Fraction
from itertools import compress
from pathlib import Path
from typing import Any

import av.error
import numpy as np

from reel_ingest.movies import MAX_PIXELS, frame_rate, open_movie
from reel_ingest.packets import Flags, PacketTable, Unmapped, read_table, stored_packets
from reel_shared import errors

_BEFORE_ALL = -(2**40)
"""A time stamp to seek to that lies before any film's first packet."""


class Mismatch(Exception):
    """What the decoder does is not what the packet table says; the film must be decoded from front to back."""


@dataclass(slots=True)
class Tally:
    """What the decoder met; filled while frames are taken, complete at the end."""

    frames: int = 0
    """Frames of the film, or of the range."""
    decoded: int = 0
    """Frames that were decoded; the others were not needed."""
    taken: int = 0
    corrupt: int = 0
    """Frames and packets that came out damaged or not at all."""
    lost: int = 0
    """Frames that should have been taken but were damaged, or refer to damage."""
    scenes: int = 0
    last_seconds: float = 0.0
    largest_shift_seconds: float = 0.0
    """In fast mode, the longest time from a frame taken to the one that was due."""
    full_decode: str | None = None
    """Why every frame was decoded although not every one was needed."""

    def restart(self, reason: str) -> None:
        """Begin to count again, for another way of decoding."""
        blank = Tally(full_decode=reason)
        for entry in fields(self):
            setattr(self, entry.name, getattr(blank, entry.name))


@dataclass(slots=True)  # not frozen: that takes three times as long, for every frame of a film
class Shown:
    """A decoded frame in its place."""

    index: int
    ticks: int | Fraction
    """Since second 0, in the time base of the stream."""
    frame: Any
    anchor: bool
    damaged: bool
    """It, or a frame that it may refer to, came out damaged or not at all."""


@dataclass(slots=True)
class Film:
    """An open film. ``table`` is the map of its frames, or the reason why there is none."""

    path: Path
    container: Any
    stream: Any
    table: PacketTable | Unmapped
    time_base: Fraction


@contextmanager
def open_film(path: Path, *, fast: bool = False, without_table: str = "") -> Iterator[Film]:
    """Open a film and read its packet table, unless a reason says to do without. Raises ``BadMovie``."""
    with open_movie(path) as (container, stream):
        if fast:
            stream.codec_context.options = {"skip_loop_filter": "all"}
        table = Unmapped(without_table) if without_table else read_table(container, stream)
        film = Film(path, container, stream, table, stream.time_base or Fraction(1, 90_000))
        if isinstance(table, PacketTable):
            film.table = _from_first_decodable(film, table)
        yield film


def _from_first_decodable(film: Film, table: PacketTable) -> PacketTable | Unmapped:
    """Leave out frames before the first one that comes out: a film cut from a longer one may begin with such."""
    if table.entry[0] and table.pts[0] == table.shown[0]:
        return table
    with open_movie(film.path) as (container, stream):
        for packet in stored_packets(container, stream):
            try:
                decoded = packet.decode()
            except av.error.FFmpegError:
                continue
            for frame in decoded:
                place = int(np.searchsorted(table.shown, frame.pts or 0))
                if frame.pts is None or place >= len(table.shown) or table.shown[place] != frame.pts:
                    return Unmapped("the first frame is not where its packet says")
                return _cut_head(table, place)
    return table


def _cut_head(table: PacketTable, frames: int) -> PacketTable:
    columns = (table.pts, table.dts, table.size, table.disposable, table.entry)
    return PacketTable(*columns, table.shown[frames:], table.order[frames:], table.start, table.time_base)


def decode_all(film: Film, tally: Tally) -> Iterator[Shown]:
    """Yield every frame of a film without a packet table, numbered as they come; damaged packets are counted."""
    tick = film.time_base
    rate = Fraction(frame_rate(film.stream)).limit_denominator(1001)
    start: int | None = film.stream.start_time
    film.container.seek(_BEFORE_ALL, stream=film.stream, backward=False)
    for frame in _decoded(stored_packets(film.container, film.stream), film, tally):
        if start is None and frame.pts is not None:
            start = frame.pts
        index = tally.decoded
        ticks = Fraction(index) / rate / tick if frame.pts is None else frame.pts - (start or 0)
        tally.frames += 1
        tally.decoded += 1
        tally.corrupt += frame.is_corrupt
        tally.last_seconds = float(ticks * tick)
        yield Shown(index, ticks, frame, anchor=True, damaged=frame.is_corrupt)


def decode_range(
    film: Film, table: PacketTable, packets: Flags, entry: int, low: int, high: int, tally: Tally
) -> Iterator[Shown]:
    """Yield the frames with time stamps in [low, high) among those whose packets are flagged, in showing order.

    Decoding begins at packet ``entry`` and goes on until the last packet with a time stamp below ``high``, so
    leading frames of an open GOP behind ``high`` are included, and those before ``low`` left alone. Frames that do
    not come out are counted as corrupt; behind such an anchor all are damaged until the next packet where decoding
    may begin, whether the decoder can tell or not. Raises ``Mismatch`` when the film is not what the table says.
    """
    # Frames before ``low`` belong to another range, which also has what they refer to.
    wanted = packets & ((table.pts >= low) | (np.arange(len(packets)) <= entry))
    inside = packets[table.order] & (table.shown >= low) & (table.shown < high)
    indices = np.flatnonzero(inside)
    tally.frames = int(np.count_nonzero((table.shown >= low) & (table.shown < high)))
    if not len(indices):
        return
    stop = int(table.order[indices].max()) + 1
    # Plain lists and whole numbers from here on: this runs for every frame of a film.
    anchors, expected = (~table.disposable[table.order[indices]]).tolist(), table.shown[indices].tolist()
    count, numbers, start = len(expected), indices.tolist(), table.start
    ticks_up, ticks_down = table.time_base.numerator, table.time_base.denominator
    fresh = np.append(np.sort(table.pts[table.entry]), np.iinfo(np.int64).max)
    place, sound_from = 0, low
    chosen = _chosen(_packets_from(film, table, entry, stop), wanted, entry)
    for frame in _decoded(chosen, film, tally):
        pts, corrupt = frame.pts, frame.is_corrupt
        if pts is None:
            raise Mismatch("a frame has no time stamp")
        if pts < low or pts >= high:
            continue
        found = place
        if place == count or expected[place] != pts:
            found = bisect_left(expected, pts)
            if found < place or found == count or expected[found] != pts:
                raise Mismatch("a frame is not where its packet says")
        if found > place or corrupt:
            broken = [at for at in range(place, found + corrupt) if anchors[at]]
            if broken:
                sound_from = int(fresh[np.searchsorted(fresh, expected[broken[-1]], side="right")])
            tally.corrupt += found - place + corrupt
        place = found + 1
        tally.decoded += 1
        tally.last_seconds = (pts - start) * ticks_up / ticks_down
        yield Shown(numbers[found], pts - start, frame, anchors[found], corrupt or pts < sound_from)
    tally.corrupt += count - place


def _chosen(packets: Iterator[Any], wanted: Flags, first: int) -> Iterator[Any]:
    return compress(packets, wanted[first:].tolist())


def _decoded(packets: Iterator[Any], film: Film, tally: Tally) -> Iterator[Any]:
    for packet in packets:
        yield from _frames(packet.decode, tally)
    yield from _frames(film.stream.codec_context.decode, tally)


def _frames(decode: Callable[[], list[Any]], tally: Tally) -> list[Any]:
    try:
        frames = decode()
    except av.error.FFmpegError:
        tally.corrupt += 1
        return []
    for frame in frames:
        if frame.width * frame.height > MAX_PIXELS:
            raise errors.BadMovie(f"The film turns {frame.width}x{frame.height}; at most 8K is accepted.")
    return frames


def _packets_from(film: Film, table: PacketTable, first: int, stop: int) -> Iterator[Any]:
    """Yield packets ``first`` to ``stop``; each is checked against the table."""
    packets = _at(film, table, first)
    for pts, size in zip(table.pts[first:stop].tolist(), table.size[first:stop].tolist(), strict=True):
        packet = next(packets, None)
        if packet is None or packet.pts != pts or packet.size != size:
            raise Mismatch("the film gives other packets when it is read again")
        yield packet


def _at(film: Film, table: PacketTable, first: int) -> Iterator[Any]:
    """Move to a packet: by the container's index where that lands before it, else by reading from the start."""
    goals = (_BEFORE_ALL,) if first == 0 else (int(table.dts[first]), _BEFORE_ALL)
    for goal in goals:
        film.container.seek(goal, stream=film.stream, backward=goal != _BEFORE_ALL)
        packets = stored_packets(film.container, film.stream)
        for packet in packets:
            if packet.pts == table.pts[first]:
                return _and_then(packet, packets)
            if packet.dts is not None and packet.dts > table.dts[first]:
                break
    raise Mismatch("the film cannot be read a second time")


def _and_then(first: Any, others: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from others
