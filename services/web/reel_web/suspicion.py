"""Owns which pictures a person should look at, the most suspicious first. Called by ``pages.review``.

What is in doubt comes from the tables (quarantine) and from what jobs proposed last: ``trainer.check_labels``,
``ingest.rank_subjects``, and the active model's own mistakes. A picture leaves the queue when a person has decided:
by its state, by its mark, or by the reason ``reviewed``, which an active picture keeps.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from reel_shared.contracts import (
    ACTIVE,
    CHECK_LABELS,
    RANK_SUBJECTS,
    CheckLabelsResult,
    ImageState,
    Kind,
)
from reel_shared.contracts.curation import RankSubjectsResult
from reel_shared.contracts.evaluations import MAX_BYTES
from reel_shared.db.lookups import find_model
from reel_shared.db.models import DatasetVersion, Image, Job, Movie, SubjectMark
from reel_shared.errors import NoModel, NotFound, Unavailable
from reel_shared.jobs import State
from reel_shared.storage import hasty_storage
from reel_web.catalogue import CHUNK, ORIGINAL
from reel_web.evaluations import evaluation_of

REVIEWED = "reviewed"
"""Reason of an active picture that a person looked at and left as it is."""
CONFLICT = "conflict"
_BY_A_PERSON = (REVIEWED, "background", "person")
KINDS = {
    "conflict": "One picture, two classes",
    "quarantined": "In quarantine",
    "label": "Doubtful class",
    "empty": "Perhaps empty",
    "border": "At a film's edge",
    "model": "The model disagrees",
}
"""In the order of the queue."""
MOST = 5000
"""Pictures of one kind that are looked at; more are there when these are done."""
RECENT_JOBS = 20


@dataclass(frozen=True, slots=True)
class Case:
    image_id: str
    kind: str
    label: str = ""
    """What it stood under when it was proposed."""
    suggested: str = ""
    confidence: float | None = None
    others: list[str] = field(default_factory=list)
    """Of a conflict: the pictures that show the same under other labels."""
    said: str = ""
    """Of a film's edge: what was seen there."""


@dataclass(frozen=True, slots=True)
class _Standing:
    state: str
    reason: str
    label: str
    marked: bool


def queue(session: Session, dataset: str) -> tuple[list[Case], list[str]]:
    """Every picture in doubt, each once, and what could not be asked now, in words."""
    cases, missing = list(_quarantined(session, dataset)), []
    ways = (("label check", _labels), ("ranking", _empties), ("film", _borders), ("evaluation", _mistakes))
    for what, proposed in ways:
        try:
            cases += proposed(session, dataset)
        except (Unavailable, NotFound):
            missing.append(f"The last {what} cannot be read now.")
    standing = _standings(session, {case.image_id for case in cases})
    seen: set[str] = set()
    found = []
    for case in cases:
        if case.image_id not in seen and _open(case, standing.get(case.image_id)):
            seen.add(case.image_id)
            found.append(case)
    return found, missing


def counts(cases: Iterable[Case]) -> dict[str, int]:
    counted = Counter(case.kind for case in cases)
    return {kind: counted[kind] for kind in KINDS}


def edges(session: Session, dataset: str) -> list[dict[str, Any]]:
    """Films at whose edges something was seen that was not cut: what it is, and the film's mean picture."""
    query = sa.select(Movie).where(Movie.dataset == dataset, Movie.borders.is_not(None)).order_by(Movie.title)
    found = []
    for movie in session.scalars(query):
        report = movie.borders or {}
        said = [
            f"{side}: {bar['pixels']} pixels, not cut: {bar['reason']}"
            for side, bar in report.get("bars", {}).items()
            if bar.get("pixels") and not bar.get("cut") and bar.get("reason")
        ]
        said += [
            f"{mark['kind'].replace('-', ' ')} in {100 * mark['constant_share']:.0f} % of the frames"
            for mark in report.get("artefacts", [])
        ]
        if said:
            found.append({"movie_id": movie.id, "title": movie.title or movie.label, "said": said})
    return found


def _borders(session: Session, dataset: str) -> list[Case]:
    """A frame for each film at whose edges something was seen that was not cut; who keeps it has looked at the film."""
    seen = {film["movie_id"]: "; ".join(film["said"]) for film in edges(session, dataset)}
    decided = sa.or_(Image.state == ImageState.ACTIVE, Image.state_reason.in_(_BY_A_PERSON))
    query = (
        sa.select(Image.movie_id, Image.id, Image.label)
        .where(Image.movie_id.in_(list(seen)), Image.variant == ORIGINAL, decided)
        .order_by(Image.frame_index.desc(), Image.id.desc())
    )
    first = {
        row.movie_id: row for row in session.execute(query)
    }  # the last one to be written is the earliest frame
    return [
        Case(first[film].id, "border", first[film].label, said=said)
        for film, said in seen.items()
        if film in first
    ]


