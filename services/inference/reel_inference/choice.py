"""Which engine runs a model here, and at which precision: by settings, hardware and what its card has on record.

Called by ``engine`` when a model is loaded. No precision serves that failed when the model was published.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from reel_shared.model_card import GRAPH, INT8_GRAPH, EngineName, EnginePrecision, ModelCard

EngineWish = Literal["auto", "openvino", "onnxruntime"]
PrecisionWish = Literal["auto", "f32", "bf16", "int8"]
NVIDIA = Path("/dev/nvidiactl")


class Hardware(NamedTuple):
    """What this machine can do."""

    bf16: bool = False
    """OpenVINO has bf16 instructions to use."""
    gpu: bool = False
    """There is an NVIDIA GPU, and an ONNX Runtime that was built for it."""


class Choice(NamedTuple):
    """``why`` is empty, or says in a sentence why it is not what the settings ask for."""

    engine: EngineName
    precision: EnginePrecision
    why: str = ""

    @property
    def graph(self) -> str:
        """The name of the file that is run."""
        return INT8_GRAPH if self.precision == "int8" else GRAPH


def choose(card: ModelCard, hardware: Hardware, *, engine: EngineWish, precision: PrecisionWish) -> Choice:
    """Return what serves a model: as wished where that can be, else the next best, saying why."""
    if engine == "onnxruntime" or (engine == "auto" and hardware.gpu):
        why = "" if precision in ("auto", "f32") else f"ONNX Runtime serves in f32 here, not in {precision}."
        return Choice("onnxruntime", "f32", why)
    if precision == "f32":
        return Choice("openvino", "f32")
    if precision == "bf16":
        return _bf16(card, hardware)
    fast: EnginePrecision = "bf16" if hardware.bf16 and _passed(card, "bf16") else "f32"
    if precision == "auto":
        return Choice("openvino", fast)
    if _passed(card, "int8") and INT8_GRAPH in card.files:
        return Choice("openvino", "int8")
    return Choice("openvino", fast, f"int8 is asked for: {_reason(card, 'int8')}")


def _bf16(card: ModelCard, hardware: Hardware) -> Choice:
    found = card.agreement_of("openvino", "bf16")
    if not hardware.bf16:
        return Choice("openvino", "f32", "bf16 is asked for: this CPU has no instructions for it.")
    if found is not None and not found.passed:
        return Choice("openvino", "f32", f"bf16 is asked for: {_reason(card, 'bf16')}")
    why = "" if found is not None else "bf16 was not measured when the model was published."
    return Choice("openvino", "bf16", why)


def _passed(card: ModelCard, precision: EnginePrecision) -> bool:
    found = card.agreement_of("openvino", precision)
    return found is not None and found.passed


def _reason(card: ModelCard, precision: EnginePrecision) -> str:
    found = card.agreement_of("openvino", precision)
    return f"it did not pass. {found.says}" if found else "the model was published without it."


@cache
def hardware() -> Hardware:
    """Look at this machine, once."""
    import openvino

    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return Hardware(bf16="BF16" in capabilities, gpu=_has_gpu())


def _has_gpu() -> bool:
    # cheapest first: importing onnxruntime takes a tenth of a second
    if not NVIDIA.exists() or importlib.util.find_spec("onnxruntime") is None:
        return False
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()
