"""The manifest of a dataset version: which pictures, their labels, lineage and side of the split; never changed.

The trainer writes it; its identity is the SHA-256 of its canonical bytes, so the same content is the same version.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from reel_shared.contracts import (
    BuildDatasetVersionRequest,
    Label,
    Model,
    ObjectKey,
    Sha256,
    Source,
    Variant,
)
from reel_shared.errors import Corrupt


class Side(StrEnum):
    """Where a picture lies. Validation holds originals only; what a filter or a validation parent bars is excluded."""

    TRAIN = "train"
    VALID = "valid"
    EXCLUDED = "excluded"


class ManifestImage(Model):
    """One picture. ``scene`` is unique over all films."""

    id: str = Field(min_length=1, max_length=40)
    key: ObjectKey
    sha256: Sha256
    label: Label
    source: Source
    variant: Variant = Variant.ORIGINAL
    parent_id: str | None = None
    scene: str | None = None
    style: str = ""
    phash: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] = Field(
        description="perceptual hash, 64 bits in hex, of the original it comes from"
    )
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    split: Side = Side.EXCLUDED

    @model_validator(mode="after")
    def _variants_have_parents(self) -> ManifestImage:
        if (self.variant == Variant.ORIGINAL) != (self.parent_id is None):
            raise ValueError(f"picture {self.id}: exactly the variants have a parent_id")
        return self


class Manifest(Model):
    """Images lie sorted by id, classes as the network's outputs count them."""

    format: Literal[1] = 1
    dataset: str
    classes: list[Label]
    request: BuildDatasetVersionRequest
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
        return self

    def on(self, side: Side) -> list[ManifestImage]:
        return [image for image in self.images if image.split == side]

    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """Return split -> source -> class -> images, as the contract reports them."""
        counted = Counter((image.split, image.source, image.label) for image in self.images)
        table: dict[str, dict[str, dict[str, int]]] = {}
        for (split, source, label), images in sorted(counted.items()):
            table.setdefault(split, {}).setdefault(source, {})[label] = images
        return table


def to_bytes(manifest: Manifest) -> bytes:
    """Return the canonical JSON: sorted keys, no spaces, UTF-8; equal content gives equal bytes."""
    content = manifest.model_dump(mode="json")
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def identity(manifest: Manifest) -> str:
    """Return the SHA-256 of the canonical bytes, in hex."""
    return hashlib.sha256(to_bytes(manifest)).hexdigest()


def load(data: bytes, *, sha256: str | None = None) -> Manifest:
    """Read a manifest. Raises Corrupt when the bytes are not ``sha256``, not a manifest, or not canonical."""
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256:
        raise Corrupt("The manifest does not match its hash; build the dataset version again.")
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Corrupt(f"The manifest cannot be read: {where or 'it'} {first['msg']}.") from error
    if identity(manifest) != found:
        raise Corrupt("The manifest's bytes are not the canonical ones; build the dataset version again.")
    return manifest
