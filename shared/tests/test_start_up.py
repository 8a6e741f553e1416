"""Every API starts in about a second of CPU and imports none of what only its worker needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

APIS = [f"reel_{name}.api" for name in ("ingest", "augment", "trainer", "inference", "explainer")]
HEAVY = ("torch", "torchvision", "fastai", "skimage", "scipy", "cv2", "av", "onnx", "openvino")
LATE = ("celery", "kombu", "redis", "minio", "alembic")
"""What an API needs only when it first sends a job, or first asks for an object."""
PROBE = """
import importlib, json, resource, sys
api = importlib.import_module(sys.argv[1])
if hasattr(api, "app"):
    api.app()
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"seconds": used.ru_utime + used.ru_stime, "modules": list(sys.modules)}))
"""


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Start an API in a process of its own; bytecode is kept, as where it is installed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(tmp_path_factory.mktemp("bytecode"))

    def start(api: str, folder: Path) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-c", PROBE, api], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return start


@pytest.mark.parametrize("api", [*APIS, "reel_web.api", "reelsight.platform.server"])
def test_an_api_starts_light(start: Any, api: str, tmp_path: Path) -> None:
    loaded = set(start(api, tmp_path)["modules"])  # this first start writes the bytecode
    assert not loaded & {*HEAVY, *LATE}
    # The best of three: a busy neighbour on the same core can double a process's CPU time.
    seconds = min(start(api, tmp_path)["seconds"] for _ in range(3))
    assert seconds < 2
