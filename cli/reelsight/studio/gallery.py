"""The drawings that the studio's web server offers, and what a careful reader must find there. Called by server."""

from __future__ import annotations

import hashlib
import io
import json
import uuid
from collections.abc import Container, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from reelsight.studio import oddities
from reelsight.studio.catalogue import FILMS, LABELS, Film, film
from reelsight.studio.costumes import photograph
from reelsight.studio.drawings import STYLES, draw
from reelsight.studio.drawings import Style as DrawnStyle
from reelsight.studio.ink import Picture

Fate = Literal[
    "kept",
    "exact-duplicate",
    "near-duplicate",
    "conflict",
    "blurred",
    "truncated",
    "not-a-picture",
    "too-many-pixels",
]
Style = DrawnStyle | Literal["cosplay"]
COSPLAY: Style = "cosplay"
COSTUMES = 8  # photographs a film, without copies: they only judge
REJECTED: frozenset[Fate] = frozenset({"blurred"})
PER_STYLE = 17  # with the copies more than one page of a search
LEAST_PER_STYLE = 8  # so that every plant has an original of its own
CONFLICTING: tuple[DrawnStyle, ...] = (
    "fanart",
    "drawing",
)  # their last drawing stands under the next film as well
MISLABELLED: DrawnStyle = "fanart"  # its last drawing but one shows the next film
MISFILED_NUMBER = 1000
APART = 12  # bits of likeness between any two originals of a film, well beyond a near duplicate's
FORMATS: dict[DrawnStyle, tuple[str, ...]] = {
    "fanart": ("webp", "rgba.png"),
    "sketch": ("gif",),
    "drawing": ("grey.png", "cmyk.jpg"),
}
WORDS: dict[Style, str] = {
    "fanart": "fanart",
    "sketch": "sketches",
    "drawing": "drawing",
    "cosplay": "cosplay",
}
FIRST_DAY, LAST_DAY = date(2019, 1, 1), date(2024, 12, 31)  # when the pictures were put on the web
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
    truth: str  # the film that it shows; another than the label where somebody filed it wrongly
    of: str  # the offer that it repeats, if any
    style: Style
    title: str
    characters: tuple[str, ...]
    creator: str
    made_on: str  # the day, 2021-03-04
    licence: str
    licence_version: str
    file: str  # beneath the gallery's directory
    filetype: str
    filesize: int
    width: int
    height: int
    fate: Fate

    @property
    def day(self) -> date:
        return date.fromisoformat(self.made_on)


@dataclass(frozen=True, slots=True)
class Planned:
    """A file before it is written."""

    data: bytes
    filetype: str
    characters: tuple[str, ...]
    fate: Fate
    truth: str
    of: str = ""


@dataclass(slots=True)
class Expected:
    """What stands once everything is collected: kept + duplicates + conflicts + rejected + refused = seen."""

    seen: int = 0
    kept: int = 0
    exact_duplicates: int = 0
    near_duplicates: int = 0
    conflicts: int = 0  # pictures that wait for a person, both of each pair
    rejected: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)


def expected(
    offers: Iterable[Offer],
    *,
    label: str | None = None,
    style: str | None = None,
    gone: Container[str] = (),
) -> Expected:
    """Count what a collection of these offers must come to, for one film and style or for all.

    `gone` are offers that were taken down where they are collected: they are refused from then on.
    """
    offers = list(offers)
    contested = {offer.of for offer in offers if offer.fate == "conflict"}
    counts = Expected()
    for offer in offers:
        if label not in (None, offer.label) or style not in (None, offer.style):
            continue
        counts.seen += 1
        if offer.id in gone:
            counts.refused["taken-down"] = counts.refused.get("taken-down", 0) + 1
        elif offer.fate == "conflict" or offer.id in contested:
            counts.conflicts += 1
        elif offer.fate == "kept":
            counts.kept += 1
        elif offer.fate == "exact-duplicate":
            counts.exact_duplicates += 1
        elif offer.fate == "near-duplicate":
            counts.near_duplicates += 1
        else:
            table = counts.rejected if offer.fate in REJECTED else counts.refused
            table[offer.fate] = table.get(offer.fate, 0) + 1
    return counts


