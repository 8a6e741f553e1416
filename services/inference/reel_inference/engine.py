"""Owns a model that is ready to answer: its card, what runs its graph, and how that was chosen.

Called by the batcher's lanes and by the prediction job. An engine never changes once made: a new model is a
new engine. ``openvino_graph`` and ``onnxruntime_graph`` load graphs, ``choice`` says which of the two does.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reel_inference.choice import Choice, EngineWish, PrecisionWish, choose, hardware
from reel_shared import errors
from reel_shared.cores import usable_cores
from reel_shared.images import PREPROCESSING
from reel_shared.model_card import CARD, Agreement, ModelCard, facts_of, read_card

Pictures = NDArray[np.uint8]
Logits = NDArray[np.float32]


class LoadedGraph(Protocol):
    """A graph in some engine: one-thread lanes that run side by side, and a wide one with every core.

    A lane is not re-entrant: each lane number belongs to one thread at a time, and so does the wide one.
    """

    device: str
    """What computes, in the engine's words."""
    lanes: int
    takes: tuple[str, ...]
    """The type and shape of its input, such as ("uint8", "?", "224", "224", "3")."""
    classes: str
    """The length of its output's last axis."""

    def infer(self, pictures: Pictures, lane: int | None) -> Logits:
        """Return logits, float32 (N, classes), of uint8 RGB pictures (N, size, size, 3), as an array of their own."""
        ...

    def settle(self) -> None:
        """Give back what only loading and the first runs needed."""
        ...


class Engine:
    """One model, ready to answer."""

    def __init__(self, card: ModelCard, graph: LoadedGraph, choice: Choice) -> None:
        self.card, self.choice = card, choice
        self.device, self.lanes = graph.device, graph.lanes
        facts = f"{card.model_dump_json()} {choice.engine} {choice.precision}"
        self.fingerprint = hashlib.sha256(facts.encode()).hexdigest()
        """Equal where equal pictures get equal answers: the card has the graph's hash and the preprocessing's name."""
        self._graph = graph

    @property
    def size(self) -> int:
        """Side of the square pictures the graph takes, in pixels."""
        return self.card.size

    @property
    def name(self) -> str:
        """Engine and precision, as the header `X-Engine` says them."""
        return f"{self.choice.engine}/{self.choice.precision}"

    @property
    def agreement(self) -> Agreement | None:
        """What was measured of this engine at this precision when the model was published."""
        return self.card.agreement_of(self.choice.engine, self.choice.precision)

    def infer(self, pictures: Pictures, lane: int | None = None) -> Logits:
        """Return logits, float32 (N, classes), of uint8 RGB pictures (N, size, size, 3).

        `lane` None is the wide lane: every core for this one call, right when nothing else runs.
        """
        return self._graph.infer(np.ascontiguousarray(pictures), lane)


def load_engine(
    directory: Path,
    *,
    lanes: int = 0,
    engine: EngineWish = "auto",
    precision: PrecisionWish = "auto",
    max_batch: int = 4,
    wide: bool = True,
) -> Engine:
    """Load a model's folder, its card and the graph that is chosen, and warm it up to `max_batch` pictures.

    `lanes` 0 means one per usable core; without `wide` lanes are all there is. `engine` and `precision` are wishes:
    the engine's `choice` says what came of them.
    Raises errors.Corrupt when the files do not belong together, errors.Unavailable when the engine that was wished
    for is not installed or does not reach its GPU.
    """
    card = _read(directory)
    choice = choose(card, hardware(), engine=engine, precision=precision)
    path = directory / choice.graph
    if not path.is_file() or card.files.get(choice.graph) != facts_of(path):
        raise errors.Corrupt(
            f"{choice.graph} of model {card.id} does not match its card; publish the model again."
        )
    graph = _load(path, card, choice, lanes=lanes or usable_cores(), wide=wide)
    _check_shapes(graph, card)
    made = Engine(card, graph, choice)
    _warm_up(made, max_batch)
    graph.settle()
    return made


def _load(path: Path, card: ModelCard, choice: Choice, *, lanes: int, wide: bool) -> LoadedGraph:
    try:
        if choice.engine == "onnxruntime":
            from reel_inference.onnxruntime_graph import OnnxRuntimeGraph

            return OnnxRuntimeGraph(path, lanes=lanes, wide=wide)
        from reel_inference.openvino_graph import OpenVinoGraph

        return OpenVinoGraph(path, precision=choice.precision, lanes=lanes, wide=wide)
    except ImportError as error:
        raise errors.Unavailable(
            f"The engine {choice.engine} is not installed here; install it, or set REEL_INFERENCE__ENGINE."
        ) from error
    except ValueError as error:
        raise errors.Corrupt(
            f"The graph of model {card.id} cannot be read; export the model again."
        ) from error


def _read(directory: Path) -> ModelCard:
    card = read_card((directory / CARD).read_bytes())
    if card.preprocessing != PREPROCESSING:
        raise errors.Corrupt(
            f"Model {card.id} was trained on pictures prepared by {card.preprocessing}, and this program prepares "
            f"them by {PREPROCESSING}. Train it again, or serve it with the program that trained it."
        )
    return card


def _check_shapes(graph: LoadedGraph, card: ModelCard) -> None:
    side = str(card.size)
    kind, _, *found = graph.takes
    if (kind, *found) != ("uint8", side, side, "3"):
        raise errors.Corrupt(
            f"The graph of model {card.id} takes {kind} (N, {', '.join(found)}); its card says uint8 "
            f"(N, {side}, {side}, 3). Export the model again."
        )
    if graph.classes != str(len(card.classes)):
        raise errors.Corrupt(
            f"The graph of model {card.id} answers for {graph.classes} classes and its card names "
            f"{len(card.classes)}. Export the model again."
        )


def _warm_up(engine: Engine, max_batch: int) -> None:
    """Run every lane at every batch size, and the wide one for a lone picture: the first run of a shape is slow."""
    for count in range(1, max_batch + 1):
        pictures = np.zeros((count, engine.size, engine.size, 3), np.uint8)
        if count == 1:
            engine.infer(pictures)
        for lane in range(engine.lanes):
            engine.infer(pictures, lane)
