"""Writes a trained model's files: weights, the graph that serves it, how it was judged, its card; called by ``run``.

Nothing counts as published before the graph, run by OpenVINO, has answered real pictures as torch does. What else may
serve it is measured and written on the card: bf16, int8, ONNX Runtime.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import openvino
import structlog
import torch
from torch import nn

from reel_networks import save_weights
from reel_shared.contracts import Evaluation
from reel_shared.errors import ReelError
from reel_shared.images import PREPROCESSING
from reel_shared.manifest import Manifest, identity
from reel_shared.model_card import (
    CARD,
    EVALUATION,
    GRAPH,
    INT8_GRAPH,
    WEIGHTS,
    Agreement,
    ExpectedAnswers,
    ModelCard,
    facts_of,
)
from reel_shared.software import software
from reel_trainer import agreement
from reel_trainer.assessment import About, assess
from reel_trainer.cache import Pixels
from reel_trainer.evaluation import Floats
from reel_trainer.quantizing import quantize
from reel_trainer.recipe import Recipe
from reel_trainer.training import Trained

log = structlog.get_logger(__name__)
OPSET = 17
TOLERANCE = 1e-3
"""Largest difference of logits, relative to the largest logit; the arithmetic is fp32 on both sides."""


class Identity(NamedTuple):
    """What the model is called and came from."""

    model_id: str
    dataset_version_id: str
    weights: str
    manifest_sha256: str = ""
    """As it is stored; an older format's is not that of the manifest in memory."""
    certified: bool = True
    certificate_sha256: str | None = None
    held_out: bool = True
    """False when the weights that training started from know validation pictures."""
    notes: tuple[str, ...] = ()


class ExportFailed(ReelError):
    code, title = "export-failed", "The exported graph does not answer as the trained network does"


