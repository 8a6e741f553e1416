"""The batcher under threads: own answers, bounds, deadlines, faults."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from prometheus_client import REGISTRY

from reel_inference.batching import Batcher
from reel_inference.engine import load_engine
from reel_shared import errors


class Gate:
    """An engine that answers each picture's own value, and only while it is open."""

    size = 2

    def __init__(self):
        self.open = threading.Event()
        self.batches = []
        self.fault = None

    def infer(self, pictures, lane=None):
        self.batches.append((len(pictures), lane))
        assert self.open.wait(10)
        if self.fault:
            raise self.fault
        return pictures[:, 0, 0, :].astype(np.float32)


def picture(value, size=2):
    return np.full((size, size, 3), value, np.uint8)


def submit(batcher, engine, *pictures, **when):
    """Queue one picture's views, decoded already."""
    return batcher.submit(engine, lambda: list(pictures), views=len(pictures), **when)


@pytest.fixture
def gate():
    made = Gate()
    yield made
    made.open.set()


def wait_until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_lanes_tell_how_many_went_together_and_how_long_they_waited(gate):
    def told(name):
        return REGISTRY.get_sample_value(f"{name}_count"), REGISTRY.get_sample_value(f"{name}_sum")

    before = [told(name) for name in ("reel_batch_pictures", "reel_prediction_seconds")]
    batcher = Batcher(lanes=1, max_batch=4, bound=16)
    answers = [submit(batcher, gate, picture(number)) for number in range(5)]
    time.sleep(0.1)
    gate.open.set()
    for answer in answers:
        answer.result(10)
    batcher.close()
    (batches, pictures), (waits, seconds) = (
        tuple(np.subtract(told(name), earlier))
        for name, earlier in zip(("reel_batch_pictures", "reel_prediction_seconds"), before, strict=True)
    )
    assert (batches, pictures, waits) == (len(gate.batches), 5, 5)
    assert 0.1 <= seconds / 5 < 5


def test_every_answer_belongs_to_its_own_picture(make_model):
    engine = load_engine(make_model("mdl_a", size=8), lanes=3, max_batch=4)
    batcher = Batcher(lanes=3, max_batch=4, bound=64)
    colours = np.random.default_rng(7).integers(0, 256, (1500, 3), dtype=np.uint8)

    def ask(colour):
        logits = submit(batcher, engine, np.broadcast_to(colour, (8, 8, 3)).copy()).result(10)[0]
        np.testing.assert_allclose(logits[:3], colour / 255, atol=1e-5)

    with ThreadPoolExecutor(24) as clients:
        assert len(list(clients.map(ask, colours))) == 1500
    batcher.close()


def test_a_lone_picture_runs_at_once_on_the_wide_lane(gate):
    gate.open.set()
    batcher = Batcher(lanes=2)
    started = time.monotonic()
    assert submit(batcher, gate, picture(9)).result(5).tolist() == [[9, 9, 9]]
    assert time.monotonic() - started < 0.5
    assert gate.batches == [(1, None)]
    batcher.close()


def test_batches_fill_while_lanes_are_busy_and_never_exceed_the_limit(gate):
    batcher = Batcher(lanes=1, max_batch=4, bound=64)
    answers = [submit(batcher, gate, picture(0))]
    wait_until(lambda: batcher.waiting == 0 and gate.batches)
    answers += [submit(batcher, gate, picture(value)) for value in range(1, 11)]
    gate.open.set()
    assert [int(answer.result(5)[0, 0]) for answer in answers] == list(range(11))
    assert [count for count, _ in gate.batches] == [1, 4, 4, 2]
    batcher.close()


def test_what_waits_is_shared_by_idle_lanes(gate):
    batcher = Batcher(lanes=2, max_batch=8)
    with batcher._changed:  # so that all eight wait before a lane looks
        answers = [submit(batcher, gate, picture(value)) for value in range(8)]
    wait_until(lambda: len(gate.batches) == 2)
    assert sorted(gate.batches) == [(4, 0), (4, 1)]
    gate.open.set()
    assert [int(answer.result(5)[0, 0]) for answer in answers] == list(range(8))
    batcher.close()


