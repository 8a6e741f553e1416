"""Frames that show background only, found from a few marks: on rendered films, whose truth is known.

Every scene of the studio's five films is drawn with and without its characters; a fifth of the scenes is shown
empty, a tenth with characters far away (under 1.5% of the picture: background too). Marks are drawn at random.

Run: ``python benchmarks/subjects.py``; about a minute.
"""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import NamedTuple

import cv2
import numpy as np
import simplejpeg

from reel_ingest import subject_features, subjects
from reelsight.studio.catalogue import LABELS, film
from reelsight.studio.films import drawings
from reelsight.studio.script import Scene, write

SECONDS, EVERY, ROUNDS, WANTED = 330, 9, 10, 0.95
EMPTY, FAR, FAR_SCALE = 0.22, 0.10, 0.22
BACKGROUND, SUBJECT = (
    0.015,
    0.025,
)  # share of the picture that characters cover; what lies between is not asked
MARKS = ((5, 5), (10, 10), (20, 20), (40, 20), (50, 50))  # keep, background


class Frame(NamedTuple):
    film: str
    scene: str
    jpeg: bytes
    covered: float


def render(label: str) -> list[Frame]:
    cv2.setNumThreads(1)
    picked, dice = film(label), np.random.default_rng([3, *label.encode()])
    frames = []
    for number, scene in enumerate(write(picked, seed=11, seconds=SECONDS)):
        shown = staged(scene, float(dice.random()))
        bare = drawings(picked, replace(scene, roles=()), every=EVERY)
        for drawing, empty in zip(drawings(picked, shown, every=EVERY), bare, strict=True):
            covered = float((cv2.absdiff(drawing, empty).max(axis=2) > 12).mean())
            rgb = np.ascontiguousarray(drawing[..., ::-1])
            frames.append(Frame(label, f"{label}:{number}", simplejpeg.encode_jpeg(rgb, quality=90), covered))
    return frames


def staged(scene: Scene, chance: float) -> Scene:
    if chance < EMPTY:
        return replace(scene, roles=())
    if chance < EMPTY + FAR:
        return replace(
            scene, roles=tuple(replace(role, scale=role.scale * FAR_SCALE) for role in scene.roles)
        )
    return scene


def trial(
    frames: list[Frame],
    features: subject_features.Features,
    pool: np.ndarray,
    marks: tuple[int, int],
    seed: int,
) -> tuple[subjects.Ranking, float, float]:
    """One person's marks: the ranking, and the true precision and recall on everything that was not marked."""
    truth = np.array([frames[index].covered < BACKGROUND for index in pool])
    dice = np.random.default_rng(seed)
    keep, background = marks
    marked = {
        *dice.permutation(np.flatnonzero(~truth))[:keep].tolist(),
        *dice.permutation(np.flatnonzero(truth))[:background].tolist(),
    }
    ranking = subjects.rank_subjects(
        subject_features.Features(features.shapes[pool], features.colours[pool]),
        films=[frames[index].film for index in pool],
        scenes=[frames[index].scene for index in pool],
        background=[bool(truth[place]) if place in marked else None for place in range(len(pool))],
        precision=WANTED,
    )
    new = np.array([place not in marked for place in range(len(pool))])
    threshold = ranking.threshold if ranking.threshold is not None else 2.0
    proposed = new & (ranking.probabilities >= threshold)
    right = float((proposed & truth).sum())
    return ranking, right / proposed.sum() if proposed.any() else np.nan, right / (new & truth).sum()


def main() -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        frames = [frame for part in pool.map(render, LABELS) for frame in part]
    cv2.setNumThreads(1)
    started = time.perf_counter()
    with ThreadPoolExecutor(2) as lanes:
        features = subject_features.stack(
            list(lanes.map(subject_features.of_jpeg, [one.jpeg for one in frames]))
        )
    each = (time.perf_counter() - started) / len(frames)
    clear = np.array([not BACKGROUND <= one.covered <= SUBJECT for one in frames])
    empty = np.array([one.covered < BACKGROUND for one in frames])
    print(f"{len(frames)} frames of 640 x 360, {empty.mean():.0%} background")
    print(f"features: {3000 * each:.1f} s for 3,000 frames, two threads")
    print(f"wanted precision {WANTED:.0%}; means of {ROUNDS} draws of marks")
    print("within      keep background  promised  expected  precision  worst  recall  seconds")
    for scope in ("one film", "all films"):
        for marks in MARKS:
            found, spent = [], time.perf_counter()
            for seed in range(ROUNDS):
                label = LABELS[seed % len(LABELS)]
                own = np.array([scope == "all films" or one.film == label for one in frames])
                found.append(trial(frames, features, np.flatnonzero(clear & own), marks, seed))
            show(scope, marks, found, (time.perf_counter() - spent) / ROUNDS)


def show(
    scope: str, marks: tuple[int, int], found: list[tuple[subjects.Ranking, float, float]], seconds: float
) -> None:
    promised = sum(ranking.enough for ranking, _, _ in found)
    expected = np.nanmean([ranking.precision_expected or np.nan for ranking, _, _ in found])
    precisions = np.array([precision for _, precision, _ in found])
    recall = np.mean([share for _, _, share in found])
    print(
        f"{scope:10} {marks[0]:5} {marks[1]:10} {promised:6}/{len(found)} {expected:9.2f} "
        f"{np.nanmean(precisions):10.2f} {np.nanmin(precisions):6.2f} {recall:7.2f} {seconds:8.2f}"
    )


if __name__ == "__main__":
    main()
