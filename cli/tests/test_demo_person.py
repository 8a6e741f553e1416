"""The person of the demo knows from the scripts which frames show nobody."""

from __future__ import annotations

from itertools import accumulate

from reelsight.demo.person import Person
from reelsight.studio.catalogue import LABELS, film
from reelsight.studio.script import write

SEED, SECONDS = 7, 120.0


def frames():
    """A frame in the middle of every scene of every film, with the truth."""
    for label in LABELS:
        scenes = write(film(label), seed=SEED, seconds=SECONDS)
        starts = [0.0, *accumulate(scene.seconds for scene in scenes)]
        for number, (start, scene) in enumerate(zip(starts, scenes, strict=False)):
            at = start + scene.seconds / 2
            yield {"id": f"{label}-{number}", "label": label, "time_seconds": at}, scene.shot == "empty"


def test_frames_of_empty_scenes_show_nobody():
    person = Person(LABELS, seed=SEED, seconds=SECONDS)
    found = [person.sees_nobody(frame) == empty for frame, empty in frames()]
    assert all(found)
    assert len(found) > 100


def test_marks_are_right_and_of_every_film():
    person = Person(LABELS, seed=SEED, seconds=SECONDS)
    truth = {frame["id"]: empty for frame, empty in frames()}
    marks = person.marks([frame for frame, _ in frames()], each=2)
    assert all(truth[name] for name in marks["background"])
    assert not any(truth[name] for name in marks["keep"])
    for label in LABELS:
        assert sum(name.startswith(label) for name in marks["keep"]) == 10
        assert sum(name.startswith(label) for name in marks["background"]) == 2
