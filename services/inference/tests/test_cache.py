"""Answers remembered in a real Valkey: whose they are, how many, and what a Redis that is away or wrong may do."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
import structlog
from PIL import Image

from reel_inference import loop_cache
from reel_inference.batching import Batcher
from reel_inference.cache import ENTRY_BYTES, PREFIX, Answers, Looked, Status
from reel_inference.engine import load_engine
from reel_inference.loop_cache import LoopAnswers
from reel_inference.predict import Bounds, predict_pictures
from reel_shared import quick_redis
from reel_shared.contracts import LabelProbability, Prediction

pytestmark = pytest.mark.servers
ENGINE = "a fingerprint"


def prediction(label="red", count=1):
    labels = [LabelProbability(label=f"{label}-{number}" * 6, probability=1 / 3) for number in range(count)]
    return Prediction(model="mdl_a", predictions=labels, confident=True)


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A crowded machine may keep a healthy Redis from answering in a tenth of a second."""
    monkeypatch.setattr(quick_redis, "PATIENCE_SECONDS", 5.0)


class FromOutside:
    """The memory of an event loop, called as that of threads is; it keeps at once."""

    def __init__(self, *args, **options):
        self.inside, self._runner = LoopAnswers(*args, **options), asyncio.Runner()
        self.prepare = self.inside.prepare

    @property
    def on(self):
        return self.inside.on

    def run(self, coroutine):
        return self._runner.run(coroutine)

    def look(self, *question, fresh=False):
        return self.run(self.inside.look(*question, fresh=fresh))

    def keep(self, question, answer):
        async def kept():
            self.inside.keep(question, answer)
            self.inside._go()
            await self.inside._trips

        self.run(kept())

    def close(self):
        self.run(self.inside.close())
        self._runner.close()


