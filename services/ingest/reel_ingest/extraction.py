"""One range of a film, or all of it: decoded, measured for scenes and rendered; called by frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Literal

import numpy as np

from reel_ingest.decoding import Film, Shown, Tally, decode_all, decode_range
from reel_ingest.movies import declared_seconds, pixel_aspect
from reel_ingest.packets import PacketTable
from reel_ingest.ranges import Range
from reel_ingest.rendering import Frame, Look
from reel_ingest.scenes import WINDOW, RangeScores
from reel_ingest.selection import Choice, Past, Sampling, choose
from reel_ingest.spread import ROOM, Spread
from reel_ingest.tiny_pictures import MOST, Tiny, TinyPictures
from reel_shared import errors
from reel_shared.threads import Pool

Progress = Callable[[float, float], None]
"""Called now and then with seconds of film done and in all; what it raises stops the extraction."""

Way = Literal["selective", "every packet", "front to back"]
"""Of decoding a film: what is needed by its packet table; all by its packet table, for comparison; without one."""

AHEAD = 4
"""Frames that may wait for being rendered."""

CANDIDATE_BYTES = 128 * 2**20
"""Decoded frames that may be held until the scene is over and some of them are chosen."""

_PROGRESS_EVERY = 24

_Due = Callable[[Shown], bool]
_Render = Callable[[], Frame]


@dataclass(slots=True)
class Extraction:
    """One range of an open film, and what to make of it. ``scores`` and ``tally`` are filled on the way."""

    film: Film
    part: Range
    sampling: Sampling
    look: Look
    on_progress: Progress | None
    tally: Tally
    scores: RangeScores
    way: Way

    def frames(self) -> Iterator[Frame | None]:
        """Yield after every few decoded frames: None, or frames that are taken, in order."""
        film, table = self.film, self.film.table
        past = self.sampling.past(film.time_base)
        if isinstance(table, PacketTable):
            choice = choose(table, self.sampling)
            to_the_end = self.part.high > table.shown[-1]
            if to_the_end:
                _check_length(film, float(table.seconds(int(table.shown[-1]))))
            packets, part = choice.packets | (self.way == "every packet"), self.part
            due = choice.taken.tolist()
            source = decode_range(film, table, packets, part.entry, part.low, part.high, self.tally)
            yield from self._taken(source, lambda shown: due[shown.index], choice)
            alone = to_the_end and part.number == 0
            self._count_lost(table, choice)
        else:
            self.tally.full_decode = self.tally.full_decode or table.reason
            rule = self.sampling.due(film.time_base)
            source = _until_settled(decode_all(film, self.tally), past)
            yield from self._taken(
                source, lambda shown: not past(shown.ticks) and rule(shown.index, shown.ticks)
            )
            to_the_end = alone = not past(Fraction(self.tally.last_seconds) / film.time_base)
        if alone and self.tally.decoded == 0:
            raise errors.BadMovie(
                "Not one frame of the film can be decoded; the file is damaged or incomplete."
            )
        if to_the_end and self.tally.decoded:
            _check_length(film, self.tally.last_seconds)

    def _count_lost(self, table: PacketTable, choice: Choice) -> None:
        """Count frames that were due but damaged or missing; by scene, others are taken in their place."""
        low, high = np.searchsorted(table.shown, (self.part.low, self.part.high))
        due = 0 if self.sampling.per_scene else int(np.count_nonzero(choice.taken[low:high]))
        self.tally.lost = max(0, due - self.tally.taken)

    def _taken(
        self, source: Iterator[Shown], due: _Due, choice: Choice | None = None
    ) -> Iterator[Frame | None]:
        if self.sampling.per_scene is not None:
            yield from self._by_scene(source, due, self.sampling.per_scene)
            return
        ahead: deque[Future[Frame]] = deque()
        # Rendered beside the decoder, whose threads would wait otherwise.
        pool = Pool(1, thread_name_prefix="render")
        try:
            for shown, taken, picture in self._scored(source, due, MOST):
                if taken:
                    self.scores.add_taken(shown.index, None if shown.anchor else picture)
                    ahead.append(pool.submit(self._render(shown, choice)))
                while ahead and (len(ahead) > AHEAD or ahead[0].done()):
                    yield ahead.popleft().result()
                yield None
            yield None
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _by_scene(self, source: Iterator[Shown], due: _Due, count: int) -> Iterator[Frame | None]:
        spread = Spread(count, self._keeper(count))
        anchors = 0
        for shown, taken, _ in self._scored(source, due, 1):
            if len(self.scores.times) > anchors:
                anchors += 1
                item = shown if taken else None
                yield from self._placed(spread.add(item, self.scores.differences[-1], self.scores.times[-1]))
            yield None
        yield from self._placed(spread.close())

    def _scored(
        self, source: Iterator[Shown], due: _Due, together: int
    ) -> Iterator[tuple[Shown, bool, Tiny | None]]:
        """Yield every frame that is taken, with its tiny picture, and of the others one now and then.

        All frames up to it are in ``scores`` then; so many ``together`` at most.
        """
        tick = self.film.time_base
        tiny, times = TinyPictures(), list[int]()

        def score() -> list[Tiny]:
            pictures = tiny.take()
            # A taken frame that is no anchor comes last, and has no time here.
            for picture, time in zip(pictures, times, strict=False):
                self.scores.add_anchor(picture, time)
            times.clear()
            return pictures

        for number, shown in enumerate(source):
            wanted = due(shown)
            taken = wanted and not shown.damaged
            self.tally.lost += wanted and not taken
            # Damaged anchors would be cuts that are none.
            anchor = shown.anchor and not shown.damaged
            if anchor or taken:
                tiny.add(shown.frame)
            if anchor:
                times.append(int(shown.ticks * 1000 * tick.numerator // tick.denominator))
            if taken or len(tiny) >= together:
                pictures = score()
                yield shown, taken, pictures[-1] if taken else None
            if self.on_progress and number % _PROGRESS_EVERY == 0:
                self._report(float(shown.ticks * tick))
        score()

    def _render(self, shown: Shown, choice: Choice | None = None) -> _Render:
        shift = 0.0 if choice is None or choice.shift is None else float(choice.shift[shown.index])
        self.tally.taken += self.sampling.per_scene is None
        if abs(shift) > abs(self.tally.largest_shift_seconds):
            self.tally.largest_shift_seconds = shift
        return partial(
            self.look.take,
            shown.frame,
            pixel_aspect(self.film.stream),
            index=shown.index,
            seconds=float(shown.ticks * self.film.time_base),
            shift_seconds=shift,
        )

    def _keeper(self, count: int) -> Callable[[Shown], _Render]:
        """Hold candidates as they are decoded, and render the chosen ones; or render all where they are too large."""
        context = self.film.stream.codec_context
        if ROOM * count * context.width * context.height * 3 <= CANDIDATE_BYTES:
            return self._render

        def render_now(shown: Shown) -> _Render:
            frame = self._render(shown)()
            return lambda: frame

        return render_now

    def _placed(self, chosen: list[tuple[int, _Render]]) -> Iterator[Frame]:
        for anchor, render in chosen:
            frame = render()
            self.tally.taken += 1
            self.scores.places.append((frame.index, anchor))
            yield frame

    def _report(self, seconds: float) -> None:
        begin, end = self.part.begin_seconds, self.part.end_seconds
        if self.on_progress:
            self.on_progress(max(0.0, seconds - begin), max(seconds, end) - begin)


def _until_settled(source: Iterator[Shown], past: Past) -> Iterator[Shown]:
    """Stop behind the end, as soon as the scenes of the frames before it are final."""
    behind = 0
    for shown in source:
        yield shown
        behind += past(shown.ticks)
        if behind > WINDOW:
            return


def _check_length(film: Film, seconds: float) -> None:
    total = declared_seconds(film.container, film.stream)
    if total is not None and seconds < total - max(1.0, 0.02 * total):
        raise errors.BadMovie(
            f"The film says it lasts {total:.1f} s but its pictures end at {seconds:.1f} s: "
            "the file is cut off; upload it again."
        )
