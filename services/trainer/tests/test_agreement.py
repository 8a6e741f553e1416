"""How engines are held against torch: what counts as another answer, and what stands on the card."""

from __future__ import annotations

import numpy as np
import pytest

from reel_shared.model_card import GRAPH, INT8_GRAPH
from reel_trainer import export as exporting
from reel_trainer.agreement import (
    Asked,
    Runner,
    in_onnxruntime,
    in_openvino,
    measure,
    multiplies_bf16,
)
from reel_trainer.cache import PictureCache
from reel_trainer.export import ExportFailed, Serving, agree, write_graph
from reel_trainer.quantizing import quantize

SIDE = 2


def asked(logits, truth=None):
    """Pictures whose first pixel is their number, so that an engine can be told what to say of each."""
    pixels = np.zeros((len(logits), SIDE, SIDE, 3), np.uint8)
    for number, picture in enumerate(pixels):
        picture[0, 0] = number // 256, number % 256, 0
    offsets = np.arange(len(logits)) * pixels[0].size
    shapes = np.full((len(logits), 2), SIDE)
    cache = PictureCache(pixels.reshape(-1), offsets, shapes, SIDE)
    return Asked(cache, np.asarray(logits, np.float32), None if truth is None else np.asarray(truth))


def saying(logits):
    """An engine that says this of the pictures, by their number."""
    logits = np.asarray(logits, np.float32)

    def run(pictures):
        numbers = pictures[:, 0, 0, 0].astype(int) * 256 + pictures[:, 0, 0, 1]
        return logits[numbers]

    return Runner("openvino", "bf16", "1", run)


def judge(torch, engine, truth=None, **options):
    return measure(saying(engine), [asked(torch, truth)], temperature=1.0, **options)


def test_an_engine_that_says_the_same_passes():
    logits = np.random.default_rng(1).normal(0, 3, (40, 5))
    found = judge(logits, logits)
    assert (found.pictures, found.same_answer, found.ties, found.passed) == (40, 1.0, 0, True)
    assert found.probability_difference == pytest.approx(0, abs=1e-6)
    assert found.accuracy_loss is None, "nothing says what is right"


@pytest.mark.parametrize(
    ("pictures", "others", "passed"), [(999, 0, True), (999, 1, False), (1000, 1, True), (1500, 2, False)]
)
def test_one_in_a_thousand_may_differ(pictures, others, passed):
    torch = np.tile([2.0, 0.0], (pictures, 1))
    engine = torch.copy()
    engine[:others] = [0.0, 2.0]
    found = judge(torch, engine)
    assert found.passed is passed
    assert found.same_answer == pytest.approx(1 - others / pictures)
    assert str(others) in found.says


def test_a_tie_of_torchs_own_is_no_disagreement_and_is_counted():
    close, clear = np.log([0.5, 0.493, 0.007]), np.log([0.505, 0.485, 0.01])
    turned = np.log([0.493, 0.5, 0.007])
    assert (judge([close] * 50, [turned] * 50).ties, judge([close] * 50, [turned] * 50).passed) == (50, True)
    found = judge([clear] * 50, [turned] * 50)
    assert (found.ties, found.passed, found.same_answer) == (0, False, 0.0)
    # what makes it a tie is what torch says of the class that the engine chose, however sure the engine is
    assert judge([close], [[9.0, 0.0, 20.0]]).passed is False


def test_the_temperature_decides_what_a_person_is_shown():
    torch, engine = [[0.3, 0.0]], [[0.0, 0.3]]
    hot, cold = (measure(saying(engine), [asked(torch)], temperature=t) for t in (100.0, 1.0))
    assert (hot.ties, hot.passed, cold.ties, cold.passed) == (1, True, 0, False)
    assert hot.probability_difference < cold.probability_difference


def test_an_answer_that_is_no_number_is_another_answer():
    torch = [[2.0, 0.0]] * 4
    engine = [[2.0, 0.0], [np.nan, 0.0], [np.inf, 0.0], [2.0, 0.0]]
    found = judge(torch, engine, [0, 0, 0, 0])
    assert (found.same_answer, found.passed, found.probability_difference) == (0.5, False, 1.0)
    assert found.accuracy_loss == 0.5


def test_int8_is_judged_by_accuracy_over_originals_and_probes_only():
    torch = np.tile([2.0, 0.0], (100, 1))
    engine = torch.copy()
    engine[:2] = [0.0, 2.0]
    sets = [asked(torch, [0] * 100), asked(torch, [1] * 2 + [0] * 98), asked(torch)]
    found = measure(saying(engine), sets, temperature=1.0, most_loss=0.0)
    assert (found.pictures, found.same_answer) == (300, pytest.approx(0.98))
    assert (found.accuracy_loss, found.passed) == (0.0, True), "two are lost in one set and won in the other"
    lost = measure(saying(engine), sets[:1], temperature=1.0, most_loss=0.019)
    assert (lost.accuracy_loss, lost.passed) == (0.02, False)
    assert "-0.0200 on 100 pictures; -0.0190 is allowed" in lost.says
    assert measure(saying(engine), sets[:1], temperature=1.0, most_loss=0.02).passed


