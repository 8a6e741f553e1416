"""The engine on generated graphs: right answers, refusals, lanes, no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from reel_inference import onnxruntime_graph
from reel_inference.choice import hardware
from reel_inference.engine import load_engine
from reel_shared import errors
from reel_shared.model_card import facts_of

ENGINES = pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])


@ENGINES
def test_logits_of_every_lane_and_batch_size_agree(make_model, engine):
    engine = load_engine(make_model("mdl_a", size=8), engine=engine, lanes=2)
    pictures = np.random.default_rng(1).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    wanted = pictures.reshape(6, -1, 3).mean(1) / 255
    for lane in (None, 0, 1):
        np.testing.assert_allclose(engine.infer(pictures, lane)[:, :3], wanted, atol=1e-5)
        np.testing.assert_allclose(engine.infer(pictures[2:3], lane)[0, :3], wanted[2], atol=1e-5)


@ENGINES
def test_an_answer_is_not_overwritten_by_the_next_one(make_model, engine):
    engine = load_engine(make_model("mdl_a", size=8), engine=engine, lanes=1)
    first = engine.infer(np.full((1, 8, 8, 3), 255, np.uint8))
    engine.infer(np.zeros((1, 8, 8, 3), np.uint8))
    assert first[0, 0] == pytest.approx(1.0, abs=1e-5)


@ENGINES
def test_lanes_run_side_by_side(make_model, engine):
    engine = load_engine(make_model("mdl_a", size=8), engine=engine, lanes=4)

    def work(lane):
        for value in range(200):
            logits = engine.infer(np.full((2, 8, 8, 3), value, np.uint8), lane)
            np.testing.assert_allclose(logits[:, :3], value / 255, atol=1e-5)
        return lane

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [0, 1, 2, 3]


@ENGINES
def test_a_graph_that_does_not_fit_its_card_is_refused(make_model, engine):
    with pytest.raises(errors.Corrupt, match=r"takes uint8 \(N, 8, 8, 3\); its card says uint8 \(N, 16"):
        load_engine(make_model("mdl_a", size=8, card_size=16), engine=engine)
    with pytest.raises(errors.Corrupt, match="answers for 4 classes"):
        load_engine(make_model("mdl_b", size=8, classes=["one", "two"]), engine=engine)


@ENGINES
def test_bytes_that_are_no_graph_are_refused(make_model, engine):
    home = make_model("mdl_a", size=8)
    (home / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(errors.Corrupt, match="does not match its card"):
        load_engine(home, engine=engine)
    card = json.loads((home / "model.json").read_text())
    card["files"]["model.onnx"] = facts_of(home / "model.onnx").model_dump()
    (home / "model.json").write_text(json.dumps(card))
    with pytest.raises(errors.Corrupt, match="cannot be read"):
        load_engine(home, engine=engine)


def test_the_card_decides_which_graph_and_precision_serve(make_model, measured):
    home = make_model("mdl_a", agreement=[measured("bf16"), measured("int8")], marker=1.0, int8=2.0)
    plain, auto, small = (load_engine(home, lanes=1, precision=wish) for wish in ("f32", "auto", "int8"))
    assert (plain.name, small.name) == ("openvino/f32", "openvino/int8")
    assert auto.name == ("openvino/bf16" if hardware().bf16 else "openvino/f32")
    black = np.zeros((1, 8, 8, 3), np.uint8)
    assert [engine.infer(black)[0, 3] for engine in (plain, auto, small)] == [1.0, 1.0, 2.0]
    assert (plain.agreement, small.agreement) == (None, measured("int8"))
    other = load_engine(home, lanes=1, engine="onnxruntime")
    assert (other.name, other.device) == ("onnxruntime/f32", "CPU")
    assert len({engine.fingerprint for engine in (plain, small, other)}) == 3


def test_loading_leaves_nothing_behind_and_its_weights_are_read_again_when_needed(make_model):
    home = make_model("mdl_a", size=8)
    engine = load_engine(home, lanes=1, max_batch=2)
    assert {path.name for path in home.iterdir()} == {"model.json", "model.onnx"}
    pictures = np.random.default_rng(2).integers(0, 256, (7, 8, 8, 3), dtype=np.uint8)
    engine._graph.settle()
    for count in (7, 5, 3):  # shapes that were not warmed up
        wanted = pictures[:count].reshape(count, -1, 3).mean(1) / 255
        np.testing.assert_allclose(engine.infer(pictures[:count], 0)[:, :3], wanted, atol=1e-5)


def test_an_int8_graph_that_was_changed_is_refused(make_model, measured):
    home = make_model("mdl_a", agreement=[measured("int8")], int8=2.0)
    (home / "model.int8.onnx").write_bytes((home / "model.onnx").read_bytes())
    with pytest.raises(errors.Corrupt, match=r"model\.int8\.onnx of model mdl_a does not match its card"):
        load_engine(home, precision="int8")


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_gpu_that_does_not_answer_is_said_and_not_made_up_for_by_the_cpu(make_model, monkeypatch):
    """The build here has no provider for GPUs: it falls back as one that has it does without a driver."""
    monkeypatch.setattr(
        onnxruntime_graph.onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"]
    )
    with pytest.raises(errors.Unavailable, match="does not reach its GPU"):
        load_engine(make_model("mdl_a"), engine="onnxruntime")


def test_a_model_of_other_preprocessing_is_refused(make_model):
    with pytest.raises(errors.Corrupt, match="squash/1"):
        load_engine(make_model("mdl_a", preprocessing="squash/1"))


def test_the_serving_process_has_no_torch():
    code = (
        "import sys, reel_inference.predict, reel_inference.models, reel_inference.api, reel_inference.tasks;"
        "print([name for name in ('torch', 'fastai', 'skimage', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stderr
