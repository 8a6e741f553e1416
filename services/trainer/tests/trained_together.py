"""A program for tests: ``reel_trainer.run``, where each process also writes down what it saw and ended with."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from reel_trainer import run, training
from reel_trainer.data import PictureLoader
from reel_trainer.program import Report, run_program


def watched(spec: run.Spec, report: Report) -> None:
    torch.set_num_threads(1)
    rank = os.environ.get("RANK", "0")
    networks, epochs = [], []
    prepare, iterate = training.prepare_network, PictureLoader._training

    def noted_network(*arguments):
        networks.append(prepare(*arguments))
        return networks[-1]

    def noted_epoch(loader, rng):
        seen = []
        epochs.append(seen)
        batch = loader._batch

        def noted_batch(indices, corners):
            seen.extend(indices.tolist())
            return batch(indices, corners)

        loader._batch = noted_batch
        yield from iterate(loader, rng)
        del loader._batch

    training.prepare_network, PictureLoader._training = noted_network, noted_epoch
    try:
        run.run(spec, report)
    finally:
        if networks:
            weights = {
                name: tensor.contiguous() for name, tensor in networks[0].model.cpu().state_dict().items()
            }
            weights |= {f"epoch.{number}": torch.tensor(seen) for number, seen in enumerate(epochs)}
            save_file(weights, Path(spec.scratch) / f"rank{rank}.safetensors")


if __name__ == "__main__":
    sys.exit(run_program(sys.argv[1:], run.Spec, watched))