def make_gallery(directory: Path, *, seed: int, per_style: int = PER_STYLE, workers: int = 2) -> list[Offer]:
    """Draw all pictures into `directory`; a gallery of the same seed and studio is kept as it is."""
    if per_style < LEAST_PER_STYLE:
        raise ValueError(f"ask for {LEAST_PER_STYLE} drawings per style or more")
    index, name = directory / "gallery.json", _fingerprint(seed, per_style)
    if index.is_file():
        kept = json.loads(index.read_text("utf-8"))
        if kept["fingerprint"] == name:
            return [Offer(**{**offer, "characters": tuple(offer["characters"])}) for offer in kept["offers"]]
    directory.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        drawn = pool.map(draw_film, LABELS, *zip(*[(directory, seed, per_style)] * len(FILMS), strict=True))
        offers = [offer for part in drawn for offer in part]
    offers += _misfiled(directory, offers, seed, per_style)
    part = index.with_suffix(".part")
    part.write_text(json.dumps({"fingerprint": name, "offers": [asdict(o) for o in offers]}), "utf-8")
    part.replace(index)
    return offers


def _fingerprint(seed: int, per_style: int) -> str:
    digest = hashlib.sha256(f"{seed} {per_style}".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        if source.name not in ("server.py", "lookup.py", "commons.py"):
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
        plans: list[Planned] = []
        for number in range(per_style):
            formats = FORMATS[style]
            kind = formats[number] if number < len(formats) else ("jpg", "png", "jpg")[number % 3]
            # One drawing a film shows another film: somebody filed it wrongly.
            shown = _next_film(label) if (style, number) == (MISLABELLED, per_style - 2) else picked
            data, names = _original(shown, style, kind, rng, hashes)
            plans.append(Planned(data, kind.rpartition(".")[2], names, "kept", shown.label))
        plans += _spoilt(style, plans, [_identity(seed, label, style, n) for n in range(per_style)])
        offers += [_write(directory, picked, style, seed, n, rng, each) for n, each in enumerate(plans)]
    return offers + _costumes(picked, directory, seed, hashes)


def _costumes(picked: Film, directory: Path, seed: int, hashes: list[int]) -> list[Offer]:
    rng = np.random.default_rng([seed, *f"{picked.label}/{COSPLAY}".encode()])
    plans = []
    for _ in range(COSTUMES):
        data, names = _original(picked, COSPLAY, "jpg", rng, hashes)
        plans.append(Planned(data, "jpg", names, "kept", picked.label))
    return [_write(directory, picked, COSPLAY, seed, n, rng, each) for n, each in enumerate(plans)]


def _next_film(label: str) -> Film:
    return FILMS[(LABELS.index(label) + 1) % len(FILMS)]


def _misfiled(directory: Path, offers: list[Offer], seed: int, per_style: int) -> list[Offer]:
    """The same picture under two films: one drawing of each film and style here is filed under the next film too."""
    again = []
    for offer in offers:
        last = _identity(seed, offer.label, offer.style, per_style - 1)
        if offer.style not in CONFLICTING or offer.id != last:
            continue
        other = _next_film(offer.label)
        data = (directory / offer.file).read_bytes()
        # Half of them are the very same file, half were saved again.
        if offer.style == "drawing":
            data = oddities.recompressed(data)
        filetype = "jpg" if offer.style == "drawing" else offer.filetype
        plan = Planned(data, filetype, offer.characters, "conflict", offer.truth, of=offer.id)
        rng = np.random.default_rng([seed, *offer.id.encode()])
        again.append(_write(directory, other, offer.style, seed, MISFILED_NUMBER, rng, plan))
    return again


def _original(
    picked: Film, style: Style, kind: str, rng: np.random.Generator, hashes: list[int]
) -> tuple[bytes, tuple[str, ...]]:
    """A drawing that no earlier one of the film resembles."""
    for _ in range(50):
        picture, names = _pictured(picked, style, rng)
        data = oddities.in_format(picture, kind, quality=int(rng.integers(78, 95)))
        mark = oddities.likeness(data)
        if all((mark ^ other).bit_count() >= APART for other in hashes):
            hashes.append(mark)
            return data, names
    raise RuntimeError(f"{picked.label}: no more drawings that differ enough; ask for fewer per style")


def _pictured(picked: Film, style: Style, rng: np.random.Generator) -> tuple[Picture, tuple[str, ...]]:
    return photograph(picked, rng) if style == "cosplay" else draw(picked, style, rng)


def _spoilt(style: DrawnStyle, originals: list[Planned], ids: list[str]) -> list[Planned]:
    """Copies of some of the originals, and files that are of no use."""
    skipped = len(FORMATS[style])
    plain = list(zip(originals, ids, strict=True))[skipped:]

    def copy(number: int, data: bytes, filetype: str, fate: Fate) -> Planned:
        original, identity = plain[number % len(plain)]
        of = identity if fate.endswith("duplicate") else ""
        return Planned(data, filetype, original.characters, fate, original.truth, of)

    def file(number: int) -> bytes:
        return plain[number % len(plain)][0].data

    wrong: dict[DrawnStyle, list[Planned]] = {
        "fanart": [
            copy(2, oddities.huge_png(), "png", "too-many-pixels"),
            copy(3, oddities.framed(file(3)), "jpg", "near-duplicate"),
        ],
        "sketch": [
            copy(2, oddities.truncated(oddities.recompressed(file(0))), "jpg", "truncated"),
            copy(3, oddities.blurred(file(3)), "jpg", "blurred"),
        ],
        "drawing": [
            copy(2, oddities.page_not_found(), "jpg", "not-a-picture"),
            copy(3, oddities.inverted(file(3)), "png", "near-duplicate"),
        ],
    }
    return [
        copy(0, file(0), plain[0][0].filetype, "exact-duplicate"),
        copy(1, oddities.recompressed(file(1)), "jpg", "near-duplicate"),
        copy(2, oddities.shrunk(file(2)), "png", "near-duplicate"),
        *wrong[style],
    ]


def _identity(seed: int, label: str, style: Style, number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"studio/{seed}/{label}/{style}/{number}"))


