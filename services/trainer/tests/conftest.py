"""Small real pictures: shapes on scenes, as JPEG files named by their hash, with a manifest over them."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image, ImageDraw

from reel_shared.contracts import BuildDatasetVersionRequest
from reel_shared.manifest import Manifest, ManifestImage
from reel_trainer.recipe import Recipe
from reel_trainer.versions import build_dataset_version

CLASSES = ("disc", "cross", "bars")


class Shapes(NamedTuple):
    folder: Path
    images: list[ManifestImage]

    def manifest(self, **request: Any) -> Manifest:
        return build_dataset_version(self.images, BuildDatasetVersionRequest(**request))[0]


def draw(label: str, rng: random.Random, *, sketch: bool) -> Image.Image:
    """One wide picture: a shape of its class anywhere on a coloured (film) or white (drawing) ground."""
    ground = (255, 255, 255) if sketch else tuple(rng.randint(90, 255) for _ in range(3))
    ink = (0, 0, 0) if sketch else tuple(rng.randint(0, 80) for _ in range(3))
    picture = Image.new("RGB", (112, 72), ground)
    pen = ImageDraw.Draw(picture)
    x, y, r = rng.randint(46, 64), rng.randint(30, 42), rng.randint(18, 26)
    box = (x - r, y - r, x + r, y + r)
    width = 3 if sketch else 8
    if label == "disc":
        pen.ellipse(box, fill=None if sketch else ink, outline=ink, width=width)
    elif label == "cross":
        pen.line((x - r, y - r, x + r, y + r), fill=ink, width=width)
        pen.line((x - r, y + r, x + r, y - r), fill=ink, width=width)
    else:
        for step in (-r, -r // 3, r // 3, r):
            pen.line((x - r, y + step, x + r, y + step), fill=ink, width=width)
    return picture


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Shapes:
    """16 scenes of 3 frames and 16 drawings for each of three classes; hashes far apart but for the frames."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = random.Random(3)
    images = []
    for label in CLASSES:
        for number in range(64):
            sketch = number >= 48
            buffer = io.BytesIO()
            draw(label, rng, sketch=sketch).save(buffer, "JPEG", quality=92)
            sha = hashlib.sha256(buffer.getvalue()).hexdigest()
            (folder / sha).write_bytes(buffer.getvalue())
            images.append(
                ManifestImage(
                    id=f"img_{label}{number:02}",
                    key=f"images/{sha}",
                    sha256=sha,
                    label=label,
                    source="web" if sketch else "movie",
                    style="sketch" if sketch else "",
                    scene=None if sketch else f"{label}:{number // 3}",
                    phash=f"{rng.getrandbits(64):016x}",
                    width=112,
                    height=72,
                )
            )
    return Shapes(folder, images)


@pytest.fixture
def recipe() -> Callable[..., Recipe]:
    """Make a short recipe on real weights; keyword arguments change its fields."""

    def make(**changes: Any) -> Recipe:
        stages = [
            {"name": "head", "size": 64, "batch_size": 16, "frozen": True, "train_bn": False, "epochs": 2}
            | {"lr_max": 1e-2},
            {
                "name": "all",
                "size": 64,
                "batch_size": 16,
                "frozen": False,
                "epochs": 2,
                "lr_max": [1e-4, 2e-3],
            },
        ]
        facts = {"name": "tiny", "architecture": "efficientnet_lite0", "weights": "package", "stages": stages}
        return Recipe.model_validate(facts | changes)

    return make
