"""Puts this folder's modules in reach of its tests and renders the Kubernetes overlays, as `make k8s-test` does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from k8s_objects import OVERLAYS
from rendering import copy_of_k8s, render


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Overlay -> its objects, rendered offline from a copy with fresh secrets, by the documented commands."""
    copy = copy_of_k8s(tmp_path_factory.mktemp("rendered"))
    return {overlay: render(copy, overlay) for overlay in OVERLAYS}
