"""The exported graph up to its last feature map, run by OpenVINO: a faster body for Grad-CAM. Called by ``registry``.

Grad-CAM needs the body's output and the head's gradient only. How far its maps are from those of torch in float32 is
measured on pictures before it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import openvino
import torch
from torch import Tensor

from reel_explainer.model import ExplainableModel
from reel_explainer.overlay import Pixels
from reel_networks.gradcam import HeadPass, heat_of_each, run_body, run_head
from reel_shared.errors import Corrupt

Precision = Literal["f32", "bf16"]
_SPATIAL = 4
"""Dimensions of a feature map: pictures, channels, rows, columns."""


class FeatureEngine:
    """A compiled body. Its request is not re-entrant: one thread at a time."""

    def __init__(self, compiled: openvino.CompiledModel, precision: Precision) -> None:
        self.precision = precision
        self._request = compiled.create_infer_request()

    def activation(self, squares: Sequence[Pixels]) -> Tensor:
        """Return the last feature map (N, K, h, w), float32, of pictures (size, size, 3)."""
        self._request.infer([openvino.Tensor(np.ascontiguousarray(np.stack(squares)))])
        # a copy: the output is the request's own memory and the next call overwrites it
        return torch.from_numpy(np.array(self._request.get_output_tensor(0).data, np.float32))


def load_engine(graph: Path, precision: Precision, *, threads: int) -> FeatureEngine:
    """Compile the part of ``model.onnx`` before its global pooling.

    Raises:
        Corrupt: it cannot be read, or has no feature map that both poolings of the head look at.
    """
    core = openvino.Core()
    try:
        whole = core.read_model(graph)
    except RuntimeError as error:
        raise Corrupt("The model's graph cannot be read; export the model again.") from error
    part = openvino.Model([last_feature_map(whole)], whole.get_parameters(), "body")
    compiled = core.compile_model(
        part,
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": str(threads),
            "NUM_STREAMS": "1",
            # pinned threads of two processes end up on the same core while another one idles
            "ENABLE_CPU_PINNING": "NO",
        },
    )
    return FeatureEngine(compiled, precision)


def has_bf16() -> bool:
    """Whether this processor multiplies in bfloat16 itself."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def last_feature_map(graph: openvino.Model) -> openvino.Output:
    """Return what goes into both the maximum and the mean over the whole map, where the head begins.

    Raises:
        Corrupt: there is no such node; the graph is not one that the trainer exported.
    """
    for operation in reversed(graph.get_ordered_ops()):
        if operation.get_type_name() != "ReduceMean":
            continue
        source = operation.input_value(0)
        readers = {target.get_node().get_type_name() for target in source.get_target_inputs()}
        # a maximum over a map of known size is exported as a pooling with one window
        if readers & {"MaxPool", "ReduceMax"} and source.partial_shape.rank.get_length() == _SPATIAL:
            return source
    raise Corrupt("The model's graph has no global pooling that begins its head; export the model again.")


def deviation(model: ExplainableModel, engine: FeatureEngine, squares: Sequence[Pixels]) -> float | None:
    """Return the largest difference of the engine's heat maps from torch's, relative to the range of torch's map.

    Each picture is asked about the label that torch predicts. None where no picture has any heat.
    """
    found = [_difference(model, engine, square) for square in squares]
    measured = [value for value in found if value is not None]
    return max(measured) if measured else None


def _difference(model: ExplainableModel, engine: FeatureEngine, square: Pixels) -> float | None:
    exact = run_head(model.head, run_body(model.body, model.prepare(square)))
    label = exact.logits.argmax(1)
    wanted = heat_of_each(exact, label)
    fast: HeadPass = run_head(model.head, engine.activation([square]))
    span = float(wanted.max() - wanted.min())
    return float((heat_of_each(fast, label) - wanted).abs().max()) / span if span > 0 else None
