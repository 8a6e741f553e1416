"""Bringing, checking, keeping and swapping models."""

from __future__ import annotations

import hashlib
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from reel_inference.batching import Batcher
from reel_inference.engine import load_engine
from reel_inference.models import ModelRecord, Models
from reel_inference.predict import top_labels
from reel_shared import errors
from reel_shared.contracts import StoredFile


class Registry:
    """Model folders in place of the database and the bucket."""

    def __init__(self):
        self.folders, self.active, self.downloads, self.away = {}, None, 0, None

    def add(self, folder):
        files = {}
        for path in folder.iterdir():
            name, content = path.name, path.read_bytes()
            files[name] = StoredFile(
                key=f"models/{folder.name}/{name}",
                media_type="application/octet-stream",
                size=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
            )
        self.folders[folder.name] = (folder, ModelRecord(folder.name, files))

    def find(self, model):
        if self.away is not None:
            self.away += 1
            raise errors.DatabaseUnavailable("The database does not answer.")
        if model == "active" and self.active is None:
            raise errors.NoModel("No model is active yet; train one with activate=true.")
        name = self.active if model == "active" else model
        if name not in self.folders:
            raise errors.NotFound(f"There is no model {name}.")
        return self.folders[name][1]

    def download(self, key, path):
        self.downloads += 1
        _, model, name = key.split("/")
        shutil.copy(self.folders[model][0] / name, path)


@pytest.fixture
def registry(make_model):
    made = Registry()
    made.add(make_model("mdl_a", size=8, marker=50.0, classes=["a0", "a1", "a2", "a3"]))
    made.add(make_model("mdl_b", size=12, marker=50.0, classes=["b0", "b1", "b2", "b3"]))
    return made


def make_models(registry, tmp_path, **options):
    return Models(
        find=registry.find,
        download=registry.download,
        load=lambda folder: load_engine(folder, lanes=2),
        folder=tmp_path / "local",
        **options,
    )


@pytest.fixture
def models(registry, tmp_path):
    return make_models(registry, tmp_path)


def test_no_active_model_is_said_and_a_later_one_is_found(models, registry):
    with pytest.raises(errors.NoModel):
        models.engine()
    registry.active = "mdl_a"
    assert models.engine().card.id == "mdl_a"
    assert models.engine("mdl_b").card.id == "mdl_b"
    with pytest.raises(errors.NotFound):
        models.engine("mdl_x")


def test_a_model_is_downloaded_once_even_when_many_ask_at_once(models, registry):
    registry.active = "mdl_a"
    with ThreadPoolExecutor(8) as pool:
        engines = list(pool.map(lambda _: models.engine(), range(32)))
    assert len({id(engine) for engine in engines}) == 1
    assert registry.downloads == 2


@pytest.mark.parametrize("name", ["model.json", "model.onnx"])
def test_a_tampered_file_in_storage_is_refused_and_leaves_nothing(models, registry, tmp_path, name):
    registry.active = "mdl_a"
    path = registry.folders["mdl_a"][0] / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(errors.Corrupt, match=name.replace(".", r"\.")):
        models.engine()
    assert list((tmp_path / "local").iterdir()) == []


def test_a_damaged_local_copy_is_brought_again(models, registry, tmp_path):
    registry.active = "mdl_a"
    models.engine()
    (tmp_path / "local/mdl_a/model.onnx").write_bytes(b"half")
    fresh = Models(
        find=registry.find,
        download=registry.download,
        load=lambda d: load_engine(d, lanes=1),
        folder=tmp_path / "local",
    )
    assert fresh.engine().card.id == "mdl_a"
    assert registry.downloads == 4


def test_a_record_without_a_graph_is_refused(models, registry):
    folder, record = registry.folders["mdl_a"]
    registry.folders["mdl_a"] = (folder, ModelRecord("mdl_a", {"model.json": record.files["model.json"]}))
    registry.active = "mdl_a"
    with pytest.raises(errors.Corrupt, match=r"has no model\.onnx"):
        models.engine()


def resident(models):
    return [name for name in ("mdl_a", "mdl_b", "mdl_c", "mdl_d") if models.resident(name)]


