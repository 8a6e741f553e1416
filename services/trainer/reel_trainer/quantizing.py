"""Writes the exported graph once more in int8, calibrated on training pictures; called by ``export``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from reel_trainer.cache import Pixels

BATCH = 8
QUANTISED = ("Conv", "Add", "Clip", "Relu", "MaxPool", "AveragePool", "GlobalAveragePool", "Concat")
"""What takes the time. The head stays in floats: its few multiplications cost nothing, and its scale decides."""


def quantize(graph: Path, target: Path, pictures: Pixels) -> None:
    """Write an int8 graph with the inputs and outputs of ``graph``, in the QDQ form of ONNX.

    Weights are symmetric and have a scale for each output channel; activations are unsigned with one scale each,
    from the least and largest value seen on ``pictures``, uint8 (n, size, size, 3).
    """
    with tempfile.TemporaryDirectory() as folder:
        folded = Path(folder, "folded.onnx")
        # batch normalisation goes into the convolutions: two scales in a row would be rounded twice
        quant_pre_process(str(graph), str(folded), skip_symbolic_shape=True)
        quantize_static(
            str(folded),
            str(target),
            _Batches(pictures),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=list(QUANTISED),
        )


class _Batches(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, pictures: Pixels) -> None:
        self._left: Iterator[Pixels] = (
            pictures[start : start + BATCH] for start in range(0, len(pictures), BATCH)
        )

    def get_next(self) -> dict[str, Pixels] | None:
        batch = next(self._left, None)
        return None if batch is None else {"pictures": np.ascontiguousarray(batch)}
