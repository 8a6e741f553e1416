"""Which version of this software runs, and of which commit: kept with everything that a training makes."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

from reel_shared.contracts import Model

UNKNOWN = "unknown"
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class Software(Model):
    version: str = UNKNOWN
    commit: str = UNKNOWN
    """What the checkout it ran from had checked out; changes that were not committed are not told."""


def software(package: str = "reel-shared") -> Software:
    """Return the installed version of ``package`` and the commit of the checkout that this module lies in."""
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        version = UNKNOWN
    # Only the checkout that this very file belongs to: an installed copy may lie in somebody else's repository.
    root = Path(__file__).resolve().parents[2]
    inside = Path(__file__).resolve() == root / "shared" / "reel_shared" / "software.py"
    return Software(version=version, commit=commit_of(root) if inside else UNKNOWN)


def commit_of(root: Path) -> str:
    """Return what a checkout's HEAD names, read from its `.git` without git; `unknown` where that cannot be told."""
    try:
        folder = _git_folder(root)
        head = (folder / "HEAD").read_text().strip()
        return _checked(_ref(folder, head.removeprefix("ref: ")) if head.startswith("ref: ") else head)
    except (OSError, UnicodeDecodeError):
        return UNKNOWN


def _git_folder(root: Path) -> Path:
    """A work tree beside the first one, and a submodule, have a file that names their folder."""
    found = root / ".git"
    if found.is_file():
        return (root / found.read_text().strip().removeprefix("gitdir: ")).resolve()
    return found


def _ref(folder: Path, name: str) -> str:
    shared = folder / "commondir"
    common = (folder / shared.read_text().strip()).resolve() if shared.is_file() else folder
    for place in (folder, common):
        if (place / name).is_file():
            return (place / name).read_text().strip()
    for line in (common / "packed-refs").read_text().splitlines():
        commit, _, packed = line.partition(" ")
        if packed == name:
            return commit
    return UNKNOWN


def _checked(commit: str) -> str:
    return commit if _COMMIT.fullmatch(commit) else UNKNOWN
