"""Versions of the dataset: built, compared with each other, and looked through for what must not be trained on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reel_shared import certificate as certificates
from reel_shared import manifest as manifests
from reel_shared.certificate import WorstPair
from reel_shared.client import Client
from reel_shared.contracts import (
    BuildDatasetVersionRequest,
    BuildDatasetVersionResult,
    Source,
    VersionDiff,
)
from reel_shared.manifest import Manifest, Side
from reelsight.demo.facts import EVERYTHING, FILMS_ONLY, FIRST, Change, Decisions, Facts, Pair, Probe, Proof
from reelsight.demo.pictures import fetch
from reelsight.demo.work import Work

VALID_FRACTION = 0.25
NEAR_IN_TIME = "near-in-time"
PAIRS_BY_HASH, PAIRS_BY_TIME = 4, 2


def build_first(work: Work, facts: Facts) -> None:
    """Build the version that the person looks at."""
    _build(work, facts, {FIRST: _request(facts)})


def build_on_first(work: Work, facts: Facts) -> None:
    """Build what is trained on: the sides of the first version stay where nobody decided otherwise."""
    base = {"base_version": facts.versions[FIRST].dataset_version_id}
    _build(
        work,
        facts,
        {
            FILMS_ONLY: _request(facts, **base, train_sources=[Source.MOVIE]),
            EVERYTHING: _request(facts, **base),
        },
    )


def _request(facts: Facts, **fields: Any) -> BuildDatasetVersionRequest:
    return BuildDatasetVersionRequest(dataset=facts.dataset, valid_fraction=VALID_FRACTION, **fields)


def _build(work: Work, facts: Facts, requests: dict[str, BuildDatasetVersionRequest]) -> None:
    jobs = {name: work.client.build_dataset_version(request) for name, request in requests.items()}
    for name, job in work.wait_all(jobs).items():
        facts.versions[name] = BuildDatasetVersionResult.model_validate(job["result"])


def manifest_of(client: Client, version_id: str) -> Manifest:
    file = client.dataset_version(version_id)["manifest"]
    return manifests.load(client.download(file["url"]), sha256=file["sha256"])


def changes(diff: VersionDiff, after: Manifest, decisions: Decisions) -> Change:
    """Hold a diff against what the person decided; frames too near to a pinned scene step aside for it."""
    pinned = decisions.pinned.frames if decisions.pinned else set()
    gone = {decisions.taken_down.image_id} if decisions.taken_down else set()
    reasons = {image.id: image.reason for image in after.images}
    held = {image.id for image in after.on(Side.VALID)}
    moved = {each.id for each in diff.moved}
    aside = {name for name in moved - pinned if reasons[name] == NEAR_IN_TIME}
    strays = {
        *(set(diff.added) ^ decisions.kept),
        *(set(diff.removed) ^ gone),
        *(moved ^ (pinned | aside)),
        *(pinned - held),
        *(each.id for each in diff.relabelled),
    }
    changed = sum(diff.counts[name] for name in ("added", "removed", "moved", "relabelled"))
    return Change(diff=diff, explained=changed - len(strays), strays=sorted(strays))


def probe(manifest: Manifest, name: str, planted: int) -> Probe:
    """Count a probe set's pictures on its own side, and of them or their variants on any other."""
    members = {image.id for image in manifest.images if image.style == name or image.probe == name}
    outside = [image for image in manifest.images if image.split in (Side.TRAIN, Side.VALID)]
    return Probe(
        name=name,
        planted=planted,
        judged=sum(image.probe == name for image in manifest.on(Side.PROBE)),
        trained_on=sum(image.id in members or image.parent_id in members for image in outside),
    )


def prove(client: Client, version_id: str) -> Proof:
    """Check the certificate against its signature and its manifest, and fetch its closest pairs."""
    version = client.dataset_version(version_id)
    content = client.download(version["certificate_file"]["url"])
    found = certificates.verify(content, manifest_sha256=version["manifest"]["sha256"])
    return Proof(
        certificate=found,
        by_hash=_pairs(client, found.worst_by_hash[:PAIRS_BY_HASH]),
        by_time=_pairs(client, found.worst_by_time[:PAIRS_BY_TIME]),
    )


def _pairs(client: Client, worst: Iterable[WorstPair]) -> list[Pair]:
    return [Pair(each, fetch(client, each.held_out), fetch(client, each.train)) for each in worst]
