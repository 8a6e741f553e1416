"""Owns the shadow model: asks it what the active one has answered already, and counts how the two compare.

Nobody waits for it. A picture comes here after its answer has gone out; under load it is dropped, and counted as such.
Called by the API; where the comparison is recorded and how an engine is loaded is handed in.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING

import structlog

from reel_inference.models import ModelRecord
from reel_inference.predict import Bounds, read_picture, top_labels
from reel_shared.contracts import LabelProbability

if TYPE_CHECKING:
    from reel_inference.engine import Engine, Pictures

log = structlog.get_logger(__name__)
WAITING = 4
"""Pictures that may wait for the shadow; more are dropped. Each holds the bytes that its client sent."""
NICENESS = 10
"""Of the shadow's thread and those of its engine: whoever waits for an answer goes first."""
FLUSH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Which model shadows which, for what share of the answers, and where that is counted."""

    comparison_id: str
    active_id: str
    shadow: ModelRecord
    share: float


@dataclass(frozen=True, slots=True)
class Answered:
    """A picture and what the active model said of it. ``prepared`` is (size, size, 3) at that model's size."""

    content: bytes
    prepared: Pictures
    model: str
    best: LabelProbability


@dataclass(slots=True)
class Tally:
    """What was counted since it was last written down."""

    asked: int = 0
    agreed: int = 0
    confidence: float = 0.0
    """Sum over the pictures: the shadow's confidence in its best label less the active model's in its own."""
    dropped: int = 0
    failed: int = 0
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    """What the active model said and what the shadow said, where they differ."""

    def __bool__(self) -> bool:
        return bool(self.asked or self.dropped or self.failed)


class Shadow:
    """The shadow of one process: one thread of low priority with an engine of its own."""

    def __init__(
        self,
        *,
        find: Callable[[], Plan | None],
        load: Callable[[ModelRecord], Engine],
        write: Callable[[str, Tally], None],
        busy: Callable[[], bool],
        bounds: Callable[[], Bounds],
    ) -> None:
        """``write`` adds a tally to a comparison, and to nothing when that has ended meanwhile."""
        self._find, self._load, self._write = find, load, write
        self._busy, self._bounds = busy, bounds
        self._queue: Queue[Answered] = Queue(WAITING)
        self._plan: Plan | None = None
        self._engine: Engine | None = None
        self._tally = Tally()
        self._counting = threading.Lock()

    def wants(self, model: str) -> bool:
        """Draw whether the shadow is to be asked what ``model``, an id, has just answered."""
        plan = self._plan
        return plan is not None and plan.active_id == model and random.random() < plan.share

    def offer(self, answered: Answered) -> None:
        """Take a picture in if there is room; never waits and never raises."""
        try:
            self._queue.put_nowait(answered)
        except Full:
            self._count(dropped=1)

    def run(self, stop: threading.Event, every_seconds: float) -> None:
        """Follow the registry and work off what was offered, until ``stop``; then write down what was counted."""
        with suppress(OSError, AttributeError):  # where a thread has no priority of its own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        looked = written = -float("inf")
        while not stop.is_set():
            now = time.monotonic()
            if now >= looked + every_seconds:
                self._guarded(self.refresh, "shadow not refreshed")
                looked = now
            if now >= written + min(FLUSH_SECONDS, every_seconds):
                self._guarded(self.flush, "shadow counts not written")
                written = now
            with suppress(Empty):
                self._work(self._queue.get(timeout=min(0.25, every_seconds)))
        self._guarded(self.flush, "shadow counts not written")

    def refresh(self) -> None:
        """Look up which comparison is on; a new one begins with nothing counted."""
        plan = self._find()
        before = self._plan
        if plan is not None and (before is None or before.comparison_id != plan.comparison_id):
            self._plan = None
            self._engine = self._load(plan.shadow)
            with self._counting:
                self._tally = Tally()
            log.info("model shadows", model=plan.shadow.id, active=plan.active_id, share=plan.share)
        if plan is None:
            self._engine = None
        self._plan = plan

    def flush(self) -> None:
        """Write down what was counted. When that fails it stays counted here."""
        plan = self._plan
        with self._counting:
            tally, self._tally = self._tally, Tally()
        if plan is None or not tally:
            return
        try:
            self._write(plan.comparison_id, tally)
        except Exception:
            with self._counting:
                self._tally = _sum(tally, self._tally)
            raise

    def _work(self, answered: Answered) -> None:
        plan, engine = self._plan, self._engine
        if plan is None or engine is None or answered.model != plan.active_id:
            return
        if self._busy():
            self._count(dropped=1)
            return
        try:
            self._compare(engine, answered)
        except Exception as error:  # a shadow that cannot answer is a finding, not a fault of the server
            log.warning("shadow failed", model=plan.shadow.id, error=str(error))
            self._count(failed=1)

    def _compare(self, engine: Engine, answered: Answered) -> None:
        picture = answered.prepared
        if len(picture) != engine.size:
            picture = read_picture(answered.content, engine.size, self._bounds())
        (mine,) = top_labels(engine.infer(picture[None], 0)[0], engine.card, top_k=1)
        theirs = answered.best
        with self._counting:
            self._tally.asked += 1
            self._tally.confidence += mine.probability - theirs.probability
            if mine.label == theirs.label:
                self._tally.agreed += 1
            else:
                self._tally.pairs[theirs.label, mine.label] += 1

    def _count(self, *, dropped: int = 0, failed: int = 0) -> None:
        with self._counting:
            self._tally.dropped += dropped
            self._tally.failed += failed

    def _guarded(self, act: Callable[[], None], event: str) -> None:
        try:
            act()
        except Exception as error:  # the thread must outlive any fault; what was counted is kept
            log.warning(event, error=str(error))


def _sum(one: Tally, other: Tally) -> Tally:
    return Tally(
        one.asked + other.asked,
        one.agreed + other.agreed,
        one.confidence + other.confidence,
        one.dropped + other.dropped,
        one.failed + other.failed,
        one.pairs + other.pairs,
    )
