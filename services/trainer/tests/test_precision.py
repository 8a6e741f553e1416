"""The precision that is used: by what the device can do and what the network gains, not by what sounds fast."""

from __future__ import annotations

import pytest
import torch

from reel_networks import build
from reel_networks.architectures import ARCHITECTURES
from reel_trainer import precision
from reel_trainer.precision import cpu_has_bf16, effective_precision, gains_by_bf16

CPU, GPU = torch.device("cpu"), torch.device("cuda")
SAPPHIRE_RAPIDS = "processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16 amx_bf16 amx_tile\n"
ZEN_4 = "processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16\n"
ZEN_2 = "processor\t: 0\nmodel name\t: avx512_bf16\nflags\t\t: fpu avx2 bf16_something\n"


@pytest.mark.parametrize(
    ("text", "has"), [(SAPPHIRE_RAPIDS, True), (ZEN_4, True), (ZEN_2, False), ("Features : fp", False)]
)
def test_bf16_is_read_from_the_flags_of_the_cpu(text, has, tmp_path) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert cpu_has_bf16(tmp_path / "cpuinfo") == has
    assert not cpu_has_bf16(tmp_path / "none")


def test_networks_with_depthwise_convolutions_gain_nothing() -> None:
    gains = {name for name in ARCHITECTURES if gains_by_bf16(build(name, 3))}
    assert {"resnet18", "resnet50", "resnext50", "densenet121"} <= gains
    assert "efficientnet_lite0" not in gains


def test_auto_takes_what_there_is(recipe, tmp_path, monkeypatch) -> None:
    plain, depthwise = build("resnet18", 3), build("efficientnet_lite0", 3)
    info = tmp_path / "cpuinfo"
    monkeypatch.setattr(cpu_has_bf16, "__defaults__", (info,))
    info.write_text(ZEN_4)
    assert effective_precision(recipe(), CPU, plain) == "bf16"
    assert effective_precision(recipe(), CPU, depthwise) == "fp32"
    assert effective_precision(recipe(precision="fp32"), CPU, plain) == "fp32"
    assert effective_precision(recipe(precision="bf16"), CPU, depthwise) == "bf16"
    assert effective_precision(recipe(), GPU, depthwise) == "fp16"
    info.write_text(ZEN_2)
    assert effective_precision(recipe(), CPU, plain) == "fp32"


def test_the_file_of_this_machine_is_read() -> None:
    assert cpu_has_bf16() == any(flag in precision.CPUINFO.read_text() for flag in precision.BF16_FLAGS)
