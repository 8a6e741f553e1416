"""What an image of the service carries, by the lock file, and what its API process loads."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

LOCK = Path(__file__).parents[3] / "uv.lock"
HEAVY = {"torch", "torchvision", "fastai", "triton"}


def resolved(package, extras=()):
    """Names of all that uv installs with a package, whatever the platform."""
    packages = {entry["name"]: entry for entry in tomllib.loads(LOCK.read_text())["package"]}
    found, waiting = set(), [(package, tuple(extras))]
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in found:
            continue
        found.add((name, wanted))
        entry = packages[name]
        needs = [*entry.get("dependencies", [])]
        for extra in wanted:
            needs += entry.get("optional-dependencies", {}).get(extra, [])
        waiting += [(need["name"], tuple(need.get("extra", ()))) for need in needs]
    return {name for name, _ in found}


def test_an_image_of_inference_has_no_torch():
    inference = resolved("reel-inference")
    assert {"openvino", "reel-shared", "uvicorn", "httptools", "uvloop"} <= inference
    assert not inference & HEAVY
    assert not {name for name in inference if name.startswith("nvidia-")}
    assert resolved("reel-trainer") >= {"torch", "torchvision", "fastai"}  # so the search does find it


def test_the_api_process_loads_neither_torch_nor_the_engine(tmp_path):
    probe = "import sys, reel_inference.api as s; s.app(); print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "reel_inference.api" in loaded
    assert not loaded & {*HEAVY, "openvino"}
