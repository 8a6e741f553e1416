"""A graph in OpenVINO, on the CPU; a LoadedGraph, made by ``engine``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import openvino

from reel_inference.mapped_weights import MappedWeights
from reel_shared.cores import usable_cores
from reel_shared.model_card import EnginePrecision

if TYPE_CHECKING:
    from reel_inference.engine import Logits, Pictures

TYPES = {"u8": "uint8"}
"""OpenVINO's names of types, in numpy's words."""


class OpenVinoGraph:
    """One compiled model for the lanes and one for the wide lane: how many threads a run takes is compiled in."""

    device = "CPU"

    def __init__(self, path: Path, *, precision: EnginePrecision, lanes: int, wide: bool) -> None:
        """Read and compile. Raises ValueError when the file is no graph."""
        core = openvino.Core()
        try:
            weights = MappedWeights(core, path)
        except RuntimeError as error:
            raise ValueError(str(error)) from error
        model, self.settle = weights.model, weights.let_go
        picture, logits = model.input(0), model.output(0)
        kind = picture.element_type.get_type_name()
        self.takes = (TYPES.get(kind, kind), *map(str, picture.partial_shape))
        self.classes = str(list(logits.partial_shape)[-1])
        self.lanes = lanes
        cores = usable_cores()
        narrow = core.compile_model(model, "CPU", _options(lanes, lanes, precision))
        alone = wide and not cores == lanes == 1
        broad = core.compile_model(model, "CPU", _options(cores, 1, precision)) if alone else narrow
        self._lanes = [narrow.create_infer_request() for _ in range(lanes)]
        self._wide = broad.create_infer_request()

    def infer(self, pictures: Pictures, lane: int | None) -> Logits:
        request = self._wide if lane is None else self._lanes[lane]
        request.infer([openvino.Tensor(pictures)])
        # A copy: the output tensor is the request's own memory and the next call overwrites it.
        return np.array(request.get_output_tensor(0).data, dtype=np.float32)


def _options(threads: int, streams: int, precision: EnginePrecision) -> dict[str, str]:
    return {
        # what an int8 graph leaves in floats runs as it did when its agreement was measured
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "INFERENCE_NUM_THREADS": str(threads),
        "NUM_STREAMS": str(streams),
        # Pinned threads of two processes end up on the same core while another one idles.
        "ENABLE_CPU_PINNING": "NO",
    }
