"""Has checkov look through the Dockerfile and every rendered overlay of k8s/; exits with 1 when it finds something.

``make scan`` runs it, in an environment of its own that ``scripts/scan/uv.lock`` pins. It asks nobody on the network.
What is skipped, and why, stands in ``checkov.yaml``.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIG = Path(__file__).with_name("checkov.yaml")


def main(kubectl: str) -> int:
    with tempfile.TemporaryDirectory(prefix="reel-scan-") as folder:
        rendered = render(kubectl, Path(folder))
        found = [
            checkov("--framework", "dockerfile", "--file", str(ROOT / "services/Dockerfile")),
            checkov("--framework", "kubernetes", "--directory", str(rendered)),
        ]
    return max(found)


def render(kubectl: str, folder: Path) -> Path:
    """Render every overlay from a copy with fresh secrets; returns the folder of what came out."""
    copy, rendered = folder / "k8s", folder / "rendered"
    shutil.copytree(ROOT / "k8s", copy, ignore=shutil.ignore_patterns("secrets"))
    rendered.mkdir()
    for overlay in sorted((copy / "overlays").iterdir()):
        subprocess.run(["sh", str(copy / "secrets.sh"), overlay.name], check=True, capture_output=True)
        with (rendered / f"{overlay.name}.yaml").open("wb") as file:
            subprocess.run([kubectl, "kustomize", str(overlay)], stdout=file, check=True)
    return rendered


def checkov(*what: str) -> int:
    program = Path(sys.executable).with_name("checkov")
    command = [sys.executable, str(program), *what, "--config-file", str(CONFIG)]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