def _quarantined(session: Session, dataset: str) -> Iterator[Case]:
    query = (
        sa.select(Image.id, Image.state_reason, Image.duplicate_of, Image.label)
        .where(Image.dataset == dataset, Image.variant == ORIGINAL, Image.state == ImageState.QUARANTINED)
        .order_by(Image.id)
        .limit(MOST)
    )
    rows = session.execute(query).all()
    groups: dict[str, list[str]] = {}
    for row in rows:
        if row.state_reason == CONFLICT and row.duplicate_of:
            groups.setdefault(row.duplicate_of, [row.duplicate_of]).append(row.id)
    for row in rows:
        if row.state_reason == CONFLICT:
            group = groups.get(row.duplicate_of or row.id, [])
            yield Case(row.id, "conflict", row.label, others=[one for one in group if one != row.id])
    for row in rows:
        if row.state_reason != CONFLICT:
            yield Case(row.id, "quarantined", row.label)


def _labels(session: Session, dataset: str) -> list[Case]:
    of = sa.select(DatasetVersion.id).where(DatasetVersion.dataset == dataset)
    versions = set(session.scalars(of))
    for job in _done(session, CHECK_LABELS):
        if job.request.get("dataset_version_id") in versions:
            file = CheckLabelsResult.model_validate(job.result).proposals
            return [
                Case(row["id"], "label", row["label"], row["suggested"], row["confidence"])
                for row in _lines(file.key, file.sha256)[:MOST]
            ]
    return []


def _empties(session: Session, dataset: str) -> list[Case]:
    for job in _done(session, RANK_SUBJECTS):
        file = RankSubjectsResult.model_validate(job.result).proposals
        if job.request.get("dataset", "default") == dataset and file is not None:
            return [
                Case(row["image_id"], "empty", confidence=row["probability"])
                for row in _lines(file.key, file.sha256)
                if row["proposed"]
            ][:MOST]
    return []


def _mistakes(session: Session, dataset: str) -> list[Case]:
    try:
        model = find_model(session, ACTIVE)
    except NoModel:
        return []
    version = session.get(DatasetVersion, model.dataset_version_id)
    if version is None or version.dataset != dataset:
        return []
    judged = evaluation_of(model)
    wrong = (
        sorted((row for row in judged.pictures if not row.right), key=lambda row: -row.loss) if judged else []
    )
    return [
        Case(row.id, "model", row.label, row.predicted, row.top[0].probability if row.top else None)
        for row in wrong[:MOST]
    ]


@lru_cache(maxsize=8)
def _lines(key: str, sha256: str) -> list[dict[str, Any]]:
    data = hasty_storage().get_bytes(key, max_bytes=MAX_BYTES, sha256=sha256)
    return [json.loads(line) for line in data.decode().splitlines() if line]


def _done(session: Session, kind: Kind) -> Iterable[Job]:
    query = sa.select(Job).where(Job.kind == kind.name, Job.state == State.SUCCEEDED)
    return session.scalars(query.order_by(Job.created_at.desc(), Job.id.desc()).limit(RECENT_JOBS))


def _standings(session: Session, ids: set[str]) -> dict[str, _Standing]:
    wanted, found = sorted(ids), {}
    for start in range(0, len(wanted), CHUNK):
        query = (
            sa.select(Image.id, Image.state, Image.state_reason, Image.label, SubjectMark.mark)
            .outerjoin(SubjectMark, SubjectMark.image_id == Image.id)
            .where(Image.id.in_(wanted[start : start + CHUNK]))
        )
        for row in session.execute(query):
            found[row.id] = _Standing(row.state, row.state_reason, row.label, row.mark is not None)
    return found


def _open(case: Case, now: _Standing | None) -> bool:
    """Whether nobody has decided since it was proposed."""
    if now is None:
        return False
    if case.kind in ("conflict", "quarantined"):
        return now.state == ImageState.QUARANTINED
    if now.state != ImageState.ACTIVE or now.reason == REVIEWED:
        return False
    return not now.marked if case.kind == "empty" else now.label == case.label
