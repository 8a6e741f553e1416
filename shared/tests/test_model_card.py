"""The model card: what it lists is what lies there, to the byte."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from reel_shared.errors import Corrupt
from reel_shared.model_card import CARD, ModelCard, facts_of, load_model_card, read_card


def card(**changes: Any) -> ModelCard:
    facts: dict[str, Any] = {
        "id": "mdl_1",
        "architecture": "resnet50",
        "classes": ["tarzan", "mulan"],
        "size": 350,
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
        "preprocessing": "center-crop-bilinear/1",
        "recipe": {"name": "article"},
        "dataset_version_id": "dsv_1",
        "manifest_sha256": "0" * 64,
        "precision": "fp32",
        "held_out": True,
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return ModelCard.model_validate(facts | changes)


def test_a_card_of_a_newer_release_is_read_without_what_is_not_known_here() -> None:
    newer = card().model_dump(mode="json") | {"of_tomorrow": {"a": 1}}
    assert ModelCard.model_validate(newer) == card()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(b"graph" * 1000)
    (tmp_path / "weights.safetensors").write_bytes(b"weights")
    names = ("model.onnx", "weights.safetensors")
    whole = card(files={name: facts_of(tmp_path / name) for name in names})
    (tmp_path / CARD).write_text(whole.model_dump_json())
    return tmp_path


def test_a_whole_model_loads(directory: Path) -> None:
    assert load_model_card(directory).classes == ["tarzan", "mulan"]


def test_one_flipped_byte_is_found(directory: Path) -> None:
    data = bytearray((directory / "model.onnx").read_bytes())
    data[2500] ^= 1
    (directory / "model.onnx").write_bytes(data)
    with pytest.raises(Corrupt, match=r"model\.onnx does not match"):
        load_model_card(directory)


def test_missing_and_short_files_are_found(directory: Path) -> None:
    (directory / "weights.safetensors").write_bytes(b"weight")
    with pytest.raises(Corrupt, match="does not match"):
        load_model_card(directory)
    (directory / "weights.safetensors").unlink()
    with pytest.raises(Corrupt, match="lacks its file"):
        load_model_card(directory)
    (directory / CARD).unlink()
    with pytest.raises(Corrupt, match=r"no model\.json"):
        load_model_card(directory)


def test_unreadable_card() -> None:
    with pytest.raises(Corrupt, match="cannot be read"):
        read_card(b'{"id": "mdl_1"}')


@pytest.mark.parametrize(
    "changes",
    [
        {"std": (0.0, 1.0, 1.0)},
        {"classes": ["tarzan", "tarzan"]},
        {"temperature": 0},
        {"created_at": "2026-01-01T00:00:00"},
        {"files": {"../secret": {"sha256": "0" * 64, "size": 1}}},
    ],
)
def test_impossible_cards_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        card(**changes)
