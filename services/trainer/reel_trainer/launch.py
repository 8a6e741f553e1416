"""Starts a program of the trainer in several processes: ``… -m reel_trainer.launch COUNT MODULE SPEC.json [ORDER]``.

Becomes torchrun, which dies with the worker as a single child does; its processes die with it. Started by ``child``;
where several nodes train together, on all but the first by ``nodes``, with the first one's order.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from reel_trainer import nodes
from reel_trainer.program import die_with_parent

DEVICES = Path("/dev")
GPU_DEVICES = ("nvidia[0-9]*", "kfd", "dxg")
"""Files there that tell of a GPU of NVIDIA, of AMD, of Windows' Linux."""


def may_be_several(wished: int, devices: Path = DEVICES) -> bool:
    """Whether a training of ``wished`` processes (0: one for each GPU) may come to more than one. Imports no torch."""
    return wished > 1 or (wished == 0 and (_may_have_gpu(devices) or nodes.number() > 1))


def count(wished: int, devices: Path = DEVICES) -> int:
    """Return how many processes there will be on this node: never two on one GPU."""
    if not _may_have_gpu(devices):
        return max(1, wished)
    import torch

    gpus = torch.cuda.device_count()
    return min(wished or gpus, gpus) if gpus else max(1, wished)


def _may_have_gpu(devices: Path) -> bool:
    return any(any(devices.glob(name)) for name in GPU_DEVICES)


def command(processes: int, program: str, spec: str, *, order: str | None = None) -> list[str]:
    """Return what runs on this node; ``order`` is where nodes meet whose number, rank and master stand in ``PET_*``."""
    python = [sys.executable, "-m"]
    if order is not None:
        together = [f"--rdzv-id={order}"]
    elif processes == 1:
        return [*python, program, spec]
    else:
        together = ["--standalone", "--local-addr=127.0.0.1"]
    return [*python, "torch.distributed.run", *together, f"--nproc-per-node={processes}", "-m", program, spec]


def main(arguments: list[str]) -> None:
    """Replace this process by the command."""
    wished, program, spec, *ordered = arguments
    die_with_parent()
    # meant for the training's first process, which has told its number; it would end torchrun
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    order = ordered[0] if ordered else None
    if nodes.number() == 1:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    elif order is None:
        order = nodes.give_order(int(wished), program, spec)
    os.execv(sys.executable, command(count(int(wished)), program, spec, order=order))  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
