"""Our whole training against the article's plain fastai script: same files, network, weights, stages and rates.

    python benchmarks/training.py [--pictures 600] [--seeds 1 2 3] [--gpu] [--check] [--json out.json]

The pictures are drawings of the studio's five films, split once. Each way runs in a process of its own as its user
would start it (ours as the trainer's child, with evaluation and export behind the last epoch; the other as
``plain_fastai.py``), in turns, so that a busy machine is unfair to neither. Reported over the seeds: pictures trained a
second by stage, seconds until the last epoch ended, seconds until a wanted accuracy, accuracy at the end. Seconds count
from the start of the process, imports and decoding included.

With ``--gpu`` it is the article's network on a GPU: ResNet-50 from random weights, 300 px, batches of 64, fp16, and
the part of the time in which the GPU was busy is reported too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import simplejpeg
import yaml
from gpu_use import GpuUse

from reel_shared import manifest as manifests
from reel_shared.contracts import BuildDatasetVersionRequest
from reel_shared.cores import usable_cores
from reel_shared.manifest import ManifestImage, Side
from reel_trainer.child import follow
from reel_trainer.recipe import Recipe, load_recipe
from reel_trainer.run import Spec
from reel_trainer.versions import build_dataset_version
from reelsight.studio.catalogue import FILMS
from reelsight.studio.drawings import STYLES, draw

WANTED = 2.0
"""Times as fast as the plain script."""
NEAR = 0.98
"""Of the plain script's accuracy at the end: what "time to accuracy" waits for."""
PICTURES, PICTURES_GPU = 600, 6000
ON_A_GPU = {
    "architecture": "resnet50",
    "weights": "none",
    "precision": "fp16",
    "stages": [
        {"name": "all-300", "size": 300, "batch_size": 64, "frozen": False, "epochs": 3, "lr_max": 2e-3},
        {"name": "head-300", "size": 300, "batch_size": 64, "frozen": True, "train_bn": True, "epochs": 2}
        | {"lr_max": 1e-3},
    ],
}


class Epoch(NamedTuple):
    stage: str
    seconds: float
    """Since the process began."""
    accuracy: float
    rate: float
    """Pictures trained a second."""


class Course(NamedTuple):
    """One training."""

    epochs: list[Epoch]
    whole: float
    """Seconds until the process ended."""
    busy: float | None
    """Percent of the time from the first epoch's end to the last one's in which the GPU ran a kernel."""

    @property
    def accuracy(self) -> float:
        return self.epochs[-1].accuracy

    @property
    def seconds(self) -> float:
        return self.epochs[-1].seconds

    def until(self, accuracy: float) -> float:
        """Seconds to the first epoch with it; infinite without one."""
        return next((epoch.seconds for epoch in self.epochs if epoch.accuracy >= accuracy), float("inf"))


class Task(NamedTuple):
    """``root`` holds ``pictures/<sha256>``, ``manifest.json``, ``recipe.yaml`` and ``folders/<side>/<class>/``."""

    root: Path
    recipe: Recipe
    digest: str


def _drawn(number: int) -> tuple[bytes, str, tuple[int, int]]:
    """Return a picture as JPEG, its label, its height and width."""
    film, rng = FILMS[number % len(FILMS)], np.random.default_rng([0, number])
    picture = draw(film, STYLES[number % len(STYLES)], rng)[0]
    scale = 700 / max(picture.shape[:2])
    picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality=90, colorspace="BGR")
    return jpeg, film.label, picture.shape[:2]


