"""What can be known to go wrong with a training is found before its first picture is decoded; called by ``run``.

Each check says in one sentence what is wrong and what to do. All of them are made, so that one look is enough.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from reel_networks import WeightsError, build, check_weights
from reel_shared.errors import BadPicture, Corrupt, ReelError, Unavailable, Unprocessable
from reel_shared.images import read_size
from reel_shared.manifest import Manifest, ManifestImage, Side
from reel_trainer.batches import roomy_side
from reel_trainer.cache import bytes_needed
from reel_trainer.precision import effective_precision
from reel_trainer.recipe import Recipe
from reel_trainer.rows import Rows, choose_rows, used_rows

Tell = Callable[[str], None]
NAMED = 5
"""So many pictures are named; of the rest only the number."""
TELL_EVERY = 1000
PART_OF_FREE = 0.9
"""Of the disk; the last tenth is not ours."""
CHECKPOINTS = 3
"""At most so many lie on the disk: one that is stored, one that waits, one that is written."""
STATES = 3
"""Copies of the weights that training keeps in a checkpoint: themselves and Adam's two means."""
ON_GPU = 4
"""Copies of the weights that a step needs: themselves, their gradients and Adam's two means."""
GIB = 2**30


class Room(NamedTuple):
    """Bytes of disk that a training needs, by what for."""

    decoded: int
    checkpoints: int
    model: int


def check(
    manifest: Manifest, recipe: Recipe, *, pictures: Path, scratch: Path, weights: str, tell: Tell
) -> None:
    """Raise what is wrong, all of it in one error; one that a retry may heal only when nothing else is wrong.

    ``pictures`` holds files named by their SHA-256, ``scratch`` is where a training puts what it decodes and makes.
    """
    network = build(recipe.architecture, len(manifest.classes))
    parameters = weight_bytes(network)
    found = [
        *_told(lambda: choose_rows(manifest, recipe)),
        *_told(lambda: require_both_sides(manifest)),
        *_told(lambda: require_readable(used_rows(manifest, recipe), pictures, tell)),
        *_told(lambda: require_weights(recipe, weights)),
        *_told(lambda: require_room(room(manifest, recipe, parameters), scratch)),
        *_told(lambda: require_device(recipe, network, parameters)),
    ]
    if len(found) == 1:
        raise found[0]
    if found:
        lasting = [error for error in found if not error.retryable]
        raise (Unprocessable if lasting else Unavailable)(" ".join(error.detail for error in found))


def _told(look: Callable[[], object]) -> list[ReelError]:
    try:
        look()
    except ReelError as error:
        return [error]
    return []


def require_both_sides(manifest: Manifest) -> None:
    """A class that is not judged would count as learnt. Training pictures are ``choose_rows``' part."""
    shown = {row.label for row in manifest.on(Side.VALID)}
    missing = sorted(set(manifest.classes) - shown)
    if shown and missing:
        raise Unprocessable(
            f"No validation picture shows {', '.join(missing)}; add scenes or pages of it, raise valid_fraction, or "
            "leave the class out."
        )


def require_readable(rows: Sequence[ManifestImage], pictures: Path, tell: Tell) -> None:
    """Read the header of each file; what is damaged behind it is found while decoding, by the picture's id too."""
    bad = []
    for done, row in enumerate(rows, start=1):
        try:
            read_size(pictures / row.sha256)
        except FileNotFoundError:
            bad.append(f"{row.id} is missing")
        except BadPicture as error:
            bad.append(f"{row.id} ({error.extra['reason']})")
        if done % TELL_EVERY == 0:
            tell(f"checking pictures: {done} of {len(rows)}")
    if bad:
        more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        raise Corrupt(
            f"{len(bad)} of {len(rows)} pictures cannot be read: {', '.join(bad[:NAMED])}{more}. Reject them or ingest "
            "them again, then build a new dataset version."
        )


def require_weights(recipe: Recipe, weights: str) -> None:
    try:
        check_weights(recipe.architecture, weights)
    except WeightsError as error:
        raise Unprocessable(f"Training cannot start: {error}.") from error


def require_room(needed: Room, scratch: Path) -> None:
    """Everything lies in one folder's file system: the pictures are there already."""
    free = shutil.disk_usage(scratch).free
    if sum(needed) > PART_OF_FREE * free:
        parts = ", ".join(
            f"{name} {size / GIB:.1f}"
            for name, size in zip(
                ("decoded pictures", "checkpoints", "the model's files"), needed, strict=True
            )
        )
        raise Unavailable(
            f"The training needs {sum(needed) / GIB:.1f} GiB of disk ({parts}) and {free / GIB:.1f} GiB are free; give "
            "the trainer more scratch space or take smaller pictures."
        )


def require_device(recipe: Recipe, network: nn.Module, parameters: int) -> None:
    """Check that what the recipe asks for is here, and that a GPU has room for the network's own state."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    effective_precision(recipe, device, network)
    if device.type != "cuda":
        return
    free, _ = torch.cuda.mem_get_info(device)
    if ON_GPU * parameters > free:
        raise Unavailable(
            f"The network, its gradients and its optimizer need {ON_GPU * parameters / GIB:.1f} GiB on the GPU, "
            f"without any picture, and {free / GIB:.1f} GiB are free; wait until it is idle or take a smaller network."
        )


def room(manifest: Manifest, recipe: Recipe, parameters: int) -> Room:
    """Return what a training of all stages needs on disk at most, at one moment."""
    best = any(stage.keep_best for stage in recipe.stages)
    return Room(
        decoded=max(_decoded(manifest, recipe), default=0),
        checkpoints=CHECKPOINTS * (STATES + best) * parameters,
        model=2 * parameters,
    )


def weight_bytes(network: nn.Module) -> int:
    """Return how large a network's weights are."""
    return sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())


def _decoded(manifest: Manifest, recipe: Recipe) -> Iterator[int]:
    """Yield how much decoded pictures take at each moment: an old cache goes when the new one is whole."""
    try:
        rows = choose_rows(manifest, recipe)
    except ReelError:  # told apart
        rows = Rows([], [])
    held = {"train": (0, 0), "valid": (0, 0)}
    for stage in recipe.stages:
        sides = {"train": roomy_side(recipe, stage.size), "valid": stage.size}
        for name, side in sides.items():
            if held[name][0] != side:
                new = bytes_needed(getattr(rows, name), side=side, roomy=name == "train")
                yield sum(size for _, size in held.values()) + new
                held[name] = side, new
    probes = manifest.on(Side.PROBE)
    judging = bytes_needed([*probes, *manifest.variants_of(Side.VALID)], side=recipe.size, roomy=False)
    if recipe.tta:
        roomy = roomy_side(recipe, recipe.size)
        judging += bytes_needed([*rows.valid, *probes], side=roomy, roomy=True)
    yield sum(size for _, size in held.values()) + judging
