"""Which arithmetic a training uses: what a recipe asks for, this device can do and this network gains by.

Called by ``training``, which records the answer, and by ``learner``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from fastai.callback.core import Callback
from fastai.callback.fp16 import MixedPrecision
from torch import nn

from reel_shared.errors import Unprocessable
from reel_trainer.callbacks import CpuBf16
from reel_trainer.recipe import Recipe

Precision = Literal["fp32", "fp16", "bf16"]
CPUINFO = Path("/proc/cpuinfo")
BF16_FLAGS = {"avx512_bf16", "amx_bf16"}
"""Linux's names of instructions that multiply bf16; without them a CPU converts to fp32 and back, and loses time."""


def effective_precision(recipe: Recipe, device: torch.device, model: nn.Module) -> Precision:
    """Return what will really be used. Raises Unprocessable for what this device cannot do.

    ``auto`` is fp16 on a GPU, and bf16 on a CPU that has it for a network that gains by it.
    """
    if recipe.precision == "auto":
        if device.type == "cuda":
            return "fp16"
        return "bf16" if cpu_has_bf16() and gains_by_bf16(model) else "fp32"
    if recipe.precision == "fp16" and device.type != "cuda":
        raise Unprocessable("fp16 training needs a GPU; ask for auto, bf16 or fp32.")
    return recipe.precision


def cpu_has_bf16(cpuinfo: Path = CPUINFO) -> bool:
    """Whether this CPU has bf16 instructions; false where the system does not say."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not BF16_FLAGS.isdisjoint(flags.split())


def gains_by_bf16(model: nn.Module) -> bool:
    """Whether bf16 makes a training on a CPU faster: convolutions that see one channel each lose by it."""
    return not any(
        isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1 for layer in model.modules()
    )


def precision_callbacks(precision: Precision, device: torch.device) -> list[Callback]:
    if precision == "fp32":
        return []
    return [MixedPrecision(amp_mode=precision)] if device.type == "cuda" else [CpuBf16()]
