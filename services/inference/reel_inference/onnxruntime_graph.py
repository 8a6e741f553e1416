"""A graph in ONNX Runtime: on an NVIDIA GPU where its build has providers for one, else on the CPU.

A LoadedGraph, made by ``engine``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from reel_shared.cores import usable_cores
from reel_shared.errors import Unavailable

if TYPE_CHECKING:
    from reel_inference.engine import Logits, Pictures

CPU = "CPUExecutionProvider"
GPU = ("TensorrtExecutionProvider", "CUDAExecutionProvider")
"""The best first; each takes what it can of a graph and leaves the rest to the next."""
TYPES = {"tensor(uint8)": "uint8"}


class OnnxRuntimeGraph:
    """Sessions may be run by many threads at once: all lanes share one of a single thread, or the one on the GPU."""

    def __init__(self, path: Path, *, lanes: int, wide: bool) -> None:
        """Load the file.

        Raises ValueError when it is no graph, and Unavailable when this build is for a GPU that does not answer:
        ONNX Runtime itself would say so in its log and go on with the CPU.
        """
        available = onnxruntime.get_available_providers()
        providers = [name for name in GPU if name in available]
        cores = usable_cores()
        self.lanes = lanes
        self._narrow = _session(path, providers, threads=1)
        self.device = self._narrow.get_providers()[0].removesuffix("ExecutionProvider")
        if providers and self.device == "CPU":
            raise Unavailable(
                "ONNX Runtime does not reach its GPU; its log says why. Set REEL_INFERENCE__ENGINE=openvino to serve "
                "from the CPU."
            )
        alone = wide and not providers and cores > 1
        self._wide = _session(path, providers, threads=cores) if alone else self._narrow
        picture, logits = self._narrow.get_inputs()[0], self._narrow.get_outputs()[0]
        self._input = picture.name
        self.takes = (TYPES.get(picture.type, picture.type), *map(str, picture.shape))
        self.classes = str(logits.shape[-1])

    def infer(self, pictures: Pictures, lane: int | None) -> Logits:
        session = self._wide if lane is None else self._narrow
        return np.asarray(session.run(None, {self._input: pictures})[0], dtype=np.float32)

    def settle(self) -> None:
        """Nothing is held that only loading needed."""


def _session(path: Path, providers: list[str], *, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # a lane that waits for pictures must not spin on the core of one that has some
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=[*providers, CPU])
    except onnxruntime.capi.onnxruntime_pybind11_state.InvalidProtobuf as error:
        raise ValueError(str(error)) from error
