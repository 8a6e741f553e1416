"""The drawings that the studio's web server offers, and what a careful reader must find there. Called by server."""

from __future__ import annotations

import hashlib
import io
import json
import uuid
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from reelsight.studio import oddities
from reelsight.studio.catalogue import FILMS, LABELS, Film, film
from reelsight.studio.drawings import STYLES, Style, draw

Fate = Literal["kept", "exact-duplicate", "near-duplicate", "truncated", "not-a-picture", "too-many-pixels"]
PER_STYLE = 17  # with the copies more than one page of a search
APART = 12  # bits of likeness between any two originals of a film, well beyond a near duplicate's
FORMATS: dict[Style, tuple[str, ...]] = {
    "fanart": ("webp", "rgba.png"),
    "sketch": ("gif",),
    "drawing": ("grey.png", "cmyk.jpg"),
}
WORDS: dict[Style, str] = {"fanart": "fanart", "sketch": "sketches", "drawing": "drawing"}
LICENCES = (("by", "4.0"), ("by-sa", "4.0"), ("by-nc", "2.0"), ("cc0", "1.0"), ("by-nc-sa", "4.0"))
CREATORS = (
    "Inge Maar",
    "Tobiah Quill",
    "Wren Castellan",
    "Odo Pell",
    "Sunniva Lark",
    "Bas Orchard",
    "Mina Teasel",
)
MOODS = (
    "at rest",
    "on a walk",
    "saying hello",
    "after the rain",
    "from memory",
    "study",
    "for a friend",
    "waiting",
)


@dataclass(frozen=True, slots=True)
class Offer:
    """One file on offer; `fate` is what a collector that reads it properly does with it."""

    id: str
    label: str
    style: Style
    title: str
    characters: tuple[str, ...]
    creator: str
    licence: str
    licence_version: str
    file: str  # beneath the gallery's directory
    filetype: str
    filesize: int
    width: int
    height: int
    fate: Fate


@dataclass(slots=True)
class Expected:
    """kept + exact_duplicates + near_duplicates + refused = seen."""

    seen: int = 0
    kept: int = 0
    exact_duplicates: int = 0
    near_duplicates: int = 0
    refused: dict[str, int] = field(default_factory=dict)


def expected(offers: Iterable[Offer], *, label: str | None = None, style: str | None = None) -> Expected:
    """Count what a collection of these offers must come to, for one film and style or for all."""
    counts = Expected()
    for offer in offers:
        if label not in (None, offer.label) or style not in (None, offer.style):
            continue
        counts.seen += 1
        if offer.fate == "kept":
            counts.kept += 1
        elif offer.fate == "exact-duplicate":
            counts.exact_duplicates += 1
        elif offer.fate == "near-duplicate":
            counts.near_duplicates += 1
        else:
            counts.refused[offer.fate] = counts.refused.get(offer.fate, 0) + 1
    return counts


def make_gallery(directory: Path, *, seed: int, per_style: int = PER_STYLE, workers: int = 2) -> list[Offer]:
    """Draw all pictures into `directory`; a gallery of the same seed and studio is kept as it is."""
    index, name = directory / "gallery.json", _fingerprint(seed, per_style)
    if index.is_file():
        kept = json.loads(index.read_text("utf-8"))
        if kept["fingerprint"] == name:
            return [Offer(**{**offer, "characters": tuple(offer["characters"])}) for offer in kept["offers"]]
    directory.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        drawn = pool.map(draw_film, LABELS, *zip(*[(directory, seed, per_style)] * len(FILMS), strict=True))
        offers = [offer for part in drawn for offer in part]
    part = index.with_suffix(".part")
    part.write_text(json.dumps({"fingerprint": name, "offers": [asdict(o) for o in offers]}), "utf-8")
    part.replace(index)
    return offers


