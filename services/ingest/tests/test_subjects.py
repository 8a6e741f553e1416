"""Frames with somebody in them and without: what is learnt of a few marks, and what is promised."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import simplejpeg

from reel_ingest import subject_features, subjects

SCENES, SHOTS = 60, 3


def place(dice, *, somebody):
    """A backdrop of soft shapes in greens and blues; somebody is outlined in ink, with a red coat."""
    coarse = dice.integers((20, 60, 60), (110, 190, 200), (4, 6, 3), dtype=np.uint8)
    picture = cv2.resize(coarse, (320, 180), interpolation=cv2.INTER_CUBIC)
    for _ in range(6):
        centre = tuple(int(v) for v in dice.integers((0, 90), (320, 180)))
        cv2.ellipse(
            picture, centre, (30, 14), 0, 0, 360, tuple(int(v) for v in dice.integers(40, 150, 3)), -1
        )
    if somebody:
        x, y = int(dice.integers(60, 260)), int(dice.integers(70, 120))
        for colour, thick in (((190, 40, 40), -1), ((10, 10, 10), 2)):
            cv2.ellipse(picture, (x, y + 30), (18, 34), 0, 0, 360, colour, thick)
        for colour, thick in (((230, 190, 160), -1), ((10, 10, 10), 2)):
            cv2.circle(picture, (x, y - 14), 14, colour, thick)
    return picture


@pytest.fixture(scope="module")
def film():
    """Features, scenes and the truth of 180 frames; a third of the scenes is empty."""
    found, scenes, empty = [], [], []
    for scene in range(SCENES):
        for shot in range(SHOTS):
            picture = place(np.random.default_rng([scene, shot]), somebody=scene % 3 != 0)
            found.append(subject_features.of_jpeg(simplejpeg.encode_jpeg(picture, quality=90)))
            scenes.append(f"mov_1:{scene}")
            empty.append(scene % 3 == 0)
    return subject_features.stack(found), scenes, np.array(empty)


def ranked(film, keep, background, *, precision=0.9, films=None):
    """The ranking from so many marks of each kind, and which frames nobody has marked."""
    features, scenes, empty = film
    dice = np.random.default_rng(5)
    marked = [
        *dice.permutation(np.flatnonzero(~empty))[:keep],
        *dice.permutation(np.flatnonzero(empty))[:background],
    ]
    marks = [bool(empty[i]) if i in marked else None for i in range(len(empty))]
    found = subjects.rank_subjects(
        features,
        films=films or ["mov_1"] * len(empty),
        scenes=scenes,
        background=marks,
        precision=precision,
    )
    return found, np.array([mark is None for mark in marks])


def test_what_is_promised_of_enough_marks_is_kept(film):
    ranking, unmarked = ranked(film, 40, 20)
    assert ranking.enough, ranking.message
    empty = film[2][unmarked]
    proposed = ranking.probabilities[unmarked] >= ranking.threshold
    assert empty[proposed].mean() >= 0.9
    assert (proposed & empty).sum() >= 0.6 * empty.sum()
    assert ranking.precision >= 0.9
    assert ranking.precision_expected >= 0.9
    assert 0 < ranking.precision_lower <= ranking.precision
    assert 0 < ranking.recall <= 1


def test_few_marks_rank_but_promise_nothing(film):
    ranking, unmarked = ranked(film, 5, 5)
    assert not ranking.enough
    assert "mark 25 more to keep and 10 more backgrounds" in ranking.message or "Too few" in ranking.message
    empty, likely = film[2][unmarked], ranking.probabilities[unmarked]
    best = empty[np.argsort(-likely)[: empty.sum() // 2]]
    assert best.mean() > 1.5 * empty.mean(), "the list is worth looking at all the same"


def test_marks_of_one_scene_test_nothing(film):
    features, scenes, empty = film
    marks = [None] * len(empty)
    for scene, mark in ((0, True), (1, False)):
        marks[scene * SHOTS : scene * SHOTS + SHOTS] = [mark] * SHOTS
    ranking = subjects.rank_subjects(
        features, films=["m"] * len(empty), scenes=scenes, background=marks, precision=0.9
    )
    assert (ranking.threshold, ranking.precision, ranking.enough) == (None, None, False)
    assert "three scenes" in ranking.message
    assert len(ranking.probabilities) == len(empty)


def test_marks_without_sense_bear_out_nothing(film):
    features, scenes, empty = film
    dice = np.random.default_rng(1)
    marks = [bool(mark) if dice.random() < 0.5 else None for mark in dice.random(len(empty)) < 0.4]
    ranking = subjects.rank_subjects(
        features, films=["m"] * len(empty), scenes=scenes, background=marks, precision=0.95
    )
    assert not ranking.enough


def test_marks_of_one_kind_are_refused(film):
    with pytest.raises(ValueError, match="both kinds"):
        ranked(film, 5, 0)


def test_a_film_of_a_few_frames_is_ranked_with_the_others(film):
    films = ["mov_2"] * 3 + ["mov_1"] * (len(film[2]) - 3)
    ranking, _ = ranked(film, 20, 10, films=films)
    assert np.isfinite(ranking.probabilities).all()


def test_the_same_picture_has_the_same_features_and_any_size_will_do():
    picture = place(np.random.default_rng(3), somebody=True)
    first, again = subject_features.of_picture(picture), subject_features.of_picture(picture)
    assert (first.shapes == again.shapes).all()
    assert (first.colours == again.colours).all()
    large = subject_features.of_picture(cv2.resize(picture, (1280, 720), interpolation=cv2.INTER_CUBIC))
    bare = subject_features.of_picture(place(np.random.default_rng(3), somebody=False))

    def apart(one, other):
        return float(np.abs(one.shapes.astype(float) - other.shapes.astype(float)).mean())

    assert apart(first, large) < 0.5 * apart(first, bare)
    for odd in (np.zeros((1, 1, 3), np.uint8), np.full((2000, 3, 3), 255, np.uint8)):
        assert np.isfinite(subject_features.of_picture(odd).shapes).all()


def test_what_is_no_jpeg_is_refused():
    with pytest.raises(ValueError):
        subject_features.of_jpeg(b"<html>")
