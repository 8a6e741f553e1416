"""Generated models: logits are the mean red, green and blue of the picture, and one constant marker."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from reel_shared.images import PREPROCESSING
from reel_shared.model_card import Agreement, ModelCard, facts_of


def write_graph(path, *, size, gain, marker):
    weights = np.zeros((3, 4), np.float32)
    weights[[0, 1, 2], [0, 1, 2]] = gain / 255
    bias = np.array([0, 0, 0, marker], np.float32)
    axes = np.array([1, 2], np.int64)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["pictures"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["floats", "axes"], ["colour"], keepdims=0),
            helper.make_node("MatMul", ["colour", "weights"], ["scaled"]),
            helper.make_node("Add", ["scaled", "bias"], ["logits"]),
        ],
        "mean-colour",
        [helper.make_tensor_value_info("pictures", TensorProto.UINT8, ["batch", size, size, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(bias, "bias"),
            numpy_helper.from_array(axes, "axes"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, path)


@pytest.fixture
def measured():
    """Make what a card says of an engine at a precision."""

    def make(precision, engine="openvino", *, passed=True):
        return Agreement(
            engine=engine,
            precision=precision,
            version="1",
            pictures=200,
            same_answer=0.995,
            ties=1,
            probability_difference=0.004,
            passed=passed,
            says="as measured",
        )

    return make


@pytest.fixture
def make_model(tmp_path):
    def make(
        name,
        *,
        size=8,
        card_size=None,
        gain=1.0,
        marker=0.0,
        classes=("red", "green", "blue", "marker"),
        preprocessing=PREPROCESSING,
        recipe=None,
        agreement=(),
        int8=None,
        not_sure_below=0.7,
        expected=None,
    ):
        folder = tmp_path / "published" / name
        folder.mkdir(parents=True)
        write_graph(folder / "model.onnx", size=size, gain=gain, marker=marker)
        if int8 is not None:  # another marker shows which of the two graphs answers
            write_graph(folder / "model.int8.onnx", size=size, gain=gain, marker=int8)
        card = ModelCard(
            id=name,
            architecture="mean_colour",
            classes=list(classes),
            size=card_size or size,
            mean=(0, 0, 0),
            std=(1, 1, 1),
            preprocessing=preprocessing,
            recipe=recipe or {},
            dataset_version_id="dsv_1",
            manifest_sha256="0" * 64,
            precision="fp32",
            held_out=True,
            agreement=agreement,
            not_sure_below=not_sure_below,
            expected=expected,
            files={path.name: facts_of(path) for path in folder.glob("*.onnx")},
            created_at=datetime.now(UTC),
        )
        (folder / "model.json").write_text(card.model_dump_json())
        return folder

    return make
