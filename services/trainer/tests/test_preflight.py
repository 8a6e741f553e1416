"""What would go wrong is told before anything is decoded: each fault in a sentence, all faults in one error."""

from __future__ import annotations

import shutil
from collections import namedtuple

import pytest
import torch
from safetensors.torch import save_file

from reel_networks import build, save_weights
from reel_networks.architectures import find, full_network
from reel_shared.errors import Corrupt, Unavailable, Unprocessable
from reel_shared.manifest import Side
from reel_trainer import preflight
from reel_trainer.batches import Batches, Places, roomy_side
from reel_trainer.cache import build_cache, bytes_needed
from reel_trainer.learner import prepare_network
from reel_trainer.recipe import batch_of
from reel_trainer.rows import choose_rows
from reel_trainer.steps import Step

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def files(shapes, tmp_path):
    """A copy of the pictures that a test may damage."""
    return shutil.copytree(shapes.folder, tmp_path / "pictures")


@pytest.fixture
def look(shapes, recipe, tmp_path):
    def check(manifest=None, pictures=shapes.folder, weights="package", **changes):
        preflight.check(
            manifest or shapes.manifest(),
            recipe(**changes),
            pictures=pictures,
            scratch=tmp_path,
            weights=weights,
            tell=told.append,
        )

    told = check.told = []
    return check


def test_nothing_is_wrong_with_what_can_be_trained(look) -> None:
    look()
    look(train_on_validation=True)


def test_a_class_must_be_on_both_sides(look, shapes) -> None:
    manifest = shapes.manifest()
    images = [
        i.model_copy(update={"split": Side.EXCLUDED}) if i.split == Side.VALID and i.label == "disc" else i
        for i in manifest.images
    ]
    with pytest.raises(Unprocessable, match="No validation picture shows disc; add scenes"):
        look(manifest.model_copy(update={"images": images}))


def test_files_that_cannot_be_read_are_named(look, shapes, files, monkeypatch) -> None:
    monkeypatch.setattr(preflight, "TELL_EVERY", 50)
    used = [i for i in shapes.manifest().images if i.split != Side.EXCLUDED]
    for image, content in zip(
        used[:7], (b"", b"GIF89a", b"\xff\xd8\xff", b"text", b"", b"", b""), strict=True
    ):
        (files / image.sha256).write_bytes(content)
    (files / used[0].sha256).unlink()
    with pytest.raises(Corrupt) as caught:
        look(pictures=files)
    detail = caught.value.detail
    assert detail.startswith(f"7 of {len(used)} pictures cannot be read: {used[0].id} is missing, ")
    assert f"{used[3].id} (not-a-picture), {used[4].id} (empty) and 2 more. Reject them" in detail
    assert look.told[0] == f"checking pictures: 50 of {len(used)}"


def test_weights_must_be_those_of_the_network(look, tmp_path) -> None:
    half = ((0.5,) * 3, (0.5,) * 3)
    for name in ("resnet18", "resnet34"):
        save_weights(build(name, 5), tmp_path / f"{name}.safetensors", architecture=name, stats=half)
    look(architecture="resnet18", weights=str(tmp_path / "resnet18.safetensors"))
    with pytest.raises(Unprocessable, match=r"resnet34\.safetensors has no weights of resnet18: '0\."):
        look(architecture="resnet18", weights=str(tmp_path / "resnet34.safetensors"))
    original = tmp_path / "original.safetensors"
    save_file(full_network(find("densenet121")).state_dict(), original)
    look(architecture="densenet121", weights=str(original))
    with pytest.raises(Unprocessable, match="has no weights of resnet18"):
        look(architecture="resnet18", weights=str(original))
    with pytest.raises(Unprocessable, match="no package carries weights of resnet18"):
        look(architecture="resnet18")
    with pytest.raises(Unprocessable, match="torchvision has no weights of efficientnet_lite0"):
        look(weights="torchvision")
    original.write_bytes(b"junk")
    with pytest.raises(Unprocessable, match="not a readable safetensors file"):
        look(architecture="densenet121", weights=str(original))


def test_what_preflight_lets_pass_is_loaded_and_what_it_refuses_is_not(tmp_path) -> None:
    path = tmp_path / "original.safetensors"
    save_file(full_network(find("resnet18")).state_dict(), path)
    assert prepare_network("resnet18", 3, path).loaded == "body"
    with pytest.raises(Unprocessable):
        prepare_network("resnet34", 3, path)


def test_the_disk_must_hold_the_largest_moment_of_all_stages(look, monkeypatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(10**9, 0, 10**6))
    with pytest.raises(
        Unavailable, match=r"GiB of disk \(decoded pictures .*checkpoints .*0\.0 GiB are free"
    ):
        look()


def test_the_room_counted_is_the_room_taken(shapes, recipe, tmp_path) -> None:
    small, large = (
        {"batch_size": 16, "frozen": True, "epochs": 1, "lr_max": 1e-2, "size": s} for s in (40, 64)
    )
    stages = [{"name": "a", **small}, {"name": "b", **large}]
    wanted, manifest = recipe(stages=stages), shapes.manifest(grey_probe=False)
    rows = choose_rows(manifest, wanted)
    for side, part, roomy in ((40, rows.valid, False), (44, rows.train, True)):
        build_cache(part, shapes.folder, tmp_path / "c.u8", side=side, roomy=roomy)
        assert (tmp_path / "c.u8").stat().st_size == bytes_needed(part, side=side, roomy=roomy)
    assert [roomy_side(wanted, stage.size) for stage in wanted.stages] == [44, 71]
    # the old cache of the training pictures is held until the new one is whole; then it is the other's turn
    train = [bytes_needed(rows.train, side=side, roomy=True) for side in (44, 71)]
    valid = [bytes_needed(rows.valid, side=side, roomy=False) for side in (40, 64)]
    room = preflight.room(manifest, wanted, 1000)
    views = bytes_needed(rows.valid, side=71, roomy=True)
    assert room.decoded == max(sum(train) + valid[0], train[1] + sum(valid), train[1] + valid[1] + views)
    assert (room.checkpoints, room.model) == (9000, 2000)
    places = Places(shapes.folder, tmp_path)
    network = prepare_network("efficientnet_lite0", 3, "none")
    batches = Batches(
        *(manifest.classes, wanted, places, rows, network.stats, torch.device("cpu"), 1, lambda _text: None)
    )
    batches.loaders(wanted.stages[1], 1, Step.of(wanted.stages[1], batch_of(wanted.stages[1])))
    assert (
        sum(path.stat().st_size for path in tmp_path.glob("*.u8") if path.name != "c.u8")
        == train[1] + valid[1]
    )
    size = sum(t.numel() * t.element_size() for t in network.model.state_dict().values())
    assert preflight.weight_bytes(build(wanted.architecture, 3)) == size


def test_everything_is_told_at_once(look, shapes, files) -> None:
    (files / shapes.images[0].sha256).unlink()
    stages = [{"name": "big", "size": 64, "batch_size": 4096, "frozen": True, "epochs": 1, "lr_max": 1}]
    with pytest.raises(Unprocessable) as caught:
        look(pictures=files, stages=stages, architecture="resnet18", precision="fp16")
    detail = caught.value.detail
    assert "fewer than one batch of stage big" in detail
    assert "1 of 192 pictures cannot be read: img_disc00 is missing" in detail
    assert "no package carries weights of resnet18" in detail
    assert torch.cuda.is_available() or "fp16 training needs a GPU" in detail
