"""The evaluation of a network: every picture that judges it, variants apart, and figures that follow from the rows."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import nn

from reel_networks import InputStats
from reel_shared.contracts import BuildDatasetVersionRequest, Variant, read_evaluation
from reel_shared.contracts.versions import GREY, ProbeSet
from reel_shared.errors import Corrupt, Unprocessable
from reel_shared.manifest import ManifestImage, Side
from reel_shared.model_card import NOT_SURE_BELOW
from reel_trainer.answers import ask
from reel_trainer.assessment import About, assess
from reel_trainer.batches import Batches, Places
from reel_trainer.calibration import log_probabilities
from reel_trainer.intervals import group_of
from reel_trainer.rows import choose_rows, used_rows
from reel_trainer.versions import build_dataset_version

CPU = torch.device("cpu")
STAGES = [{"name": "s", "size": 48, "batch_size": 16, "frozen": True, "epochs": 1, "lr_max": 1e-3}]
CHANGES = {Variant.GRAYSCALE: ImageOps.grayscale, Variant.INVERT: ImageOps.invert}
ABOUT = About(
    model_id="mdl_1",
    dataset_version_id="dsv_1",
    manifest_sha256="0" * 64,
    certified=True,
    notes=["a note"],
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
)


def variant(shapes, original: ManifestImage, kind: Variant) -> ManifestImage:
    picture = Image.open(shapes.folder / original.sha256).convert("RGB")
    buffer = io.BytesIO()
    CHANGES[kind](picture).convert("RGB").save(buffer, "PNG")
    sha = hashlib.sha256(buffer.getvalue()).hexdigest()
    (shapes.folder / sha).write_bytes(buffer.getvalue())
    facts = {"id": f"{original.id}-{kind.value}", "key": f"images/{sha}", "sha256": sha, "variant": kind}
    return original.model_copy(update={**facts, "parent_id": original.id, "scene": None})


@pytest.fixture(scope="module")
def manifest(shapes):
    """The shapes with two variants of each second picture, one set of drawings as a probe, and the grey one."""
    made = [variant(shapes, image, kind) for image in shapes.images[::2] for kind in CHANGES]
    probes = [ProbeSet(name="drawn-bars", source="web", label="bars")]
    request = BuildDatasetVersionRequest(probes=probes, grey_probe=True, valid_fraction=0.3)
    return build_dataset_version([*shapes.images, *made], request).manifest


@pytest.fixture
def judge(shapes, manifest, recipe, tmp_path):
    """Ask a network; return the batches' recipe and all answers."""

    def do(model, of=manifest, **changes):
        followed = recipe(stages=STAGES, **{"tta": 2, **changes})
        tmp_path.mkdir(exist_ok=True)
        rows = choose_rows(of, followed)
        stats = InputStats((0.5,) * 3, (0.25,) * 3)
        batches = Batches(
            of.classes, followed, Places(shapes.folder, tmp_path), rows, stats, CPU, 1, lambda message: None
        )
        return followed, ask(model, batches, of, batches.valid(followed.stages[0]))

    return do


def network(classes=3):
    torch.manual_seed(2)
    body = [nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, classes)]
    return nn.Sequential(*body)


@pytest.fixture
def assessed(judge, manifest):
    followed, answers = judge(network())
    metrics = answers.metrics(manifest.classes)
    return answers, metrics, assess(answers, metrics, manifest.classes, followed, ABOUT)


def test_variants_of_validation_pictures_are_judged_apart(assessed, manifest) -> None:
    _, metrics, _ = assessed
    plain = {"all", "movie", "web", "web:sketch", "probe:drawn-bars", "probe:grey"}
    assert set(metrics) == plain | {f"tta:{n}" for n in plain} | {"variant:grayscale", "variant:invert"}
    held = manifest.on(Side.VALID)
    assert metrics["all"].images == len(held)
    wanted = sum(
        image.parent_id in {i.id for i in held} and image.variant == "invert" for image in manifest.images
    )
    assert metrics["variant:invert"].images == wanted > 10
    assert metrics["variant:grayscale"] == metrics["probe:grey"], "the same pictures"
    assert metrics["variant:invert"].accuracy != metrics["variant:grayscale"].accuracy


def test_variants_are_no_further_proof(assessed) -> None:
    answers, _, evaluation = assessed
    by_id = {picture.id: picture for picture in evaluation.pictures}
    grey = [row for row in answers.probes.rows if row.probe == GREY]
    for row in grey:
        assert by_id[row.id].group == by_id[row.parent_id].group
    assert len({group_of(row) for row in grey}) < len(grey), "frames of one scene hang together in grey too"


