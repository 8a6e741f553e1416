"""Scene cuts: planted hard cuts are found, motion is not one, and the shortcut agrees with the library."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest
from scenedetect import AdaptiveDetector, FrameTimecode, detect

from reel_ingest.scenes import SHORTEST_MS, WINDOW, RangeScores, SceneCuts, _Judge
from reel_ingest.tiny_pictures import TinyPictures, tiny_picture

LENGTHS = [30, 17, 44, 23, 60, 26]


def cuts_of(path):
    cuts, scores = SceneCuts(), RangeScores()
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            scores.add_anchor(tiny_picture(frame), int(frame.time * 1000))
            cuts.add(scores.differences[-1], scores.times[-1])
    return cuts


@pytest.fixture(scope="session")
def cut_film(film, draw_frame):
    """Animated in the cheap way: a drawing is held for two frames, so every other frame does not move."""
    pictures = []
    for scene, length in enumerate(LENGTHS):
        pictures += [draw_frame(1000 * scene + i // 2, scene_length=1000) for i in range(length)]
    return film("cuts.mp4", pictures)


def test_planted_cuts_are_found_to_the_frame(cut_film):
    assert cuts_of(cut_film).cuts == np.cumsum(LENGTHS)[:-1].tolist()


def test_agrees_with_the_library_at_full_size(cut_film):
    scenes = detect(str(cut_film), AdaptiveDetector(min_scene_len=12))
    assert cuts_of(cut_film).cuts == [start.frame_num for start, _ in scenes[1:]]


def test_a_pan_is_one_scene(film):
    wide = cv2.resize(np.random.default_rng(4).integers(0, 256, (8, 60, 3), dtype=np.uint8), (1200, 96))
    path = film("pan.mp4", [wide[:, 8 * i : 8 * i + 160] for i in range(100)])
    assert cuts_of(path).cuts == []


def test_other_pixel_formats_see_the_same_cuts(film, draw_frame):
    pictures = [draw_frame(i) for i in range(96)]
    ten = film("ten-cuts.mp4", pictures, pixel_format="yuv420p10le")
    full = film("full-cuts.mp4", pictures, pixel_format="yuv444p")
    assert cuts_of(ten).cuts == cuts_of(full).cuts == [24, 48, 72]


def test_tiny_pictures_made_together_are_those_made_alone():
    """Of frames whose size and pixel format change on the way, one of them no format of planes."""
    rng, together, alone = np.random.default_rng(5), TinyPictures(), []
    for form in ("yuv420p", "yuv420p10le", "yuv444p", "rgb24", "yuv420p"):
        for width, height in ((160, 96), (122, 50), (1280, 720)):
            for _ in range(3):
                picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=form)
                together.add(frame)
                alone.append(tiny_picture(frame))
    made = together.take()
    assert len(made) == len(alone) == 45
    assert all(np.array_equal(a, b) for a, b in zip(made, alone, strict=True))
    assert not np.array_equal(made[0], made[1])
    assert together.take() == []


def test_the_scene_of_a_settled_frame_does_not_change(cut_film):
    cuts, scores, given = SceneCuts(), RangeScores(), {}
    with av.open(str(cut_film)) as container:
        for frame in container.decode(video=0):
            scores.add_anchor(tiny_picture(frame), int(frame.time * 1000))
            cuts.add(scores.differences[-1], scores.times[-1])
            given.setdefault(cuts.settled, cuts.scene_of(cuts.settled))
    assert all(cuts.scene_of(index) == scene for index, scene in given.items())


def test_asking_the_detector_only_near_large_differences_finds_the_same_cuts():
    """Against the library's detector asked about every anchor, on noise with jumps around its thresholds."""
    rng = np.random.default_rng(7)
    for _ in range(20):
        scores = rng.gamma(2.0, 3.0, 400)
        jumps = rng.integers(1, 400, 30)
        scores[jumps] += rng.uniform(0, 60, 30)
        whole = (scores * 36 * 64 * 3).astype(int)
        cuts, judge, asked = SceneCuts(), _Judge(min_scene_len=SHORTEST_MS, window_width=WINDOW), []
        for number, value in enumerate(whole.tolist()):
            cuts.add(value, 40 * number)
            score = np.array([value / (36 * 64 * 3)])
            asked += [
                cut.frame_num // 40 for cut in judge.process_frame(FrameTimecode(40 * number, 1000.0), score)
            ]
        assert cuts.cuts == asked
        assert len(asked) > 3
