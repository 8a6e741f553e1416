"""Prepares a checkout on a bare machine: fetches uv from the package index, then installs what uv.lock names.

Needs Python's standard library only (Debian's python3 has neither pip nor venv). The Makefile runs it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV_VERSION = "0.13.9"
WHEELS = {
    "x86_64": (
        f"uv-{UV_VERSION}-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19",  # pragma: allowlist secret
    ),
    "aarch64": (
        f"uv-{UV_VERSION}-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
        "5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe",  # pragma: allowlist secret
    ),
}
PYTHONS = ((3, 11), (3, 15))
"""The first version that fits and the first that does not."""

UV = ROOT / ".uv" / "uv"
PYPI = "https://pypi.org/simple"


GROUPS = {"run": ["--no-dev"], "dev": [], "bench": ["--group", "bench"]}
"""Purpose, named as ``--dev`` or ``--bench`` -> what uv is told of dependency groups."""


def main() -> None:
    purpose = sys.argv[1].removeprefix("--") if len(sys.argv) > 1 else "run"
    if purpose not in GROUPS:
        raise stop(f"{sys.argv[1]} is not one of --run, --dev and --bench")
    stamp = ROOT / ".venv" / f"bootstrap-{purpose}"
    wanted = fingerprint()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    if platform.system() != "Linux" or platform.machine() not in WHEELS:
        raise stop(
            f"{platform.system()} on {platform.machine()} is not supported; use Linux on x86_64 or aarch64"
        )
    python = suitable_python()
    if not has_uv():
        fetch_uv()
    # --inexact: preparing to run must not take away what tests need, and the other way round.
    command = [str(UV), "sync", "--frozen", "--all-packages", "--inexact", *GROUPS[purpose]]
    if not (ROOT / ".venv" / "bin" / "python").exists():
        command += ["--python", python]
    say(f"installing what uv.lock names into {ROOT / '.venv'} (7 GB the first time)")
    if subprocess.run(command, cwd=ROOT, env=environment(), check=False).returncode:
        raise stop("uv could not install the packages; the reason stands above")
    stamp.write_text(wanted)


def fingerprint() -> str:
    """Return what the installed packages depend on, as a hash."""
    digest = hashlib.sha256(UV_VERSION.encode())
    members = [path for pattern in ("shared/**", "services/*", "cli") for path in ROOT.glob(pattern)]
    for path in [ROOT / "uv.lock", ROOT / "pyproject.toml", *sorted(members)]:
        file = path / "pyproject.toml" if path.is_dir() else path
        if file.name in ("uv.lock", "pyproject.toml") and file.exists():
            digest.update(file.read_bytes())
    return digest.hexdigest()


def suitable_python() -> str:
    """Return a Python that the lock allows: the one running this, or one on the PATH."""
    first, beyond = PYTHONS
    if first <= sys.version_info[:2] < beyond:
        return sys.executable
    for minor in range(beyond[1] - 1, first[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found:
            return found
    have = ".".join(map(str, sys.version_info[:2]))
    raise stop(f"Python {have} does not fit; install Python 3.11, 3.12, 3.13 or 3.14")


def has_uv() -> bool:
    if not UV.exists():
        return False
    told = subprocess.run([str(UV), "--version"], capture_output=True, text=True, check=False).stdout
    return told.startswith(f"uv {UV_VERSION}")


def fetch_uv() -> None:
    """Download the pinned wheel, compare its hash, and take the program out of it."""
    name, sha256 = WHEELS[platform.machine()]
    index = package_index() or PYPI
    say(f"fetching uv {UV_VERSION}")
    page = f"{index.rstrip('/')}/uv/"
    wheel = get(find_wheel(page, name))
    found = hashlib.sha256(wheel).hexdigest()
    if found != sha256:
        raise stop(f"{name} has the hash {found}, not the pinned {sha256}; use another package index")
    UV.parent.mkdir(exist_ok=True)
    part = UV.with_name(f"uv.{os.getpid()}")
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        part.write_bytes(archive.read(f"uv-{UV_VERSION}.data/scripts/uv"))
    part.chmod(0o755)
    part.replace(UV)


def package_index() -> str | None:
    """Return the index that the caller names for uv, or else for pip; uv itself knows its own variables only."""
    names = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def find_wheel(page: str, name: str) -> str:
    """Return the wheel's address from an index page, in JSON or HTML."""
    text = get(page, accept="application/vnd.pypi.simple.v1+json, text/html;q=0.1").decode()
    if text.lstrip().startswith("{"):
        addresses = [file["url"] for file in json.loads(text)["files"]]
    else:
        addresses = re.findall(r'href="([^"#]+)', text)
    for address in map(str, addresses):
        if urllib.parse.unquote(address).split("#")[0].endswith(f"/{name}"):
            return urllib.parse.urljoin(page, address)
    raise stop(f"the package index {host(page)} has no {name}; set UV_DEFAULT_INDEX to one that has")


def get(url: str, accept: str = "*/*") -> bytes:
    parts = urllib.parse.urlsplit(url)
    request = urllib.request.Request(  # noqa: S310 - the index is the user's own choice
        parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl(), headers={"Accept": accept}
    )
    if parts.username:
        login = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        request.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  # nosec B310
            data: bytes = answer.read()
            return data
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        hint = "install the package ca-certificates" if "CERTIFICATE" in str(reason) else "check the network"
        raise stop(f"cannot fetch uv from {host(url)} ({reason}); {hint}, or set UV_DEFAULT_INDEX") from None


def host(url: str) -> str:
    return urllib.parse.urlsplit(url).hostname or url


def environment() -> dict[str, str]:
    """Return the environment for uv: this checkout's own .venv, the caller's index, and a cache that can be written."""
    env = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
    if index := package_index():
        env["UV_DEFAULT_INDEX"] = index
    env["UV_PROJECT_ENVIRONMENT"] = str(ROOT / ".venv")
    if "UV_CACHE_DIR" not in env and not os.access(os.path.expanduser("~"), os.W_OK):  # noqa: PTH111
        env["UV_CACHE_DIR"] = str(ROOT / ".uv" / "cache")
    return env


def say(text: str) -> None:
    sys.stderr.write(f"bootstrap: {text}\n")


def stop(reason: str) -> SystemExit:
    """Return what ends the program with one line and status 1."""
    return SystemExit(f"bootstrap: {reason}")


if __name__ == "__main__":
    main()