def test_a_training_fetches_what_judges_it_and_nothing_else(manifest, recipe) -> None:
    wanted = {image.id for image in used_rows(manifest, recipe())}
    judging = {image.id for image in manifest.variants_of(Side.VALID)}
    excluded = {image.id for image in manifest.on(Side.EXCLUDED)}
    assert judging & excluded
    assert judging <= wanted
    assert not (excluded - judging) & wanted
    assert excluded - judging, "variants of the probe set"


def test_the_file_has_a_row_for_every_picture_and_adds_up(assessed, manifest) -> None:
    answers, metrics, evaluation = assessed

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    json.loads(evaluation.model_dump_json(), parse_constant=refuse)
    assert read_evaluation(evaluation.model_dump_json().encode()) == evaluation
    held, probes = manifest.on(Side.VALID), manifest.on(Side.PROBE)
    assert [picture.id for picture in evaluation.pictures] == [image.id for image in [*held, *probes]]
    shown = [picture for picture in evaluation.pictures if not picture.probe]
    assert np.mean([picture.right for picture in shown]) == metrics["all"].accuracy
    counts = np.array(evaluation.confusion["all"].counts)
    assert counts.trace() == sum(picture.right for picture in shown)
    assert counts.sum(axis=1).tolist() == [
        Counter(i.label for i in held)[label] for label in manifest.classes
    ]
    assert set(evaluation.confusion) == {"all", "movie", "web", "probe:drawn-bars", "probe:grey"}
    assert evaluation.tta.gain["all"].difference == pytest.approx(
        metrics["tta:all"].accuracy - metrics["all"].accuracy
    )
    assert evaluation.calibration.temperature > 1.1, "the network knows nothing and is sure of some"
    sure = np.exp(log_probabilities(answers.valid.logits, evaluation.calibration.temperature))
    for picture, row in zip(shown, sure, strict=True):
        assert [each.probability for each in picture.top] == pytest.approx(sorted(row, reverse=True)[:3])
        assert picture.true_probability == pytest.approx(row[manifest.classes.index(picture.label)])
        assert picture.loss == pytest.approx(-np.log(picture.true_probability))
    assert evaluation.calibration.parts["all"].log_loss == pytest.approx(metrics["all"].log_loss)
    assert set(evaluation.calibration.parts) == {
        name for name in metrics if not name.startswith(("tta", "var"))
    }


def test_of_a_refit_neither_temperature_nor_threshold_is_measured(judge, manifest) -> None:
    followed, answers = judge(network())
    refit = followed.model_copy(update={"train_on_validation": True})
    found = assess(answers, answers.metrics(manifest.classes), manifest.classes, refit, ABOUT)
    assert (found.held_out, found.calibration.temperature) == (False, 1.0)
    assert (found.abstention.from_data, found.abstention.not_sure_below) == (False, NOT_SURE_BELOW)


def test_no_passes_no_augmentation(judge, manifest) -> None:
    followed, answers = judge(network(), tta=0)
    metrics = answers.metrics(manifest.classes)
    assert not [name for name in metrics if name.startswith("tta")]
    assert assess(answers, metrics, manifest.classes, followed, ABOUT).tta is None


def test_a_class_without_validation_pictures_is_left_out_of_means_and_kept_in_the_table(
    judge, manifest
) -> None:
    lacking = [
        image.model_copy(update={"split": Side.TRAIN, "probe": ""}) if image.label == "disc" else image
        for image in manifest.images
    ]
    other = manifest.model_copy(update={"images": lacking})
    followed, answers = judge(network(), of=other)
    metrics = answers.metrics(other.classes)
    assert set(metrics["all"].per_class) == {"bars", "cross"}
    found = assess(answers, metrics, other.classes, followed, ABOUT)
    row = found.classes.index("disc")
    assert sum(found.confusion["all"].counts[row]) == 0
    assert read_evaluation(found.model_dump_json().encode()) == found


def test_answers_that_are_no_numbers_end_the_training(judge) -> None:
    broken = network()
    with torch.no_grad():
        broken[2].bias[1] = float("nan")
    with pytest.raises(Unprocessable, match="valid pictures is no number; train again with a lower lr_max"):
        judge(broken)


def test_a_damaged_file_is_refused() -> None:
    with pytest.raises(Corrupt, match="The evaluation cannot be read"):
        read_evaluation(b'{"format": 2}')
