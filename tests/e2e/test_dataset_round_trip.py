"""A dataset goes out as a zip and comes back under another name, by the commands a person would type."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from reel_shared.client import Client
from reel_shared.contracts import Source, Variant
from reel_shared.manifest import Manifest, ManifestImage, Side, load
from reelsight.studio.films import render_film

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]
CLASSES = ("harbor-lights", "kite-island")
DRAWINGS = 12
KEPT = (
    *(
        "label",
        "source",
        "split",
        "probe",
        "style",
        "time_seconds",
        "frame_index",
        "pts",
        "phash",
        "width",
        "height",
    ),
    *("title", "creator", "licence", "licence_url", "attribution", "page_url", "provider", "taken_at"),
)
"""What a picture has in both datasets; ids and films' ids are new, and so are the objects' keys."""


def drawings(folder: Path) -> Path:
    """A folder of pictures with a table in the manner of Hugging Face, one of them held out as a probe set."""
    rows = []
    for number in range(DRAWINGS):
        name = f"{'probe-cosplay' if number < 2 else 'drawn'}/{CLASSES[number % 2]}/{number}.png"
        pixels = np.random.default_rng(number).integers(0, 255, (6, 8, 3), dtype=np.uint8)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(pixels).resize((320, 240), Pillow.Resampling.NEAREST).save(folder / name)
        rows.append(
            {
                "file_name": name, "label": CLASSES[number % 2], "licence": "CC BY 4.0", "creator": f"Ada {number}",
                "licence_url": "https://creativecommons.org/licenses/by/4.0/", "title": "=1+1",
                "page_url": f"https://pictures.example.org/{number // 4}", "style": "sketch",
                "taken_at": f"2021-03-{number + 1:02}T10:00:00Z",
            }
        )  # fmt: skip
    with (folder / "metadata.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    return folder


def originals(manifest: Manifest) -> dict[str, ManifestImage]:
    taken = [one for one in manifest.images if one.variant == Variant.ORIGINAL and one.split != Side.EXCLUDED]
    return {one.sha256: one for one in taken}


def together(images: dict[str, ManifestImage]) -> set[frozenset[str]]:
    """Which frames share a scene, whatever the scenes are called."""
    scenes: dict[str, set[str]] = {}
    for sha256, one in images.items():
        if one.scene is not None:
            scenes.setdefault(one.scene, set()).add(sha256)
    return {frozenset(members) for members in scenes.values()}


def grey_copies_are_judged_apart(
    client: Client, reel: Callable[..., Any], version_id: str, before: dict[str, ManifestImage]
) -> None:
    """Those of exactly the validation pictures, frames too; and nothing changes its side for them."""
    wanted = {"dataset": "first", "dataset_version_id": version_id}
    job = client.wait(client.post("/v1/variants", json=wanted)["id"], timeout=300)
    assert job["state"] == "succeeded", job
    options = ("seed=7", f"base_version={version_id}", "grey_probe=true")
    built = reel(
        "dataset", "build", "--dataset", "first", *(part for one in options for part in ("--set", one))
    )
    manifest = load(client.download(built["manifest"]["url"]))
    assert {key: one.split for key, one in originals(manifest).items()} == {
        key: one.split for key, one in before.items()
    }
    valid = {one.id: one.source for one in manifest.on(Side.VALID)}
    grey = [one for one in manifest.on(Side.PROBE) if one.probe == "grey"]
    assert {one.variant for one in grey} == {Variant.GRAYSCALE}
    assert Counter(valid[one.parent_id] for one in grey) == Counter(valid.values())
    assert not {one.parent_id for one in manifest.on(Side.TRAIN)} & set(valid)
    assert built["certificate"]["certified"], built["certificate"]


def test_export_import_build_gives_the_same_dataset(
    up: Callable[[Path], Any],
    client_of: Callable[[Path], Client],
    command: Callable[..., str],
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"

    def reel(*arguments: str) -> Any:
        return json.loads(command(*arguments, "--data", str(data), folder=tmp_path))

    def version(dataset: str) -> tuple[str, Manifest]:
        built = reel("dataset", "build", "--dataset", dataset, "--set", "seed=7")
        assert built["certificate"]["certified"], built["certificate"]
        return built["dataset_version_id"], load(client.download(built["manifest"]["url"]))

    with up(data):
        client = client_of(data)
        films = [
            client.add_movie(
                render_film(label, tmp_path / f"{label}.mp4", seed=3, seconds=24, size=(320, 180)).path,
                label=label,
                dataset="first",
                every_seconds=0.5,
            )
            for label in CLASSES
        ]
        for film in films:
            assert client.wait(film["id"], timeout=300)["state"] == "succeeded"
        brought = reel("dataset", "import", str(drawings(tmp_path / "drawings")), "--dataset", "first")
        assert brought["counts"]["kept"] == DRAWINGS
        assert brought["sides"] == {"": DRAWINGS - 2, "probe-cosplay": 2}
        for job in client.jobs(kind="augment.make_variants"):
            assert client.wait(job["id"], timeout=300)["state"] == "succeeded"

        version_id, manifest = version("first")
        first = originals(manifest)
        for one in first.values():
            said = (one.pts is not None, one.taken_at is not None)
            assert said == ((True, False) if one.source == Source.MOVIE else (False, True))
        sides = Counter((one.split, one.source) for one in first.values())
        assert min(sides[side, source] for side in (Side.TRAIN, Side.VALID) for source in Source) > 0, sides
        reel("dataset", "export", version_id, "--out", "out.zip")

        result = reel("dataset", "import", "out.zip", "--dataset", "second", "--no-augment")
        variants = [one for one in manifest.images if one.variant != Variant.ORIGINAL]
        assert result["own_export"]
        assert result["variants_left_out"] == sum(one.split != Side.EXCLUDED for one in variants) > 0
        assert (result["counts"]["kept"], result["counts"]["refused"]) == (len(first), {})

        single = sum(one.scene is None and one.split != Side.PROBE for one in first.values())
        assert result["pins"] == len(together(first)) + single

        _, manifest = version("second")
        second = originals(manifest)
        assert second.keys() == first.keys()
        for sha256, one in first.items():
            other = second[sha256]
            assert {name: getattr(other, name) for name in KEPT} == {
                name: getattr(one, name) for name in KEPT
            }
        assert together(second) == together(first)
        assert len(together(first)) > 10

        before = [(one["id"], one["state"]) for one in client.images(dataset="second")]
        again = reel("dataset", "import", "out.zip", "--dataset", "second", "--no-augment")
        assert again["counts"]["refused"] == {"already-there": len(first)}
        assert (again["counts"]["kept"], again["pins"]) == (0, 0)
        assert [(one["id"], one["state"]) for one in client.images(dataset="second")] == before

        grey_copies_are_judged_apart(client, reel, version_id, first)

        bad = io.BytesIO()
        with zipfile.ZipFile(bad, "w") as archive:
            archive.writestr("a/1.png", b"x")
            archive.writestr("metadata.csv", "file_name,split\na/1.png,sideways\n")
        (tmp_path / "bad.zip").write_bytes(bad.getvalue())
        with pytest.raises(AssertionError, match=r"'metadata\.csv' cannot be read, line 2"):
            reel("dataset", "import", "bad.zip", "--dataset", "third")
