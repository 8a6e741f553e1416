"""`/datasets/{name}/versions/{id}`: where each scene lies, what a person pinned, and the proof that nothing leaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from fastapi import Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from reel_shared.certificate import MAX_BYTES, LeakCertificate, WorstPair, verify, why_uncertified
from reel_shared.contracts import MEASURE_LEAK_GAP, MeasureLeakGapResult, SplitCertificate, StoredFile
from reel_shared.db.engine import reading
from reel_shared.db.models import DatasetVersion, Image, Job, Movie, SplitPin
from reel_shared.errors import NotFound
from reel_shared.jobs import State
from reel_shared.storage import hasty_storage
from reel_shared.web.envelope import timestamp
from reel_shared.web.routing import Router
from reel_web import catalogue, versions
from reel_web.pages.datasets import SIDES, clock, tile, version_summary
from reel_web.rendering import PageRoute, page
from reel_web.sessions import Reader
from reel_web.versions import SceneView, VersionView

router = Router(route_class=PageRoute)
PAIRS = 6
"""Worst pairs shown, by hash and by time each."""
SHOWN_OF_SCENE = 3
MOST_SCENES = 1500
"""Scenes on one page; ten films of full length have ten times as many, which no browser draws at once."""
RECENT_JOBS = 20


@router.get("/datasets/{name}/versions/{version_id}")
@router.get("/datasets/{name}/versions/{version_id}.json")  # registered first: decorators work from below
def show_version(name: str, version_id: str, request: Request, viewer: Reader, film: str = "") -> Response:
    """The certificate, the worst pairs, the scenes of the films with their sides, and the measured leak gap.

    Of long films the scenes of one at a time are shown: of ``film``, or of the first.
    """
    with reading() as session:
        row = session.get(DatasetVersion, version_id)
        if row is None or row.dataset != name:
            raise NotFound(f"The dataset {name[:64]!r} has no version {version_id[:40]}.")
        seen = versions.view_of(row)
        proof = SplitCertificate.model_validate(row.certificate)
        whole = _whole(row)
        films = catalogue.films(session, name)
        pins = _pins(session, name)
        data = {
            "dataset": name,
            "version": {
                **version_summary(row),
                "job_id": row.job_id,
                "manifest_sha256": row.manifest_sha256,
                "classes": row.classes,
                "left_out": row.left_out,
                "excluded": row.excluded,
                "takedowns": len(row.takedowns),
            },
            "certificate": {
                **proof.model_dump(mode="json"),
                "reason": "" if proof.certified else why_uncertified(proof),
            },
            "figures": _figures(proof),
            "sides": {side: seen.originals[side] for side in SIDES if seen.originals[side]},
            "films": _strips(session, row, seen, pins, film),
            "pins": _pending(seen, pins),
            "pairs": {
                "hash": _pairs(session, whole.worst_by_hash if whole else [], films, seen),
                "time": _pairs(session, whole.worst_by_time if whole else [], films, seen),
            },
            "gap": _gap(session, name),
            "versions": [version_summary(one) for one in catalogue.versions(session, name)],
            "again": _again(row, seen),
            "may_change": viewer.may("submit"),
        }
    return page(request, "version.html", data)


def _whole(row: DatasetVersion) -> LeakCertificate | None:
    if row.certificate_file is None:
        return None  # built before whole certificates were stored
    file = StoredFile.model_validate({k: v for k, v in row.certificate_file.items() if k != "url"})
    data = hasty_storage().get_bytes(file.key, max_bytes=MAX_BYTES, sha256=file.sha256)
    return verify(data, manifest_sha256=row.manifest_sha256)


def _figures(proof: SplitCertificate) -> list[dict[str, Any]]:
    """What was looked for, how often it was found, and what else there is to say; nothing found is good."""
    nearest = [
        f"the nearest are {proof.nearest_distance_across} bits apart"
        if proof.nearest_distance_across is not None
        else ""
    ]
    seconds = (
        f"the nearest are {proof.nearest_seconds_across:g} s apart"
        if proof.nearest_seconds_across is not None
        else ""
    )
    rows: list[tuple[str, int, str]] = [
        ("Scenes on both sides", proof.shared_scenes, ""),
        ("Pictures whose variants lie elsewhere", proof.shared_lineages, ""),
        ("Same files on both sides", proof.shared_files, ""),
        ("Web pages on both sides", proof.shared_pages, ""),
        ("Near duplicates across", proof.near_duplicates_across, nearest[0]),
        ("Near duplicates of negatives across", proof.inverted_near_duplicates_across, ""),
        ("Groups that reach across", proof.groups_across, f"of {proof.groups}"),
        (
            f"Held-out frames within {proof.min_gap_seconds:g} s of training",
            proof.too_near_in_time,
            seconds,
        ),
        ("Variants in validation", proof.variants_in_validation, ""),
    ]
    return [{"name": name, "count": count, "note": note} for name, count, note in rows]


def _pins(session: Session, dataset: str) -> list[SplitPin]:
    return list(session.scalars(sa.select(SplitPin).filter_by(dataset=dataset).order_by(SplitPin.id)))


def _pending(seen: VersionView, pins: list[SplitPin]) -> dict[str, int]:
    """How many pins there are, and how many were set or taken away since the version was built."""
    now, then = {pin.id for pin in pins}, {str(pin["id"]) for pin in seen.pins}
    return {"all": len(now), "added": len(now - then), "removed": len(then - now)}


def _strips(
    session: Session, row: DatasetVersion, seen: VersionView, pins: list[SplitPin], chosen: str
) -> list[dict[str, Any]]:
    """Each film with its scenes in a row; a scene lasts until the next one that gave pictures."""
    of_scene = {(pin.movie_id, pin.scene): pin for pin in pins if pin.scene is not None}
    query = sa.select(Movie).filter_by(dataset=row.dataset).order_by(Movie.title, Movie.id)
    movies = session.scalars(query).all()
    many = sum(map(len, seen.scenes.values())) > MOST_SCENES
    if many and chosen not in {movie.id for movie in movies}:
        chosen = next((movie.id for movie in movies if seen.scenes.get(movie.id)), "")
    found = []
    for movie in movies:
        scenes = seen.scenes.get(movie.id, [])
        ends = [scene.start for scene in scenes[1:]] + [movie.duration_seconds]
        seconds = [max(end - scene.start, 0.1) for scene, end in zip(scenes, ends, strict=False)]
        held = sum(lasts for scene, lasts in zip(scenes, seconds, strict=False) if scene.side == "valid")
        strip = None  # of films that are not shown, most of the work
        if not many or movie.id == chosen:
            strip = [
                _scene(scene, lasts, end, of_scene.get((movie.id, scene.number)))
                for scene, lasts, end in zip(scenes, seconds, ends, strict=False)
            ]
        found.append(
            {
                "movie_id": movie.id,
                "title": movie.title or movie.label,
                "label": movie.label,
                "seconds": movie.duration_seconds,
                "lasts": clock(movie.duration_seconds),
                "count": len(scenes),
                "scenes": strip,
                "address": f"/datasets/{row.dataset}/versions/{row.id}?film={movie.id}",
                "valid_share": held / movie.duration_seconds if movie.duration_seconds else 0.0,
            }
        )
    return found


def _scene(scene: SceneView, seconds: float, end: float, pin: SplitPin | None) -> dict[str, Any]:
    return {
        "number": scene.number,
        "start": scene.start,
        "seconds": seconds,
        "from": clock(scene.start),
        "to": clock(end),
        "side": scene.side,
        "sides": dict(scene.sides),
        "images": scene.images[:: max(1, len(scene.images) // SHOWN_OF_SCENE)][:SHOWN_OF_SCENE],
        "pin": {"id": pin.id, "side": pin.side} if pin is not None else None,
    }


def _pairs(
    session: Session, pairs: list[WorstPair], films: Mapping[str, str], seen: VersionView
) -> list[dict[str, Any]]:
    chosen = pairs[:PAIRS]
    pictures: dict[str, Image] = catalogue.named(
        session, [one for pair in chosen for one in (pair.held_out, pair.train)]
    )
    return [
        {
            "held_out": tile(pictures[pair.held_out], films, seen.side_of),
            "train": tile(pictures[pair.train], films, seen.side_of),
            "bits": pair.bits,
            "inverted": pair.inverted,
            "seconds": pair.seconds,
        }
        for pair in chosen
        if pair.held_out in pictures and pair.train in pictures
    ]


def _gap(session: Session, dataset: str) -> dict[str, Any] | None:
    """The last measured difference that a leaky split would pretend, if it was measured for this dataset."""
    query = sa.select(Job).where(Job.kind == MEASURE_LEAK_GAP.name, Job.state == State.SUCCEEDED)
    for job in session.scalars(query.order_by(Job.created_at.desc(), Job.id.desc()).limit(RECENT_JOBS)):
        if job.request.get("dataset", "default") == dataset:
            result = MeasureLeakGapResult.model_validate(job.result)
            return {
                "job_id": job.id,
                "random": result.random.accuracy,
                "groups": result.groups.accuracy,
                "gap": result.gap,
                "interval": list(result.gap_interval),
                "neighbours": result.neighbours,
                "measured_at": timestamp(job.finished_at),
            }
    return None


def _again(row: DatasetVersion, seen: VersionView) -> dict[str, Any]:
    """What builds the next version on this one: the same request, with the pins as they are by then."""
    request = {**seen.request, "dataset": row.dataset}
    if request.get("strategy", "groups") == "groups":
        request["base_version"] = row.id
    return request
