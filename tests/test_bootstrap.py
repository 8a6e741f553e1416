"""Which package index uv is told of when a checkout is prepared."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "bootstrap.py"
NAMES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")


@pytest.fixture
def bootstrap() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ({}, None),
        ({"PIP_INDEX_URL": "https://pip.example/simple"}, "https://pip.example/simple"),
        (
            {"PIP_INDEX_URL": "https://pip.example/simple", "UV_DEFAULT_INDEX": ""},
            "https://pip.example/simple",
        ),
        (
            {"PIP_INDEX_URL": "https://pip.example/simple", "UV_INDEX_URL": "https://uv.example/simple"},
            "https://uv.example/simple",
        ),
    ],
)
def test_uv_is_told_of_the_index_that_the_caller_names(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, named: dict[str, str], told: str | None
) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    assert bootstrap.environment().get("UV_DEFAULT_INDEX") == told
