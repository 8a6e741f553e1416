"""Owns the exported graph in OpenVINO: loads a model's folder, warms it up, turns pictures into logits.

Called by the batcher's lanes and by the prediction job. An engine never changes once made: a new model is a
new engine.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import numpy as np
import openvino
from numpy.typing import NDArray

from reel_shared import errors
from reel_shared.cores import usable_cores
from reel_shared.images import PREPROCESSING
from reel_shared.model_card import CARD, GRAPH, ModelCard, facts_of, read_card

Pictures = NDArray[np.uint8]
Logits = NDArray[np.float32]
Precision = Literal["f32", "bf16"]


class Engine:
    """One model, ready to answer: one-thread lanes that run side by side, and a wide one with every core.

    A lane's request is not re-entrant: each lane number belongs to one thread at a time, and so does the wide one.
    """

    def __init__(
        self,
        card: ModelCard,
        lanes: list[openvino.InferRequest],
        wide: openvino.InferRequest,
        *,
        precision: Precision,
    ) -> None:
        self.card = card
        self.fingerprint = hashlib.sha256(f"{card.model_dump_json()} {precision}".encode()).hexdigest()
        """Equal where equal pictures get equal answers: the card has the graph's hash and the preprocessing's name."""
        self.lanes = len(lanes)
        self._lanes = lanes
        self._wide = wide

    @property
    def size(self) -> int:
        """Side of the square pictures the graph takes, in pixels."""
        return self.card.size

    def infer(self, pictures: Pictures, lane: int | None = None) -> Logits:
        """Return logits, float32 (N, classes), of uint8 RGB pictures (N, size, size, 3).

        `lane` None is the wide lane: every core for this one call, right when nothing else runs.
        """
        request = self._wide if lane is None else self._lanes[lane]
        request.infer([openvino.Tensor(np.ascontiguousarray(pictures))])
        # A copy: the output tensor is the request's own memory and the next call overwrites it.
        return np.array(request.get_output_tensor(0).data, dtype=np.float32)


def load_engine(
    directory: Path,
    *,
    lanes: int = 0,
    precision: Precision = "f32",
    max_batch: int = 4,
    wide: bool = True,
) -> Engine:
    """Load `model.json` and `model.onnx` from `directory`, compile and warm up to `max_batch` pictures.

    `lanes` 0 means one per usable core; without `wide` lanes are all there is.
    Raises errors.Corrupt when the files do not belong together.
    """
    card = _read(directory)
    core = openvino.Core()
    try:
        model = core.read_model(directory / GRAPH)
    except RuntimeError as error:
        raise errors.Corrupt(
            f"The graph of model {card.id} cannot be read; export the model again."
        ) from error
    _check_shapes(model, card)
    cores = usable_cores()
    lanes = lanes or cores
    narrow = core.compile_model(model, "CPU", _options(lanes, lanes, precision))
    whole = wide and not cores == lanes == 1
    broad = core.compile_model(model, "CPU", _options(cores, 1, precision)) if whole else narrow
    requests = [narrow.create_infer_request() for _ in range(lanes)]
    engine = Engine(card, requests, broad.create_infer_request(), precision=precision)
    _warm_up(engine, max_batch)
    return engine


def _read(directory: Path) -> ModelCard:
    card = read_card((directory / CARD).read_bytes())
    if card.files.get(GRAPH) != facts_of(directory / GRAPH):
        raise errors.Corrupt(f"{GRAPH} of model {card.id} does not match its card; publish the model again.")
    if card.preprocessing != PREPROCESSING:
        raise errors.Corrupt(
            f"Model {card.id} was trained on pictures prepared by {card.preprocessing}, and this program prepares "
            f"them by {PREPROCESSING}. Train it again, or serve it with the program that trained it."
        )
    return card


def _options(threads: int, streams: int, precision: Precision) -> dict[str, str]:
    return {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": str(threads),
        "NUM_STREAMS": str(streams),
        # Pinned threads of two processes end up on the same core while another one idles.
        "ENABLE_CPU_PINNING": "NO",
    }


def _check_shapes(model: openvino.Model, card: ModelCard) -> None:
    picture, logits = model.input(0), model.output(0)
    wanted = [str(card.size), str(card.size), "3"]
    found = [str(side) for side in list(picture.partial_shape)[1:]]
    if found != wanted or picture.element_type != openvino.Type.u8:
        raise errors.Corrupt(
            f"The graph of model {card.id} takes {picture.element_type.get_type_name()} (N, {', '.join(found)}); "
            f"its card says uint8 (N, {', '.join(wanted)}). Export the model again."
        )
    classes = str(list(logits.partial_shape)[-1])
    if classes != str(len(card.classes)):
        raise errors.Corrupt(
            f"The graph of model {card.id} answers for {classes} classes and its card names {len(card.classes)}. "
            "Export the model again."
        )


def _warm_up(engine: Engine, max_batch: int) -> None:
    """Run every lane at every batch size: the first run of a shape is the slow one."""
    for count in range(1, max_batch + 1):
        pictures = np.zeros((count, engine.size, engine.size, 3), np.uint8)
        for lane in (None, *range(engine.lanes)):
            engine.infer(pictures, lane)
