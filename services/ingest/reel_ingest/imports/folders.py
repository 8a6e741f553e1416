"""What the folders of an archive say of a picture: its side and its class; called by ``plan``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

TRAIN, VALID, TEST = "train", "valid", "test"
PROBE = "probe-"
_SIDES = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("valid", "val", "validation", "dev"), VALID),
    **dict.fromkeys(("test", "testing"), TEST),
}
_PROBE_NAME = re.compile(r"probe-[a-z0-9][a-z0-9_-]{0,62}")
PICTURES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic"}
)
"""Names of pictures; what they are is judged by their bytes, and some of them are refused then."""


def side_of(word: str) -> str | None:
    """Return ``train``, ``valid``, ``test`` or ``probe-<name>`` as a folder or a table means it; else None."""
    plain = word.strip().lower()
    return plain if _PROBE_NAME.fullmatch(plain) else _SIDES.get(plain)


def is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in PICTURES


def slug(name: str) -> str:
    """Return a class's name as it is written here; empty where nothing is left of it."""
    return re.sub(r"[^a-z0-9_-]+", "-", name.strip().lower()).strip("-_")[:63]


def root_of(names: Iterable[str]) -> int:
    """Return how many folders all pictures have in common and that say nothing.

    A folder is no more than a wrapping when every picture lies in it and in a further folder below, and it is no side.
    """
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    depth = 0
    while folders:
        level = {parts[depth] if len(parts) > depth + 1 else "" for parts in folders}
        if len(level) != 1 or "" in level or side_of(level.pop()) is not None:
            break
        depth += 1
    return depth


def place_of(name: str, root: int) -> tuple[str, str]:
    """Return side and class by a picture's folders; each is empty where they do not say.

    The class is the folder below that of the side, or else above it; without a side the first one below the root.
    """
    parts = PurePosixPath(name).parts[root:-1]
    for at, part in enumerate(parts):
        side = side_of(part)
        if side is not None:
            below, above = parts[at + 1 : at + 2], parts[max(0, at - 1) : at]
            return side, (below or above or ("",))[0]
    return "", parts[0] if parts else ""
