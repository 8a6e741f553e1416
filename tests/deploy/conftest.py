"""Puts this folder's modules in reach of its tests and renders the Kubernetes overlays, as `make k8s-test` does."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))

from k8s_objects import OVERLAYS

ROOT = Path(__file__).resolve().parent.parent.parent
KUBECTL = Path(sys.executable).with_name("kubectl")


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Overlay -> its objects, rendered offline from a copy with fresh secrets, by the documented commands."""
    assert KUBECTL.exists(), "kubectl is a development dependency; run scripts/bootstrap.py --dev"
    copy = tmp_path_factory.mktemp("rendered") / "k8s"
    shutil.copytree(ROOT / "k8s", copy, ignore=shutil.ignore_patterns("secrets"))
    found = {}
    for overlay in OVERLAYS:
        subprocess.run(["sh", str(copy / "secrets.sh"), overlay], check=True, capture_output=True)
        done = subprocess.run(
            [str(KUBECTL), "kustomize", str(copy / "overlays" / overlay)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == "", "kustomize warns"
        found[overlay] = [item for item in yaml.load_all(done.stdout, yaml.CSafeLoader) if item]
    return found