def prepare(root: Path, pictures: int, *, gpu: bool) -> Task:
    """Draw the pictures and lay them out for both."""
    (root / "pictures").mkdir()
    rng, images = np.random.default_rng(0), []
    with ProcessPoolExecutor(usable_cores()) as pool:
        for number, (jpeg, label, (height, width)) in enumerate(
            pool.map(_drawn, range(pictures), chunksize=16)
        ):
            sha = hashlib.sha256(jpeg).hexdigest()
            (root / "pictures" / sha).write_bytes(jpeg)
            facts = {
                "id": f"i{number}",
                "key": f"images/{sha}",
                "sha256": sha,
                "label": label,
                "source": "web",
            }
            facts |= {"phash": f"{rng.integers(2**63):016x}", "width": width, "height": height}
            images.append(ManifestImage.model_validate(facts))
    manifest = build_dataset_version(images, BuildDatasetVersionRequest(near_distance=0))[0]
    data = manifests.to_bytes(manifest)
    (root / "manifest.json").write_bytes(data)
    for side in (Side.TRAIN, Side.VALID):
        for image in manifest.on(side):
            place = root / "folders" / side.value / image.label
            place.mkdir(parents=True, exist_ok=True)
            os.link(root / "pictures" / image.sha256, place / f"{image.id}.jpg")
    demo = load_recipe("demo")
    plain = {"name": "benchmark", "sampling": "natural", "label_smoothing": 0.0, "tta": 0}
    recipe = Recipe.model_validate({**demo.model_dump(mode="json"), **plain, **(ON_A_GPU if gpu else {})})
    (root / "recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    return Task(root, recipe, hashlib.sha256(data).hexdigest())


def ours(task: Task, seed: int) -> Course:
    epochs: list[Epoch] = []
    with tempfile.TemporaryDirectory() as folder, GpuUse() as use:
        places = {name: Path(folder) / name for name in ("out", "scratch")}
        for place in places.values():
            place.mkdir()
        spec = Spec(
            manifest=task.root / "manifest.json",
            manifest_sha256=task.digest,
            pictures=task.root / "pictures",
            recipe=task.recipe,
            weights=task.recipe.weights,
            seed=seed,
            model_id="mdl_benchmark",
            dataset_version_id="dsv_benchmark",
            **places,
        )
        began = time.perf_counter()

        def hear(event: str, data: dict[str, Any]) -> None:
            if event == "epoch":
                at = time.perf_counter() - began
                epochs.append(Epoch(data["stage"], at, data["accuracy"], data["images_per_second"]))
                use.mark()

        follow("reel_trainer.run", spec, Path(folder), hear=hear, look=lambda: None)
        return Course(epochs, time.perf_counter() - began, use.between_marks())


def plain(task: Task, seed: int) -> Course:
    script = Path(__file__).with_name("plain_fastai.py")
    command = [sys.executable, str(script), str(task.root / "folders"), str(task.root / "recipe.yaml")]
    wall, began = time.time(), time.perf_counter()
    epochs: list[Epoch] = []
    with (
        GpuUse() as use,
        subprocess.Popen([*command, "--seed", str(seed)], stdout=subprocess.PIPE, text=True) as child,
    ):
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith("{"):
                told = json.loads(line)
                epochs.append(
                    Epoch(told["stage"], told["at"] - wall, told["accuracy"], told["images_per_second"])
                )
                use.mark()
    if child.returncode:
        raise SystemExit(f"the plain script ended with {child.returncode}")
    return Course(epochs, time.perf_counter() - began, use.between_marks())


def compare(task: Task, seeds: list[int]) -> dict[str, Any]:
    ways: dict[str, Callable[[Task, int], Course]] = {"plain fastai": plain, "reelsight": ours}
    courses: dict[str, list[Course]] = {name: [] for name in ways}
    for turn, seed in enumerate(seeds):
        for name in sorted(ways, reverse=turn % 2 == 1):
            courses[name].append(ways[name](task, seed))
            last = courses[name][-1]
            print(f"seed {seed}, {name}: {last.seconds:.1f} s, accuracy {last.accuracy:.3f}", flush=True)
    theirs, mine = courses["plain fastai"], courses["reelsight"]
    wanted = NEAR * statistics.fmean(course.accuracy for course in theirs)

    def ratio(value: Callable[[Course], float]) -> float:
        return round(statistics.median(value(a) / value(b) for a, b in zip(theirs, mine, strict=True)), 2)

    apart, noise = _apart([c.accuracy for c in mine], [c.accuracy for c in theirs])
    return {
        "ways": {name: _figures(found, wanted) for name, found in courses.items()},
        "wanted_accuracy": round(wanted, 3),
        "faster": ratio(lambda course: course.seconds),
        "faster_whole_process": ratio(lambda course: course.whole),
        "faster_to_accuracy": ratio(lambda course: course.until(wanted)),
        "rates": {
            stage.name: round(
                statistics.fmean(_rates(mine, stage.name)) / statistics.fmean(_rates(theirs, stage.name)), 2
            )
            for stage in task.recipe.stages
        },
        "accuracy_difference": round(apart, 4),
        "noise": round(noise, 4),
    }


def _apart(mine: list[float], theirs: list[float]) -> tuple[float, float]:
    """Return the difference of the means, and twice its standard error from the spread over the seeds."""
    spread = sum(statistics.variance(values) / len(values) for values in (mine, theirs) if len(values) > 1)
    return statistics.fmean(mine) - statistics.fmean(theirs), 2 * spread**0.5


def _rates(courses: list[Course], stage: str) -> list[float]:
    return [epoch.rate for course in courses for epoch in course.epochs if epoch.stage == stage]


def _figures(courses: list[Course], wanted: float) -> dict[str, Any]:
    return {
        "seconds": [round(course.seconds, 1) for course in courses],
        "whole_process": [round(course.whole, 1) for course in courses],
        "to_accuracy": [round(course.until(wanted), 1) for course in courses],
        "accuracy": [round(course.accuracy, 4) for course in courses],
        "gpu_busy_percent": [course.busy for course in courses],
        "images_per_second": {
            stage: round(statistics.fmean(_rates(courses, stage)), 1)
            for stage in dict.fromkeys(epoch.stage for epoch in courses[0].epochs)
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, help=f"{PICTURES}; with --gpu {PICTURES_GPU}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--gpu", action="store_true", help="ResNet-50, 300 px, batches of 64, fp16, on a GPU")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a target is missed")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pictures = options.pictures or (PICTURES_GPU if options.gpu else PICTURES)
        found = compare(prepare(Path(folder), pictures, gpu=options.gpu), options.seeds)
    print(json.dumps(found, indent=1))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    missed = [] if found["faster"] >= WANTED else [f"{found['faster']} times as fast, not {WANTED}"]
    if found["accuracy_difference"] < -found["noise"]:
        missed.append(f"accuracy lower by {-found['accuracy_difference']}, beyond noise of {found['noise']}")
    print("; ".join(missed) or "every target met")
    if missed and options.check:
        sys.exit(1)


if __name__ == "__main__":
    main()
