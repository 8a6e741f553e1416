"""The whole job on films as people have them: turned, of odd sizes, with frames of uneven length, and by scene."""

from __future__ import annotations

import av
import numpy as np
import pytest
import simplejpeg
import sqlalchemy as sa
from PIL import Image as Pillow

from reel_shared.contracts import EXTRACT_FRAMES, ExtractFramesRequest
from reel_shared.db.engine import transaction
from reel_shared.db.models import Image, Movie

pytestmark = pytest.mark.servers


@pytest.fixture
def extract(submit, reel):
    """Have frames taken out of a film; gives the job's result and the frames' rows with their pixels."""

    def do(path, **wish):
        key = reel.storage.put_file("movies", path, "video/mp4", path.suffix).key
        request = ExtractFramesRequest(label="kiki", key=key, crop_borders="none", **wish)
        job = submit(EXTRACT_FRAMES, request)
        assert job.error is None
        with transaction() as session:
            query = sa.select(Image).filter_by(job_id=job.id).order_by(Image.frame_index)
            images = list(session.scalars(query))
        return job.result, [
            (image, simplejpeg.decode_jpeg(reel.storage.get_bytes(image.key, max_bytes=10**6)))
            for image in images
        ]

    return do


def test_so_many_by_scene_are_well_apart_and_are_the_frames_they_say(extract, film, read_number):
    result, taken = extract(film("numbered.mp4"), per_scene=3)
    assert (result["scenes"], result["counts"]["seen"]) == (4, 12)
    for scene in range(4):
        places = [image.frame_index - 24 * scene for image, _ in taken if image.scene == scene]
        assert len(places) == 3
        assert np.abs(np.array(places) - [4, 12, 20]).max() <= 3
    for image, pixels in taken:
        assert read_number(pixels) == image.frame_index
        assert image.time_seconds == pytest.approx(image.frame_index / 24)


def test_by_scene_within_a_time_has_the_films_own_scenes(extract, film):
    result, taken = extract(film("numbered.mp4"), per_scene=2, start_seconds=1.5, end_seconds=3.25)
    assert [image.scene for image, _ in taken] == [1, 1, 2, 2, 3, 3]
    assert all(1.5 <= image.time_seconds < 3.25 for image, _ in taken)
    assert result["counts"]["seen"] == 6
    with transaction() as session:
        sampling = session.scalars(sa.select(Movie)).one().sampling
    assert (sampling["per_scene"], sampling["start_seconds"], sampling["end_seconds"]) == (2, 1.5, 3.25)


@pytest.mark.parametrize(
    ("wish", "size"),
    [
        ({}, (96, 160)),
        ({"width": 60, "height": 50}, (30, 50)),
        ({"width": 60, "height": 50, "keep_aspect": False}, (60, 50)),
        ({"width": 500, "height": 500}, (96, 160)),
        ({"width": 200, "height": 300, "keep_aspect": False}, (200, 300)),
    ],
)
def test_a_turned_film_is_upright_and_its_size_is_that_of_the_upright_film(
    extract, film, draw_frame, wish, size
):
    upright = [np.ascontiguousarray(np.rot90(draw_frame(i))) for i in range(48)]
    path = film("upright.mp4", [np.rot90(picture, -1) for picture in upright], rotation=90)
    with av.open(str(path)) as container:
        stored = container.streams.video[0]
        assert (stored.width, stored.height) == (160, 96)
    result, taken = extract(path, every_frames=24, **wish)
    assert (result["width"], result["height"]) == (96, 160)
    assert [image.frame_index for image, _ in taken] == [0, 24]
    for image, pixels in taken:
        assert (image.width, image.height) == pixels.shape[1::-1] == size
        expected = np.asarray(
            Pillow.fromarray(upright[image.frame_index]).resize(size, Pillow.Resampling.BOX)
        )
        assert np.abs(pixels.astype(int) - expected).mean() < 14


@pytest.mark.parametrize("way", [{"every_frames": 7}, {"per_scene": 2}])
@pytest.mark.parametrize("box", [{}, {"width": 61, "height": 37, "keep_aspect": False}, {"height": 33}])
def test_odd_sizes_come_out_as_asked(extract, film, draw_frame, way, box):
    pictures = [draw_frame(i, width=163, height=97) for i in range(48)]
    path = film("odd.mkv", pictures, pixel_format="yuv444p")
    result, taken = extract(path, **way, **box)
    assert (result["width"], result["height"]) == (163, 97)
    size = {0: (163, 97), 1: (55, 33), 3: (61, 37)}[len(box)]
    assert len(taken) in (7, 4)
    for image, pixels in taken:
        assert (image.width, image.height) == pixels.shape[1::-1] == size
        expected = np.asarray(
            Pillow.fromarray(pictures[image.frame_index]).resize(size, Pillow.Resampling.BOX)
        )
        assert np.abs(pixels.astype(int) - expected).mean() < 14


@pytest.mark.parametrize(
    "wish", [{"every_frames": 5}, {"every_seconds": 0.7}, {"per_scene": 2}, {"parts": 3}]
)
def test_uneven_frames_keep_their_exact_time_stamps(extract, film, draw_frame, read_number, wish):
    steps = np.random.default_rng(5).integers(17, 140, 96)
    times = [0, *np.cumsum(steps)[:-1].tolist()]
    path = film("uneven.mkv", map(draw_frame, range(96)), times_ms=times)
    _, taken = extract(path, **({"every_frames": 5} | wish if "parts" in wish else wish))
    assert len(taken) >= 8
    for image, pixels in taken:
        assert read_number(pixels) == image.frame_index
        assert image.pts == times[image.frame_index]
        assert image.time_seconds == pytest.approx(times[image.frame_index] / 1000, abs=1e-9)
    if "every_seconds" in wish:
        marks = [int((image.time_seconds + 0.001) / 0.7) for image, _ in taken]
        assert marks == sorted(set(marks)), "the first frame of each step, and no step twice"
