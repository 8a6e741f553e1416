"""Which engine and precision serve a model: by settings, hardware and what its card says has passed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from reel_inference.choice import Choice, Hardware, choose, hardware
from reel_shared.images import PREPROCESSING
from reel_shared.model_card import Agreement, FileFacts, ModelCard

PLAIN, FAST, GPU = Hardware(), Hardware(bf16=True), Hardware(bf16=True, gpu=True)


def card(*, bf16=None, int8=None, int8_file=True):
    """A card on which precisions are recorded as passed, as failed, or, with None, not at all."""
    measured = [
        Agreement(
            engine="openvino",
            precision=precision,
            pictures=100,
            same_answer=1.0 if passed else 0.9,
            probability_difference=0.01,
            passed=passed,
            says="10 of 100 pictures get another answer.",
        )
        for precision, passed in (("bf16", bf16), ("int8", int8))
        if passed is not None
    ]
    files = {"model.int8.onnx": FileFacts(sha256="0" * 64, size=1)} if int8 and int8_file else {}
    return ModelCard(
        id="mdl_a",
        architecture="plain",
        classes=["a", "b"],
        size=8,
        mean=(0, 0, 0),
        std=(1, 1, 1),
        preprocessing=PREPROCESSING,
        recipe={},
        dataset_version_id="dsv_1",
        manifest_sha256="0" * 64,
        precision="fp32",
        held_out=True,
        agreement=measured,
        files=files,
        created_at=datetime.now(UTC),
    )


@pytest.mark.parametrize(
    ("recorded", "machine", "engine", "precision", "wanted"),
    [
        ({"bf16": True}, FAST, "auto", "auto", ("openvino", "bf16")),
        ({"bf16": True}, PLAIN, "auto", "auto", ("openvino", "f32")),
        ({"bf16": False}, FAST, "auto", "auto", ("openvino", "f32")),
        ({}, FAST, "auto", "auto", ("openvino", "f32")),
        ({"bf16": True, "int8": True}, FAST, "auto", "auto", ("openvino", "bf16")),
        ({"bf16": True}, FAST, "openvino", "f32", ("openvino", "f32")),
        ({"bf16": True}, FAST, "openvino", "bf16", ("openvino", "bf16")),
        ({"int8": True}, PLAIN, "auto", "int8", ("openvino", "int8")),
        ({"bf16": True}, GPU, "auto", "auto", ("onnxruntime", "f32")),
        ({"bf16": True}, GPU, "openvino", "auto", ("openvino", "bf16")),
        ({"bf16": True}, FAST, "onnxruntime", "auto", ("onnxruntime", "f32")),
    ],
)
def test_what_serves_is_what_is_wished_and_has_passed(recorded, machine, engine, precision, wanted):
    assert choose(card(**recorded), machine, engine=engine, precision=precision) == Choice(*wanted)


@pytest.mark.parametrize(
    ("recorded", "machine", "engine", "precision", "wanted", "why"),
    [
        ({"bf16": True}, PLAIN, "auto", "bf16", ("openvino", "f32"), "no instructions for it"),
        ({"bf16": False}, FAST, "auto", "bf16", ("openvino", "f32"), "did not pass. 10 of 100"),
        ({}, FAST, "auto", "bf16", ("openvino", "bf16"), "not measured"),
        ({"bf16": True}, FAST, "auto", "int8", ("openvino", "bf16"), "published without it"),
        ({"int8": False}, FAST, "auto", "int8", ("openvino", "f32"), "did not pass"),
        ({"int8": True, "int8_file": False}, PLAIN, "auto", "int8", ("openvino", "f32"), "int8 is asked for"),
        ({"int8": True}, GPU, "auto", "int8", ("onnxruntime", "f32"), "not in int8"),
    ],
)
def test_a_wish_that_cannot_be_met_says_why(recorded, machine, engine, precision, wanted, why):
    found = choose(card(**recorded), machine, engine=engine, precision=precision)
    assert (found.engine, found.precision) == wanted
    assert why in found.why


def test_only_int8_runs_the_int8_graph():
    assert Choice("openvino", "int8").graph == "model.int8.onnx"
    assert Choice("openvino", "bf16").graph == Choice("onnxruntime", "f32").graph == "model.onnx"


def test_this_machine_is_looked_at_once():
    assert hardware() is hardware()
    assert isinstance(hardware().bf16, bool)
