"""Small real pictures: shapes on scenes, as JPEG files named by their hash, with a manifest over them."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
import torch
from PIL import Image as Pillow
from PIL import ImageDraw
from starlette.testclient import TestClient

from reel_shared import jobs
from reel_shared.contracts import COLLECT_PICTURES, BuildDatasetVersionRequest, CollectPicturesRequest
from reel_shared.db.engine import transaction
from reel_shared.db.models import Image, Movie
from reel_shared.manifest import Manifest, ManifestImage
from reel_shared.security import create_key
from reel_trainer import api
from reel_trainer.recipe import Recipe
from reel_trainer.versions import build_dataset_version

CLASSES = ("disc", "cross", "bars")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    """Programs that ran in this process may have asked for more; so small a network gains nothing from them."""
    torch.set_num_threads(1)


class Shapes(NamedTuple):
    folder: Path
    images: list[ManifestImage]

    def manifest(self, **request: Any) -> Manifest:
        return build_dataset_version(self.images, BuildDatasetVersionRequest(**request))[0]


def draw(label: str, rng: random.Random, *, sketch: bool) -> Pillow.Image:
    """One wide picture: a shape of its class anywhere on a coloured (film) or white (drawing) ground."""
    ground = (255, 255, 255) if sketch else tuple(rng.randint(90, 255) for _ in range(3))
    ink = (0, 0, 0) if sketch else tuple(rng.randint(0, 80) for _ in range(3))
    picture = Pillow.new("RGB", (112, 72), ground)
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
        facts["tta"] = 0
        return Recipe.model_validate(facts | changes)

    return make


@pytest.fixture
def client(reel) -> Iterator[TestClient]:
    """The API, asked by somebody who may submit."""
    with transaction() as session:
        _, token = create_key(session, "test", ["read", "submit"])
    with TestClient(api.app(), headers={"Authorization": f"Bearer {token}"}) as made:
        yield made


@pytest.fixture
def dataset(reel, shapes) -> None:
    """Put the shapes into storage and their rows into the database, as ingest does."""
    stored = {
        image.sha256: reel.storage.put_bytes(
            "images", (shapes.folder / image.sha256).read_bytes(), "image/jpeg"
        )
        for image in shapes.images
    }
    with transaction() as session:
        job = jobs.submit(session, COLLECT_PICTURES, CollectPicturesRequest(label="x", query="x"))
        for label in ("disc", "cross", "bars"):
            session.add(
                Movie(
                    id=f"mov_{label}",
                    dataset="default",
                    label=label,
                    key="uploads/x",
                    codec="h264",
                    width=112,
                    height=72,
                    frame_rate=24,
                    duration_seconds=16,
                    scenes=16,
                    crop=[0, 0, 0, 0],
                    job_id=job.id,
                )
            )
        session.flush()
        for image in shapes.images:
            file = stored[image.sha256]
            session.add(
                Image(
                    id=image.id,
                    dataset="default",
                    label=image.label,
                    source=image.source.value,
                    key=file.key,
                    sha256=file.sha256,
                    media_type=file.media_type,
                    size=file.size,
                    width=112,
                    height=72,
                    phash=image.phash,
                    style=image.style,
                    job_id=job.id,
                    movie_id=f"mov_{image.label}" if image.scene else None,
                    scene=int(image.scene.partition(":")[2]) if image.scene else None,
                )
            )


@pytest.fixture
def children() -> Callable[[], set[int]]:
    """The training processes that this test's process has started."""

    def found() -> set[int]:
        pids = set()
        for process in psutil.Process().children():
            with suppress(psutil.NoSuchProcess):  # it may end meanwhile
                if "reel_trainer.run" in " ".join(process.cmdline()):
                    pids.add(process.pid)
        return pids

    return found
