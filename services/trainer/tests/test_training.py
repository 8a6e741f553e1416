"""A whole tiny training on real weights: it learns, says what it did, and gives the same figures twice."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from fastai.vision.learner import create_head
from sklearn.metrics import log_loss, top_k_accuracy_score

from reel_networks import build, load_weights, save_weights
from reel_networks.head import build_head
from reel_shared.contracts import read_evaluation
from reel_shared.errors import Unprocessable
from reel_shared.manifest import identity
from reel_shared.model_card import CARD, EVALUATION, GRAPH, INT8_GRAPH, WEIGHTS, load_model_card
from reel_trainer import learner
from reel_trainer.batches import Places
from reel_trainer.data import PictureLoader
from reel_trainer.evaluation import evaluate
from reel_trainer.export import ExportFailed, Identity, Serving, check_graph, export
from reel_trainer.training import train_model

WHO = Identity("mdl_1", "dsv_1", "package")


def train(shapes, recipe, scratch, *, report=lambda event, data: None, **options):
    scratch.mkdir(exist_ok=True)
    settings = {"weights": "package", "seed": 1, **options}
    return train_model(shapes.manifest(), recipe, Places(shapes.folder, scratch), report=report, **settings)


@pytest.fixture(scope="module")
def trained(shapes, tmp_path_factory):
    from reel_trainer.recipe import Recipe

    stages = [
        {
            "name": "h",
            "size": 64,
            "batch_size": 16,
            "frozen": True,
            "train_bn": False,
            "epochs": 3,
            "lr_max": 1e-2,
        },
        {"name": "a", "size": 64, "batch_size": 16, "frozen": False, "epochs": 2, "lr_max": [1e-4, 2e-3]},
        {
            "name": "z",
            "size": 72,
            "batch_size": 16,
            "frozen": True,
            "train_bn": False,
            "epochs": 1,
            "lr_max": 1e-3,
        },
    ]
    recipe = Recipe(
        name="tiny",
        architecture="efficientnet_lite0",
        weights="package",
        stages=stages,
        tta=1,
        int8_accuracy_loss=0.05,
    )
    heard = []
    result = train(
        shapes, recipe, tmp_path_factory.mktemp("s"), report=lambda event, data: heard.append((event, data))
    )
    return result, recipe, heard


def test_it_learns_and_tells_it_by_stage_and_source(trained) -> None:
    result, recipe, heard = trained
    assert result.metrics["all"].accuracy >= 0.9, result.epochs
    plain = {"all", "movie", "web", "web:sketch"}
    assert set(result.metrics) == plain | {f"tta:{name}" for name in plain}
    assert result.metrics["all"].images == result.metrics["movie"].images + result.metrics["web"].images
    assert [(s.name, s.size, s.epochs, s.frozen) for s in result.stages] == [
        ("h", 64, 3, True),
        ("a", 64, 2, False),
        ("z", 72, 1, True),
    ]
    assert len(result.epochs) == recipe.epochs == len([e for e, _ in heard if e == "epoch"])
    assert {"accuracy_movie", "accuracy_web", "train_loss", "lr", "images_per_second"} <= set(
        result.epochs[0]
    )
    assert result.epochs[-1]["accuracy"] == result.metrics["all"].accuracy
    assert (result.precision, result.device) == ("fp32", "cpu")


def test_it_tells_each_batch_and_how_it_stands(trained) -> None:
    result, recipe, heard = trained
    told = {}
    for event, data in heard:
        if event == "curve":
            told[data["stage"]] = data["points"] if data["fresh"] else told[data["stage"]] + data["points"]
    assert told == {name: [point.model_dump() for point in points] for name, points in result.curve.items()}
    for stage in recipe.stages:
        points, rows = result.curve[stage.name], [r for r in result.epochs if r["stage"] == stage.name]
        assert [p.step for p in points] == list(range(1, len(points) + 1)), "so few batches are all points"
        for row in rows:
            losses = [p.loss for p in points if p.epoch == row["epoch"]]
            assert np.mean(losses) == pytest.approx(row["train_loss"], rel=1e-4)
        # one cycle: the momentum falls to 0.85 as the rate rises to its peak, and comes back
        highest = max(points, key=lambda p: p.lr)
        peak = stage.lr_max[1] if isinstance(stage.lr_max, tuple) else stage.lr_max
        assert highest.lr == pytest.approx(peak, rel=0.25)
        assert highest.momentum == min(p.momentum for p in points)
        assert points[-1].momentum == pytest.approx(0.95, abs=0.01)
        assert rows[-1]["momentum"] == pytest.approx(points[-1].momentum, abs=0.01)
    assert all(row["seconds"] > 0 and row["memory"] > 2**20 for row in result.epochs)
    now = [data["now"] for event, data in heard if event == "curve" and "now" in data]
    assert all(n["images_per_second"] > 0 for n in now)
    assert now[0]["seconds_left"] > now[-1]["seconds_left"] >= 0


def test_progress_only_grows_and_ends_whole(trained) -> None:
    done = [data["done"] for event, data in trained[2] if event == "progress"]
    assert done == sorted(done)
    last = [data for event, data in trained[2] if event == "progress"][-1]
    assert last["done"] == last["total"]


def test_published_files_answer_as_the_network_did(trained, shapes, tmp_path) -> None:
    result, recipe, _ = trained
    manifest = shapes.manifest()
    export(result, tmp_path, manifest=manifest, recipe=recipe, identity_of=WHO)
    card = load_model_card(tmp_path)
    found = {(each.engine, each.precision): each for each in card.agreement}
    small = found.pop(("openvino", "int8"))
    made = {CARD, GRAPH, WEIGHTS, EVALUATION} | ({INT8_GRAPH} if small.passed else set())
    assert {path.name for path in tmp_path.iterdir()} == made
    assert set(card.files) == made - {CARD}
    assert small.passed is (small.accuracy_loss <= 0.05), small
    judging = sum(len(each.rows) for each in (result.answers.valid, result.answers.probes))
    assert small.pictures == judging > 0
    found.pop(
        ("openvino", "bf16"), None
    )  # rounding moves so young a network; what it may do is judged elsewhere
    assert set(found) == {("openvino", "f32"), ("onnxruntime", "f32")}
    for each in found.values():
        assert (each.pictures, each.same_answer, each.passed) == (judging, 1.0, True)
        assert each.probability_difference < 1e-3
    evaluation = read_evaluation((tmp_path / EVALUATION).read_bytes())
    assert (evaluation.metrics, evaluation.model_id) == (card.metrics, card.id)
    assert card.temperature == evaluation.calibration.temperature
    assert card.not_sure_below == evaluation.abstention.not_sure_below
    shown = [picture.top[0] for picture in evaluation.pictures if not picture.probe]
    assert sum(card.expected.shares.values()) == pytest.approx(1)
    for label, share in card.expected.shares.items():
        assert share == np.mean([best.label == label for best in shown])
    assert card.expected.not_sure == np.mean([best.probability < card.not_sure_below for best in shown])
    assert card.expected.confidence == pytest.approx(np.mean([best.probability for best in shown]))
    assert (card.size, card.classes, card.held_out) == (72, manifest.classes, True)
    assert card.manifest_sha256 == identity(manifest)
    assert card.metrics == result.metrics
    again = build(card.architecture, len(card.classes))
    load_weights(again, tmp_path / WEIGHTS)
    with torch.inference_mode():
        logits = Serving(again.eval(), card.mean, card.std).eval()(torch.from_numpy(result.samples)).numpy()
    np.testing.assert_allclose(logits, result.logits[: len(logits)], atol=1e-3)


def test_a_graph_that_answers_otherwise_is_not_published(trained, shapes, tmp_path) -> None:
    result, recipe, _ = trained
    export(result, tmp_path, manifest=shapes.manifest(), recipe=recipe, identity_of=WHO)
    wrong = Serving(result.network.model, (0.4, 0.4, 0.4), result.network.stats.std).eval()
    with pytest.raises(ExportFailed, match="is not published"):
        check_graph(tmp_path / GRAPH, wrong, result.samples)


def test_same_seed_same_figures(shapes, recipe, tmp_path) -> None:
    stages = [{"name": "a", "size": 48, "batch_size": 16, "frozen": False, "epochs": 1, "lr_max": 1e-3}]
    runs = [
        train(shapes, recipe(stages=stages), tmp_path / name, seed=seed)
        for name, seed in (("a", 5), ("b", 5))
    ]
    assert np.array_equal(runs[0].logits, runs[1].logits)
    assert runs[0].metrics == runs[1].metrics


def test_a_training_draws_web_pictures_at_the_share_of_its_recipe(
    shapes, recipe, tmp_path, monkeypatch
) -> None:
    epochs, draw = [], PictureLoader._order

    def noted(loader):
        order = draw(loader)
        if loader.trains:
            epochs.append(Counter(loader.cells[index] for index in order))
        return order

    monkeypatch.setattr(PictureLoader, "_order", noted)
    train(shapes, recipe(sampling="balanced", web_share=0.2), tmp_path / "s")
    assert len(epochs) == 4
    for drawn in epochs:
        for label in shapes.manifest().classes:
            of_class = drawn[label, "movie"] + drawn[label, "web"]
            assert abs(drawn[label, "web"] - 0.2 * of_class) < 1


def test_a_frozen_body_stays_as_it_was(shapes, recipe, tmp_path) -> None:
    stages = [
        {
            "name": "h",
            "size": 48,
            "batch_size": 16,
            "frozen": True,
            "train_bn": False,
            "epochs": 1,
            "lr_max": 1e-2,
        }
    ]
    result = train(shapes, recipe(stages=stages), tmp_path / "s")
    pretrained = learner.prepare_network("efficientnet_lite0", 3, "package").model
    for name, value in pretrained[0].state_dict().items():
        assert torch.equal(value, result.network.model[0].state_dict()[name]), name
    assert all(parameter.grad is None for parameter in result.network.model[0].parameters())


def test_stopping_from_a_report(shapes, recipe, tmp_path) -> None:
    class Enough(Exception):
        pass

    def report(event, data):
        if event == "progress" and data["done"] >= 32:
            raise Enough

    with pytest.raises(Enough):
        train(shapes, recipe(), tmp_path / "s", report=report)


def test_bf16_on_a_cpu_is_real_and_recorded(shapes, recipe, tmp_path) -> None:
    stages = [{"name": "h", "size": 48, "batch_size": 16, "frozen": True, "epochs": 1, "lr_max": 1e-2}]
    seen = []

    def spy(model, *_):
        seen.append(torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu"))

    handle = torch.nn.modules.module.register_module_forward_pre_hook(spy)
    try:
        result = train(shapes, recipe(stages=stages, precision="bf16"), tmp_path / "s")
    finally:
        handle.remove()
    assert result.precision == "bf16"
    assert torch.bfloat16 in seen
    assert not torch.is_autocast_enabled("cpu")


def test_what_cannot_be_done_is_refused(shapes, recipe, tmp_path) -> None:
    with pytest.raises(Unprocessable, match="fp16 training needs a GPU"):
        train(shapes, recipe(precision="fp16"), tmp_path / "s", device=torch.device("cpu"))
    with pytest.raises(Unprocessable, match="no package carries"):
        train(shapes, recipe(architecture="resnet18"), tmp_path / "s")


def test_a_loss_that_is_no_number_ends_the_training(shapes, recipe, tmp_path) -> None:
    model, stats, _ = learner.prepare_network("efficientnet_lite0", 3, "package")
    with torch.no_grad():
        model[0][0][0].weight[0, 0, 0, 0] = float("nan")
    path = tmp_path / "broken.safetensors"
    save_weights(model, path, architecture="efficientnet_lite0", stats=stats)
    with pytest.raises(Unprocessable, match="diverged in stage head"):
        train(shapes, recipe(), tmp_path / "s", weights=path)


def test_head_equals_fastai() -> None:
    ours, theirs = build_head(32, 5).eval(), create_head(32, 5).eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x = torch.rand(4, 32, 3, 3)
    with torch.no_grad():
        assert torch.equal(ours(x), theirs(x))
    kinds = [type(layer).__name__ for layer in ours]
    assert kinds == [type(layer).__name__ for layer in theirs]


def test_metrics_are_counted_right(shapes) -> None:
    rows = [shapes.images[0], shapes.images[1], shapes.images[60]]  # disc, disc, disc sketch
    logits = np.array([[9, 0, 0], [0, 9, 0], [9, 0, 0]], dtype=np.float32)
    found = evaluate(logits, rows, ["disc", "cross", "bars"])
    assert {name: (m.accuracy, m.images) for name, m in found.items()} == {
        "all": (pytest.approx(2 / 3), 3),
        "movie": (0.5, 2),
        "web": (1.0, 1),
        "web:sketch": (1.0, 1),
    }
    assert found["movie"].per_class == {"disc": 0.5}
    again = evaluate(logits[::-1], rows[::-1], ["bars", "cross", "disc"])
    assert {name: m.pictures_sha256 for name, m in again.items()} == {
        name: m.pictures_sha256 for name, m in found.items()
    }
    assert len({m.pictures_sha256 for m in found.values()}) == 3, "web and its one style are the same picture"
    relabelled = [rows[0].model_copy(update={"label": "cross"}), *rows[1:]]
    other = evaluate(logits, relabelled, ["disc", "cross", "bars"])["all"].pictures_sha256
    assert other != found["all"].pictures_sha256
    assert found["movie"].log_loss == pytest.approx((0.000247 + 9.000247) / 2, abs=1e-4)
    everything = found["all"]
    # disc: 2 right of 2 said so, 2 of 3 that are; cross occurs in no truth and counts for nothing
    assert everything.macro_f1 == pytest.approx(0.8)
    assert everything.top3_accuracy == 1.0
    assert everything.calibration_error == pytest.approx(0.99975 - 2 / 3, abs=1e-4)
    assert everything.accuracy_interval == (0.5, 1.0)
    assert found["web"].accuracy_interval is None
    with pytest.raises(ValueError, match="rows of logits"):
        evaluate(logits[:2], rows, ["disc"])


def test_figures_are_those_of_scikit_learn_and_of_a_naive_loop(shapes) -> None:
    rng = np.random.default_rng(2)
    rows, classes = shapes.images[:150:3], ["disc", "cross", "bars", "none"]
    logits = rng.normal(size=(len(rows), 4)).astype(np.float32) * 2
    found = evaluate(logits, rows, classes)["all"]
    truth = np.array([classes.index(row.label) for row in rows])
    probabilities = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(axis=1, keepdims=True)
    assert found.log_loss == pytest.approx(log_loss(truth, probabilities, labels=range(4)))
    assert found.top3_accuracy == pytest.approx(top_k_accuracy_score(truth, logits, k=3, labels=range(4)))
    gap = 0.0
    for low in np.arange(10) / 10:
        inside = [n for n in range(len(rows)) if low <= probabilities[n].max() < low + 0.1]
        sure = sum(probabilities[n].max() for n in inside)
        gap += abs(sure - sum(probabilities[n].argmax() == truth[n] for n in inside))
    assert found.calibration_error == pytest.approx(gap / len(rows))