# --- of a network ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network():
    import torch
    from torch import nn

    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 4),
    ).eval()  # fmt: skip


@pytest.fixture
def graph(network, tmp_path):
    write_graph(Serving(network, (0.5,) * 3, (0.2,) * 3).eval(), tmp_path / GRAPH, size=32)
    return tmp_path / GRAPH


@pytest.fixture
def pictures():
    return np.random.default_rng(5).integers(0, 256, (48, 32, 32, 3), dtype=np.uint8)


def answered(network, pictures):
    import torch

    with torch.inference_mode():
        logits = Serving(network, (0.5,) * 3, (0.2,) * 3).eval()(torch.from_numpy(pictures)).numpy()
    offsets = np.arange(len(pictures)) * pictures[0].size
    cache = PictureCache(pictures.reshape(-1), offsets, np.full((len(pictures), 2), 32), 32)
    return Asked(cache, logits, logits.argmax(1))


def test_real_engines_answer_as_torch_does(network, graph, pictures):
    everything = [answered(network, pictures)]
    runners = [in_openvino(graph, "f32"), in_onnxruntime(graph)]
    for runner in runners:
        found = measure(runner, everything, temperature=1.0)
        assert (found.passed, found.same_answer, found.pictures) == (True, 1.0, 48)
        assert found.probability_difference < 1e-4
        assert found.version[0].isdigit()
    if multiplies_bf16():
        rounded = measure(in_openvino(graph, "bf16"), everything, temperature=1.0)
        assert 1e-6 < rounded.probability_difference < 0.05, "it does compute in bf16"


def test_an_int8_graph_is_smaller_and_takes_and_gives_the_same(network, graph, pictures, tmp_path):
    quantize(graph, tmp_path / INT8_GRAPH, pictures)
    found = measure(
        in_openvino(tmp_path / INT8_GRAPH, "int8"), [answered(network, pictures)], temperature=1.0
    )
    assert found.pictures == 48
    assert 0 < found.probability_difference < 0.1
    assert {path.name for path in tmp_path.iterdir()} == {GRAPH, INT8_GRAPH}


# --- of a model --------------------------------------------------------------------------------------------


class Recipe:
    int8_accuracy_loss = 0.05


class Trained:
    def __init__(self, pictures):
        self.answers, self.calibration = None, pictures


@pytest.fixture
def agreeing(network, graph, pictures, monkeypatch):
    """Ask a published graph all that it is asked when a model is exported."""
    everything = [answered(network, pictures)]
    monkeypatch.setattr(exporting.agreement, "asked_of", lambda *_: everything)

    def go(calibration=pictures):
        found = agree(graph.parent, Trained(calibration), ["a"] * 4, temperature=1.0, recipe=Recipe())
        return {(one.engine, one.precision): one for one in found}

    return go


def test_what_may_serve_is_measured_and_int8_only_when_asked_for(agreeing, graph):
    found = agreeing(calibration=None)
    wanted = {("openvino", "f32"), ("onnxruntime", "f32")} | (
        {("openvino", "bf16")} if multiplies_bf16() else set()
    )
    assert set(found) == wanted
    assert not (graph.parent / INT8_GRAPH).exists()
    small = agreeing()["openvino", "int8"]
    assert (small.passed, (graph.parent / INT8_GRAPH).exists()) == (True, True)
    assert small.accuracy_loss <= 0.05


def test_an_int8_graph_that_loses_accuracy_does_not_stay_and_the_card_says_why(agreeing, graph, monkeypatch):
    from torch import nn

    def spoil(_graph, target, _pictures):
        other = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))
        nn.init.constant_(other[2].weight, 0)
        write_graph(Serving(other, (0.5,) * 3, (0.2,) * 3).eval(), target, size=32)

    monkeypatch.setattr(exporting, "quantize", spoil)
    small = agreeing()["openvino", "int8"]
    assert (small.passed, (graph.parent / INT8_GRAPH).exists()) == (False, False)
    assert small.accuracy_loss > 0.05
    assert "is allowed" in small.says


def test_a_graph_that_cannot_be_made_int8_is_published_without(agreeing, graph, monkeypatch):
    def fail(_graph, target, _pictures):
        target.write_bytes(b"half")
        raise RuntimeError("no such operation")

    monkeypatch.setattr(exporting, "quantize", fail)
    small = agreeing()["openvino", "int8"]
    assert (small.passed, small.pictures, small.says) == (False, 0, "It could not be made: RuntimeError.")
    assert not (graph.parent / INT8_GRAPH).exists()


def test_a_model_whose_own_graph_disagrees_is_not_published(agreeing, network, graph):
    write_graph(Serving(network, (0.9,) * 3, (0.05,) * 3).eval(), graph, size=32)
    with pytest.raises(ExportFailed, match="get another answer than torch's"):
        agreeing()
