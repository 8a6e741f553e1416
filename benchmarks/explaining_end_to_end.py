"""From submitting a picture to having its overlay, on the embedded platform of ``reel up``; for ``explaining.py``.

The model is registered as the trainer registers one: weights, graph, evaluation and card in storage, a row in the
database. Its evaluation names the pictures that a faster engine is measured on.
"""

from __future__ import annotations

import io
import statistics
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import skimage.data
from PIL import Image
from torch import nn

from reel_networks import save_weights
from reel_networks.architectures import find
from reel_networks.weights import InputStats
from reel_shared.client import Client
from reel_shared.contracts import (
    EXPLAIN_PICTURE,
    Evaluation,
    ExplainPictureRequest,
    StoredFile,
)
from reel_shared.contracts.evaluations import Abstention, Calibration, EvaluatedPicture
from reel_shared.db.engine import transaction
from reel_shared.model_card import CARD, EVALUATION, GRAPH, WEIGHTS, ModelCard, facts_of
from reel_shared.storage import storage
from reel_shared.testing.registry import add_model
from reel_trainer.export import Serving, write_graph
from reelsight.platform.stack import Stack

PICTURES = (skimage.data.astronaut, skimage.data.chelsea, skimage.data.coffee, skimage.data.rocket)


def measure(network: nn.Sequential, card: ModelCard, *, rounds: int) -> dict[str, float]:
    """Return median milliseconds from submit to the overlay's bytes, by what is asked for."""
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder) / "data") as stack:
        keys = [stored_picture(place) for place in range(len(PICTURES))]
        publish(network, card, keys, Path(folder))
        client = Client(stack.access.url, stack.access.token)
        asked: dict[str, dict[str, Any]] = {
            "Grad-CAM": {"methods": ["gradcam"]},
            "Grad-CAM and guided": {"methods": ["gradcam", "guided"]},
        }
        return {name: _median(client, keys, fields, rounds) for name, fields in asked.items()}


def _median(client: Client, keys: list[StoredFile], fields: Mapping[str, Any], rounds: int) -> float:
    times = []
    for turn in range(rounds + 3):
        request = ExplainPictureRequest(key=keys[turn % len(keys)].key, **fields)
        start = time.perf_counter()
        job = client.submit(EXPLAIN_PICTURE, request, wait=30)
        if job["state"] != "succeeded":
            raise RuntimeError(f"{job['id']} is {job['state']}: {job['error']}")
        client.download(job["result"]["explanations"][0]["gradcam"]["url"])
        if turn == 0:
            print(f"  body run by {job['result']['engine']}, max_abs_diff {job['result']['max_abs_diff']}")
        if turn >= 3:  # the first load the model and warm up
            times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def stored_picture(place: int) -> StoredFile:
    buffer = io.BytesIO()
    Image.fromarray(PICTURES[place]()).save(buffer, "JPEG", quality=90)
    return storage().put_bytes("uploads", buffer.getvalue(), "image/jpeg", ".jpg")


def publish(network: nn.Sequential, card: ModelCard, keys: list[StoredFile], folder: Path) -> None:
    stats = InputStats(mean=card.mean, std=card.std)
    save_weights(network, folder / WEIGHTS, architecture=find(card.architecture).name, stats=stats)
    write_graph(Serving(network, card.mean, card.std).eval(), folder / GRAPH, size=card.size)
    (folder / EVALUATION).write_text(evaluation(card, keys).model_dump_json())
    names = (WEIGHTS, GRAPH, EVALUATION)
    whole = card.model_copy(update={"files": {name: facts_of(folder / name) for name in names}})
    (folder / CARD).write_text(whole.model_dump_json())
    files = {
        name: storage().put_file("models", folder / name, "application/octet-stream").model_dump()
        for name in (*names, CARD)
    }
    with transaction() as session:
        add_model(session, whole.model_dump(mode="json"), files, version_id=card.dataset_version_id)


def evaluation(card: ModelCard, keys: list[StoredFile]) -> Evaluation:
    rows = [
        EvaluatedPicture(
            id=file.sha256, key=file.key, sha256=file.sha256, label=card.classes[0], source="web", group=file.key,
            predicted=card.classes[0], right=True, top=[], true_probability=1, loss=0,
        )
        for file in keys
    ]  # fmt: skip
    return Evaluation(
        model_id=card.id, dataset_version_id=card.dataset_version_id, manifest_sha256="0" * 64, recipe="none",
        architecture=card.architecture, classes=card.classes, size=card.size, held_out=True, certified=True, notes=[],
        created_at=datetime.now(UTC), metrics={}, tta=None, confusion={}, heat_map=[], pictures=rows,
        calibration=Calibration(temperature=1, folds=0, note="", parts={}),
        abstention=Abstention(
            not_sure_below=0.7, wanted_accuracy=0.95, from_data=False, note="", coverage=1, accuracy=None, curve=[],
        ),
    )  # fmt: skip