def test_the_active_model_stays_and_of_others_those_asked_last(registry, make_model, tmp_path):
    for name in ("mdl_c", "mdl_d"):
        registry.add(make_model(name, size=8))
    models = make_models(registry, tmp_path, keep=2)
    registry.active = "mdl_a"
    active = models.refresh()
    for name in ("mdl_b", "mdl_c"):
        models.engine(name)
    assert resident(models) == ["mdl_a", "mdl_b", "mdl_c"]
    models.engine("mdl_b")  # by now mdl_c was asked longest ago
    models.engine("mdl_d")
    assert resident(models) == ["mdl_a", "mdl_b", "mdl_d"]
    assert models.engine("mdl_a") is models.engine() is active, "it is not loaded once more by its id"
    registry.active = "mdl_d"
    models.refresh()
    assert resident(models) == ["mdl_a", "mdl_b", "mdl_d"], "the one before stays for a way back"
    assert registry.downloads == 8


def test_nothing_is_kept_beside_the_active_model_where_nothing_is_to_be(registry, tmp_path):
    models = make_models(registry, tmp_path, keep=0)
    registry.active = "mdl_a"
    models.refresh()
    assert models.engine("mdl_b").card.id == "mdl_b"
    assert resident(models) == ["mdl_a"]
    registry.active = "mdl_b"
    models.refresh()
    assert resident(models) == ["mdl_b"]


def test_a_model_that_is_being_loaded_holds_up_nobody_who_asks_another(registry, tmp_path):
    models = make_models(registry, tmp_path)
    registry.active = "mdl_a"
    models.refresh()
    begun, go_on, load = threading.Event(), threading.Event(), models._load

    def slowly(folder):
        begun.set()
        assert go_on.wait(10)
        return load(folder)

    models._load = slowly
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(models.engine, "mdl_b")
        assert begun.wait(10)
        assert (
            models.engine().card.id == models.engine("mdl_a").card.id == models.refresh().card.id == "mdl_a"
        )
        assert not other.done()
        go_on.set()
        assert other.result(10).card.id == "mdl_b"


def test_the_int8_graph_is_brought_with_a_model_that_has_one(registry, make_model, tmp_path):
    registry.add(make_model("mdl_c", size=8, int8=1.0))
    models = make_models(registry, tmp_path)
    assert models.engine("mdl_c").card.id == "mdl_c"
    names = {path.name for path in (tmp_path / "local" / "mdl_c").iterdir()}
    assert names == {"model.json", "model.onnx", "model.int8.onnx"}


def test_a_swap_under_load_never_mixes_models(models, registry):
    registry.active = "mdl_a"
    models.refresh()
    batcher = Batcher(lanes=2, max_batch=4, bound=200)
    stop = threading.Event()
    answered = {"a": 0, "b": 0}

    def client(seed):
        rng = np.random.default_rng(seed)
        while not stop.is_set():
            engine = models.engine()
            picture = rng.integers(0, 256, (engine.size, engine.size, 3), dtype=np.uint8)
            logits = batcher.submit(engine, lambda one=picture: [one]).result(10)[0]
            letter = engine.card.id[-1]
            labels = {item.label for item in top_labels(logits, engine.card, top_k=4)}
            assert labels == {f"{letter}{number}" for number in range(4)}
            np.testing.assert_allclose(logits[:3], picture.reshape(-1, 3).mean(0) / 255, atol=1e-5)
            answered[letter] += 1

    with ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(client, seed) for seed in range(8)]
        try:
            for turn in range(20):
                registry.active = "mdl_b" if turn % 2 == 0 else "mdl_a"
                assert models.refresh().card.id == registry.active
                letter, before = registry.active[-1], answered[registry.active[-1]]
                _wait(lambda letter=letter, before=before: answered[letter] >= before + 5)
        finally:
            stop.set()
        for one in clients:
            one.result(30)
    assert min(answered.values()) >= 50
    batcher.close()


def test_the_watcher_follows_the_registry_and_outlives_faults(models, registry):
    stop = threading.Event()
    thread = threading.Thread(target=models.watch, args=(stop, 0.01))
    thread.start()
    try:
        registry.active = "mdl_a"
        _wait(lambda: models.resident() and models.resident().card.id == "mdl_a")
        registry.away = 0
        _wait(lambda: registry.away > 3)
        assert models.resident().card.id == "mdl_a"
        registry.away = None
        registry.active = "mdl_b"
        _wait(lambda: models.resident() and models.resident().card.id == "mdl_b")
        registry.active = None
        _wait(lambda: models.resident() is None)
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()


def _wait(condition):
    for _ in range(1000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("nothing changed in 10 s")
