"""What changed between two versions."""

from __future__ import annotations

from reel_shared.contracts import BuildDatasetVersionRequest, Source, Variant
from reel_shared.manifest import Manifest, ManifestImage, Side
from reel_trainer.diff import diff


def image(name, label="kiki", split=Side.TRAIN, **facts):
    return ManifestImage(
        id=name, key=f"frames/{name}.jpg", sha256="0" * 64, label=label, source=Source.WEB, phash="0" * 16,
        width=8, height=8, split=split, **facts,
    )  # fmt: skip


def manifest(*images):
    classes = sorted({each.label for each in images})
    return Manifest(dataset="d", classes=classes, request=BuildDatasetVersionRequest(), images=list(images))


def test_added_removed_moved_and_relabelled_pictures_are_told_apart():
    base = manifest(
        image("same"), image("gone"), image("side"), image("name"), image("both"), image("out", "mulan")
    )
    version = manifest(
        image("same"),
        image("new", "tarzan"),
        image("side", split=Side.VALID),
        image("name", "tarzan"),
        image("both", "tarzan", Side.PROBE, probe="cosplay"),
        image("out", "mulan", Side.EXCLUDED, reason="filtered"),
        image("v", variant=Variant.LOG, parent_id="same"),
    )
    found = diff(base, version, base_id="dsv_1", version_id="dsv_2")
    assert (found.added, found.removed) == (["new"], ["gone"])
    assert {each.id: (each.before, each.after) for each in found.moved} == {
        "side": ("train", "valid"),
        "both": ("train", "probe:cosplay"),
        "out": ("train", "excluded"),
    }
    assert {each.id: (each.before, each.after) for each in found.relabelled} == {
        "name": ("kiki", "tarzan"),
        "both": ("kiki", "tarzan"),
    }
    assert found.counts == {"added": 1, "removed": 1, "moved": 3, "relabelled": 2, "same": 1}
    assert (found.classes_added, found.classes_removed) == (["tarzan"], [])
    assert found.by_class["kiki"] == {
        "train_before": 5,
        "train_after": 1,
        "valid_before": 0,
        "valid_after": 1,
    }


def test_a_version_does_not_differ_from_itself():
    one = manifest(image("a"), image("b", "mulan", Side.VALID))
    found = diff(one, one, base_id="dsv_1", version_id="dsv_1")
    assert found.counts == {"added": 0, "removed": 0, "moved": 0, "relabelled": 0, "same": 2}


def test_long_lists_are_cut_and_counts_are_not():
    many = manifest(*(image(f"i{n:05}") for n in range(1500)))
    found = diff(manifest(image("x")), many, base_id="dsv_1", version_id="dsv_2")
    assert (len(found.added), found.counts["added"]) == (1000, 1500)
