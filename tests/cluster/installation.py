"""Owns one installation of `k8s/overlays/local` on the cluster that kubectl talks to; gone when it ends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "deploy"))

from journey import out, shell_lines, timed
from rendering import copy_of_k8s, first_key

NAMESPACE = "reelsight"
READY_SECONDS = 600.0
REACHED = """
import socket, sys
for target in sys.argv[1:]:
    host, port = target.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=4).close()
        print(target)
    except OSError:
        pass
"""


class Installation:
    """Made by ``install``. Its commands run in a folder with a copy of ``k8s/``, as from a fresh checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def sh(self, command: str, *, check: bool = True) -> str:
        """Run a command of a shell and return what it prints. Raises RuntimeError with that where it fails."""
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self.folder, env=self._env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        if check and done.returncode:
            raise RuntimeError(f"{command}: {done.stdout}")
        return done.stdout

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in the namespace. Raises RuntimeError with what it says where it fails."""
        done = subprocess.run(
            ["kubectl", "-n", NAMESPACE, *arguments], env=self._env, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"kubectl {' '.join(arguments)[:200]}: {done.stdout}{done.stderr}")
        return done.stdout

    def written(self, heading: str) -> None:
        """Run the page's commands below a heading, those of the overlay; the cluster and its images are there."""
        written = shell_lines("deploy-kubernetes.md", heading)
        lines = [line for line in written if re.match(r"(sh|kubectl) ", line)]
        assert any("kubectl apply" in line for line in lines)
        for line in lines:
            line = line.replace("overlays/cpu", "overlays/local")
            with timed(line):
                self.sh(line)

    @property
    def key(self) -> str:
        """The first API key."""
        return first_key(self.folder / "k8s", "local")

    def change(self, setting: str) -> None:
        """Add a setting to the overlay: every pod of the platform is another one after the next ``apply``."""
        with (self.folder / "k8s/overlays/local/settings.env").open("a") as settings:
            settings.write(f"{setting}\n")

    def deployments(self) -> list[str]:
        return [one["metadata"]["name"] for one in self._get("deployments")]

    def rolled_out(self, *deployments: str) -> None:
        for deployment in deployments:
            self.kubectl("rollout", "status", f"deployment/{deployment}", f"--timeout={READY_SECONDS:.0f}s")

    def until_more_pods(self, deployment: str, *, than: int) -> None:
        """Wait until more pods answer. Raises TimeoutError."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if len(self.ready_pods(deployment)) > than:
                return
            time.sleep(1)
        raise TimeoutError(f"no further pod: {self.kubectl('describe', 'hpa', deployment)}")

    def ready_pods(self, deployment: str) -> list[str]:
        name, _, component = deployment.partition("-")
        labels = f"app.kubernetes.io/name={name},app.kubernetes.io/component={component}"
        return [
            pod["metadata"]["name"]
            for pod in self._get("pods", "--selector", labels)
            if any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"]["conditions"])
        ]

    def reaches(self, deployment: str, targets: Sequence[str]) -> set[str]:
        """Which of these, ``host:port``, a pod of the deployment can connect to."""
        return set(
            self.kubectl(
                "exec",
                f"deployment/{deployment}",
                "--container=main",
                "--",
                "python3",
                "-c",
                REACHED,
                *targets,
            ).split()
        )

    def stranger_reaches(self, targets: Sequence[str]) -> set[str]:
        """Which of these a pod in the namespace ``default`` can connect to."""
        probe = ["python3", "-c", REACHED, *targets]
        (image,) = {
            one["image"]
            for pod in self._get("pods")
            for one in pod["spec"]["containers"]
            if "-web:" in one["image"]
        }
        name = "reelsight-stranger"
        self.kubectl(
            "run",
            name,
            "--namespace=default",
            f"--image={image}",
            "--restart=Never",
            "--command",
            "--",
            *probe,
        )
        try:
            ended = "--for=jsonpath={.status.phase}=Succeeded"
            self.kubectl("wait", "--namespace=default", ended, f"pod/{name}", "--timeout=120s")
            return set(self.kubectl("logs", "--namespace=default", name).split())
        finally:
            self.kubectl("delete", "pod", name, "--namespace=default", "--wait=false")

    def check_never_restarted(self) -> None:
        """Raises AssertionError with the containers that were started again; a Job may try until its state answers."""
        again = {
            f"{pod['metadata']['name']}/{one['name']}": one["restartCount"]
            for pod in self._get("pods")
            for kind in ("containerStatuses", "initContainerStatuses")
            for one in pod["status"].get(kind, [])
            if one["restartCount"] and pod["metadata"]["ownerReferences"][0]["kind"] != "Job"
        }
        assert not again, again

    def _get(self, *what: str) -> list[dict[str, Any]]:
        told = json.loads(self.kubectl("get", *what, "--output=json"))
        return [*told["items"]] if told["kind"] == "List" else [told]


@contextmanager
def install(*, keep: bool) -> Iterator[Installation]:
    """Install by the page's commands, as onto a cluster that has the images and nothing else. Raises SystemExit."""
    with tempfile.TemporaryDirectory(prefix="reel-cluster-") as name:
        cluster = Installation(Path(name))
        copy_of_k8s(cluster.folder)
        if cluster.sh(f"kubectl get namespace {NAMESPACE} --ignore-not-found"):
            raise SystemExit(
                f"There is a namespace {NAMESPACE} on this cluster; the test wants to make it itself."
            )
        try:
            cluster.written("Try it out on one machine")
            yield cluster
        except BaseException:
            out.print(cluster.sh(f"kubectl -n {NAMESPACE} get pods,events", check=False), markup=False)
            raise
        finally:
            if not keep:
                cluster.sh(f"kubectl delete namespace {NAMESPACE}", check=False)
