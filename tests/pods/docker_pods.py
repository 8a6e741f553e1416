"""Runs pods as docker containers, each by its own spec: user, rights, limits, environment, files, probes, restarts.

It does for a pod what the kubelet does, so far as docker can. There is no scheduler, no Service but a name for each
pod, and no NetworkPolicy.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
from journey import out
from k8s_objects import quantity
from specs import Cluster, Object, Pod

NAME = "reelsight-pods"
EDGE = "caddy:2.11.4-alpine"


class NotReady(Exception):
    """A pod that its cluster would call failed, with the reason."""


def docker(*arguments: str, check: bool = True) -> str:
    """Run a docker command and return what it prints. Raises NotReady with that where it fails."""
    done = subprocess.run(["docker", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if check and done.returncode:
        raise NotReady(f"docker {' '.join(arguments)[:300]}: {done.stdout}")
    return done.stdout


class DockerPods:
    """``with DockerPods(cluster) as pods: pods.up()``: everything applied at once, as ``kubectl apply`` does."""

    def __init__(self, cluster: Cluster, folder: Path, *, keep: bool = False) -> None:
        self.cluster, self.folder, self.keep = cluster, folder, keep
        self.pods = {pod.name: pod for pod in cluster.pods()}
        self.restarts: dict[str, int] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._clear()
        docker("network", "create", NAME)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._give_up()
        elif not self.keep:
            self._clear()

    def up(self) -> None:
        """Start every pod and wait until each is ready, or has ended well."""
        with ThreadPoolExecutor(len(self.pods)) as pool:
            starting = [pool.submit(self._start, pod) for pod in self.pods.values()]
            try:
                for started in as_completed(starting):
                    started.result()
            except BaseException:
                self._give_up()  # those that wait for what failed would wait for ever
                raise
        self._edge()

    def check_probes(self) -> None:
        """Every pod lives and is ready, inference with the model that is active now. Raises NotReady."""
        for pod in self.pods.values():
            if pod.kind == "Job":
                continue
            if not self._passes(pod, pod.main["livenessProbe"]):
                raise NotReady(f"{pod.name} does not live")
            self._until(pod, pod.main["readinessProbe"])

    def _start(self, pod: Pod) -> None:
        for volume in pod.spec["volumes"]:
            pod.volumes[volume["name"]] = self._volume(pod, volume)
        for container in pod.spec.get("initContainers", []):
            self._to_its_end(pod, container, f"{pod.name}-{container['name']}")
        if pod.kind == "Job":
            self._to_its_end(pod, pod.main, pod.name)
            return
        self._run(pod, pod.main, pod.name, "--detach", "--restart", "always")
        self._until(pod, pod.main.get("startupProbe", pod.main["livenessProbe"]))
        self._until(pod, {**pod.main["readinessProbe"], "failureThreshold": 60})

    def _to_its_end(self, pod: Pod, container: Object, name: str) -> None:
        """Run a container until it succeeds, again after a failure, as an init container or a Job is."""
        for attempt in range(pod.retries + 1):
            try:
                self._run(pod, container, f"{name}-{attempt}", "--rm")
            except NotReady as error:
                with self._lock:
                    self.restarts[name] = attempt + 1
                said = error
                time.sleep(min(2**attempt, 10))
            else:
                return
        raise said

    def _run(self, pod: Pod, container: Object, name: str, *options: str) -> None:
        user, group, shared = pod.user
        rights, limits = container["securityContext"], container["resources"]["limits"]
        assert rights["readOnlyRootFilesystem"]
        assert not rights["privileged"]
        command = [*container.get("command", []), *container.get("args", [])]
        entry = ["--entrypoint", command.pop(0)] if container.get("command") else []
        names = [word for service in pod.services for word in ("--network-alias", service)]
        with tempfile.NamedTemporaryFile("w", dir=self.folder, suffix=".env") as env:
            env.writelines(f"{key}={value}\n" for key, value in self.cluster.environment(container).items())
            env.flush()
            docker(
                "run", "--name", f"{NAME}-{name}", "--network", NAME, *names, "--read-only", "--no-healthcheck",
                "--user", f"{user}:{group}", "--group-add", str(shared), "--env-file", env.name,
                *(word for right in rights["capabilities"]["drop"] for word in ("--cap-drop", right)),
                "--security-opt", "no-new-privileges", "--memory", str(int(quantity(limits["memory"]))),
                "--cpus", str(min(quantity(limits["cpu"]), os.cpu_count() or 1)),
                *(word for mount in container.get("volumeMounts", []) for word in self._mount(pod, mount)),
                *entry, *options, container["image"], *command,
            )  # fmt: skip

    def _mount(self, pod: Pod, mount: Object) -> tuple[str, str]:
        source = pod.volumes[mount["name"]]
        kind = "bind" if source.startswith("/") else "volume"
        more = ",readonly" if mount.get("readOnly") else ""
        more += ",volume-nocopy" if kind == "volume" else ""
        return "--mount", f"type={kind},source={source},target={mount['mountPath']}{more}"

    def _volume(self, pod: Pod, volume: Object) -> str:
        """Make a volume as the kubelet does: an emptyDir is everybody's, a claim root's; both of the pod's group."""
        if "secret" in volume:
            home = self.folder / f"{pod.name}-{volume['name']}"
            home.mkdir()
            for name, text in self.cluster.data("Secret", volume["secret"]["secretName"]).items():
                (home / name).write_text(text)
                os.chown(home / name, 0, pod.user[2])
                (home / name).chmod(0o640)
            return str(home)
        made = f"{NAME}-{pod.name}-{volume['name']}"
        docker("volume", "create", made)
        mode = "2777" if "emptyDir" in volume else "2775"
        docker(
            "run", "--rm", "--user", "0", "--mount", f"type=volume,source={made},target=/v,volume-nocopy",
            "--entrypoint", "sh", EDGE, "-c", f"chgrp {pod.user[2]} /v && chmod {mode} /v",
        )  # fmt: skip
        return made

    def _until(self, pod: Pod, probe: Object) -> None:
        """Wait until a probe passes. Raises NotReady when it has failed as often as it may."""
        for _ in range(int(probe["failureThreshold"])):
            if self._passes(pod, probe):
                return
            time.sleep(probe["periodSeconds"])
        raise NotReady(f"{pod.name} is not ready: {docker('logs', '--tail', '15', f'{NAME}-{pod.name}')}")

    def _passes(self, pod: Pod, probe: Object) -> bool:
        container = f"{NAME}-{pod.name}"
        patience = probe.get("timeoutSeconds", 1)
        if "exec" in probe:
            told = ["docker", "exec", container, *probe["exec"]["command"]]
            return subprocess.run(told, capture_output=True, timeout=patience + 20).returncode == 0
        (inspected,) = json.loads(docker("inspect", container))
        address = inspected["NetworkSettings"]["Networks"][NAME]["IPAddress"]
        if not address:
            return False
        if "tcpSocket" in probe:
            port = pod.port(probe["tcpSocket"]["port"])
            with socket.socket() as plug:
                plug.settimeout(patience)
                return plug.connect_ex((address, port)) == 0
        where = f"http://{address}:{pod.port(probe['httpGet']['port'])}{probe['httpGet']['path']}"
        try:
            return 200 <= httpx.get(where, timeout=patience).status_code < 400
        except httpx.HTTPError:
            return False

    def _edge(self) -> None:
        """A Caddy with the Ingresses' routes, at the port that docs/deploy-kubernetes.md names."""
        (self.folder / "Caddyfile").write_text(self.cluster.caddyfile())
        docker(
            "run", "--detach", "--name", f"{NAME}-edge", "--network", NAME, "--publish", "127.0.0.1:8080:80",
            "--mount", f"type=bind,source={self.folder / 'Caddyfile'},target=/etc/caddy/Caddyfile,readonly",
            "--entrypoint", "caddy", EDGE, "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile",
        )  # fmt: skip

    def restarted(self) -> dict[str, int]:
        """Containers that ended and were started again, and how often, as docker counts it."""
        told = [json.loads(docker("inspect", name))[0] for name in self._containers()]
        return {one["Name"]: one["RestartCount"] for one in told if one["RestartCount"]}

    def _containers(self) -> list[str]:
        return docker("ps", "--all", "--filter", f"name={NAME}-", "--format", "{{.Names}}").split()

    def _give_up(self) -> None:
        for name in self._containers():
            out.print(f"--- {name}\n{docker('logs', '--tail', '15', name, check=False)}", markup=False)
        if not self.keep:
            self._clear()

    def _clear(self) -> None:
        if names := self._containers():
            docker("rm", "--force", "--volumes", *names, check=False)
        volumes = docker("volume", "ls", "--quiet", "--filter", f"name={NAME}-").split()
        if volumes:
            docker("volume", "rm", "--force", *volumes, check=False)
        docker("network", "rm", NAME, check=False)
