"""The studio's films: real H.264, scenes with hard cuts, same seed same film, borders where they should be."""

from __future__ import annotations

from dataclasses import replace

import av
import numpy as np
import pytest

from reelsight.studio import catalogue, films, script
from reelsight.studio.anatomy import Pose
from reelsight.studio.catalogue import FILMS
from reelsight.studio.ink import Placement, paint

SMALL = (160, 90)


def decoded(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        return stream.codec_context.name, float(stream.average_rate), frames


def first_drawing(film, seed=3):
    return next(films.drawings(film, script.write(film, seed=seed, seconds=10)[0]))


def test_a_rendered_film_is_h264_at_24_frames_and_as_long_as_its_script(tmp_path):
    made = films.render_film("kite-island", tmp_path / "k.mp4", seed=3, seconds=5, size=SMALL)
    codec, rate, frames = decoded(made.path)
    assert (codec, rate) == ("h264", 24.0)
    assert len(frames) == round(made.seconds * 24)
    assert frames[0].shape == (90, 160, 3)
    assert not list(tmp_path.glob("*.part"))


def test_cuts_of_the_script_are_the_hardest_changes_of_the_picture(tmp_path):
    made = films.render_film("harbor-lights", tmp_path / "h.mp4", seed=5, seconds=10, size=SMALL)
    scenes = script.write(catalogue.film("harbor-lights"), seed=5, seconds=10)
    _, _, frames = decoded(made.path)
    change = [np.abs(a.astype(int) - b).mean() for a, b in zip(frames[1:], frames[:-1], strict=True)]
    hardest = sorted(int(i) + 1 for i in np.argsort(change)[-len(script.cuts(scenes)) :])
    assert hardest == [round(second * 24) for second in script.cuts(scenes)]


def test_a_finished_film_is_kept_and_another_seed_replaces_it(tmp_path):
    path = tmp_path / "t.mp4"
    assert films.render_film("tin-orchard", path, seed=1, seconds=3, size=SMALL).rendered
    before = path.read_bytes()
    assert not films.render_film("tin-orchard", path, seed=1, seconds=3, size=SMALL).rendered
    assert path.read_bytes() == before
    assert films.render_film("tin-orchard", path, seed=2, seconds=3, size=SMALL).rendered


def test_a_half_written_film_is_rendered_again(tmp_path):
    path = tmp_path / "t.mp4"
    films.render_film("tin-orchard", path, seed=1, seconds=3, size=SMALL)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3])
    assert films.render_film("tin-orchard", path, seed=1, seconds=3, size=SMALL).rendered
    assert path.read_bytes() == whole


@pytest.mark.parametrize("film", FILMS, ids=lambda film: film.label)
def test_the_same_seed_gives_the_same_pixels_and_another_seed_others(film):
    assert np.array_equal(first_drawing(film), first_drawing(film))
    assert not np.array_equal(first_drawing(film), first_drawing(film, seed=4))


@pytest.mark.parametrize("film", FILMS, ids=lambda film: film.label)
def test_a_film_is_two_minutes_of_many_scenes_over_all_its_places_with_its_whole_cast(film):
    scenes = script.write(film, seed=7, seconds=films.SECONDS)
    assert script.length(scenes) >= 120
    assert len(scenes) >= 12
    assert {scene.place for scene in scenes} == set(range(len(film.places)))
    assert {role.name for scene in scenes for role in scene.roles} == set(film.cast)
    assert any(not scene.roles for scene in scenes)
    assert any(scene.hour == "night" for scene in scenes)
    assert all(a.place != b.place for a, b in zip(scenes[1:], scenes[:-1], strict=True))


def test_only_one_film_has_borders_and_they_are_black_in_every_drawing():
    bordered = [film for film in FILMS if film.manner.border]
    assert [film.label for film in bordered] == ["moss-and-ember"]
    width = bordered[0].manner.border
    assert 4 <= width <= 8
    for scene in script.write(bordered[0], seed=7, seconds=20):
        drawing = next(films.drawings(bordered[0], scene))
        edges = [drawing[:width], drawing[-width:], drawing[:, :width], drawing[:, -width:]]
        assert max(edge.max() for edge in edges) == 0
        inside = drawing[width:-width, width:-width]
        assert min(inside[0].mean(), inside[-1].mean(), inside[:, 0].mean(), inside[:, -1].mean()) > 8


def test_two_films_share_palette_and_manner():
    harbor, kite = catalogue.film("harbor-lights"), catalogue.film("kite-island")
    assert harbor.palette == kite.palette
    assert harbor.manner == kite.manner
    assert not set(harbor.cast) & set(kite.cast)


@pytest.mark.parametrize("film", FILMS, ids=lambda film: film.label)
def test_every_character_moves_and_uses_only_colours_of_its_palette(film):
    for name, character in film.cast.items():
        canvases = []
        for pose in (Pose(), Pose(phase=0.3, stride=1.0), Pose(reach=1.0, mouth=1.0), Pose(blink=1.0)):
            canvas = np.full((260, 260, 3), 200, np.uint8)
            paint(
                canvas, character(pose), Placement(130, 230, 1.4), film.palette, replace(film.manner, boil=0)
            )
            canvases.append(canvas)
        for moved in canvases[1:]:
            assert np.abs(moved.astype(int) - canvases[0]).max() > 60, name


def test_an_unknown_film_is_refused_with_the_list():
    with pytest.raises(ValueError, match="harbor-lights"):
        catalogue.film("no-such-film")


def test_films_rendered_side_by_side_in_parts_are_the_same_as_one_alone(tmp_path):
    told = []
    made = films.render_films(tmp_path / "all", seed=3, seconds=4, on_progress=told.append)
    assert [file.label for file in made] == list(catalogue.LABELS)
    assert all(file.rendered for file in made)
    assert told == sorted(told)
    assert told[-1] == 1
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == sorted(f.path.name for f in made)
    parted = next(file for file in made if file.scenes > 1)
    alone = films.render_film(parted.label, tmp_path / "alone.mp4", seed=3, seconds=4)
    assert alone.path.read_bytes() == parted.path.read_bytes()
    with av.open(str(parted.path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx(
        [number / films.RATE for number in range(round(parted.seconds * films.RATE))]
    )
    assert not any(file.rendered for file in films.render_films(tmp_path / "all", seed=3, seconds=4))
