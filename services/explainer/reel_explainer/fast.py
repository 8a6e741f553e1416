"""Chooses what runs a model's body when only Grad-CAM is asked for: OpenVINO, if its maps are near enough to torch's.

Called by ``registry``. Nothing is chosen by itself that was not measured on pictures of the model's evaluation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
import torch

from reel_explainer.model import ExplainableModel
from reel_explainer.overlay import Pixels
from reel_shared.contracts import StoredFile, read_evaluation
from reel_shared.contracts.evaluations import MAX_BYTES
from reel_shared.errors import BadPicture, Corrupt, NotFound, TooLarge
from reel_shared.images import open_picture, preprocess
from reel_shared.model_card import EVALUATION, GRAPH
from reel_shared.settings import settings
from reel_shared.storage import storage

if TYPE_CHECKING:
    from reel_explainer.engine import FeatureEngine, Precision

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class FastBody:
    """An engine and how far its maps were from torch's; None where there was no picture to measure it on."""

    engine: FeatureEngine
    max_abs_diff: float | None

    @property
    def name(self) -> str:
        return f"openvino {self.engine.precision}"


def choose(model: ExplainableModel, files: Mapping[str, StoredFile], scratch: Path) -> FastBody | None:
    """Return the fastest engine whose deviation is allowed, or None where torch is to run the body.

    Raises:
        Corrupt: the model's graph cannot be read.
    """
    wanted = settings().explainer
    if wanted.engine == "torch" or GRAPH not in files:
        return None
    squares = _calibration(files, model.size)
    if not squares and wanted.engine == "auto":
        log.info(
            "explainer.engine", model=model.id, engine="torch", reason="no pictures to measure another on"
        )
        return None
    graph = storage().get_file(files[GRAPH].key, scratch / GRAPH, sha256=files[GRAPH].sha256)
    try:
        return _first_that_fits(model, graph, squares)
    finally:
        graph.unlink()


def _first_that_fits(model: ExplainableModel, graph: Path, squares: Sequence[Pixels]) -> FastBody | None:
    # OpenVINO takes its time and memory to import; who asks for guided maps needs none of it
    from reel_explainer.engine import deviation, load_engine

    for precision in _precisions():
        engine = load_engine(graph, precision, threads=torch.get_num_threads())
        found = deviation(model, engine, squares)
        fits = not squares or (found is not None and found <= settings().explainer.max_deviation)
        log.info("explainer.engine", model=model.id, precision=precision, max_abs_diff=found, used=fits)
        if fits:
            return FastBody(engine, found)
    return None


def _precisions() -> list[Precision]:
    from reel_explainer.engine import has_bf16

    wanted = settings().explainer.precision
    if wanted != "auto":
        return [wanted]
    return ["bf16", "f32"] if has_bf16() else ["f32"]


def _calibration(files: Mapping[str, StoredFile], size: int) -> list[Pixels]:
    """Return some of the pictures that judged the model, cut for it; the same ones each time."""
    if EVALUATION not in files:
        return []
    file = files[EVALUATION]
    judged = read_evaluation(storage().get_bytes(file.key, max_bytes=MAX_BYTES, sha256=file.sha256))
    count = settings().explainer.calibration_pictures
    rows = [one for one in judged.pictures if not one.probe]
    chosen = rows[:: max(1, len(rows) // count)][:count] if count else []
    return list(_squares(((one.key, one.sha256) for one in chosen), size))


def _squares(named: Iterable[tuple[str, str]], size: int) -> Iterator[Pixels]:
    """Yield the pictures that are still there."""
    limits = settings().limits
    for key, sha256 in named:
        try:
            data = storage().get_bytes(key, max_bytes=limits.picture_bytes, sha256=sha256)
            yield preprocess(open_picture(data, max_pixels=limits.picture_pixels), size)
        except (NotFound, BadPicture, TooLarge, Corrupt):
            continue