def test_a_full_queue_refuses_with_a_time_to_come_back(gate):
    batcher = Batcher(lanes=1, bound=3)
    running = submit(batcher, gate, picture(0))
    wait_until(lambda: batcher.waiting == 0 and gate.batches)
    queued = [submit(batcher, gate, picture(1)) for _ in range(3)]
    with pytest.raises(errors.TooManyRequests) as refusal:
        submit(batcher, gate, picture(2))
    assert refusal.value.extra["retry_after"] >= 1
    gate.open.set()
    for answer in [running, *queued]:
        answer.result(5)
    submit(batcher, gate, picture(3)).result(5)
    batcher.close()


def test_views_of_a_picture_are_queued_and_answered_together_or_not_at_all(gate):
    batcher = Batcher(lanes=1, max_batch=3, bound=5)
    running = submit(batcher, gate, picture(0))
    wait_until(lambda: batcher.waiting == 0 and gate.batches)
    two = [submit(batcher, gate, picture(value), picture(value + 1)) for value in (1, 3)]
    with pytest.raises(errors.TooManyRequests):
        submit(batcher, gate, picture(5), picture(6))
    one = submit(batcher, gate, picture(7))
    assert batcher.waiting == 5
    gate.open.set()
    assert [row.result(5)[:, 0].tolist() for row in (running, *two, one)] == [[0], [1, 2], [3, 4], [7]]
    batcher.close()
    assert [count for count, _ in gate.batches] == [1, 2, 3], "no picture is cut in two"


def test_views_of_a_lone_picture_run_one_by_one_on_the_wide_lane(gate):
    gate.open.set()
    batcher = Batcher(lanes=2)
    assert submit(batcher, gate, picture(4), picture(5)).result(5)[:, 0].tolist() == [4, 5]
    assert gate.batches == [(1, None), (1, None)], "no other size of batch has run there"
    batcher.close()


def test_what_comes_while_a_picture_is_decoded_joins_its_batch(gate):
    """With no lane free to take it; a free one takes it at once."""
    batcher = Batcher(lanes=1, max_batch=3)
    decoding, go_on = threading.Event(), threading.Event()

    def slow():
        decoding.set()
        assert go_on.wait(10)
        return [picture(1)]

    first = batcher.submit(gate, slow)
    assert decoding.wait(10)
    others = [submit(batcher, gate, picture(value)) for value in (2, 3, 4)]
    gate.open.set()
    go_on.set()
    assert [int(one.result(5)[0, 0]) for one in (first, *others)] == [1, 2, 3, 4]
    batcher.close()
    assert gate.batches == [(3, 0), (1, 0)]

    batcher = Batcher(lanes=2, max_batch=3)
    decoding.clear()
    go_on.clear()
    first = batcher.submit(gate, slow)
    assert decoding.wait(10)
    assert int(submit(batcher, gate, picture(9)).result(5)[0, 0]) == 9, "nobody waits for another's decoding"
    go_on.set()
    first.result(5)
    batcher.close()


def test_a_picture_that_cannot_be_decoded_fails_alone(gate):
    batcher = Batcher(lanes=1, max_batch=4)
    running = submit(batcher, gate, picture(0))
    wait_until(lambda: gate.batches)

    def bad():
        raise errors.BadPicture("This is no picture.")

    answers = [
        submit(batcher, gate, picture(1)),
        batcher.submit(gate, bad),
        submit(batcher, gate, picture(2)),
    ]
    gate.open.set()
    with pytest.raises(errors.BadPicture):
        answers[1].result(5)
    assert [int(answers[number].result(5)[0, 0]) for number in (0, 2)] == [1, 2]
    running.result(5)
    batcher.close()
    assert [count for count, _ in gate.batches] == [1, 2]