def _day(identity: str) -> date:
    number = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8])
    return FIRST_DAY + timedelta(days=number % ((LAST_DAY - FIRST_DAY).days + 1))


def _write(
    directory: Path,
    picked: Film,
    style: Style,
    seed: int,
    number: int,
    rng: np.random.Generator,
    each: Planned,
) -> Offer:
    data, names = each.data, each.characters
    identity = _identity(seed, picked.label, style, number)
    path = Path(picked.label) / f"{identity}.{each.filetype}"
    (directory / path).parent.mkdir(parents=True, exist_ok=True)
    (directory / path).write_bytes(data)
    licence, version = LICENCES[int(rng.integers(len(LICENCES)))]
    width, height = _size(data, each.fate)
    return Offer(
        id=identity,
        label=picked.label,
        truth=each.truth,
        of=each.of,
        style=style,
        title=f"{picked.title} {WORDS[style]}: {' and '.join(names)} {rng.choice(MOODS)}",
        characters=names,
        creator=str(rng.choice(CREATORS)),
        made_on=_day(identity).isoformat(),
        licence=licence,
        licence_version=version,
        file=path.as_posix(),
        filetype=each.filetype,
        filesize=len(data),
        width=width,
        height=height,
        fate=each.fate,
    )


def _size(data: bytes, fate: Fate) -> tuple[int, int]:
    """What the search tells; of a file that is no picture, what it once was."""
    if fate == "too-many-pixels":
        return oddities.HUGE_SIDE, oddities.HUGE_SIDE
    if fate == "not-a-picture":
        return 640, 480
    with Image.open(io.BytesIO(data)) as image:
        return image.width, image.height
