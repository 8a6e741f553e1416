"""Frames by scene: at least one of each, well apart, with bounded memory, and none outside the wanted time."""

from __future__ import annotations

import numpy as np
import pytest

from reel_ingest import frames
from reel_ingest.frames import extract_frames
from reel_ingest.spread import ROOM, Spread

LENGTHS = [60, 14, 33, 90]
STARTS = np.cumsum([0, *LENGTHS[:-1]]).tolist()


@pytest.fixture(scope="module")
def scenes_film(film, draw_frame):
    pictures = [
        draw_frame(1000 * scene + i, scene_length=1000)
        for scene, length in enumerate(LENGTHS)
        for i in range(length)
    ]
    return film("scenes.mp4", pictures)


@pytest.mark.parametrize("count", [1, 3])
def test_so_many_of_every_scene_near_the_middles_of_equal_parts(scenes_film, count):
    taken = list(extract_frames(scenes_film, per_scene=count))
    assert [f.scene for f in taken] == [scene for scene in range(4) for _ in range(count)]
    assert [f.index for f in taken] == sorted(f.index for f in taken)
    for scene, (start, length) in enumerate(zip(STARTS, LENGTHS, strict=True)):
        places = [f.index - start for f in taken if f.scene == scene]
        goals = [(2 * part + 1) * length / (2 * count) for part in range(count)]
        assert (
            max(abs(place - goal) for place, goal in zip(places, goals, strict=True))
            <= length / count / 4 + 1
        )


def test_numbers_and_pictures_are_those_of_a_plain_pass(scenes_film):
    every = {f.index: f for f in extract_frames(scenes_film, every_frames=1)}
    taken = list(extract_frames(scenes_film, per_scene=2))
    assert taken == [every[f.index] for f in taken]


def test_large_films_are_rendered_at_once_instead_of_held(scenes_film, monkeypatch):
    held = list(extract_frames(scenes_film, per_scene=2))
    monkeypatch.setattr("reel_ingest.extraction.CANDIDATE_BYTES", 0)
    assert list(extract_frames(scenes_film, per_scene=2)) == held


def test_only_wanted_time_is_looked_at(scenes_film):
    taken = list(extract_frames(scenes_film, per_scene=2, start_seconds=1.5, end_seconds=4.0))
    assert {f.scene for f in taken} == {0, 1, 2}
    assert all(1.5 <= f.time_seconds < 4.0 for f in taken)
    assert next(f.index for f in taken if f.scene == 0) < 46


def test_one_range_with_the_same_scenes(scenes_film):
    sampling, scores, tally = frames.Sampling(per_scene=2), frames.RangeScores(), frames.Tally()
    planned = frames.plan(scenes_film, sampling, parts=4)
    assert len(planned.ranges) == 1
    options = {"scores": scores, "tally": tally}
    part = list(frames.extract_range(scenes_film, planned, 0, sampling, frames.Look(), **options))
    scenes = frames.join_scenes([scores])
    assert [scenes.by_frame[f.index] for f in part] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_long_scene_holds_few_candidates():
    most = 0

    def keep(item):
        nonlocal most
        most = max(most, len(spread._candidates))
        return item

    spread = Spread(3, keep)
    for number in range(5000):
        assert spread.add(number, 0, 40 * number) == []
    chosen = [anchor for anchor, _ in spread.close()]
    assert most <= ROOM * 3
    assert np.abs(np.array(chosen) - np.array([833, 2500, 4167])).max() < 5000 / 3 / 8
