"""The shadow by itself: what it counts, what it drops, and what it outlives. With servers: test_inference_service."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
from PIL import Image

from reel_inference.engine import load_engine
from reel_inference.models import ModelRecord
from reel_inference.predict import Bounds
from reel_inference.shadow import WAITING, Answered, Plan, Shadow
from reel_shared import errors
from reel_shared.contracts import LabelProbability

RECORD = ModelRecord("mdl_shadow", {})


class Surroundings:
    """A registry with one comparison at most, and what a replica has written down of it."""

    def __init__(self, folder):
        self.folder, self.plan, self.busy, self.away = folder, None, False, False
        self.loaded, self.written = 0, []

    def find(self):
        return self.plan

    def load(self, record):
        self.loaded += 1
        return load_engine(self.folder, lanes=1, max_batch=1, wide=False)

    def write(self, comparison_id, tally):
        if self.away:
            raise errors.DatabaseUnavailable
        self.written.append((comparison_id, tally))


@pytest.fixture
def around(make_model):
    return Surroundings(make_model("mdl_shadow", size=12, gain=20.0))


@pytest.fixture
def shadow(around):
    return Shadow(
        find=around.find,
        load=around.load,
        write=around.write,
        busy=lambda: around.busy,
        bounds=lambda: Bounds(max_pixels=10**6, max_bytes=10**6),
    )


def answered(colour, said, probability=0.5, size=8, model="mdl_active"):
    stream = io.BytesIO()
    Image.new("RGB", (60, 40), colour).save(stream, "PNG")
    prepared = np.zeros((size, size, 3), np.uint8)
    return Answered(stream.getvalue(), prepared, model, LabelProbability(label=said, probability=probability))


def plan(number=1, share=1.0):
    return Plan(f"shc_{number}", "mdl_active", RECORD, share)


def work(shadow):
    """Do what the thread does with what waits."""
    while not shadow._queue.empty():
        shadow._work(shadow._queue.get())


def test_what_both_said_is_compared_and_written_once(shadow, around):
    around.plan = plan()
    shadow.refresh()
    for colour, said in (("red", "red"), ("blue", "green"), ("lime", "green"), ("blue", "green")):
        shadow.offer(answered(colour, said))
    work(shadow)
    shadow.flush()
    shadow.flush()
    ((where, tally),) = around.written
    assert (where, tally.asked, tally.agreed, tally.failed) == ("shc_1", 4, 2, 0)
    assert dict(tally.pairs) == {("green", "blue"): 2}
    assert tally.confidence == pytest.approx(4 * (1 - 0.5), abs=1e-3), "it is sure of every plain colour"


def test_a_picture_of_the_shadows_own_size_is_not_decoded_again(shadow, around):
    around.plan = plan()
    shadow.refresh()
    shadow.offer(
        Answered(b"not a picture", np.full((12, 12, 3), (255, 0, 0), np.uint8), "mdl_active",
                 LabelProbability(label="red", probability=1.0))
    )  # fmt: skip
    work(shadow)
    shadow.flush()
    assert around.written[0][1].agreed == 1


def test_only_the_share_is_wanted_and_only_of_the_active_model(shadow, around):
    assert not shadow.wants("mdl_active")
    around.plan = plan(share=0.25)
    shadow.refresh()
    drawn = sum(shadow.wants("mdl_active") for _ in range(4000))
    assert 850 < drawn < 1150  # five standard deviations about 1000
    assert not any(shadow.wants("mdl_other") for _ in range(100))


def test_under_load_pictures_are_dropped_and_counted(shadow, around):
    around.plan = plan()
    shadow.refresh()
    for _ in range(WAITING + 3):
        shadow.offer(answered("red", "red"))
    around.busy = True
    work(shadow)
    shadow.flush()
    tally = around.written[0][1]
    assert (tally.asked, tally.dropped) == (0, WAITING + 3)


def test_a_shadow_that_cannot_answer_is_counted_and_the_next_picture_is_asked(shadow, around):
    around.plan = plan()
    shadow.refresh()
    shadow.offer(Answered(b"junk", np.zeros((8, 8, 3), np.uint8), "mdl_active", answered("red", "red").best))
    shadow.offer(answered("red", "red"))
    work(shadow)
    shadow.flush()
    assert (around.written[0][1].failed, around.written[0][1].asked) == (1, 1)


def test_counts_outlive_a_database_that_is_away(shadow, around):
    around.plan = plan()
    shadow.refresh()
    around.away = True
    for _ in range(2):
        shadow.offer(answered("blue", "red"))
        work(shadow)
        with pytest.raises(errors.DatabaseUnavailable):
            shadow.flush()
    around.away = False
    shadow.flush()
    ((_, tally),) = around.written
    assert (tally.asked, tally.pairs["red", "blue"]) == (2, 2)


def test_another_comparison_begins_with_nothing_counted(shadow, around):
    around.plan = plan(1)
    shadow.refresh()
    shadow.offer(answered("red", "red"))
    work(shadow)
    around.plan = plan(1, share=0.5)
    shadow.refresh()
    assert around.loaded == 1, "another share is the same comparison"
    around.plan = plan(2)
    shadow.refresh()
    shadow.offer(answered("red", "red", model="mdl_before"))
    work(shadow)
    shadow.flush()
    assert around.written == []
    around.plan = None
    shadow.refresh()
    shadow.offer(answered("red", "red"))
    work(shadow)
    shadow.flush()
    assert around.written == []


def test_the_thread_outlives_every_fault_and_writes_the_rest_at_its_end(shadow, around):
    faults = iter([errors.DatabaseUnavailable(), RuntimeError("half a row")])
    tried, asked = threading.Event(), threading.Event()

    def find():
        fault = next(faults, None)
        if fault is not None:
            raise fault
        tried.set()
        return plan()

    shadow._find = find
    stop = threading.Event()
    thread = threading.Thread(target=shadow.run, args=(stop, 0.01))
    thread.start()
    try:
        assert tried.wait(10)
        for _ in range(200):
            if shadow.wants("mdl_active"):
                break
            asked.wait(0.02)
        shadow.offer(answered("red", "red"))
        for _ in range(200):
            if any(tally.asked for _, tally in around.written):
                break
            asked.wait(0.02)
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()
    assert sum(tally.asked for _, tally in around.written) == 1
