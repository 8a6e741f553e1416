"""Who is measured: our service as its user starts it, and its peers, each in an environment of its own.

Peers are pinned here, installed by uv into `.bench/peers/` and are no dependency of the project. They get this
environment's versions of torch, OpenVINO, numpy and Pillow, and our packages for the engine and the network.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from embedded_stack import PYTHON, Child, Surroundings

from reel_shared.embedded.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / ".bench"
APPS = Path(__file__).parent / "serving_peers"
sys.path.insert(0, str(ROOT / "scripts"))
import bootstrap  # noqa: E402

PEERS = {
    "LitServe": ["litserve==0.2.19"],
    "BentoML": ["bentoml==1.4.40"],
    "Ray Serve": ["ray[serve]==2.60.0"],
    "FastAPI": ["fastapi==0.165.0", "uvicorn[standard]==0.54.0", "python-multipart"],
}
ALIKE = ("torch", "torchvision", "openvino", "numpy", "pillow")
OURS = ("shared", "shared/networks", "services/inference")
HOST = "127.0.0.1"
OUR_NAME = "Reelsight"


class NotInstalled(RuntimeError):
    """A peer could not be installed; the message says why."""


@dataclass
class Subject:
    """A server that answers: where it listens, how it is started, and whether it wants a form."""

    name: str
    command: list[str]
    port: int
    path: str
    ready: str
    env: dict[str, str]
    form: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    core: int | None = None
    cwd: Path | None = None
    child: Child | None = None
    ready_seconds: float = 0.0

    def start(self, logs: Path) -> None:
        log = logs / f"{self.name.replace(' ', '-').replace(',', '')}-{self.port}.log"
        self.child = Child(self.command, env=self.env, log=log, core=self.core, cwd=self.cwd)
        self.ready_seconds = self.child.wait_ready(f"http://{HOST}:{self.port}{self.ready}")

    def stop(self) -> None:
        if self.child is not None:
            self.child.stop()

    @property
    def target(self) -> dict[str, Any]:
        """What `load.Window` needs to know."""
        return {
            "host": HOST,
            "port": self.port,
            "path": self.path,
            "headers": self.headers,
            "form": self.form,
        }


@contextmanager
def frozen(subjects: Iterable[Subject]) -> Iterator[None]:
    """Freeze servers that are not measured just now: LitServe's idle workers look for work so often that they take
    a quarter of two cores from whoever is measured beside them."""
    children = [one.child for one in subjects if one.child is not None]
    for child in children:
        child.pause()
    try:
        yield
    finally:
        for child in children:
            child.go_on()


def our_service(
    here: Surroundings,
    name: str = OUR_NAME,
    *,
    form: bool = True,
    core: int | None = None,
    **settings: object,
) -> Subject:
    """Our inference service in its own process, with the settings of the environment; bf16."""
    port = free_port()
    env = here.env | {
        "REEL_WEB__PORT": str(port),
        "REEL_INFERENCE__PRECISION": "bf16",
        "REEL_DATA_DIR": str(here.folder / f"data-{port}"),
        **{f"REEL_{key.upper()}": str(value) for key, value in settings.items()},
    }
    return Subject(
        name,
        [PYTHON, "-m", "reel_inference.server"],
        port,
        "/v1/models/active/predict",
        "/readyz",
        env,
        form=form,
        headers={"Authorization": f"Bearer {here.key}"},
        core=core,
    )


def peer(name: str, way: str, model: Path) -> Subject:
    """A peer serving `model` in one of the ways of `predictor.py`. Raises NotInstalled."""
    bin_folder = install(name)
    port = free_port()
    env = {key: value for key, value in os.environ.items() if not key.startswith("REEL_")}
    env |= {
        "BENCH_MODEL": str(model),
        "BENCH_WAY": way,
        "BENCH_PORT": str(port),
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "PYTHONPATH": str(APPS),
        "BENTOML_DO_NOT_TRACK": "true",
        "BENTOML_HOME": str(BENCH / "bentoml"),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    python = str(bin_folder / "python")
    module = {
        "LitServe": "litserve_app",
        "BentoML": "bentoml_app",
        "Ray Serve": "ray_app",
        "FastAPI": "fastapi_app",
    }
    command, ready = [python, str(APPS / f"{module[name]}.py")], "/healthz"
    if name == "BentoML":
        command = [
            str(bin_folder / "bentoml"),
            "serve",
            "bentoml_app:Classifier",
            "-p",
            str(port),
            "--host",
            HOST,
        ]
    if name == "LitServe":
        ready = "/health"
    if name == "Ray Serve":
        ready = "/-/healthz"
    return Subject(f"{name}, {way}", command, port, "/predict", ready, env, cwd=APPS)


def install(name: str) -> Path:
    """Return the folder of the programs of a peer's environment, making it the first time."""
    home = BENCH / "peers" / name.replace(" ", "-").lower()
    wanted = [*PEERS[name], *(f"{package}=={version(package)}" for package in ALIKE)]
    stamp = home / "installed.txt"
    if stamp.exists() and stamp.read_text() == "\n".join(wanted):
        return home / "bin"
    uv, env = str(bootstrap.UV), bootstrap.environment()
    env["VIRTUAL_ENV"] = str(home)
    editable = [part for folder in OURS for part in ("-e", str(ROOT / folder))]
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", PYTHON, str(home)],
        [uv, "pip", "install", "--quiet", "--python", str(home / "bin" / "python"), *wanted, *editable],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=BENCH)
        if done.returncode:
            raise NotInstalled((done.stderr.strip().splitlines() or ["no reason given"])[-1][:300])
    stamp.write_text("\n".join(wanted))
    return home / "bin"