@pytest.fixture(params=[Answers, FromOutside], ids=["threads", "loop"])
def memory(request):
    """Make memories of one kind, closed at the end."""
    made = []

    def make(*args, **options):
        made.append(request.param(*args, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def answers(memory, redis_url):
    return memory(redis_url, entries=1000, seconds=60)


@pytest.fixture
def server(redis_url):
    with redis.Redis.from_url(redis_url) as made:
        yield made


def remember(answers, content=b"one", options="top_k=3", said=None):
    looked = answers.look(content, ENGINE, options)
    answers.keep(looked.question, said or prediction())
    return looked


def test_an_answer_is_found_again_by_the_same_picture_model_and_options_only(answers):
    assert remember(answers).status == Status.MISS
    again = answers.look(b"one", ENGINE, "top_k=3")
    assert (again.status, again.answer) == (Status.HIT, prediction())
    for other in ((b"two", ENGINE, "top_k=3"), (b"one", "another", "top_k=3"), (b"one", ENGINE, "top_k=4")):
        assert answers.look(*other)[1:] == (Status.MISS, None)
    fresh = answers.look(b"one", ENGINE, "top_k=3", fresh=True)
    assert fresh == Looked(again.question, Status.REFRESH)
    answers.keep(fresh.question, prediction("blue"))
    assert answers.look(b"one", ENGINE, "top_k=3").answer == prediction("blue")


def test_entries_are_bounded_in_number_size_and_time(memory, redis_url, server):
    few = memory(redis_url, entries=7, seconds=60)
    for number in range(60):
        remember(few, content=str(number).encode())
    names = server.keys("*")
    assert len(names) == 7
    assert all(name.startswith(PREFIX.encode()) and 0 < server.ttl(name) <= 60 for name in names)
    server.flushdb()
    remember(few, said=prediction(count=100))
    assert server.keys("*") == []
    remember(few, said=prediction(count=50))
    (name,) = server.keys("*")
    assert server.strlen(name) <= ENTRY_BYTES
    assert json.loads(server.get(name))["answer"]["model"] == "mdl_a"


def test_of_two_questions_of_one_place_the_later_has_it(memory, redis_url):
    one = memory(redis_url, entries=1, seconds=60)
    remember(one, b"one")
    remember(one, b"two", said=prediction("blue"))
    assert one.look(b"one", ENGINE, "top_k=3").status == Status.MISS
    assert one.look(b"two", ENGINE, "top_k=3").answer == prediction("blue")


@pytest.mark.parametrize(
    "rubbish",
    [b"", b"\xff\x00", b"null", b"[]", b'{"answer": {}}', b'{"question": 1}', b"\x80\x04K*."],
)
def test_rubbish_is_no_answer_and_is_overwritten(answers, server, rubbish):
    remember(answers)
    (name,) = server.keys("*")
    server.set(name, rubbish)
    assert answers.look(b"one", ENGINE, "top_k=3").status == Status.MISS
    server.delete(name)
    server.rpush(name, rubbish)  # not even of the same kind
    assert remember(answers).status == Status.MISS
    assert answers.look(b"one", ENGINE, "top_k=3").answer == prediction()


def test_another_questions_answer_is_not_taken_for_ones_own(answers, server):
    remember(answers)
    (name,) = server.keys("*")
    entry = json.loads(server.get(name))
    server.set(name, json.dumps({**entry, "question": "0" * 64}))
    assert answers.look(b"one", ENGINE, "top_k=3").status == Status.MISS


def test_a_redis_that_dies_is_noted_once_bypassed_and_taken_up_again(answers, valkey, monkeypatch):
    monkeypatch.setattr(quick_redis, "AWAY_SECONDS", 0.3)
    remember(answers)
    valkey.kill()
    with structlog.testing.capture_logs() as lines:
        for _ in range(50):
            assert answers.look(b"one", ENGINE, "top_k=3").status == Status.BYPASS
            answers.keep("0" * 64, prediction())
        assert [line["event"] for line in lines] == ["answers.away"]
        valkey.start()
        end = time.monotonic() + 20
        while answers.look(b"one", ENGINE, "top_k=3").status == Status.BYPASS:
            assert time.monotonic() < end
            time.sleep(0.05)
    assert [line["event"] for line in lines] == ["answers.away", "answers.back"]
    assert lines[1]["unasked"] >= 100


def test_a_redis_that_hangs_costs_its_patience_once_and_not_per_picture(memory, monkeypatch):
    monkeypatch.setattr(quick_redis, "PATIENCE_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        answers = memory(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", entries=10, seconds=60)
        answers.prepare()
        started = time.monotonic()
        for _ in range(200):
            assert answers.look(b"one", ENGINE, "top_k=3").status == Status.BYPASS
        assert time.monotonic() - started < 2


def test_threads_share_one_memory(redis_url):
    answers = Answers(redis_url, entries=1000, seconds=60)

    def ask(number):
        content = str(number % 10).encode()
        looked = answers.look(content, ENGINE, "top_k=3")
        if looked.answer is None:
            answers.keep(looked.question, prediction(f"said-{number % 10}"))
        return looked.answer is None or looked.answer == prediction(f"said-{number % 10}")

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(400)))
    assert {answers.look(str(n).encode(), ENGINE, "top_k=3").status for n in range(10)} == {Status.HIT}
    answers.close()


def test_in_a_loop_many_share_a_trip_and_find_what_was_kept_before(redis_url, server):
    loop = FromOutside(redis_url, entries=10**9, seconds=60)  # no two of one place
    names = [str(number).encode() for number in range(200)]

    async def ask_all():
        return await asyncio.gather(*(loop.inside.look(name, ENGINE, "top_k=3") for name in names))

    async def keep_and_ask(missed):
        for number, one in enumerate(missed):
            loop.inside.keep(one.question, prediction(f"said-{number}"))
        return await ask_all()

    missed = loop.run(ask_all())
    assert {one.status for one in missed} == {Status.MISS}
    before = server.info("commandstats").get("cmdstat_mget", {"calls": 0})["calls"]
    hits = loop.run(keep_and_ask(missed))
    assert [one.answer for one in hits] == [prediction(f"said-{number}") for number in range(200)]
    assert server.info("commandstats")["cmdstat_mget"]["calls"] - before <= 2
    loop.close()


