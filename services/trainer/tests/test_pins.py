"""Pins hold what hangs together with them on their side, and say so when they cannot."""

from __future__ import annotations

import random

import pytest

from reel_shared.contracts import BuildDatasetVersionRequest
from reel_shared.errors import Unprocessable
from reel_shared.manifest import ManifestImage, Side
from reel_trainer.pins import Pin
from reel_trainer.versions import build_dataset_version


def frame(label: str, scene: int, number: int) -> ManifestImage:
    name = f"img_{label}_{scene}_{number}"
    code = hash_of(name)
    facts = {
        "id": name, "key": f"frames/{name}", "sha256": code * 4, "label": label, "source": "movie", "phash": code,
        "scene": f"mov_{label}:{scene}", "movie_id": f"mov_{label}", "time_seconds": scene * 10.0 + number,
        "width": 64, "height": 64,
    }  # fmt: skip
    return ManifestImage.model_validate(facts)


def hash_of(name: str) -> str:
    return f"{random.Random(name).getrandbits(64):016x}"


FRAMES = [
    frame(label, scene, number) for label in ("kiki", "howl") for scene in range(6) for number in range(3)
]


def built(*pins: Pin):
    return build_dataset_version(FRAMES, BuildDatasetVersionRequest(min_gap_seconds=0), pins=pins)


def sides(manifest, scene: int, label: str = "kiki") -> set[Side]:
    return {image.split for image in manifest.images if image.scene == f"mov_{label}:{scene}"}


@pytest.mark.parametrize("side", ["train", "valid"])
@pytest.mark.parametrize("scene", range(6))
def test_a_scene_lies_where_it_is_pinned(scene, side):
    found = built(Pin("pin_1", side, movie_id="mov_kiki", scene=scene))
    assert sides(found.manifest, scene) == {Side(side)}
    assert [(pin.id, pin.images) for pin in found.manifest.pins] == [("pin_1", 3)]
    assert found.certificate.summary.warnings == []


def test_a_picture_and_a_stretch_take_their_scenes_along():
    found = built(
        Pin("pin_1", "valid", image_id="img_kiki_2_1"),
        Pin("pin_2", "excluded", movie_id="mov_howl", start_seconds=32.0, end_seconds=40.5),
    ).manifest
    assert sides(found, 2) == {Side.VALID}
    assert sides(found, 3, "howl") == sides(found, 4, "howl") == {Side.EXCLUDED}
    assert found.excluded() == {"pinned": 6}


def test_pins_that_contradict_name_each_other():
    with pytest.raises(Unprocessable, match=r"pin_1 \(.*to valid\) and pin pin_2 \(.*to train\)"):
        built(
            Pin("pin_1", "valid", movie_id="mov_kiki", scene=2),
            Pin("pin_2", "train", image_id="img_kiki_2_1"),
        )


def test_pins_of_pictures_that_are_gone_are_said_shortly():
    warnings = built(
        *(Pin(f"pin_{n}", "train", image_id=f"img_gone_{n}") for n in range(9))
    ).certificate.summary.warnings
    assert len(warnings) == 6
    assert warnings[0] == "pin pin_0 (picture img_gone_0 to train) covers no picture"
    assert warnings[-1] == "4 more pins cover no picture"
