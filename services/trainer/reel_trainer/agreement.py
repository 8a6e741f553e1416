"""Asks the exported graph, at each precision that may serve it, all that torch was asked of; called by ``export``.

What comes out is written on the model's card: inference serves no precision that is not on it as passed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
import openvino

from reel_shared.cores import usable_cores
from reel_shared.model_card import Agreement, EngineName, EnginePrecision
from reel_trainer.answers import AllAnswers
from reel_trainer.cache import PictureCache, Pixels
from reel_trainer.calibration import Numbers, log_probabilities
from reel_trainer.evaluation import Floats, labels

SAME_ANSWER = 0.999
"""Part of the pictures that must get torch's answer."""
TIE = 0.01
"""Torch holds two classes for as probable when their probabilities differ by no more than this."""
BATCH = 16


class Runner(NamedTuple):
    """A graph loaded into an engine; ``run`` makes logits (n, classes) of pictures uint8 (n, size, size, 3)."""

    engine: EngineName
    precision: EnginePrecision
    version: str
    run: Callable[[Pixels], Floats]


class Asked(NamedTuple):
    """Pictures that torch has answered, with its logits (pictures, classes).

    ``truth`` is their classes' numbers; None for variants, which are no proof of accuracy of their own.
    """

    cache: PictureCache
    logits: Floats
    truth: Numbers | None


def asked_of(answers: AllAnswers, classes: Sequence[str]) -> list[Asked]:
    """Return all pictures that judged a network in a single view."""
    found = []
    for each, proves in ((answers.valid, True), (answers.probes, True), (answers.variants, False)):
        if each.cache is not None:
            truth = labels(each.rows, classes) if proves else None
            found.append(Asked(each.cache, each.logits, truth))
    return found


def in_openvino(graph: Path, precision: EnginePrecision) -> Runner:
    """Load a graph as inference does. What an int8 graph leaves in floats is computed in f32."""
    hint = "bf16" if precision == "bf16" else "f32"
    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": hint})

    def run(pictures: Pixels) -> Floats:
        return np.array(compiled(pictures)[0], dtype=np.float32)

    return Runner("openvino", precision, openvino.__version__.partition("-")[0], run)


def in_onnxruntime(graph: Path) -> Runner:
    """Load a graph on the CPU; its providers for GPUs compute the same graph, and are not asked here."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

    def run(pictures: Pixels) -> Floats:
        return np.asarray(session.run(None, {"pictures": pictures})[0], dtype=np.float32)

    return Runner("onnxruntime", "f32", onnxruntime.__version__, run)


def multiplies_bf16() -> bool:
    """Whether OpenVINO has bf16 instructions to use on this CPU."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def measure(
    runner: Runner, asked: Sequence[Asked], *, temperature: float, most_loss: float | None = None
) -> Agreement:
    """Ask an engine everything and judge it.

    A class other than torch's is no disagreement where torch gives it, after ``temperature``, at most TIE less than
    its own: rounding alone decides such a picture, and a person is shown both with the same figure. Every other one
    counts. So below 1 / (1 - SAME_ANSWER) pictures not one may differ.

    Args:
        most_loss: judge by accuracy alone and let it lose at most so much; for int8, which is not torch's arithmetic.
    """
    sums = _Sums()
    for each in asked:
        for start in range(0, len(each.cache), BATCH):
            rows = range(start, min(start + BATCH, len(each.cache)))
            said = runner.run(each.cache.squares(rows))
            chosen = slice(rows.start, rows.stop)
            truth = None if each.truth is None else each.truth[chosen]
            sums.add(each.logits[chosen], said, truth, temperature)
    if most_loss is None:
        passed, says = sums.agrees()
    else:
        passed, says = sums.keeps_accuracy(most_loss)
    return Agreement(
        engine=runner.engine,
        precision=runner.precision,
        version=runner.version,
        pictures=sums.pictures,
        same_answer=sums.same / max(1, sums.pictures),
        ties=sums.ties,
        probability_difference=sums.difference,
        accuracy_loss=sums.loss,
        passed=passed,
        says=says,
    )


def refused(engine: EngineName, precision: EnginePrecision, says: str) -> Agreement:
    """Return what the card says of an engine that could not even be asked."""
    return Agreement(
        engine=engine,
        precision=precision,
        pictures=0,
        same_answer=0,
        probability_difference=1,
        passed=False,
        says=says,
    )


class _Sums:
    """What was counted over all batches."""

    def __init__(self) -> None:
        self.pictures = self.same = self.ties = self.judged = 0
        self.right_before = self.right = 0
        self.difference = 0.0

    def add(self, wanted: Floats, found: Floats, truth: Numbers | None, temperature: float) -> None:
        usable = np.asarray(np.isfinite(found).all(axis=1))
        found = np.where(usable[:, np.newaxis], found, 0)
        before, after = (np.exp(log_probabilities(logits, temperature)) for logits in (wanted, found))
        apart = np.where(usable, np.abs(before - after).max(axis=1), 1.0)
        best, said = wanted.argmax(axis=1), found.argmax(axis=1)
        rows = np.arange(len(wanted))
        same = usable & (best == said)
        tied = usable & ~same & (before[rows, best] - before[rows, said] <= TIE)
        self.pictures += len(wanted)
        self.same += int(same.sum())
        self.ties += int(tied.sum())
        self.difference = max(self.difference, float(apart.max(initial=0)))
        if truth is not None:
            self.judged += len(truth)
            self.right_before += int((best == truth).sum())
            self.right += int((usable & (said == truth)).sum())

    @property
    def loss(self) -> float | None:
        return (self.right_before - self.right) / self.judged if self.judged else None

    def agrees(self) -> tuple[bool, str]:
        other = self.pictures - self.same - self.ties
        allowed = (1 - SAME_ANSWER) * self.pictures
        says = (
            f"{other} of {self.pictures} pictures get another answer than torch's, not counting {self.ties} ties; "
            f"{SAME_ANSWER:.1%} must get the same."
        )
        return other <= allowed, says

    def keeps_accuracy(self, most_loss: float) -> tuple[bool, str]:
        loss = self.loss
        if loss is None:
            return False, "No picture says how accurate it is."
        says = f"Accuracy changes by {-loss:+.4f} on {self.judged} pictures; {-most_loss:+.4f} is allowed."
        return loss <= most_loss, says
