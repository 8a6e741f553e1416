"""A browser without JavaScript that is signed in, and rows of pictures, for the pages of the studio."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from starlette.testclient import TestClient

from reel_shared import jobs
from reel_shared import manifest as manifests
from reel_shared.contracts import (
    BUILD_DATASET_VERSION,
    EXTRACT_FRAMES,
    BuildDatasetVersionRequest,
    ExtractFramesRequest,
)
from reel_shared.db.engine import transaction
from reel_shared.db.models import DatasetVersion, Image, Movie
from reel_shared.manifest import Manifest, ManifestImage, Side
from reel_shared.security import create_key
from reel_shared.storage import storage
from reel_shared.web.app import create_app
from reel_web.pages import router

HTML = {"Accept": "text/html"}


@pytest.fixture
def sign_in() -> Callable[..., str]:
    """Sign a browser in with a new key of these scopes: ``sign_in(client, "read")``; gives the key's id."""

    def enter(client: TestClient, *scopes: str, name: str = "test") -> str:
        with transaction() as session:
            row, token = create_key(session, name, scopes)
            key_id = row.id
        assert client.post("/sign-in", data={"key": token, "next": "/jobs"}).status_code == 303
        return key_id

    return enter


@pytest.fixture
def browse(reel_database, sign_in) -> Iterator[Callable[..., TestClient]]:
    """Open the pages with a key of these scopes; ``read`` unless said."""
    reel_database.configure(web__secret="a secret that only this test knows")
    opened: list[TestClient] = []

    def open_pages(*scopes: str) -> TestClient:
        client = TestClient(create_app("pages", [router]), headers=HTML, follow_redirects=False)
        client.__enter__()
        opened.append(client)
        sign_in(client, *(scopes or ["read"]))
        return client

    yield open_pages
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def add(reel_database) -> Callable[..., str]:
    """Add one picture's row to the dataset ``films``: ``add(label="kite", movie="m1", at=4.0)``; gives its id.

    ``picture`` stores a picture of coarse blocks for it, another one for each seed.
    """
    with transaction() as session:
        job = jobs.submit(session, EXTRACT_FRAMES, ExtractFramesRequest(label="kite", key="films/a.mp4")).id
    count = 0

    def make(*, movie: str | None = None, at: float = 0.0, picture: int | None = None, **fields: Any) -> str:
        nonlocal count
        count += 1
        row = {
            "id": f"img_{count:06}",
            "dataset": "films",
            "label": "kite",
            "source": "web",
            "key": f"pictures/{count}.jpg",
            "sha256": f"{count:064x}",
            "media_type": "image/jpeg",
            "size": 1,
            "width": 96,
            "height": 64,
            "phash": f"{count * 0x9E3779B97F4A7C15 % 2**64:016x}",
            "job_id": job,
        }
        if picture is not None:
            stored = storage().put_bytes("pictures", blocks(picture), "image/jpeg", ".jpg")
            row |= {"key": stored.key, "sha256": stored.sha256, "size": stored.size}
        with transaction() as session:
            if movie is not None:
                if session.get(Movie, movie) is None:
                    session.add(film(movie, fields.get("label", "kite"), job))
                    session.flush()
                row |= {
                    "movie_id": movie,
                    "source": "movie",
                    "time_seconds": at,
                    "frame_index": round(at * 24),
                }
            session.add(Image(**(row | fields)))
        return str((row | fields)["id"])

    return make


@pytest.fixture
def build(reel) -> Callable[..., str]:
    """Record a dataset version of these pictures with a manifest in storage: ``build({id: "train"})``; gives its id."""

    def make(sides: dict[str, str], version_id: str = "dsv_1", **certificate: Any) -> str:
        with transaction() as session:
            rows = [session.get_one(Image, image_id) for image_id in sides]
            request = BuildDatasetVersionRequest(dataset="films")
            images = [_manifest_image(row, sides[row.id]) for row in rows]
            classes = sorted({row.label for row in rows})
            whole = Manifest(dataset="films", classes=classes, request=request, images=images)
            stored = storage().put_bytes("manifests", manifests.to_bytes(whole), "application/json", ".json")
            session.add(
                DatasetVersion(
                    id=version_id,
                    dataset="films",
                    manifest=stored.model_dump(mode="json"),
                    manifest_sha256=stored.sha256,
                    classes=classes,
                    counts=whole.counts(),
                    certificate={"certified": True, **certificate},
                    job_id=jobs.submit(session, BUILD_DATASET_VERSION, request).id,
                )
            )
        return version_id

    return make


def _manifest_image(row: Image, side: str) -> ManifestImage:
    names = ("id", "key", "sha256", "label", "source", "variant", "parent_id", "phash", "width", "height")
    scene = f"{row.movie_id}:{row.scene}" if row.scene is not None else None
    return ManifestImage(
        **{name: getattr(row, name) for name in names},
        scene=scene,
        split=Side(side),
        probe="costumes" if side == "probe" else "",
        movie_id=row.movie_id,
        time_seconds=row.time_seconds,
    )


def film(movie_id: str, label: str, job_id: str, *, scenes: int = 9) -> Movie:
    return Movie(
        id=movie_id, dataset="films", label=label, title=f"The {label}", key="films/a.mp4", codec="h264", width=96,
        height=64, frame_rate=24, duration_seconds=120, scenes=scenes, crop=[0, 0, 0, 0], job_id=job_id,
    )  # fmt: skip


def blocks(seed: int, size: tuple[int, int] = (640, 400)) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Pillow.fromarray(coarse).resize(size, Pillow.Resampling.NEAREST).save(buffer, "JPEG")
    return buffer.getvalue()