class Serving(nn.Module):
    """The network with its normalisation folded in: uint8 (N, size, size, 3) to float32 logits."""

    shift: torch.Tensor
    scale: torch.Tensor

    def __init__(self, model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("shift", torch.tensor(mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("scale", 1 / (torch.tensor(std).view(1, 3, 1, 1) * 255))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        x = (pictures.permute(0, 3, 1, 2).float() - self.shift) * self.scale
        logits: torch.Tensor = self.model(x)
        return logits


def export(
    trained: Trained, directory: Path, *, manifest: Manifest, recipe: Recipe, identity_of: Identity
) -> ModelCard:
    """Write weights, graph, evaluation and card; return the card. Raises ExportFailed."""
    model, stats = trained.network.model.cpu().eval(), trained.network.stats
    save_weights(model, directory / WEIGHTS, architecture=recipe.architecture, stats=stats)
    serving = Serving(model, stats.mean, stats.std).eval()
    write_graph(serving, directory / GRAPH, size=recipe.size)
    difference = check_graph(directory / GRAPH, serving, trained.samples)
    about = About(
        model_id=identity_of.model_id,
        dataset_version_id=identity_of.dataset_version_id,
        manifest_sha256=identity_of.manifest_sha256 or identity(manifest),
        certified=identity_of.certified,
        notes=list(identity_of.notes),
        created_at=datetime.now(UTC),
        attention=trained.attention,
    )
    judged = assess(
        trained.answers,
        trained.metrics,
        manifest.classes,
        recipe,
        about,
        held_out=identity_of.held_out,
    )
    (directory / EVALUATION).write_text(judged.model_dump_json())
    agreed = agree(
        directory, trained, manifest.classes, temperature=judged.calibration.temperature, recipe=recipe
    )
    made = [name for name in (WEIGHTS, GRAPH, INT8_GRAPH, EVALUATION) if (directory / name).exists()]
    card = ModelCard(
        id=identity_of.model_id,
        architecture=recipe.architecture,
        classes=manifest.classes,
        size=recipe.size,
        mean=stats.mean,
        std=stats.std,
        preprocessing=PREPROCESSING,
        temperature=judged.calibration.temperature,
        not_sure_below=judged.abstention.not_sure_below,
        recipe=recipe.model_dump(mode="json"),
        weights=identity_of.weights,
        dataset_version_id=identity_of.dataset_version_id,
        manifest_sha256=about.manifest_sha256,
        certified=identity_of.certified,
        certificate_sha256=identity_of.certificate_sha256,
        notes=about.notes,
        precision=trained.precision,
        metrics=trained.metrics,
        held_out=judged.held_out,
        graph_difference=difference,
        expected=expected_answers(judged),
        agreement=agreed,
        software=software("reel-trainer"),
        files={name: facts_of(directory / name) for name in made},
        created_at=about.created_at,
    )
    (directory / CARD).write_text(card.model_dump_json(indent=1))
    return card


def expected_answers(judged: Evaluation) -> ExpectedAnswers | None:
    """Sum up what the model said of its validation originals, as it will when it serves; None without any."""
    top = [picture.top[0] for picture in judged.pictures if not picture.probe]
    if not top:
        return None
    counts = Counter(best.label for best in top)
    return ExpectedAnswers(
        shares={label: count / len(top) for label, count in sorted(counts.items())},
        not_sure=sum(best.probability < judged.abstention.not_sure_below for best in top) / len(top),
        confidence=min(1.0, sum(best.probability for best in top) / len(top)),
    )


def agree(
    directory: Path, trained: Trained, classes: list[str], *, temperature: float, recipe: Recipe
) -> list[Agreement]:
    """Ask the graph every picture that judged the model, in each way that may serve it; an int8 graph is made first.

    A file of an int8 graph that loses too much accuracy does not stay. Raises ExportFailed when f32 disagrees.
    """
    asked = agreement.asked_of(trained.answers, classes)
    graph = directory / GRAPH
    runners = [agreement.in_openvino(graph, "f32")]
    if agreement.multiplies_bf16():
        runners.append(agreement.in_openvino(graph, "bf16"))
    runners.append(agreement.in_onnxruntime(graph))
    found = [agreement.measure(runner, asked, temperature=temperature) for runner in runners]
    if not found[0].passed:
        raise ExportFailed(f"The model is not published. {found[0].says}")
    if trained.calibration is not None and recipe.int8_accuracy_loss is not None:
        small = _int8(directory, trained.calibration, asked, temperature, recipe.int8_accuracy_loss)
        if not small.passed:
            (directory / INT8_GRAPH).unlink(missing_ok=True)
        found.append(small)
    return found


def _int8(
    directory: Path, calibration: Pixels, asked: list[agreement.Asked], temperature: float, most_loss: float
) -> Agreement:
    """Write and judge an int8 graph."""
    try:
        quantize(directory / GRAPH, directory / INT8_GRAPH, calibration)
        runner = agreement.in_openvino(directory / INT8_GRAPH, "int8")
        return agreement.measure(runner, asked, temperature=temperature, most_loss=most_loss)
    except Exception as error:  # the hours of a training are not lost to what is only an option of it
        log.exception("export.no_int8")
        return agreement.refused("openvino", "int8", f"It could not be made: {type(error).__name__}.")


def write_graph(serving: Serving, path: Path, *, size: int) -> None:
    """Export to ONNX: input ``pictures`` uint8 (n, size, size, 3), output ``logits`` float32 (n, classes)."""
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    with torch.no_grad():
        torch.onnx.export(
            serving,
            (example,),
            path,
            dynamo=False,  # the newer exporter needs onnxscript and gives the same graph here
            opset_version=OPSET,
            input_names=["pictures"],
            output_names=["logits"],
            dynamic_axes={"pictures": {0: "n"}, "logits": {0: "n"}},
        )
    onnx.checker.check_model(str(path))


def check_graph(path: Path, serving: Serving, samples: Pixels) -> float:
    """Return the largest relative difference of logits on ``samples``. Raises ExportFailed beyond TOLERANCE.

    The top class must agree too, unless torch's own two best lie closer than the difference allowed.
    """
    with torch.inference_mode():
        wanted: Floats = torch.cat([serving(torch.from_numpy(part)) for part in _batches(samples)]).numpy()
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = np.concatenate([compiled(part)[0] for part in _batches(samples)])
    scale = max(1.0, float(np.abs(wanted).max()))
    allowed = TOLERANCE * scale
    difference = float(np.abs(found - wanted).max())
    best = np.sort(wanted, axis=1)
    clear = np.ones(len(wanted), bool) if wanted.shape[1] < 2 else best[:, -1] - best[:, -2] > 2 * allowed
    other = int((found.argmax(1) != wanted.argmax(1))[clear].sum())
    if not difference <= allowed or other:
        raise ExportFailed(
            f"The exported graph differs by up to {difference:.2g} in its logits ({allowed:.2g} is allowed) and in "
            f"the answer of {other} of {len(wanted)} pictures; the model is not published."
        )
    return difference / scale


def _batches(samples: Pixels) -> list[Pixels]:
    return [samples[start : start + 8] for start in range(0, len(samples), 8)]
