"""Renders the Kubernetes overlays offline from a copy with fresh secrets, by the documented commands."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from k8s_objects import Object

ROOT = Path(__file__).resolve().parent.parent.parent
KUBECTL = Path(sys.executable).with_name("kubectl")


def copy_of_k8s(folder: Path) -> Path:
    """Copy k8s/ into a folder, without secrets that somebody made."""
    copy = folder / "k8s"
    shutil.copytree(ROOT / "k8s", copy, ignore=shutil.ignore_patterns("secrets"))
    return copy


def first_key(copy: Path, overlay: str) -> str:
    """The first API key among an overlay's secrets, found as docs/deploy-kubernetes.md says."""
    made = (copy / "overlays" / overlay / "secrets/web.env").read_text()
    return made.partition("REEL_WEB__FIRST_KEY=")[2].split()[0]


def render(copy: Path, overlay: str) -> list[Object]:
    """Make an overlay's secrets in the copy and return its objects; kustomize must not even warn."""
    assert KUBECTL.exists(), "kubectl is a development dependency; run scripts/bootstrap.py --dev"
    subprocess.run(["sh", str(copy / "secrets.sh"), overlay], check=True, capture_output=True)
    done = subprocess.run(
        [str(KUBECTL), "kustomize", str(copy / "overlays" / overlay)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "kustomize warns"
    return [item for item in yaml.load_all(done.stdout, yaml.CSafeLoader) if item]
