"""Stores what the domain made and says where, in the contract's words. Called by the explainer's tasks."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from functools import cache
from types import MappingProxyType

from reel_explainer import explain
from reel_explainer.fast import FastBody
from reel_explainer.judging import Judgement
from reel_explainer.overlay import npy, png
from reel_explainer.plots import curve_plot
from reel_explainer.sheets import panel
from reel_shared.contracts import (
    ExplainPictureResult,
    Explanation,
    ExplanationOptions,
    Faithfulness,
    FeatureChannel,
    FeatureSheet,
    LabelDifference,
    LabelProbability,
    ShuffledLayer,
    StoredFile,
)
from reel_shared.contracts.explanations import Method
from reel_shared.object_storage import named
from reel_shared.storage import storage
from reel_shared.threads import Pool

LISTED = 20
"""Predictions in a result; a model may know more classes."""
PREFIX = "explanations"
VISITORS = f"{PREFIX}/visitors"
"""What was drawn of pictures of people without a key; `reel_shared.retention` deletes it after a while."""


HANDS = 4
"""Threads that wait for storage."""


@cache
def _hands() -> Pool:
    return Pool(HANDS, thread_name_prefix="shelf")


class Shelf:
    """Where the files of one result go: all on their way at once, while the next is drawn."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._sending: list[Future[StoredFile]] = []

    def put(self, data: bytes, media_type: str, suffix: str) -> StoredFile:
        """Begin to store a file; it is there when ``wait`` returns."""
        file = named(self._prefix, data, media_type, suffix)
        self._sending.append(_hands().submit(storage().put_named, file, data))
        return file

    def wait(self) -> None:
        """Return when everything is stored. Raises what storage raises."""
        for sending in self._sending:
            sending.result()

    def png(self, data: bytes) -> StoredFile:
        return self.put(data, "image/png", ".png")

    def npy(self, data: bytes) -> StoredFile:
        return self.put(data, "application/octet-stream", ".npy")


Judged = Mapping[str, Mapping[Method, Judgement]]
"""By label."""


def stored(
    model: str,
    found: explain.PictureExplanation,
    options: ExplanationOptions,
    judged: Judged = MappingProxyType({}),
    fast: FastBody | None = None,
    prefix: str = PREFIX,
) -> ExplainPictureResult:
    """Store one picture's files and return the result that names them."""
    shelf = Shelf(prefix)
    # first what is drawn already: it is on its way while the rest is drawn
    explanations = [
        _explanation(one, options, judged.get(one.label, {}), shelf) for one in found.explanations
    ]
    result = ExplainPictureResult(
        model=model,
        engine=fast.name if fast else "torch f32",
        max_abs_diff=fast.max_abs_diff if fast else None,
        predictions=[
            LabelProbability(label=label, probability=chance) for label, chance in found.predictions[:LISTED]
        ],
        picture=shelf.png(png(found.square)),
        explanations=explanations,
        difference=_difference(found.difference, shelf) if found.difference else None,
        features=[_sheet(sheet, shelf) for sheet in found.features],
        panel=shelf.png(found.panel) if found.panel else None,
        animation=shelf.put(found.animation, "image/gif", ".gif") if found.animation else None,
    )
    shelf.wait()
    return result


def store_png(data: bytes) -> StoredFile:
    return storage().put_bytes(PREFIX, data, "image/png", ".png")


def _explanation(
    one: explain.LabelExplanation,
    options: ExplanationOptions,
    judged: Mapping[Method, Judgement],
    shelf: Shelf,
) -> Explanation:
    return Explanation(
        label=one.label,
        probability=one.probability,
        **{method: shelf.png(data) for method, data in one.drawings.items()},
        border_share=one.border_share,
        arrays={method: shelf.npy(data) for method, data in one.arrays.items()},
        heat=one.heat.tolist() if "json" in options.outputs else None,
        faithfulness={method: _faithfulness(judgement) for method, judgement in judged.items()},
        faithfulness_plot=_plot(judged, shelf) if judged else None,
    )


def _faithfulness(judgement: Judgement) -> Faithfulness:
    found = judgement.curves
    return Faithfulness(
        deletion=found.deletion,
        insertion=found.insertion,
        deletion_area=found.deletion_area,
        insertion_area=found.insertion_area,
        randomisation=[
            ShuffledLayer(shuffled=part, rank_correlation=value) for part, value in judgement.correlations
        ],
        depends_on_weights=judgement.depends_on_weights,
        note=judgement.note,
    )


def _plot(judged: Mapping[Method, Judgement], shelf: Shelf) -> StoredFile:
    titled = [
        (
            f"{method}: {one.curves.deletion_area:.2f} deletion, {one.curves.insertion_area:.2f} insertion",
            curve_plot(one.curves),
        )
        for method, one in judged.items()
    ]
    return shelf.png(panel(titled))


def _difference(found: explain.LabelDifference, shelf: Shelf) -> LabelDifference:
    return LabelDifference(
        labels=found.labels,
        largest=float(abs(found.change).max()),
        picture=shelf.png(found.picture),
        array=shelf.npy(npy(found.change)),
    )


def _sheet(sheet: explain.FeatureSheet, shelf: Shelf) -> FeatureSheet:
    return FeatureSheet(
        label=sheet.label,
        channels=[
            FeatureChannel(channel=one.channel, activation=one.activation, weight=one.weight, share=one.share)
            for one in sheet.channels
        ],
        picture=shelf.png(sheet.picture),
    )
