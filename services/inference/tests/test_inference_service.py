"""Predictions over HTTP and as jobs, on real storage and a real database."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from prometheus_client import REGISTRY
from starlette.testclient import TestClient

from reel_inference import api, comparisons, loop_cache, predict, serving, tasks
from reel_inference.shadow import Tally
from reel_inference.tasks import predict_pictures
from reel_shared import errors, fan_out, jobs, quick_redis
from reel_shared.contracts import (
    EXPLAIN_PICTURES,
    PREDICT_PICTURES,
    ExplainPicturesRequest,
    PredictPicturesRequest,
)
from reel_shared.db.engine import transact, transaction
from reel_shared.db.models import Job, ModelAlias, ShadowComparison
from reel_shared.runner import run_job
from reel_shared.security import create_key
from reel_shared.testing.registry import add_model

pytestmark = pytest.mark.servers


def picture(colour="red", kind="PNG"):
    stream = io.BytesIO()
    Image.new("RGB", (60, 40), colour).save(stream, kind)
    return stream.getvalue()


@pytest.fixture
def publish(reel, make_model):
    """Publish a generated model as the trainer does, and make it the active one."""
    reel.storage.ensure_bucket()

    def do(name, *, active=True, **options):
        folder = make_model(name, gain=20.0, **options)
        files = {
            file.name: reel.storage.put_file("models", file, "application/octet-stream").model_dump()
            for file in folder.iterdir()
        }
        with transaction() as session:
            card = json.loads((folder / "model.json").read_text())
            add_model(session, card, files, version_id="dsv_1", active=active)
        return files

    yield do
    serving.close()


@pytest.fixture
def client(reel):
    reel.configure(inference__model_poll_seconds=0.05)
    with transaction() as session:
        _, token = create_key(session, "test", ["submit"])
    with TestClient(api.app(), headers={"Authorization": f"Bearer {token}"}) as made:
        yield made


def ask(client, content, model="active", **options):
    return client.post(f"/v1/models/{model}/predict", content=content, **options)


def test_a_picture_is_answered_at_once_by_the_active_model(client, publish):
    refusal = ask(client, picture())
    assert (refusal.status_code, refusal.json()["type"]) == (503, "urn:reelsight:problem:no-model")
    publish("mdl_a")
    answer = ask(client, picture("lime"), params={"top_k": 2})
    assert answer.status_code == 200
    assert answer.headers["X-Model"] == answer.json()["model"] == "mdl_a"
    assert answer.json()["predictions"][0]["label"] == "green"
    assert len(answer.json()["predictions"]) == 2
    assert answer.json()["confident"] is True
    form = client.post("/v1/models/mdl_a/predict", files={"file": ("x.jpg", picture("blue", "JPEG"))})
    assert form.json()["predictions"][0]["label"] == "blue"
    with transaction() as session:
        assert session.query(Job).filter_by(kind=PREDICT_PICTURES.name).count() == 0


def test_refusals_say_what_is_wrong(client, publish, reel):
    publish("mdl_a")
    assert ask(client, b"").json()["reason"] == "empty"
    bad = ask(client, b"no picture at all")
    assert (bad.status_code, bad.json()["reason"]) == (400, "not-a-picture")
    assert bad.headers["content-type"] == "application/problem+json"
    assert ask(client, picture(), model="mdl_x").status_code == 404
    assert ask(client, picture(), params={"top_k": 0}).status_code == 422
    by_key = client.post("/v1/models/active/predict", json={"key": "uploads/x"})
    assert (by_key.status_code, "POST /v1/predictions" in by_key.json()["detail"]) == (415, True)
    assert client.post("/v1/models/active/predict", files={}, data={"a": "b"}).status_code == 400
    reel.configure(limits__picture_bytes=1000)
    assert ask(client, picture() + b"\0" * 2_000_000).status_code == 413
    reel.configure(limits__picture_bytes=20_000_000, limits__picture_pixels=60 * 40 - 1)
    assert ask(client, picture()).json()["reason"] == "too-many-pixels"
    reel.configure(limits__picture_pixels=60 * 40)
    assert ask(client, picture()).status_code == 200


def test_visitors_may_ask_the_active_model_only_and_only_where_the_demo_is_public(client, publish, reel):
    publish("mdl_a")
    del client.headers["Authorization"]
    assert ask(client, picture()).status_code == 200
    assert ask(client, picture(), model="mdl_a").status_code == 403
    assert ask(client, picture(), headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.post("/v1/predictions", json={"keys": ["uploads/x"]}).status_code == 401
    reel.configure(web__public_demo="false")
    assert ask(client, picture()).status_code == 401


def activate(name):
    with transaction() as session:
        session.merge(ModelAlias(name="active", model_id=name))


def test_promotions_under_load_fail_no_answer_and_mix_none(client, publish):
    """Both models know other words and other sizes: an answer by the wrong engine, card or header shows."""
    publish("mdl_a")
    publish("mdl_b", active=False, size=12, classes=["rouge", "vert", "bleu", "marque"])
    words = {"mdl_a": {"red", "green", "blue", "marker"}, "mdl_b": {"rouge", "vert", "bleu", "marque"}}
    stop, answered = threading.Event(), Counter()
    contents = {colour: picture(colour) for colour in ("red", "lime", "blue")}
    place = {"red": 0, "lime": 1, "blue": 2}

    def keep_asking(number):
        colour = list(contents)[number % 3]
        while not stop.is_set():
            # every other one may be remembered: what is must be of the model that its header names, too
            headers = {"Cache-Control": "no-cache"} if number % 2 else {}
            answer = ask(client, contents[colour], params={"top_k": 4}, headers=headers)
            assert answer.status_code == 200, answer.text
            body = answer.json()
            assert answer.headers["X-Model"] == body["model"]
            labels = [item["label"] for item in body["predictions"]]
            assert set(labels) == words[body["model"]]
            known = ("red", "green", "blue") if body["model"] == "mdl_a" else ("rouge", "vert", "bleu")
            assert labels[0] == known[place[colour]]
            answered[body["model"]] += 1

    with ThreadPoolExecutor(6) as pool:
        clients = [pool.submit(keep_asking, number) for number in range(6)]
        try:
            for name in ("mdl_b", "mdl_a", "mdl_b", "mdl_a"):
                activate(name)
                before, deadline = answered[name], time.monotonic() + 20
                while answered[name] < before + 20 and not any(one.done() for one in clients):
                    assert time.monotonic() < deadline, answered
                    time.sleep(0.01)
        finally:
            stop.set()
        for one in clients:
            one.result(30)


def status(answer):
    assert answer.status_code == 200, answer.text
    return answer.headers["Cache-Status"].removeprefix("reelsight; ")


@pytest.fixture
def patient(monkeypatch):
    """A crowded machine may keep a healthy Redis from answering at once."""
    monkeypatch.setattr(quick_redis, "PATIENCE_SECONDS", 5.0)
    monkeypatch.setattr(loop_cache, "LONGEST_SECONDS", 10.0)


def test_the_same_question_is_answered_from_memory_and_said_so(patient, client, publish, reel, monkeypatch):
    publish("mdl_a")
    first = ask(client, picture())
    assert status(first) == "fwd=miss"
    with monkeypatch.context() as patch:
        patch.setattr(api, "read_picture", None)  # neither decoded nor computed
        patch.setattr(api, "predict_picture", None)
        again = ask(client, picture())
    assert (status(again), again.json()) == ("hit", first.json())
    assert again.headers["X-Model"] == "mdl_a"
    form = client.post("/v1/models/mdl_a/predict", files={"file": ("x.png", picture())})
    assert status(form) == "hit"  # by its id it is the same model
    assert status(ask(client, picture("blue"))) == "fwd=miss"
    assert status(ask(client, picture(), params={"top_k": 1})) == "fwd=miss"
    assert status(ask(client, picture(), headers={"Cache-Control": "no-cache"})) == "fwd=request"
    assert (
        status(ask(client, picture("lime"), headers={"Cache-Control": "No-Store, max-age=0"}))
        == "fwd=request"
    )
    assert status(ask(client, picture("lime"))) == "fwd=miss"
    publish("mdl_b", marker=9.0)
    while (swapped := ask(client, picture())).headers["X-Model"] == "mdl_a":
        assert status(swapped) == "hit"
        time.sleep(0.02)
    assert status(swapped) == "fwd=miss"
    assert swapped.json()["model"] == "mdl_b"
    for _ in range(2):
        assert ask(client, b"no picture").status_code == 400
    reel.configure(inference__cache_entries=0)
    assert status(ask(client, picture())) == "fwd=bypass"


def test_a_redis_that_dies_fails_and_delays_no_answer(client, publish, reel):
    publish("mdl_a")
    ask(client, picture())
    reel.valkey.kill()
    started = time.monotonic()
    for _ in range(20):
        answer = ask(client, picture())
        assert (status(answer), answer.json()["model"]) == ("fwd=bypass", "mdl_a")
    assert time.monotonic() - started < 5


def test_a_memory_that_never_returns_holds_a_picture_up_for_its_time_only(client, publish, monkeypatch):
    publish("mdl_a")
    ask(client, picture())

    async def hold(*_):
        await asyncio.sleep(1.5)

    monkeypatch.setattr(serving.loop_answers(), "_trip", hold)
    started = time.monotonic()
    assert status(ask(client, picture())) == "fwd=bypass"
    assert time.monotonic() - started < 1.5


def test_a_mirror_image_may_count_too_where_training_mirrored(client, publish, reel):
    publish("mdl_a")
    plain = ask(client, picture("lime"))
    both = ask(client, picture("lime"), params={"tta": 1})
    assert status(both) == "fwd=miss", "another option is another question"
    chances = [
        {item["label"]: item["probability"] for item in one.json()["predictions"]} for one in (plain, both)
    ]
    assert chances[0] == pytest.approx(chances[1], abs=1e-6), "one colour is its own mirror image"
    assert ask(client, picture(), params={"tta": 2}).status_code == 422
    key = reel.storage.put_bytes("uploads", picture("blue"), "image/png").key
    job = client.post("/v1/predictions", json={"keys": [key], "tta": 1}).json()
    assert run(job["id"])[1].result["failed"] == 0
    again = ask(client, picture("blue"), params={"tta": 1})
    assert again.json()["predictions"][0]["label"] == "blue"

    publish("mdl_b", active=False, recipe={"transforms": {"flip": False}})
    refusals = [
        ask(client, picture(), model="mdl_b", params={"tta": 1}),
        client.post("/v1/predictions", json={"keys": [key], "model": "mdl_b", "tta": 1}),
        client.post(
            "/v1/predictions", files={"file": ("a.png", picture())}, data={"model": "mdl_b", "tta": "1"}
        ),
    ]
    for refusal in refusals:
        assert (refusal.status_code, "without mirrored" in refusal.json()["detail"]) == (422, True)
    assert ask(client, picture(), model="mdl_b").status_code == 200
    with transaction() as session:
        request = PredictPicturesRequest(keys=[key], model="mdl_b", tta=1)
        job_id = jobs.submit(session, PREDICT_PICTURES, request).id
    state, failed = run(job_id)
    assert (state, failed.attempt, "without mirrored" in failed.error["detail"]) == ("failed", 1, True)


def test_a_key_that_asks_too_often_holds_no_other_up(client, publish, reel):
    publish("mdl_a")
    with transaction() as session:
        _, other = create_key(session, "other", ["submit"])
    reel.configure(inference__key_requests_per_second=0.01, inference__key_burst=2)
    answers = [ask(client, picture()) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json()["type"] == "urn:reelsight:problem:too-many-requests"
    assert 90 <= int(answers[2].headers["Retry-After"]) <= 100
    assert ask(client, picture(), headers={"Authorization": f"Bearer {other}"}).status_code == 200
    assert ask(client, picture(), headers={"Authorization": ""}).status_code == 401
    assert client.post("/v1/predictions", json={"keys": ["uploads/x"]}).status_code == 202


def test_a_deadline_is_kept_or_the_picture_is_dropped(client, publish, monkeypatch):
    publish("mdl_a")
    content = picture("lime")
    assert ask(client, content, headers={"Grpc-Timeout": "60S"}).json()["predictions"][0]["label"] == "green"
    decoded = []
    monkeypatch.setattr(api, "read_picture", lambda *args: decoded.append(args))
    late = ask(client, picture("red"), headers={"Grpc-Timeout": "1n"})
    assert (late.status_code, late.json()["type"]) == (504, "urn:reelsight:problem:deadline-passed")
    assert (decoded, "Retry-After" in late.headers) == ([], False)
    monkeypatch.undo()

    def slow(*args):
        time.sleep(0.3)
        return predict.read_picture(*args)

    monkeypatch.setattr(api, "read_picture", slow)
    monkeypatch.setattr(serving.models().resident(), "infer", None)  # it would be a fault to reach it
    late = ask(client, picture("blue"), headers={"Grpc-Timeout": "250m"})
    assert (late.status_code, late.json()["detail"][:18]) == (504, "The picture's time")


@pytest.mark.parametrize("value", ["", "5", "5s", "-1S", "1.5S", "0m", "123456789m", "1 S", "soon"])
def test_a_deadline_that_cannot_be_read_is_refused(client, publish, value):
    publish("mdl_a")
    refusal = ask(client, picture(), headers={"Grpc-Timeout": value})
    assert refusal.status_code == 400
    assert refusal.json()["detail"].startswith(f"Grpc-Timeout is {value!r}; write one to eight digits")


def test_readiness_waits_until_the_model_is_warm_and_says_what_serves(
    client, publish, reel, monkeypatch, measured
):
    def ready():
        answer = client.get("/readyz")
        return answer.status_code, answer.json()["checks"]["model"]

    assert ready()[0] == 200, "no model at all is no fault"
    begun, go_on, load = threading.Event(), threading.Event(), serving.models()._load

    def slowly(folder):
        begun.set()
        assert go_on.wait(20)
        return load(folder)

    monkeypatch.setattr(serving.models(), "_load", slowly)
    f32 = measured("f32")
    publish("mdl_a", agreement=[f32, measured("bf16", passed=False)])
    assert begun.wait(20)
    code, shown = ready()
    assert (code, shown["detail"]) == (503, "Model mdl_a is still being loaded.")
    go_on.set()
    assert ask(client, picture()).headers["X-Engine"] == "openvino/f32"
    code, shown = ready()
    assert (code, shown["ok"], shown["model"]) == (200, True, "mdl_a")
    assert (shown["engine"], shown["precision"], shown["device"]) == ("openvino", "f32", "CPU")
    assert shown["agreement"] == f32.model_dump(mode="json")
    assert "why" not in shown


def test_a_replica_that_is_to_start_warm_lets_nobody_connect_before(publish, reel):
    publish("mdl_a")
    reel.configure(inference__warm_seconds=30)
    with TestClient(api.app()):
        assert serving.models().resident().card.id == "mdl_a"


def test_a_replica_without_an_active_model_or_a_database_starts_all_the_same(reel):
    reel.configure(inference__warm_seconds=30)
    began = time.monotonic()
    with TestClient(api.app()) as client:
        assert client.get("/healthz").status_code == 200
    reel.configure(database__url="postgresql://nobody@127.0.0.1:1/nothing")
    with TestClient(api.app()) as client:
        assert client.get("/healthz").status_code == 200
    assert time.monotonic() - began < 20


def test_a_wish_that_a_model_cannot_meet_is_said_where_it_serves(client, publish, reel):
    reel.configure(inference__precision="int8")
    publish("mdl_a")
    assert ask(client, picture()).headers["X-Engine"] == "openvino/f32"
    shown = client.get("/readyz").json()["checks"]["model"]
    assert (shown["ok"], shown["precision"], shown["agreement"]) == (True, "f32", None)
    assert shown["why"] == "int8 is asked for: the model was published without it."


class Gated:
    """An engine that answers only while it is open."""

    def __init__(self, engine):
        self._engine, self.open = engine, threading.Event()

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def infer(self, pictures, lane=None):
        assert self.open.wait(30)
        return self._engine.infer(pictures, lane)


@pytest.fixture
def gated(client, publish, reel, monkeypatch):
    """Serve a model that answers nothing until its gate is opened; few pictures may wait for it."""
    reel.configure(inference__queue=4, inference__lanes=1, inference__cache_entries=0)
    publish("mdl_a")
    assert ask(client, picture()).status_code == 200
    engine = Gated(serving.models().resident())
    monkeypatch.setattr(serving.models(), "resident", lambda _model="active": engine)
    yield engine
    engine.open.set()


def test_at_overload_every_request_is_answered_or_refused_with_a_time_to_come_back(client, gated):
    with ThreadPoolExecutor(30) as pool:
        asked = [pool.submit(ask, client, picture("lime")) for _ in range(30)]
        deadline = time.monotonic() + 20
        while (
            sum(one.done() for one in asked) < 20
        ):  # those that no room was left for; nobody waits for the rest
            assert time.monotonic() < deadline, [one.result().status_code for one in asked if one.done()]
            time.sleep(0.01)
        gated.open.set()
        answers = [one.result(30) for one in asked]
    codes = Counter(answer.status_code for answer in answers)
    assert set(codes) == {200, 429}
    assert codes.total() == 30
    assert codes[200] >= 4, "what was queued was answered"
    for answer in answers:
        if answer.status_code == 429:
            assert int(answer.headers["Retry-After"]) >= 1
            assert answer.json()["type"] == "urn:reelsight:problem:too-many-requests"
        else:
            assert answer.json()["predictions"][0]["label"] == "green"
    assert ask(client, picture("blue")).status_code == 200


def test_a_broken_picture_among_others_fails_alone(client, publish):
    publish("mdl_a")
    sent = [picture("red"), b"no picture", picture("blue")[:60], picture("lime")] * 15

    def outcome(content):
        answer = ask(client, content, headers={"Cache-Control": "no-cache"})
        body = answer.json()
        return (
            body["predictions"][0]["label"]
            if answer.status_code == 200
            else (answer.status_code, body["reason"])
        )

    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(outcome, sent))
    assert found == ["red", (400, "not-a-picture"), (400, "truncated"), "green"] * 15


def compare(active, shadow, share=1.0, number=1):
    """Begin a comparison as the registry does."""
    with transaction() as session:
        session.merge(ModelAlias(name="shadow", model_id=shadow, share=share))
        session.query(ShadowComparison).delete()
        session.add(ShadowComparison(id=f"shc_{number}", active_id=active, shadow_id=shadow))


def counted(enough, seconds=20):
    """Wait until the one comparison has counted enough, and return its row."""
    deadline = time.monotonic() + seconds
    while True:
        with transaction() as session:
            row = session.query(ShadowComparison).one()
        if enough(row):
            return row
        assert time.monotonic() < deadline, (row.asked, row.dropped, row.failed)
        time.sleep(0.05)


def test_a_shadow_is_asked_what_was_answered_and_its_answers_reach_nobody(client, publish):
    publish("mdl_a")
    publish("mdl_b", active=False, size=12, classes=["red", "blue", "green", "marker"])
    compare("mdl_a", "mdl_b")
    wanted = time.monotonic() + 20
    while not serving.shadow().wants("mdl_a"):
        assert time.monotonic() < wanted, "the shadow is not followed"
        time.sleep(0.02)
    for colour in ("red", "lime", "lime", "blue"):
        answer = ask(client, picture(colour), headers={"Cache-Control": "no-cache"})
        assert (answer.status_code, answer.json()["model"]) == (200, "mdl_a")
        counted(lambda row: serving.shadow()._queue.empty())
    ask(client, picture("green"), model="mdl_a")  # by its id: not what the active model is asked
    assert (
        ask(client, picture("blue")).headers["Cache-Status"] == "reelsight; hit"
    )  # nothing new was answered
    row = counted(lambda row: row.asked == 4)
    assert (row.agreed, row.failed, row.dropped) == (1, 0, 0)
    assert sorted(row.pairs) == [["blue", "green", 1], ["green", "blue", 2]]
    with transaction() as session:
        session.delete(session.get(ModelAlias, "shadow"))
    while serving.shadow().wants("mdl_a"):
        assert time.monotonic() < wanted
        time.sleep(0.02)


def test_a_shadow_that_is_broken_fails_no_answer(client, publish, reel):
    publish("mdl_a")
    files = publish(
        "mdl_b", active=False, size=12
    )  # objects are kept by their hash: equal models share their file
    reel.storage.put_at(files["model.onnx"]["key"], b"something else", "application/octet-stream")
    compare("mdl_a", "mdl_b")
    for _ in range(10):
        assert ask(client, picture()).status_code == 200
        time.sleep(0.02)
    assert not serving.shadow().wants("mdl_a")


def test_replicas_add_to_one_row_and_pairs_are_bounded(publish, monkeypatch):
    publish("mdl_a")
    publish("mdl_b", active=False)
    compare("mdl_a", "mdl_b")
    monkeypatch.setattr(comparisons, "MAX_PAIRS", 2)
    pairs = Counter({("a", "b"): 2, ("a", "c"): 1})
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(
            lambda _: comparisons.add("shc_1", Tally(asked=5, agreed=2, confidence=-0.5, pairs=pairs)),
            range(8),
        ):
            pass
    comparisons.add("shc_1", Tally(asked=3, pairs=Counter({("x", "y"): 3})))
    row = counted(lambda row: True)
    assert (row.asked, row.agreed, row.confidence, row.other_pairs) == (43, 16, -4.0, 3)
    assert sorted(row.pairs) == [["a", "b", 16], ["a", "c", 8]]
    compare("mdl_a", "mdl_b", number=2)
    comparisons.add("shc_1", Tally(asked=5))
    assert counted(lambda row: True).asked == 0


def run(job_id):
    state = run_job(PREDICT_PICTURES, predict_pictures, job_id)
    with transaction() as session:
        return state, jobs.get(session, job_id)


def test_a_job_answers_every_key_in_order_with_its_own_error(publish, reel):
    publish("mdl_a")
    store = reel.storage
    good = [store.put_bytes("uploads", picture(c), "image/png").key for c in ("red", "lime", "blue")]
    bad = store.put_bytes("uploads", b"broken", "image/png").key
    keys = [good[0], bad, good[1], "uploads/00/missing.png", good[2]] * 30
    with transaction() as session:
        request = PredictPicturesRequest(keys=keys, top_k=1)
        job_id = jobs.submit(session, PREDICT_PICTURES, request).id
    state, job = run(job_id)
    assert state == "succeeded", job.error
    assert (job.result["count"], job.result["failed"], job.result["model"]) == (150, 60, "mdl_a")
    lines = store.get_bytes(job.result["results"]["key"], max_bytes=10**6).decode().splitlines()
    found = [json.loads(line) for line in lines]
    assert [line["key"] for line in found] == keys
    wanted = ["red", "bad-picture", "green", "not-found", "blue"] * 30
    assert [_outcome(line) for line in found] == wanted
    assert job.progress_done == job.progress_total == 150


def _outcome(line):
    if "error" in line:
        return line["error"]["type"].rpartition(":")[2]
    return line["predictions"][0]["label"]


def submit(**request):
    with transaction() as session:
        return jobs.submit(session, PREDICT_PICTURES, PredictPicturesRequest(**request)).id


def lines_of(reel, job):
    content = reel.storage.get_bytes(job.result["results"]["key"], max_bytes=10**7)
    return [json.loads(line) for line in content.decode().splitlines()]


def zipped(*members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


def test_the_files_of_an_archive_are_answered_each_with_its_own_error(client, publish, reel):
    publish("mdl_a")
    packed = zipped(
        ("film/1.png", picture("red")),
        ("film/", b""),
        ("notes.txt", b"buy milk"),
        ("__MACOSX/film/._1.png", b"litter"),
        ("../2.png", picture("lime")),
        ("bomb.png", bytes(3 * 2**20)),
        ("film/3.png", picture("blue")),
    )
    wanted = [
        ("film/1.png", "red"), ("notes.txt", "bad-picture"), ("../2.png", "bad-member"),
        ("bomb.png", "bad-member"), ("film/3.png", "blue"),
    ]  # fmt: skip
    sent = client.post("/v1/predictions", files={"file": ("pictures.zip", packed)}, data={"top_k": "1"})
    assert sent.status_code == 202, sent.text
    key = sent.json()["request"]["archive"]
    by_key = client.post("/v1/predictions", json={"archive": key, "top_k": 1})
    for job_id in (sent.json()["id"], by_key.json()["id"]):
        state, job = run(job_id)
        assert state == "succeeded", job.error
        assert (job.result["count"], job.result["failed"], job.result["parts"]) == (5, 3, 1)
        found = lines_of(reel, job)
        assert [(line["file"], _outcome(line)) for line in found] == wanted
        reasons = [line["error"]["reason"] for line in found if "error" in line]
        assert reasons == ["not-a-picture", "unsafe-path", "bomb"]


def test_an_archive_that_cannot_be_taken_is_refused(client, publish, reel):
    publish("mdl_a")
    both = {"keys": ["uploads/x"], "archive": "uploads/y.zip"}
    for wrong in (both, {}):
        refusal = client.post("/v1/predictions", json=wrong)
        assert (refusal.status_code, "either keys or archive" in refusal.text) == (422, True)
    nothing = client.post("/v1/predictions", json={"archive": "uploads/y.zip"})
    assert (nothing.status_code, "Nothing is stored" in nothing.json()["detail"]) == (404, True)
    mixed = [("file", ("a.zip", zipped(("a", b"b")))), ("file", ("b.png", picture()))]
    assert "comes alone" in client.post("/v1/predictions", files=mixed).json()["detail"]

    def end(content):
        stored = reel.storage.put_bytes("uploads", content, "application/zip", ".zip")
        state, job = run(submit(archive=stored.key))
        assert state == "failed"
        return job.error["type"].rpartition(":")[2], job.error["detail"]

    assert end(b"PK\x03\x04 and nothing else")[0] == "bad-request"
    assert "holds no file" in end(zipped(("folder/", b"")))[1]
    reel.configure(limits__archive_members=2)
    assert end(zipped(*[(f"{number}.png", b"x") for number in range(3)]))[0] == "too-large"
    reel.configure(limits__archive_members=20, limits__archive_bytes=5000)
    kind, detail = end(zipped(*[(f"{number}.png", bytes(3000)) for number in range(2)]))
    assert (kind, "unpacks to 6000 bytes" in detail) == ("too-large", True)


@pytest.fixture
def cut_small(monkeypatch):
    monkeypatch.setattr(tasks, "PART_KEYS", 4)
    monkeypatch.setattr(tasks, "PART_FILES", 4)


def parts_of(job_id):
    with transaction() as session:
        query = session.query(Job).filter_by(parent_id=job_id).order_by(Job.part)
        return [(part.kind, part.state, part.request["model"], part.result["count"]) for part in query]


@pytest.mark.parametrize("packed", [False, True])
def test_a_large_job_is_cut_and_its_lines_come_in_order(publish, reel, cut_small, packed):
    publish("mdl_a")
    colours = ["red", "lime", "blue", "lime", "red", "blue", "blue", "red", "lime", "red"]
    if packed:
        content = zipped(*[(f"{number}.png", picture(colour)) for number, colour in enumerate(colours)])
        job_id = submit(archive=reel.storage.put_bytes("uploads", content, "application/zip", ".zip").key)
    else:
        keys = [reel.storage.put_bytes("uploads", picture(colour), "image/png").key for colour in colours]
        job_id = submit(keys=[*keys[:9], "uploads/00/missing.png"])
    state, job = run(job_id)
    assert state == "succeeded", job.error
    assert (job.result["count"], job.result["failed"], job.result["parts"]) == (10, 0 if packed else 1, 3)
    assert parts_of(job_id) == [("inference.predict_part", "succeeded", "mdl_a", n) for n in (4, 4, 2)]
    names = {"red": "red", "lime": "green", "blue": "blue"}
    wanted = [names[colour] for colour in colours]
    found = lines_of(reel, job)
    assert [_outcome(line) for line in found] == (wanted if packed else [*wanted[:9], "not-found"])
    if packed:
        assert [line["file"] for line in found] == [f"{number}.png" for number in range(10)]
    assert job.progress_done == job.progress_total == 10


def test_a_job_ends_with_the_model_that_it_began_with(publish, reel, cut_small, monkeypatch):
    """Its first attempt dies when its parts are submitted, and another model is promoted before the second."""
    reel.configure(jobs__retry_base_seconds=0.01)
    publish("mdl_a")
    keys = [reel.storage.put_bytes("uploads", picture(), "image/png").key] * 6
    job_id = submit(keys=keys)

    def die(context, kind, _function, parts, *, unit):
        transact(lambda session: fan_out._submit_missing(session, context, kind, parts))
        raise errors.StorageUnavailable("Storage does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(tasks, "fan_out", die)
        run(job_id)
    publish("mdl_b", classes=["rouge", "vert", "bleu", "marque"])
    deadline = time.monotonic() + 10
    while (ended := run(job_id))[0] is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    state, job = ended
    assert (state, job.result["model"], job.attempt) == ("succeeded", "mdl_a", 2)
    assert {_outcome(line) for line in lines_of(reel, job)} == {"red"}


def test_answers_of_the_active_model_are_counted_beside_what_its_card_expects(client, publish, reel):
    def told(name, **labels):
        return REGISTRY.get_sample_value(name, labels) or 0.0

    def answers():
        return [told("reel_answers_total", label=label) for label in ("red", "green", "blue")]

    expected = {"shares": {"red": 0.75, "blue": 0.25}, "not_sure": 0.1, "confidence": 0.8}
    publish("mdl_other", active=False)
    publish("mdl_a", expected=expected, not_sure_below=0.9)
    ask(client, picture("red"))
    before, unsure = answers(), told("reel_answers_not_sure_total")
    for colour in (
        "red",
        "lime",
        "lime",
        "#555555",
    ):  # one from memory, one new, one from memory, one not sure
        assert ask(client, picture(colour)).status_code == 200
    assert ask(client, picture("blue"), model="mdl_other").status_code == 200, "not the active one"
    run(submit(keys=[reel.storage.put_bytes("uploads", picture("blue"), "image/png").key]))
    assert np.subtract(answers(), before).sum() == 5
    assert np.subtract(answers(), before)[1:].tolist() == [2, 1]
    assert told("reel_answers_not_sure_total") - unsure == 1
    assert [told("reel_expected_share", label=label) for label in ("red", "green", "blue")] == [0.75, 0, 0.25]
    assert told("reel_expected_not_sure_share") == 0.1
    publish("mdl_older")
    deadline = time.monotonic() + 10
    while ask(client, picture()).headers["X-Model"] != "mdl_older":
        assert time.monotonic() < deadline
    assert REGISTRY.get_sample_value("reel_expected_share", {"label": "red"}) is None


@pytest.mark.parametrize("size", [2, 100])
@pytest.mark.parametrize("packed", [False, True])
def test_what_a_job_is_not_sure_of_is_explained_by_a_job_that_follows(
    client, publish, reel, monkeypatch, packed, size
):
    """The memory of answers is asked too: the pictures come twice."""
    monkeypatch.setattr(tasks, "PART_KEYS", size)
    monkeypatch.setattr(tasks, "PART_FILES", size)
    publish("mdl_a", not_sure_below=0.9)
    sure, unsure = picture("red"), picture("#555555")
    content = [sure, unsure, b"no picture", unsure, sure]
    options = {"methods": ["gradcam"], "alpha": 0.5}
    if packed:
        archive = zipped(*[(f"{number}.png", each) for number, each in enumerate(content)])
        sent = client.post(
            "/v1/predictions",
            files={"file": ("a.zip", archive)},
            data={"explain_not_sure": json.dumps(options)},
        )
    else:
        keys = [reel.storage.put_bytes("uploads", each, "image/png").key for each in content]
        sent = client.post("/v1/predictions", json={"keys": keys, "explain_not_sure": options})
    assert sent.status_code == 202, sent.text
    state, job = run(sent.json()["id"])
    assert state == "succeeded", job.error
    assert (job.result["not_sure"], job.result["failed"]) == (2, 1)
    lines = lines_of(reel, job)
    assert [line.get("confident") for line in lines] == [True, False, None, False, True]
    for line in lines:
        stored = "key" in line and reel.storage.get_bytes(line["key"], max_bytes=10**6)
        assert stored == unsure if line.get("confident") is False else not packed or not stored
    with transaction() as session:
        (following,) = session.query(Job).filter_by(kind=EXPLAIN_PICTURES.name).all()
        assert (following.parent_id, following.part) == (job.id, None)
        asked = ExplainPicturesRequest.model_validate(following.request)
    assert (asked.not_sure_in, asked.methods, asked.alpha) == (job.id, ["gradcam"], 0.5)


def test_wrong_wishes_for_explanations_are_refused(client, publish):
    publish("mdl_a")
    for wish in ({"methods": ["lime"]}, {"labels": ["red"]}, "{", True):
        answer = client.post("/v1/predictions", json={"keys": ["uploads/x"], "explain_not_sure": wish})
        assert answer.status_code == 422, answer.text


def test_a_job_shares_the_memory_with_the_endpoint(patient, client, publish, reel):
    publish("mdl_a")
    colours = ("red", "lime", "blue")
    keys = [reel.storage.put_bytes("uploads", picture(colour), "image/png").key for colour in colours]
    ask(client, picture("red"))
    assert status(ask(client, picture("red"))) == "hit"  # so it is in Redis, where answers go a moment later

    def job():
        with transaction() as session:
            submitted = jobs.submit(session, PREDICT_PICTURES, PredictPicturesRequest(keys=keys))
        result = run(submitted.id)[1].result
        return result["cached"], reel.storage.get_bytes(result["results"]["key"], max_bytes=10**6)

    (first, lines), (second, again) = job(), job()
    assert (first, second) == (1, 3)
    assert lines == again
    assert status(ask(client, picture("blue"))) == "hit"


def test_a_job_uses_the_model_that_is_active_when_it_runs(publish, reel):
    publish("mdl_a")
    key = reel.storage.put_bytes("uploads", picture(), "image/png").key
    for name in ("mdl_b", "mdl_c"):
        publish(name)
        with transaction() as session:
            job_id = jobs.submit(session, PREDICT_PICTURES, PredictPicturesRequest(keys=[key])).id
        assert run(job_id)[1].result["model"] == name


def test_a_damaged_model_fails_the_job_with_the_reason(publish, reel):
    files = publish("mdl_a")
    reel.storage.put_at(files["model.onnx"]["key"], b"something else", "application/octet-stream")
    with transaction() as session:
        job_id = jobs.submit(session, PREDICT_PICTURES, PredictPicturesRequest(keys=["uploads/x"])).id
    state, job = run(job_id)
    assert state == "failed"
    assert "does not match its recorded hash" in job.error["detail"]


def test_jobs_are_submitted_by_keys_or_as_a_form(client, publish, reel):
    none_yet = client.post("/v1/predictions", json={"keys": ["uploads/x"]})
    assert (none_yet.status_code, none_yet.json()["type"]) == (503, "urn:reelsight:problem:no-model")
    publish("mdl_a")
    unknown = client.post("/v1/predictions", json={"keys": ["uploads/x"], "model": "mdl_x"})
    assert (unknown.status_code, "mdl_x" in unknown.json()["detail"]) == (404, True)
    with transaction() as session:
        assert session.query(Job).filter_by(kind=PREDICT_PICTURES.name).count() == 0
    by_key = client.post("/v1/predictions", json={"keys": ["uploads/x"], "metadata": {"batch": "7"}})
    assert by_key.status_code == 202
    assert by_key.json()["metadata"] == {"batch": "7"}
    assert by_key.headers["Location"] == f"/v1/jobs/{by_key.json()['id']}"
    files = [("file", ("a.png", picture("red"))), ("file", ("b.png", picture("lime")))]
    form = client.post("/v1/predictions", files=files, data={"top_k": "1"})
    assert form.status_code == 202, form.text
    state, job = run(form.json()["id"])
    assert (state, job.result["count"], job.result["failed"]) == ("succeeded", 2, 0)
    again = {"Idempotency-Key": "once"}
    first, second = (client.post("/v1/predictions", files=files, headers=again).json() for _ in range(2))
    assert first["id"] == second["id"]
    wrong = client.post("/v1/predictions", json={"keys": []})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "#/keys")
    assert client.post("/v1/predictions", data={"top_k": "1"}, files={"x": b"y"}).status_code == 400


def test_a_form_is_refused_whole_before_anything_of_it_is_stored(client, publish, reel):
    files = [("file", ("a.png", picture("red"))), ("file", ("b.jpg", picture("lime", "JPEG")))]
    send = client.post
    assert send("/v1/predictions", files=files).json()["type"] == "urn:reelsight:problem:no-model"
    publish("mdl_a")
    wrong = send("/v1/predictions", files=files, data={"top_k": "0", "modle": "x"})
    pointers = {item["pointer"] for item in wrong.json()["errors"]}
    assert (wrong.status_code, pointers) == (422, {"#/top_k", "#/modle"})
    assert send("/v1/predictions", files=files, data={"model": "mdl_x"}).status_code == 404
    notes = send("/v1/predictions", files=[*files, ("file", ("notes.txt", b"buy milk", "image/png"))])
    assert (notes.status_code, notes.json()["file"]) == (415, "notes.txt")
    assert notes.json()["detail"].startswith("'notes.txt' is refused. The file is of no kind that is known")
    film = ("file", ("film.mp4", b"\0\0\0\x18ftypisom" + bytes(500)))
    assert "kind mp4 (film)" in send("/v1/predictions", files=[*files, film]).json()["detail"]
    empty = send("/v1/predictions", files=[*files, ("file", ("void.png", b""))])
    assert (empty.status_code, empty.json()["file"]) == (400, "void.png")
    reel.configure(limits__picture_bytes=len(files[0][1][1]))
    large = send("/v1/predictions", files=files)
    assert (large.status_code, large.json()["file"]) == (413, "b.jpg")
    assert not list(reel.storage.list("uploads/"))


def test_files_of_a_form_are_stored_as_what_they_are(client, publish, reel):
    publish("mdl_a")
    files = [("file", ("x.bin", picture("red"), "text/html")), ("file", ("y", picture("lime", "JPEG")))]
    form = client.post("/v1/predictions", files=files, data={"metadata": '{"batch": "8"}'})
    assert (form.status_code, form.json()["metadata"]) == (202, {"batch": "8"})
    keys = form.json()["request"]["keys"]
    assert [reel.storage.stat(key).media_type for key in keys] == ["image/png", "image/jpeg"]
    assert [key[-4:] for key in keys] == [".png", ".jpg"]


def test_the_contract_lists_both_ways_of_sending(client):
    paths = client.get("/openapi.json").json()["paths"]
    named = {item["name"] for item in paths["/v1/models/{model}/predict"]["post"]["parameters"]}
    assert named == {"model", "top_k", "tta", "Grpc-Timeout"}
    for path in ("/v1/models/{model}/predict", "/v1/predictions"):
        assert "multipart/form-data" in paths[path]["post"]["requestBody"]["content"]
