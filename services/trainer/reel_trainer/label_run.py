"""The child process of a label check: ``python -m reel_trainer.label_run SPEC.json``; started by ``tasks``.

The network that was trained turns pictures into features, a small classifier judges them out of fold.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from reel_shared import manifest as manifests
from reel_shared.contracts import Model, Variant
from reel_shared.cores import usable_cores
from reel_shared.errors import Unprocessable
from reel_shared.imports import without_collections
from reel_shared.manifest import Manifest, ManifestImage, Side
from reel_shared.model_card import WEIGHTS, load_model_card
from reel_trainer.intervals import group_of
from reel_trainer.program import Report, run_program

DOUBTS = "doubts.jsonl"
BATCH = 32


class Spec(Model):
    """``pictures`` is a folder of files named by their SHA-256; ``model`` one with a card and its weights."""

    manifest: Path
    manifest_sha256: str
    pictures: Path
    model: Path
    seed: int
    out: Path
    scratch: Path


def originals(manifest: Manifest) -> list[ManifestImage]:
    """Return the pictures whose labels can be judged: originals on either side."""
    sides = (Side.TRAIN, Side.VALID)
    return [i for i in manifest.images if i.split in sides and i.variant == Variant.ORIGINAL]


def run(spec: Spec, report: Report) -> None:
    """Write one line a doubtful picture, the worst first."""
    with without_collections():
        import torch

        from reel_networks import WeightsError, build, load_weights
        from reel_trainer.cache import build_cache
        from reel_trainer.labels import doubtful, out_of_fold

    torch.set_num_threads(usable_cores())
    manifest = manifests.load(spec.manifest.read_bytes(), sha256=spec.manifest_sha256)
    rows = originals(manifest)
    card = load_model_card(spec.model)
    network = build(card.architecture, len(card.classes)).eval()
    try:
        load_weights(network, spec.model / WEIGHTS)
    except WeightsError as error:
        raise Unprocessable(f"The model cannot be loaded: {error}.") from error
    # body, pooling, flattening: what the head starts from
    embed = torch.nn.Sequential(*(network.get_submodule(name) for name in ("0", "1.0", "1.1")))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (card.mean, card.std))

    def tell(done: int, message: str) -> None:
        report("progress", {"done": done, "total": 2 * len(rows), "unit": "pictures", "message": message})

    cache = build_cache(
        rows,
        spec.pictures,
        spec.scratch / "pictures.u8",
        side=card.size,
        roomy=False,
        tick=lambda done: tell(done, "decoding pictures"),
    )
    parts = []
    with torch.inference_mode():
        for start in range(0, len(rows), BATCH):
            squares = torch.from_numpy(cache.squares(range(start, min(start + BATCH, len(rows)))))
            x = squares.permute(0, 3, 1, 2).float().div_(255).sub_(mean).div_(std)
            parts.append(embed(x.contiguous(memory_format=torch.channels_last)).numpy())
            tell(len(rows) + start, "looking at pictures")
    features = np.concatenate(parts)
    classes = manifest.classes
    labels = np.array([classes.index(row.label) for row in rows])
    probabilities = out_of_fold(features, labels, [group_of(row) for row in rows], seed=spec.seed)
    with (spec.out / DOUBTS).open("w") as file:
        for doubt in doubtful(probabilities, labels, classes):
            row = rows[doubt.row]
            about = {"id": row.id, "label": row.label, "source": row.source, "style": row.style}
            figures = {name: value for name, value in doubt._asdict().items() if name != "row"}
            file.write(json.dumps({**about, **figures}) + "\n")


if __name__ == "__main__":
    sys.exit(run_program(sys.argv[1:], Spec, run))
