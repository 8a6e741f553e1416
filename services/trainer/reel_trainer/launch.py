"""Starts a program of the trainer in several processes: ``python -m reel_trainer.launch COUNT MODULE SPEC.json``.

Becomes torchrun, which dies with the worker as a single child does; its processes die with it. Started by ``child``.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from reel_trainer.program import die_with_parent

DEVICES = Path("/dev")
GPU_DEVICES = ("nvidia[0-9]*", "kfd", "dxg")
"""Files there that tell of a GPU of NVIDIA, of AMD, of Windows' Linux."""


def may_be_several(wished: int, devices: Path = DEVICES) -> bool:
    """Whether a training of ``wished`` processes (0: one for each GPU) may come to more than one. Imports no torch."""
    return wished > 1 or (wished == 0 and _may_have_gpu(devices))


def count(wished: int, devices: Path = DEVICES) -> int:
    """Return how many processes there will be: never two on one GPU."""
    if not _may_have_gpu(devices):
        return max(1, wished)
    import torch

    gpus = torch.cuda.device_count()
    return min(wished or gpus, gpus) if gpus else max(1, wished)


def _may_have_gpu(devices: Path) -> bool:
    return any(any(devices.glob(name)) for name in GPU_DEVICES)


def command(processes: int, program: str, spec: str) -> list[str]:
    python = [sys.executable, "-m"]
    if processes == 1:
        return [*python, program, spec]
    together = ["--standalone", "--local-addr=127.0.0.1", f"--nproc-per-node={processes}"]
    return [*python, "torch.distributed.run", *together, "-m", program, spec]


def main(arguments: list[str]) -> None:
    """Replace this process by the command."""
    wished, program, spec = arguments
    die_with_parent()
    # meant for the training's first process, which has told its number; it would end torchrun
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    os.execv(sys.executable, command(count(int(wished)), program, spec))  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
