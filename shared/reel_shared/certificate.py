"""The leak certificate of a dataset version at full length: a JSON file, signed by its hash.

The trainer writes it beside the manifest and names the manifest's hash in it, so that neither can be exchanged
alone. Whoever has both files can check them with ``verify``; the trainer does before every training.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import Field, ValidationError

from reel_shared.contracts import JsonObject, Model, Sha256, SplitCertificate
from reel_shared.errors import Corrupt
from reel_shared.manifest import canonical

SIGNATURE = "sha256"
MAX_BYTES = 2**28


class NearestInTime(Model):
    id: str
    seconds: float = Field(ge=0)


class NearestByHash(Model):
    id: str
    bits: int = Field(ge=0, le=64)


class Neighbours(Model):
    """A held-out picture and what of training comes closest to it; None where training has nothing to compare."""

    id: str
    side: str = Field(description="valid, or probe:<name>")
    time: NearestInTime | None = Field(default=None, description="in the same film")
    hash: NearestByHash | None = None
    inverted: NearestByHash | None = Field(default=None, description="by the training picture's negative")


class WorstPair(Model):
    """A held-out and a training picture that are closer than most."""

    held_out: str
    train: str
    side: str
    bits: int = Field(description="pHash distance; to the negative where inverted")
    inverted: bool = False
    seconds: float | None = Field(default=None, description="between frames of one film")


class LeakCertificate(Model):
    format: Literal[1] = 1
    manifest_sha256: Sha256
    dataset: str
    classes: list[str]
    train_originals: int
    valid_originals: int
    summary: SplitCertificate
    worst_by_hash: list[WorstPair]
    worst_by_time: list[WorstPair]
    neighbours: list[Neighbours] = Field(description="every held-out original, by id")

    @property
    def certified(self) -> bool:
        return self.summary.certified


def to_bytes(certificate: LeakCertificate) -> bytes:
    """Return the file: canonical JSON of the certificate with the hash of all the rest under ``sha256``."""
    content = certificate.model_dump(mode="json")
    return canonical({**content, SIGNATURE: _signature(content)})


def verify(data: bytes, *, manifest_sha256: str) -> LeakCertificate:
    """Return the certificate in a file. Raises Corrupt when it was altered, or is of another manifest."""
    try:
        content: Any = json.loads(data)
    except ValueError as error:
        raise Corrupt("The leak certificate cannot be read: it is not JSON.") from error
    if not isinstance(content, dict) or content.get(SIGNATURE) != _signature(content):
        raise Corrupt("The leak certificate does not match its own hash; build the dataset version again.")
    if content.get("manifest_sha256") != manifest_sha256:
        raise Corrupt("The leak certificate is of another manifest; build the dataset version again.")
    try:
        return LeakCertificate.model_validate({k: v for k, v in content.items() if k != SIGNATURE})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Corrupt(f"The leak certificate cannot be read: {where or 'it'} {first['msg']}.") from error


def why_uncertified(summary: SplitCertificate) -> str:
    """Return what keeps a split from being certified, in words: for refusals, and for models that override them."""
    counts = {
        "scene(s)": summary.shared_scenes,
        "lineage(s)": summary.shared_lineages,
        "file(s)": summary.shared_files,
        "web page(s)": summary.shared_pages,
        "pair(s) of near duplicates": summary.near_duplicates_across,
        "pair(s) of near duplicates of negatives": summary.inverted_near_duplicates_across,
        "connected group(s)": summary.groups_across,
    }
    shared = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    found = [f"training and held-out pictures share {shared}"] if shared else []
    if summary.too_near_in_time:
        found.append(
            f"{summary.too_near_in_time} held-out frame(s) lie less than {summary.min_gap_seconds:g} s from training"
        )
    if summary.variants_in_validation:
        found.append(f"{summary.variants_in_validation} variant(s) lie in validation")
    if summary.strategy == "random":
        found.append("it was split at random")
    return "; ".join(found) or "its certificate says so"


def _signature(content: JsonObject) -> str:
    rest = {name: value for name, value in content.items() if name != SIGNATURE}
    return hashlib.sha256(canonical(rest)).hexdigest()