def _fingerprint(seed: int, per_style: int) -> str:
    digest = hashlib.sha256(f"{seed} {per_style}".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        if source.name != "server.py":
            digest.update(source.read_bytes())
    return digest.hexdigest()[:32]


def draw_film(label: str, directory: Path, seed: int, per_style: int) -> list[Offer]:
    """Draw and write one film's files, style by style: originals, then their copies and one wrong file."""
    cv2.setNumThreads(1)
    picked = film(label)
    hashes: list[int] = []
    offers: list[Offer] = []
    for style in STYLES:
        rng = np.random.default_rng([seed, *f"{label}/{style}".encode()])
        files: list[tuple[bytes, str, tuple[str, ...], Fate]] = []
        for number in range(per_style):
            formats = FORMATS[style]
            kind = formats[number] if number < len(formats) else ("jpg", "png", "jpg")[number % 3]
            data, names = _original(picked, style, kind, rng, hashes)
            files.append((data, kind.rpartition(".")[2], names, "kept"))
        files += _spoilt(style, files)
        offers += [_write(directory, picked, style, seed, n, rng, each) for n, each in enumerate(files)]
    return offers


def _original(
    picked: Film, style: Style, kind: str, rng: np.random.Generator, hashes: list[int]
) -> tuple[bytes, tuple[str, ...]]:
    """A drawing that no earlier one of the film resembles."""
    for _ in range(50):
        picture, names = draw(picked, style, rng)
        data = oddities.in_format(picture, kind, quality=int(rng.integers(78, 95)))
        mark = oddities.likeness(data)
        if all((mark ^ other).bit_count() >= APART for other in hashes):
            hashes.append(mark)
            return data, names
    raise RuntimeError(f"{picked.label}: no more drawings that differ enough; ask for fewer per style")


def _spoilt(
    style: Style, originals: list[tuple[bytes, str, tuple[str, ...], Fate]]
) -> list[tuple[bytes, str, tuple[str, ...], Fate]]:
    plain = originals[len(FORMATS[style]) :]
    first, second, third = plain[0], plain[1 % len(plain)], plain[2 % len(plain)]
    wrong: dict[Style, tuple[bytes, str, tuple[str, ...], Fate]] = {
        "fanart": (oddities.huge_png(), "png", third[2], "too-many-pixels"),
        "sketch": (oddities.truncated(oddities.recompressed(third[0])), "jpg", third[2], "truncated"),
        "drawing": (oddities.page_not_found(), "jpg", third[2], "not-a-picture"),
    }
    return [
        (*first[:3], "exact-duplicate"),
        (oddities.recompressed(second[0]), "jpg", second[2], "near-duplicate"),
        (oddities.shrunk(third[0]), "png", third[2], "near-duplicate"),
        wrong[style],
    ]


def _write(
    directory: Path,
    picked: Film,
    style: Style,
    seed: int,
    number: int,
    rng: np.random.Generator,
    each: tuple[bytes, str, tuple[str, ...], Fate],
) -> Offer:
    data, filetype, names, fate = each
    identity = str(uuid.uuid5(uuid.NAMESPACE_URL, f"studio/{seed}/{picked.label}/{style}/{number}"))
    path = Path(picked.label) / f"{identity}.{filetype}"
    (directory / path).parent.mkdir(parents=True, exist_ok=True)
    (directory / path).write_bytes(data)
    licence, version = LICENCES[int(rng.integers(len(LICENCES)))]
    width, height = _size(data, fate)
    return Offer(
        id=identity,
        label=picked.label,
        style=style,
        title=f"{picked.title} {WORDS[style]}: {' and '.join(names)} {rng.choice(MOODS)}",
        characters=names,
        creator=str(rng.choice(CREATORS)),
        licence=licence,
        licence_version=version,
        file=path.as_posix(),
        filetype=filetype,
        filesize=len(data),
        width=width,
        height=height,
        fate=fate,
    )


def _size(data: bytes, fate: Fate) -> tuple[int, int]:
    """What the search tells; of a file that is no picture, what it once was."""
    if fate == "too-many-pixels":
        return oddities.HUGE_SIDE, oddities.HUGE_SIDE
    if fate == "not-a-picture":
        return 640, 480
    with Image.open(io.BytesIO(data)) as image:
        return image.width, image.height
