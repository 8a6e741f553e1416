"""Owns what the stored files of a job's result are called on its page. Called by ``pages.jobs``."""

from __future__ import annotations

from typing import Any

from reel_shared.model_card import (
    CARD,
    EVALUATION,
    GRAPH,
    INT8_GRAPH,
    REPORT_HTML,
    REPORT_JSON,
    WEIGHTS,
)
from reel_web.rendering import people

WORDS = {
    CARD: "Model card",
    WEIGHTS: "Weights",
    GRAPH: "Network as ONNX",
    INT8_GRAPH: "Network as ONNX, 8 bits",
    EVALUATION: "How it was judged, picture by picture",
    REPORT_HTML: "Report",
    REPORT_JSON: "Report's figures",
    "gradcam": "Heat map",
    "guided_backprop": "Fine lines",
    "guided": "Lines where the heat is",
    "faithfulness_plot": "How faithful the maps are",
    "panel": "All in one picture",
    "animation": "Animation",
    "picture": "Picture",
    "array": "Numbers",
    "proposals": "Proposals",
    "results": "Results, a line a picture",
    "archive": "Archive",
    "curve": "Loss over learning rates",
    "frames": "Frames, a line each",
    "manifest": "Manifest: every picture and its side",
    "certificate_file": "Leak certificate",
    "borders": "Edges of the film",
    "difference": "Difference of the two labels",
    "arrays": "as numbers",
    "features": "channels of the last layer",
}
"""What people call a file, and what it belongs to, by the names that stand in results."""
_SILENT = frozenset({"files", "explanations", "classes"})
"""Names that only gather others."""


def stored_files(result: Any) -> list[dict[str, Any]]:
    """Every stored file in a result, with a ``name`` for people: `Heat map, Kite weather`."""
    return _found(result, ())


def _found(value: Any, path: tuple[str, ...]) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [
            file
            for place, item in enumerate(value, start=1)
            for file in _found(item, (*path, _called(item, place)))
        ]
    if not isinstance(value, dict):
        return []
    if {"key", "media_type", "size", "url"} <= value.keys():
        return [{**value, "name": _name(path), "picture": value["media_type"].startswith("image/")}]
    return [file for part, item in value.items() for file in _found(item, (*path, part))]


def _called(item: Any, place: int) -> str:
    """An item of a list goes by its label where it has one, else by its place."""
    label = item.get("label") if isinstance(item, dict) else None
    return str(label or place)


def _name(path: tuple[str, ...]) -> str:
    *about, last = [part for part in path if part not in _SILENT] or ["file"]
    return ", ".join(WORDS.get(part) or people(part) for part in (last, *about))
