"""The body run by OpenVINO: the same feature maps, a measured deviation, and when it is chosen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino
import pytest
import torch
from torch import nn

from reel_explainer.engine import FeatureEngine, deviation, last_feature_map, load_engine
from reel_explainer.explain import explain_picture
from reel_explainer.model import ExplainableModel, frozen
from reel_explainer.tasks import explain_picture as task
from reel_explainer.tasks import explain_pictures
from reel_networks import build, input_stats
from reel_networks.gradcam import run_body
from reel_shared import jobs
from reel_shared.contracts import (
    EXPLAIN_PICTURE,
    EXPLAIN_PICTURES,
    ExplainPictureRequest,
    ExplainPictureResult,
    ExplainPicturesRequest,
    ExplanationOptions,
)
from reel_shared.db.engine import transaction
from reel_shared.errors import Corrupt
from reel_shared.images import preprocess
from reel_shared.runner import run_job
from reel_trainer.export import Serving, write_graph

GRADCAM = ExplanationOptions(methods=["gradcam"])


@pytest.fixture(scope="module")
def resnet(network: Callable[[str], nn.Sequential], make_card) -> ExplainableModel:
    return frozen(network("resnet18"), make_card("resnet18", {}))


@pytest.fixture(scope="module")
def engine(exported: Callable[[str], Path]) -> FeatureEngine:
    return load_engine(exported("resnet18"), "f32", threads=1)


def test_heat_is_that_of_torch_and_how_far_it_is_off_is_measured(
    resnet: ExplainableModel, engine: FeatureEngine, pictures: list[np.ndarray]
) -> None:
    squares = [preprocess(picture, resnet.size) for picture in pictures]
    assert 0 < deviation(resnet, engine, squares) < 1e-3
    for picture in pictures:
        slow = explain_picture(resnet, picture, ["howl", "tarzan"], GRADCAM)
        fast = explain_picture(resnet, picture, ["howl", "tarzan"], GRADCAM, fast=engine)
        for ours, theirs in zip(fast.explanations, slow.explanations, strict=True):
            np.testing.assert_allclose(ours.heat, theirs.heat, atol=1e-3 * np.ptp(theirs.heat))
            assert ours.probability == pytest.approx(theirs.probability, rel=1e-3, abs=1e-6)
    assert deviation(resnet, engine, []) is None


def test_a_deviation_that_is_there_is_seen(resnet: ExplainableModel, pictures: list[np.ndarray]) -> None:
    class Shifted:
        def activation(self, squares: list[np.ndarray]) -> torch.Tensor:
            found = run_body(resnet.body, torch.cat([resnet.prepare(square) for square in squares]))
            return found.roll(1, dims=3)

    square = preprocess(pictures[1], resnet.size)
    assert deviation(resnet, Shifted(), [square]) > 0.1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "architecture", ["densenet121", "efficientnet_b0", "mobilenet_v3_large", "efficientnet_lite0"]
)
def test_the_last_feature_map_is_found_in_other_networks(architecture: str, tmp_path: Path) -> None:
    """Some have poolings over the whole map inside their body, too."""
    torch.manual_seed(0)
    model = build(architecture, 3).eval()
    path = tmp_path / "model.onnx"
    stats = input_stats(architecture, "none")
    write_graph(Serving(model, *stats).eval(), path, size=64)
    square = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    found = load_engine(path, "f32", threads=1).activation([square, square])
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in stats)
    x = (torch.from_numpy(square).permute(2, 0, 1)[None].float() / 255 - mean) / std
    wanted = run_body(model[0], x)
    assert found.shape == (2, *wanted.shape[1:])
    assert float((found[:1] - wanted).abs().max() / wanted.abs().max()) < 1e-3


def test_a_graph_without_such_a_head_is_refused(tmp_path: Path) -> None:
    picture = openvino.opset13.parameter([1, 8, 8, 3], np.uint8)
    plain = openvino.Model([openvino.opset13.relu(openvino.opset13.convert(picture, "f32"))], [picture])
    with pytest.raises(Corrupt, match="no global pooling"):
        last_feature_map(plain)
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(Corrupt, match="cannot be read"):
        load_engine(path, "f32", threads=1)


# --- which one is chosen ------------------------------------------------------------------------------------


@pytest.fixture
def published(publish, publish_graph, judge_by, keys, reel):
    """A model with its graph, judged on two pictures; one of the three named is gone."""
    publish("mdl_a")
    publish_graph("mdl_a")
    judge_by("mdl_a", *({"key": key, "label": "howl"} for key in keys))
    reel.storage.delete(keys[2])
    reel.configure(explainer__precision="f32")
    return keys


def answer(key: str, *methods: str) -> ExplainPictureResult:
    with transaction() as session:
        request = ExplainPictureRequest(key=key, methods=list(methods or ["gradcam"]), outputs=["json"])
        job_id = jobs.submit(session, EXPLAIN_PICTURE, request).id
    run_job(EXPLAIN_PICTURE, task, job_id)
    with transaction() as session:
        job = jobs.get(session, job_id)
    assert job.state == "succeeded", job.error
    return ExplainPictureResult.model_validate(job.result)


@pytest.mark.servers
def test_gradcam_alone_is_run_by_what_was_measured_and_the_answer_says_so(published) -> None:
    found = answer(published[0])
    assert found.engine == "openvino f32"
    assert 0 < found.max_abs_diff < 1e-3
    guided = answer(published[0], "gradcam", "guided")
    assert (guided.engine, guided.max_abs_diff) == ("torch f32", None)
    heat, exact = (np.array(one.explanations[0].heat) for one in (found, guided))
    np.testing.assert_allclose(heat, exact, atol=1e-3 * np.ptp(exact))


@pytest.mark.servers
def test_batches_are_run_by_it_too(published, reel) -> None:
    with transaction() as session:
        request = ExplainPicturesRequest(keys=published[:2] * 5, methods=["gradcam"], outputs=["json"])
        job_id = jobs.submit(session, EXPLAIN_PICTURES, request).id
    run_job(EXPLAIN_PICTURES, explain_pictures, job_id)
    with transaction() as session:
        result = jobs.get(session, job_id).result
    lines = reel.storage.get_bytes(result["results"]["key"], max_bytes=10**7).decode().splitlines()
    assert len(lines) == 10
    assert all('"engine": "openvino f32"' in line for line in lines)


@pytest.mark.servers
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("explainer__engine", "torch"),
        ("explainer__max_deviation", "1e-12"),
        ("explainer__calibration_pictures", "0"),
    ],
)
def test_torch_runs_where_it_is_wished_or_nothing_else_is_near_enough(published, reel, name, value) -> None:
    reel.configure(**{name: value})
    found = answer(published[0])
    assert (found.engine, found.max_abs_diff) == ("torch f32", None)


@pytest.mark.servers
def test_a_model_that_was_never_judged_gets_an_engine_only_by_setting(
    publish, publish_graph, keys, reel
) -> None:
    publish("mdl_a")
    publish_graph("mdl_a")
    assert answer(keys[0]).engine == "torch f32"
    publish("mdl_b")
    publish_graph("mdl_b")
    reel.configure(explainer__engine="openvino", explainer__precision="f32")
    found = answer(keys[0])
    assert (found.engine, found.max_abs_diff) == ("openvino f32", None)