def test_a_client_who_leaves_while_its_picture_is_decoded_costs_no_inference(gate):
    gate.open.set()
    batcher = Batcher(lanes=1)
    decoding, go_on = threading.Event(), threading.Event()

    def slow():
        decoding.set()
        assert go_on.wait(10)
        return [picture(1)]

    gone = batcher.submit(gate, slow)
    assert decoding.wait(10)
    assert gone.cancel()
    go_on.set()
    batcher.close()
    assert gate.batches == []


def test_a_picture_past_its_deadline_is_refused_and_costs_no_inference(gate):
    batcher = Batcher(lanes=1)
    running = submit(batcher, gate, picture(0))
    wait_until(lambda: gate.batches)
    late = submit(batcher, gate, picture(1), timeout=0.01)
    gone = submit(batcher, gate, picture(2))
    assert gone.cancel()
    time.sleep(0.05)
    gate.open.set()
    running.result(5)
    with pytest.raises(errors.Unavailable, match="waited too long"):
        late.result(5)
    batcher.close()
    assert gate.batches == [(1, None)]


def test_a_picture_nobody_waits_for_any_more_is_dropped_alone(gate):
    batcher = Batcher(lanes=1, max_batch=4)
    running = submit(batcher, gate, picture(0))
    wait_until(lambda: gate.batches)
    now = time.monotonic()
    late = submit(batcher, gate, picture(1), wanted_until=now + 0.02)
    early = submit(batcher, gate, picture(2), wanted_until=now + 30)
    time.sleep(0.05)
    gate.open.set()
    with pytest.raises(errors.DeadlinePassed, match="No lane was free"):
        late.result(5)
    assert (running.result(5)[0, 0], early.result(5)[0, 0]) == (0, 2)
    batcher.close()
    assert [count for count, _ in gate.batches] == [1, 1], "it shared their batch, and was not computed"


def test_a_fault_of_the_engine_reaches_its_clients_and_the_lane_lives_on(gate):
    gate.open.set()
    gate.fault = RuntimeError("no memory")
    batcher = Batcher(lanes=1)
    with pytest.raises(RuntimeError, match="no memory"):
        submit(batcher, gate, picture(1)).result(5)
    gate.fault = None
    assert submit(batcher, gate, picture(5)).result(5)[0, 0] == 5
    batcher.close()


def test_a_picture_of_the_wrong_shape_fails_before_it_can_spoil_a_batch(gate):
    gate.open.set()
    batcher = Batcher(lanes=1)
    wrong = [[picture(1, size=3)], [picture(1).astype(np.float32)], [picture(1)[..., 0]], [picture(1)] * 2]
    for views in wrong:
        with pytest.raises(ValueError, match="engine takes 1 of 2 px"):
            batcher.submit(gate, lambda views=views: views).result(5)
    batcher.close()
    assert gate.batches == []


def test_pictures_of_two_engines_never_share_a_batch(make_model):
    old = load_engine(make_model("mdl_a", size=8, marker=1.0), lanes=2)
    new = load_engine(make_model("mdl_b", size=8, marker=2.0), lanes=2)
    batcher = Batcher(lanes=2, max_batch=4, bound=500)
    answers = [(engine, submit(batcher, engine, picture(3, 8))) for engine in [old, new, new, old] * 50]
    for engine, answer in answers:
        assert answer.result(10)[0, 3] == (1.0 if engine is old else 2.0)
    batcher.close()


def test_closing_answers_what_is_queued_and_refuses_what_comes_after(gate):
    batcher = Batcher(lanes=1)
    answers = [submit(batcher, gate, picture(value)) for value in range(6)]
    closer = threading.Thread(target=batcher.close)
    closer.start()
    gate.open.set()
    closer.join(10)
    assert not closer.is_alive()
    assert [int(answer.result(0)[0, 0]) for answer in answers] == list(range(6))
    with pytest.raises(errors.Unavailable):
        submit(batcher, gate, picture(1))
