"""Real pictures, and networks whose activations are as those of trained ones."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from torch import nn

from reel_explainer import registry
from reel_explainer.model import ExplainableModel, frozen
from reel_networks import ARCHITECTURES, build, input_stats, load_pretrained, save_weights
from reel_shared.contracts import Evaluation, StoredFile
from reel_shared.contracts.evaluations import Abstention, Calibration, EvaluatedPicture
from reel_shared.db.engine import transaction
from reel_shared.db.models import TrainedModel
from reel_shared.images import PREPROCESSING
from reel_shared.model_card import CARD, EVALUATION, GRAPH, WEIGHTS, FileFacts, ModelCard, facts_of
from reel_shared.testing.registry import add_model
from reel_trainer.export import Serving, write_graph

CLASSES = ["castle", "howl", "kiki", "mulan", "tarzan"]
SIZE = 128


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums are added in one order, whoever runs beside; and a busy machine does not wait at barriers."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def pictures() -> list[np.ndarray]:
    """RGB, one square, the others not."""
    return [skimage.data.chelsea(), skimage.data.astronaut(), skimage.data.coffee()]


@pytest.fixture(scope="session")
def batch(pictures: list[np.ndarray]) -> torch.Tensor:
    """(3, 3, SIZE, SIZE), normalised."""
    small = np.stack([np.array(Image.fromarray(p).resize((SIZE, SIZE))) for p in pictures])
    return (torch.from_numpy(small).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25


def _network(architecture: str, batch: torch.Tensor) -> nn.Sequential:
    torch.manual_seed(7)
    model = build(architecture, len(CLASSES))
    if architecture == "efficientnet_lite0":
        load_pretrained(model, architecture, "package")
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.momentum = None  # the plain mean over what follows
    part = model[1] if architecture == "efficientnet_lite0" else model
    part.train()
    with torch.no_grad():
        for _ in range(4):
            part(model[0](batch) if part is not model else batch)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def network(batch: torch.Tensor) -> Callable[[str], nn.Sequential]:
    """Sequential(body, head) by architecture; tests must leave it as it was."""
    made: dict[str, nn.Sequential] = {}

    def get(architecture: str) -> nn.Sequential:
        return made.setdefault(architecture, made.get(architecture) or _network(architecture, batch))

    return get


def _card(architecture: str, files: dict[str, FileFacts], **changes: object) -> ModelCard:
    mean, std = input_stats(architecture if architecture in ARCHITECTURES else "resnet18", "none")
    card: dict[str, object] = {
        "id": "mdl_test",
        "architecture": architecture,
        "classes": CLASSES,
        "size": SIZE,
        "mean": mean,
        "std": std,
        "preprocessing": PREPROCESSING,
        "recipe": {},
        "dataset_version_id": "dsv_test",
        "manifest_sha256": "0" * 64,
        "precision": "fp32",
        "held_out": True,
        "files": files,
        "created_at": datetime.now(UTC),
    }
    return ModelCard.model_validate(card | changes)


@pytest.fixture(scope="session")
def make_card() -> Callable[..., ModelCard]:
    """Takes an architecture, the files' facts, and fields to set otherwise."""
    return _card


@pytest.fixture
def stored(tmp_path: Path, network: Callable[[str], nn.Sequential]) -> tuple[ModelCard, Path]:
    """A model as the trainer publishes it: card and safetensors file."""
    path = tmp_path / WEIGHTS
    stats = input_stats("resnet18", "none")
    save_weights(network("resnet18"), path, architecture="resnet18", stats=stats)
    return _card("resnet18", {WEIGHTS: facts_of(path)}), path


@pytest.fixture(scope="session")
def model(batch: torch.Tensor) -> ExplainableModel:
    """EfficientNet-Lite0 with its real ImageNet weights."""
    return frozen(_network("efficientnet_lite0", batch), _card("efficientnet_lite0", {}))


@pytest.fixture
def publish(reel, network, make_card, tmp_path):
    """Publish the network of an architecture as the trainer does, and make it the active model."""
    path = tmp_path / WEIGHTS

    def do(name, architecture="resnet18"):
        save_weights(
            network(architecture), path, architecture=architecture, stats=input_stats(architecture, "none")
        )
        card = make_card(architecture, {WEIGHTS: facts_of(path)}, id=name)
        files = {
            CARD: reel.storage.put_bytes("models", card.model_dump_json().encode(), "application/json"),
            WEIGHTS: reel.storage.put_file("models", path, "application/octet-stream"),
        }
        with transaction() as session:
            stored = {name: file.model_dump() for name, file in files.items()}
            add_model(session, card.model_dump(mode="json"), stored, version_id="dsv_1")
        return card, path, files

    yield do
    registry.forget()


@pytest.fixture
def keys(reel, pictures) -> list[str]:
    """Three pictures in storage, under drop/."""
    made = []
    for number, pixels in enumerate(pictures):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG")
        made.append(reel.storage.put_at(f"drop/kiki/{number}.png", stream.getvalue(), "image/png").key)
    return made


@pytest.fixture
def judge_by(reel) -> Callable[..., None]:
    """Give a published model the evaluation that these pictures make: their key, label, and what else is unusual."""

    def picture(key: str, **changes: object) -> EvaluatedPicture:
        usual = {
            "id": key, "key": key, "sha256": reel.storage.stat(key).sha256, "source": "web", "group": "g",
            "predicted": "howl", "right": True, "top": [], "true_probability": 0.5, "loss": 0.1,
        }  # fmt: skip
        return EvaluatedPicture.model_validate(usual | changes)

    def do(model_id: str, *pictures: dict[str, object]) -> None:
        evaluation = Evaluation(
            model_id=model_id, dataset_version_id="dsv_1", manifest_sha256="0" * 64, recipe="r",
            architecture="resnet18", classes=CLASSES, size=SIZE, held_out=True, certified=True, notes=[],
            created_at=datetime.now(UTC), metrics={}, confusion={}, heat_map=[],
            calibration=Calibration(temperature=1, folds=0, note="", parts={}),
            abstention=Abstention(
                not_sure_below=0.7, wanted_accuracy=0.95, from_data=False, note="", coverage=1, accuracy=None,
                curve=[],
            ),
            pictures=[picture(**one) for one in pictures],
        )  # fmt: skip
        file = reel.storage.put_bytes("models", evaluation.model_dump_json().encode(), "application/json")
        add_file(model_id, EVALUATION, file)

    return do


def add_file(model_id: str, name: str, file: StoredFile) -> None:
    with transaction() as session:
        model = session.get_one(TrainedModel, model_id)
        model.files = {**model.files, name: file.model_dump()}


@pytest.fixture(scope="session")
def exported(network, tmp_path_factory) -> Callable[[str], Path]:
    """The graph of an architecture's network, as the trainer writes it."""
    made: dict[str, Path] = {}

    def get(architecture: str) -> Path:
        if architecture not in made:
            made[architecture] = tmp_path_factory.mktemp("graphs") / f"{architecture}.onnx"
            stats = input_stats(architecture, "none")
            write_graph(Serving(network(architecture), *stats).eval(), made[architecture], size=SIZE)
        return made[architecture]

    return get


@pytest.fixture
def publish_graph(reel, exported) -> Callable[[str], None]:
    """Put the exported graph beside a published model's other files."""

    def do(model_id: str) -> None:
        with transaction() as session:
            architecture = session.get_one(TrainedModel, model_id).architecture
        add_file(
            model_id,
            GRAPH,
            reel.storage.put_file("models", exported(architecture), "application/octet-stream"),
        )

    return do