def test_in_a_loop_answers_are_kept_though_nobody_asks_again(redis_url, server):
    loop = FromOutside(redis_url, entries=1000, seconds=60)

    async def keep():
        loop.inside.keep("a" * 64, prediction())

    async def later():
        loop.inside.keep("b" * 64, prediction())
        for _ in range(500):
            if server.dbsize():
                return
            await asyncio.sleep(0.02)

    loop.run(later())
    assert server.dbsize() == 1
    loop.run(keep())
    loop.close()  # at once
    assert server.dbsize() == 2


def test_in_a_loop_nobody_waits_longer_than_its_time_and_a_cancelled_one_harms_nobody(redis_url, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        loop = FromOutside(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", entries=10, seconds=60)
        monkeypatch.setattr(loop_cache, "LONGEST_SECONDS", 0.2)
        monkeypatch.setattr(quick_redis, "PATIENCE_SECONDS", 0.5)
        started = time.monotonic()
        assert loop.look(b"one", ENGINE, "top_k=3").status == Status.BYPASS
        assert time.monotonic() - started < 3
        loop.close()
    loop = FromOutside(redis_url, entries=10, seconds=60)

    async def one_goes_away():
        first, second = (
            asyncio.ensure_future(loop.inside.look(name, ENGINE, "top_k=3")) for name in (b"one", b"two")
        )
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert loop.run(one_goes_away()).status == Status.MISS
    loop.close()


def test_switched_off_it_asks_nobody(memory):
    off = memory("redis://127.0.0.1:1/0", entries=0, seconds=60)
    with structlog.testing.capture_logs() as lines:
        assert off.look(b"one", ENGINE, "top_k=3") == Looked("", Status.BYPASS)
        off.keep("", prediction())
        off.prepare()
    assert (lines, off.on) == ([], False)


class Counting:
    """An engine that counts what it computes."""

    def __init__(self, engine):
        self.card, self.size, self.fingerprint = engine.card, engine.size, engine.fingerprint
        self._engine, self.computed, self._lock = engine, 0, threading.Lock()

    def infer(self, pictures, lane=None):
        with self._lock:
            self.computed += len(pictures)
        return self._engine.infer(pictures, lane)


def test_many_pictures_are_computed_once_and_errors_are_not_kept(redis_url, make_model):
    answers = Answers(redis_url, entries=1000, seconds=60)

    def png(colour):
        stream = io.BytesIO()
        Image.new("RGB", (40, 30), colour).save(stream, "PNG")
        return stream.getvalue()

    contents = [lambda c=c: c for c in (png("red"), b"broken", png("lime"), png("blue"))]
    engine = Counting(load_engine(make_model("mdl_a", gain=20.0), lanes=2))
    batcher = Batcher(lanes=2)

    def ask(engine, top_k=1):
        return list(
            predict_pictures(
                engine,
                contents,
                bounds=Bounds(max_pixels=10**6, max_bytes=10**6),
                batcher=batcher,
                top_k=top_k,
                memory=answers,
            )
        )

    first, second = ask(engine), ask(engine)
    assert engine.computed == 3
    assert [one.prediction for one in first] == [one.prediction for one in second]
    assert [one.cached for one in first] == [False] * 4
    assert [one.cached for one in second] == [True, False, True, True]
    assert second[1].error.code == "bad-picture"
    ask(engine, top_k=2)
    assert engine.computed == 6
    other = Counting(load_engine(make_model("mdl_b", gain=20.0), lanes=2))
    assert {one.prediction.model for one in ask(other) if one.prediction} == {"mdl_b"}
    assert other.computed == 3
    batcher.close()
    answers.close()


def test_a_models_precision_and_card_are_part_of_its_fingerprint(make_model):
    folder = make_model("mdl_a")
    plain, again = (load_engine(folder, lanes=1) for _ in range(2))
    other = load_engine(folder, lanes=1, engine="onnxruntime")
    card = folder / "model.json"
    card.write_text(card.read_text().replace('"temperature":1.0', '"temperature":1.5'))
    warmer = load_engine(folder, lanes=1)
    assert plain.fingerprint == again.fingerprint
    assert len({plain.fingerprint, other.fingerprint, warmer.fingerprint}) == 3
