"""The manifest of a dataset version: which pictures, their labels, lineage and side of the split; never changed.

The trainer writes it; its identity is the SHA-256 of its canonical bytes, so the same content is the same version.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from reel_shared.contracts import (
    BuildDatasetVersionRequest,
    JsonObject,
    Label,
    Model,
    ObjectKey,
    Sha256,
    Source,
    Variant,
)
from reel_shared.contracts.versions import PinSide
from reel_shared.errors import Corrupt

FORMAT = 2
_Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
_OPTIONAL = (
    *("movie_id", "time_seconds", "frame_index", "pts", "group", "probe", "reason", "phash_with_bars"),
    *("page_url", "url", "title", "creator", "licence", "licence_url", "attribution", "provider", "taken_at"),
)
"""Left out of the JSON where they are empty: most pictures are variants, which have none of them."""


def page_of(page_url: str) -> str | None:
    """Return the web page that a picture was found on, without the part after ``#``; None where it has none."""
    return page_url.partition("#")[0].strip().rstrip("/") or None


class Side(StrEnum):
    """Where a picture lies. Validation holds originals only. A probe set judges apart and never enters training.
    Excluded is what a filter, a pin, the gap or a held-out relative bars; ``reason`` says which."""

    TRAIN = "train"
    VALID = "valid"
    PROBE = "probe"
    EXCLUDED = "excluded"


class ManifestImage(Model):
    """One picture. ``scene`` is unique over all films; where it comes from is said of originals only."""

    id: str = Field(min_length=1, max_length=40)
    key: ObjectKey
    sha256: Sha256
    label: Label
    source: Source
    variant: Variant = Variant.ORIGINAL
    parent_id: str | None = None
    scene: str | None = None
    style: str = ""
    phash: _Hash = Field(description="perceptual hash, 64 bits in hex, of the original it comes from")
    phash_with_bars: _Hash | None = Field(
        default=None, description="the same with the bars around it, of which ``phash`` leaves them out"
    )
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    split: Side = Side.EXCLUDED
    reason: str = Field(default="", description="why it is excluded")
    probe: str = Field(default="", description="name of the probe set it belongs to")
    group: str = Field(
        default="", description="first picture of the group it hangs together with, if not alone"
    )
    movie_id: str | None = None
    time_seconds: float | None = Field(default=None, description="of a frame, from the film's start")
    frame_index: int | None = None
    pts: int | None = Field(default=None, description="a frame's time stamp in the film's own units")
    page_url: str = ""
    url: str = ""
    title: str = ""
    creator: str = ""
    licence: str = ""
    licence_url: str = ""
    attribution: str = ""
    provider: str = ""
    taken_at: AwareDatetime | None = Field(
        default=None, description="made or published, as its provider says"
    )

    @model_validator(mode="after")
    def _variants_have_parents(self) -> ManifestImage:
        if (self.variant == Variant.ORIGINAL) != (self.parent_id is None):
            raise ValueError(f"picture {self.id}: exactly the variants have a parent_id")
        return self

    @property
    def page(self) -> str | None:
        return page_of(self.page_url)


class ManifestPin(Model):
    """A pin as it was when the version was made, and how many originals it covered."""

    id: str
    side: PinSide
    of: str
    images: int


class Manifest(Model):
    """Images lie sorted by id, classes as the network's outputs count them."""

    format: Literal[2] = 2
    dataset: str
    classes: list[Label]
    request: BuildDatasetVersionRequest
    pins: list[ManifestPin] = Field(default_factory=list)
    images: list[ManifestImage]

    @model_validator(mode="after")
    def _whole(self) -> Manifest:
        self.images.sort(key=lambda image: image.id)
        ids = {image.id for image in self.images}
        if len(ids) != len(self.images):
            raise ValueError("two pictures have the same id")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("a class is named twice")
        known = set(self.classes)
        for image in self.images:
            if image.label not in known:
                raise ValueError(f"picture {image.id} has the label {image.label!r}, which is no class")
            if image.parent_id is not None and image.parent_id not in ids:
                raise ValueError(f"picture {image.id} is a variant of {image.parent_id}, which is not listed")
            if (image.split == Side.PROBE) != bool(image.probe):
                raise ValueError(f"picture {image.id}: exactly the pictures of probe sets name one")
        return self

    def on(self, side: Side) -> list[ManifestImage]:
        return [image for image in self.images if image.split == side]

    def variants_of(self, side: Side) -> list[ManifestImage]:
        """Return the variants of a side's originals, wherever they lie themselves: mostly they are excluded."""
        by_id = {image.id: image for image in self.images}

        def root(image: ManifestImage) -> ManifestImage:
            while image.parent_id is not None:
                image = by_id[image.parent_id]
            return image

        return [image for image in self.images if image.parent_id is not None and root(image).split == side]

    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """Return split -> source -> class -> images, as the contract reports them."""
        counted = Counter((image.split, image.source, image.label) for image in self.images)
        table: dict[str, dict[str, dict[str, int]]] = {}
        for (split, source, label), images in sorted(counted.items()):
            table.setdefault(split, {}).setdefault(source, {})[label] = images
        return table

    def excluded(self) -> dict[str, int]:
        """Return how many pictures neither train nor judge, by reason."""
        return dict(sorted(Counter(image.reason for image in self.on(Side.EXCLUDED)).items()))


def canonical(content: JsonObject) -> bytes:
    """Return JSON with sorted keys and no spaces, in UTF-8: equal content gives equal bytes."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def to_bytes(manifest: Manifest) -> bytes:
    """Return the canonical JSON of a manifest; fields of pictures that say nothing are left out."""
    content = manifest.model_dump(mode="json")
    for image in content["images"]:
        for name in _OPTIONAL:
            if image.get(name) in (None, ""):
                image.pop(name, None)
    return canonical(content)


def identity(manifest: Manifest) -> str:
    """Return the SHA-256, in hex, of the bytes that this manifest would be written as now.

    Of one that was stored, go by the hash it was stored under: it may be of an older format.
    """
    return hashlib.sha256(to_bytes(manifest)).hexdigest()


def load(data: bytes, *, sha256: str | None = None) -> Manifest:
    """Read a manifest of this format or of an older one, which becomes this one in memory.

    Raises Corrupt when the bytes are not ``sha256``, not a manifest, or not canonical.
    """
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise Corrupt("The manifest does not match its hash; build the dataset version again.")
    try:
        content = json.loads(data)
    except ValueError as error:
        raise Corrupt("The manifest cannot be read: it is not JSON.") from error
    if not isinstance(content, dict) or canonical(content) != data:
        raise Corrupt("The manifest's bytes are not the canonical ones; build the dataset version again.")
    if isinstance(content.get("format"), int) and content["format"] > FORMAT:
        raise Corrupt(f"The manifest's format {content['format']} is newer than this program; update it.")
    try:
        return Manifest.model_validate(_from_format_1(content) if content.get("format") == 1 else content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Corrupt(f"The manifest cannot be read: {where or 'it'} {first['msg']}.") from error


def _from_format_1(content: dict[str, Any]) -> dict[str, Any]:
    """Say what format 1 meant without saying it: neither gaps nor negatives were looked at."""
    request = content.get("request")
    if isinstance(request, dict):
        request = {**request, "min_gap_seconds": 0.0, "match_inverted": False}
    return {**content, "format": FORMAT, "request": request}
