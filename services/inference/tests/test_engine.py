"""The engine on generated graphs: right answers, refusals, lanes, no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from reel_inference.engine import load_engine
from reel_shared import errors
from reel_shared.model_card import facts_of


def test_logits_of_every_lane_and_batch_size_agree(make_model):
    engine = load_engine(make_model("mdl_a", size=8), lanes=2)
    pictures = np.random.default_rng(1).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    wanted = pictures.reshape(6, -1, 3).mean(1) / 255
    for lane in (None, 0, 1):
        np.testing.assert_allclose(engine.infer(pictures, lane)[:, :3], wanted, atol=1e-5)
        np.testing.assert_allclose(engine.infer(pictures[2:3], lane)[0, :3], wanted[2], atol=1e-5)


def test_an_answer_is_not_overwritten_by_the_next_one(make_model):
    engine = load_engine(make_model("mdl_a", size=8), lanes=1)
    first = engine.infer(np.full((1, 8, 8, 3), 255, np.uint8))
    engine.infer(np.zeros((1, 8, 8, 3), np.uint8))
    assert first[0, 0] == pytest.approx(1.0, abs=1e-5)


def test_lanes_run_side_by_side(make_model):
    engine = load_engine(make_model("mdl_a", size=8), lanes=4)

    def work(lane):
        for value in range(200):
            logits = engine.infer(np.full((2, 8, 8, 3), value, np.uint8), lane)
            np.testing.assert_allclose(logits[:, :3], value / 255, atol=1e-5)
        return lane

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [0, 1, 2, 3]


def test_a_graph_that_does_not_fit_its_card_is_refused(make_model):
    with pytest.raises(errors.Corrupt, match="takes u8"):
        load_engine(make_model("mdl_a", size=8, card_size=16))
    with pytest.raises(errors.Corrupt, match="answers for 4 classes"):
        load_engine(make_model("mdl_b", size=8, classes=["one", "two"]))


def test_bytes_that_are_no_graph_are_refused(make_model):
    home = make_model("mdl_a", size=8)
    (home / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(errors.Corrupt, match="does not match its card"):
        load_engine(home)
    card = json.loads((home / "model.json").read_text())
    card["files"]["model.onnx"] = facts_of(home / "model.onnx").model_dump()
    (home / "model.json").write_text(json.dumps(card))
    with pytest.raises(errors.Corrupt, match="cannot be read"):
        load_engine(home)


def test_a_model_of_other_preprocessing_is_refused(make_model):
    with pytest.raises(errors.Corrupt, match="squash/1"):
        load_engine(make_model("mdl_a", preprocessing="squash/1"))


def test_the_serving_process_has_no_torch():
    code = (
        "import sys, reel_inference.predict, reel_inference.models, reel_inference.api, reel_inference.tasks;"
        "print([name for name in ('torch', 'fastai', 'skimage') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stderr
