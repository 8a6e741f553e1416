"""Stores what the domain made and says where, in the contract's words. Called by the explainer's tasks."""

from __future__ import annotations

from reel_explainer import explain
from reel_explainer.overlay import npy, png
from reel_shared.contracts import (
    ExplainPictureResult,
    Explanation,
    ExplanationOptions,
    FeatureChannel,
    FeatureSheet,
    LabelDifference,
    LabelProbability,
    StoredFile,
)
from reel_shared.storage import storage

LISTED = 20
"""Predictions in a result; a model may know more classes."""
PREFIX = "explanations"


def stored(
    model: str, found: explain.PictureExplanation, options: ExplanationOptions
) -> ExplainPictureResult:
    """Store one picture's files and return the result that names them."""
    return ExplainPictureResult(
        model=model,
        predictions=[
            LabelProbability(label=label, probability=chance) for label, chance in found.predictions[:LISTED]
        ],
        picture=store_png(png(found.square)),
        explanations=[_explanation(one, options) for one in found.explanations],
        difference=_difference(found.difference) if found.difference else None,
        features=[_sheet(sheet) for sheet in found.features],
        panel=store_png(found.panel) if found.panel else None,
        animation=storage().put_bytes(PREFIX, found.animation, "image/gif", ".gif")
        if found.animation
        else None,
    )


def store_png(data: bytes) -> StoredFile:
    return storage().put_bytes(PREFIX, data, "image/png", ".png")


def store_npy(data: bytes) -> StoredFile:
    return storage().put_bytes(PREFIX, data, "application/octet-stream", ".npy")


def _explanation(one: explain.LabelExplanation, options: ExplanationOptions) -> Explanation:
    return Explanation(
        label=one.label,
        probability=one.probability,
        **{method: store_png(data) for method, data in one.drawings.items()},
        border_share=one.border_share,
        arrays={method: store_npy(data) for method, data in one.arrays.items()},
        heat=one.heat.tolist() if "json" in options.outputs else None,
    )


def _difference(found: explain.LabelDifference) -> LabelDifference:
    return LabelDifference(
        labels=found.labels,
        largest=float(abs(found.change).max()),
        picture=store_png(found.picture),
        array=store_npy(npy(found.change)),
    )


def _sheet(sheet: explain.FeatureSheet) -> FeatureSheet:
    return FeatureSheet(
        label=sheet.label,
        channels=[
            FeatureChannel(channel=one.channel, activation=one.activation, weight=one.weight, share=one.share)
            for one in sheet.channels
        ],
        picture=store_png(sheet.picture),
    )
