"""Variants as jobs, on real storage and both databases: lineage, idempotence, races, faults, and HTTP."""

from __future__ import annotations

import hashlib
import io
from datetime import UTC, datetime

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image as Pillow
from starlette.testclient import TestClient

from reel_augment import api, tasks
from reel_augment.tasks import make_variants
from reel_augment.transforms import make_variants as variants_of
from reel_augment.transforms import variant_seed
from reel_shared import jobs
from reel_shared.contracts import (
    COLLECT_PICTURES,
    MAKE_VARIANTS,
    CollectPicturesRequest,
    MakeVariantsRequest,
    Variant,
)
from reel_shared.db.engine import transact, transaction
from reel_shared.db.models import Collection, Image, Job
from reel_shared.ids import new_id
from reel_shared.images import open_picture
from reel_shared.runner import Context, run_job
from reel_shared.security import create_key

pytestmark = pytest.mark.servers


def photograph(seed: int, low: float = 0, high: float = 255) -> bytes:
    y, x = np.mgrid[:70, :110]
    rng = np.random.default_rng(seed)
    waves = np.stack([np.sin(x / 9 + seed), np.sin(x / 13 + y / 7), np.cos(y / 11)], -1) / 2 + 0.5
    pixels = low + (high - low) * (waves + rng.normal(0, 0.01, waves.shape)).clip(0, 1)
    stream = io.BytesIO()
    Pillow.fromarray(pixels.astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def collect(reel):
    """Store pictures as a collection, as ingest leaves them; return their ids."""

    def do(
        collection: str, pictures: list[bytes], *, label="kiki", dataset="default", source="web"
    ) -> list[str]:
        rows = []
        with transaction() as session:
            request = CollectPicturesRequest(label=label, provider="urls", urls=["https://example.org/a.png"])
            job = jobs.submit(session, COLLECT_PICTURES, request)
            if session.get(Collection, collection) is None:
                session.add(
                    Collection(id=collection, dataset=dataset, label=label, provider="urls", job_id=job.id)
                )
                session.flush()
            for data in pictures:
                file = reel.storage.put_bytes("pictures", data, "image/png", ".png")
                rows.append(
                    Image(
                        id=new_id("img"),
                        dataset=dataset,
                        label=label,
                        source=source,
                        key=file.key,
                        sha256=file.sha256,
                        media_type=file.media_type,
                        size=file.size,
                        width=110,
                        height=70,
                        phash="00ff00ff00ff00ff",
                        collection_id=collection,
                        licence="CC-BY 4.0",
                        creator="A. Painter",
                        taken_at=datetime(2020, 5, 6, tzinfo=UTC),
                        style="sketch",
                        job_id=job.id,
                    )
                )
            session.add_all(rows)
        return [row.id for row in rows]

    return do


NOTHING_ELSE = {"gray_frames": 0, "refused": {}, "shares": {}}


def submit(**request) -> str:
    with transaction() as session:
        return jobs.submit(session, MAKE_VARIANTS, MakeVariantsRequest(**request)).id


def run(**request) -> Job:
    job_id = submit(**request)
    run_job(MAKE_VARIANTS, make_variants, job_id)
    with transaction() as session:
        return jobs.get(session, job_id)


def rows(**where) -> list[Image]:
    with transaction() as session:
        return list(session.scalars(sa.select(Image).filter_by(**where).order_by(Image.id)))


def test_every_picture_gets_its_variants_with_their_lineage(reel, databases, collect):
    ordinary, flat = photograph(1), photograph(2, 120, 130)
    first, second = collect("col_1", [ordinary, flat])
    job = run(seed=7)
    assert job.state == "succeeded", job.error
    six = {kind: 1 for kind in Variant if kind not in (Variant.ORIGINAL, Variant.INTENSITY_INVERT)}
    of_flat = variants_of(np.asarray(open_picture(flat)), seed=0)
    expected = {
        kind: six.get(kind, 0) + (kind in of_flat.images) for kind in Variant if kind != Variant.ORIGINAL
    }
    assert job.result == {
        "sources": 2,
        "made": {kind: count for kind, count in expected.items() if count},
        "already": 0,
        "skipped_low_contrast": {kind: 1 for kind in Variant if kind in of_flat.skipped},
        **NOTHING_ELSE,
    }
    assert job.progress_done == job.progress_total == 2
    made = {row.variant: row for row in rows(parent_id=first)}
    assert made.keys() == six.keys()
    exact = variants_of(
        np.asarray(open_picture(ordinary)), seed=variant_seed(rows(id=first)[0].sha256, 7)
    ).images
    for kind, row in made.items():
        data = reel.storage.get_bytes(row.key, max_bytes=10**6, sha256=row.sha256)
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (row.sha256, row.size)
        stored = Pillow.open(io.BytesIO(data))
        assert (stored.format, stored.size) == ("JPEG", (row.width, row.height))
        assert stored.mode == ("L" if kind == Variant.GRAYSCALE else "RGB")
        difference = np.abs(np.asarray(stored.convert("RGB")).astype(int) - exact[Variant(kind)])
        assert difference.mean() < 8, kind
        assert (row.label, row.source, row.style, row.collection_id) == ("kiki", "web", "sketch", "col_1")
        assert (row.licence, row.creator, row.job_id) == ("CC-BY 4.0", "A. Painter", job.id)
        assert row.taken_at == datetime(2020, 5, 6, tzinfo=UTC)
    assert made[Variant.NOISE].seed == variant_seed(rows(id=first)[0].sha256, 7)
    assert made[Variant.LOG].seed is None
    assert {row.variant for row in rows(parent_id=second)} == set(of_flat.images)


def test_running_again_makes_nothing_twice(reel, databases, collect):
    collect("col_1", [photograph(1), photograph(2)])
    first = run()
    standing = rows()
    again = run(seed=99)
    assert again.result == {
        "sources": 2,
        "made": {},
        "already": 12,
        "skipped_low_contrast": {},
        **NOTHING_ELSE,
    }
    assert [row.id for row in rows()] == [row.id for row in standing]
    collect("col_1", [photograph(3)])
    third = run()
    assert (third.result["sources"], third.result["already"]) == (3, 12)
    assert sum(third.result["made"].values()) == sum(first.result["made"].values()) / 2


@pytest.mark.parametrize("third", [False, True])
def test_two_jobs_at_once_leave_one_set_and_no_other_files(reel, databases, collect, third):
    collect("col_1", [photograph(1)])
    leases = [transact(lambda session, job=submit(): jobs.claim(session, job)) for _ in range(2 + third)]
    outcomes = [
        make_variants(Context(lease, time_limit=60), MakeVariantsRequest(seed=seed))
        for seed, lease in enumerate(leases[:2])
    ]
    for lease, outcome in zip(leases, outcomes, strict=False):
        assert transact(lambda session, a=lease, b=outcome: jobs.succeed(session, a, b)) == "succeeded"
    assert len(rows()) == 7
    with transaction() as session:
        made = [jobs.get(session, lease.job_id).result["made"] for lease in leases[:2]]
    assert [sum(counts.values()) for counts in made] == [6, 0]
    files = {one.key for one in reel.storage.list("variants/")}
    named = {row.key for row in rows() if row.parent_id}
    assert named < files if third else named == files, "a job at work may have found the file standing"


def test_the_same_seed_gives_the_same_files(reel, collect):
    collect("col_1", [photograph(1)])
    run(seed=5)
    files = {row.variant: row.sha256 for row in rows()}
    with transaction() as session:
        session.execute(sa.delete(Image).where(Image.variant != Variant.ORIGINAL))
    run(seed=5)
    assert {row.variant: row.sha256 for row in rows()} == files
    with transaction() as session:
        session.execute(sa.delete(Image).where(Image.variant != Variant.ORIGINAL))
    run(seed=6)
    changed = {row.variant for row in rows() if row.sha256 != files[row.variant]}
    assert changed == {Variant.NOISE}


def test_a_job_keeps_to_what_it_was_asked(reel, collect):
    collect("col_1", [photograph(1)], label="kiki")
    collect("col_2", [photograph(2)], label="howl")
    collect("col_3", [photograph(3)], dataset="other")
    collect("col_1", [photograph(4)], source="movie")
    assert run(label="howl").result["sources"] == 1
    assert {row.label for row in rows() if row.parent_id} == {"howl"}
    assert run(collection_id="col_1").result["sources"] == 1
    assert run().result == {
        "sources": 2,
        "made": {},
        "already": 12,
        "skipped_low_contrast": {},
        **NOTHING_ELSE,
    }
    assert run(dataset="empty").result["sources"] == 0


def test_a_damaged_original_fails_the_job_and_writes_nothing(reel, collect):
    good, bad = collect("col_1", [photograph(1), photograph(2)])
    reel.storage.put_at(rows(id=bad)[0].key, photograph(3), "image/png")
    job = run()
    assert job.state == "failed"
    assert job.error["type"] == "urn:reelsight:problem:corrupt-object"
    assert rows(parent_id=good) == []


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"dataset": "nosuch"}, 422, "Dataset 'nosuch' has no web pictures"),
        ({"dataset": "films"}, 422, "Dataset 'films' has no web pictures"),
        ({"label": "howl"}, 422, "of the class 'howl'"),
        ({"collection_id": "col_1", "dataset": "films"}, 422, "is part of dataset 'default'"),
        ({"collection_id": "col_empty"}, 422, "Web collection col_empty has no web pictures"),
        ({"collection_id": "col_9"}, 404, "no web collection col_9"),
        ({"collection_id": "col_1", "grayscale_frames": True}, 422, "without collection_id"),
        ({"collection_id": "col_1", "web_share": 0.5}, 422, "without collection_id"),
        ({"label": "kiki", "collection_id": "col_1"}, 202, ""),
    ],
)
def test_what_would_make_nothing_is_refused_at_the_door(reel, collect, body, status, words):
    collect("col_1", [photograph(1)])
    collect("col_empty", [])
    collect("col_films", [photograph(2)], dataset="films", source="movie")
    with transaction() as session:
        _, token = create_key(session, "test", ["submit"])
    with TestClient(api.app(), headers={"Authorization": f"Bearer {token}"}) as client:
        answer = client.post("/v1/variants", json=body)
    assert answer.status_code == status, answer.text
    assert words in answer.text


def test_jobs_are_submitted_over_http(reel, collect):
    collect("col_1", [photograph(1)])
    with transaction() as session:
        _, token = create_key(session, "test", ["submit"])
        _, reader = create_key(session, "reader", ["read"])
    with TestClient(api.app(), headers={"Authorization": f"Bearer {token}"}) as client:
        answer = client.post("/v1/variants", json={"collection_id": "col_1", "metadata": {"why": "test"}})
        assert answer.status_code == 202, answer.text
        assert answer.headers["Location"] == f"/v1/jobs/{answer.json()['id']}"
        assert answer.json()["metadata"] == {"why": "test"}
        assert run_job(MAKE_VARIANTS, make_variants, answer.json()["id"]) == "succeeded"
        same = [
            client.post("/v1/variants", json={}, headers={"Idempotency-Key": "k"}).json() for _ in range(2)
        ]
        assert same[0]["id"] == same[1]["id"]
        assert client.post("/v1/variants", json={"collection_id": "col_9"}).status_code == 404
        wrong = client.post("/v1/variants", json={"label": "No Label!"})
        assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "#/label")
        assert (
            client.post("/v1/variants", json={}, headers={"Authorization": f"Bearer {reader}"}).status_code
            == 403
        )
        del client.headers["Authorization"]
        assert client.post("/v1/variants", json={}).status_code == 401


def test_only_the_wanted_kinds_are_made_and_the_others_later(reel, databases, collect):
    collect("col_1", [photograph(1), photograph(2)])
    first = run(variants=["invert", "log"])
    assert first.result["made"] == {"invert": 2, "log": 2}
    later = run()
    assert later.result["already"] == 4
    assert "invert" not in later.result["made"]
    assert len([row for row in rows() if row.parent_id]) == 12


def test_as_many_are_made_as_bring_the_web_to_its_share(reel, collect):
    collect("col_1", [photograph(n) for n in range(4)])
    collect("col_1", [photograph(n) for n in range(10, 22)], source="movie")
    job = run(web_share=0.5)
    (share,) = job.result["shares"].values()
    assert (share["frames"], share["web_before"], share["web_after"], share["short"]) == (12, 4, 12, 0)
    assert share["after"] == 0.5
    made = [row.parent_id for row in rows() if row.parent_id]
    assert sorted(made.count(parent) for parent in set(made)) == [2, 2, 2, 2], "spread evenly"


def test_a_share_that_stands_asks_for_nothing_and_one_out_of_reach_says_how_many_lack(reel, collect):
    collect("col_1", [photograph(n) for n in range(2)])
    collect("col_1", [photograph(n) for n in range(10, 16)], source="movie")
    assert sum(run(web_share=0.5).result["made"].values()) == 4
    again = run(web_share=0.5)
    assert (again.result["made"], again.result["already"]) == ({}, 4)
    (share,) = run(web_share=0.9).result["shares"].values()
    assert (share["web_after"], share["short"]) == (14, 54 - 14)
    assert share["after"] == 14 / 20


def test_fast_noise_is_a_matter_of_the_picture_and_the_seed(reel, collect):
    ids = collect("col_1", [photograph(1), photograph(2)])
    run(noise="fast", format="webp", seed=7)
    for image_id, data in zip(ids, (photograph(1), photograph(2)), strict=True):
        seed = variant_seed(rows(id=image_id)[0].sha256, 7)
        (row,) = rows(parent_id=image_id, variant="noise")
        wanted = variants_of(np.asarray(open_picture(data)), seed=seed, noise="fast")
        stored = reel.storage.get_bytes(row.key, max_bytes=10**6)
        assert row.seed == seed
        assert np.array_equal(np.asarray(open_picture(stored)), wanted.images[Variant.NOISE])


def test_pictures_that_take_no_part_get_no_variants(reel, collect):
    first, second = collect("col_1", [photograph(1), photograph(2)])
    with transaction() as session:
        session.get(Image, first).state = "rejected"
    assert run().result["sources"] == 1
    assert {row.parent_id for row in rows() if row.parent_id} == {second}


def change(state: str, *ids: str) -> None:
    with transaction() as session:
        session.execute(sa.update(Image).where(Image.id.in_(ids)).values(state=state))


def test_what_left_while_the_job_ran_gets_no_variants(reel, databases, collect):
    stays, rejected, removed = collect("col_1", [photograph(n) for n in (1, 2, 3)])
    lease = transact(lambda session: jobs.claim(session, submit()))
    outcome = make_variants(Context(lease, time_limit=60), MakeVariantsRequest())
    stored = {one.key for one in reel.storage.list("variants/")}
    assert len(stored) == 18
    change("rejected", rejected)
    change("removed", removed)
    transact(lambda session: jobs.succeed(session, lease, outcome))
    made = [row for row in rows() if row.parent_id]
    assert {row.parent_id for row in made} == {stays}
    with transaction() as session:
        result = jobs.get(session, lease.job_id).result
    assert result["made"] == {row.variant: 1 for row in made}
    assert result["refused"] == {"no-longer-active": 2}
    left = {one.key for one in reel.storage.list("variants/")}
    assert {row.key for row in made} < left
    assert len(stored - left) == 6, "what was taken down leaves no file; what was rejected may come back"
    change("active", rejected)
    assert sum(run().result["made"].values()) == 6
    assert {row.parent_id for row in rows() if row.parent_id} == {stays, rejected}


def test_what_was_taken_down_before_it_was_opened_is_left_out(reel, collect, monkeypatch):
    stays, removed = collect("col_1", [photograph(n) for n in (1, 2)])
    look = tasks._stocks

    def meanwhile(session, originals):
        found = look(session, originals)
        session.execute(sa.update(Image).where(Image.id == removed).values(state="removed"))
        reel.storage.delete(next(image.key for image in originals if image.id == removed))
        return found

    monkeypatch.setattr(tasks, "_stocks", meanwhile)
    with transaction() as session:
        session.get(Image, removed).impossible_variants = ["log"]
    job = run()
    assert job.error is None, job.error
    assert (sum(job.result["made"].values()), job.result["refused"]) == (6, {"no-longer-active": 1})
    assert {row.parent_id for row in rows() if row.parent_id} == {stays}
    assert rows(id=removed)[0].impossible_variants == ["log"], "nothing new was learnt of it"


def test_a_file_that_another_picture_lies_in_stays(reel, collect):
    (first,) = collect("col_1", [photograph(1)])
    run()
    (second,) = collect("col_2", [photograph(1)], dataset="other")
    lease = transact(lambda session: jobs.claim(session, submit(dataset="other")))
    outcome = make_variants(Context(lease, time_limit=60), MakeVariantsRequest(dataset="other"))
    change("removed", second)
    transact(lambda session: jobs.succeed(session, lease, outcome))
    standing = rows(parent_id=first)
    assert len(standing) == 6
    for row in standing:
        assert reel.storage.get_bytes(row.key, max_bytes=10**6, sha256=row.sha256)


def test_gray_copies_of_half_the_frames_keep_their_scene(reel, collect):
    collect("col_1", [photograph(n) for n in range(4)], source="movie")
    job = run(grayscale_frames=True)
    assert job.result["gray_frames"] == 2
    assert {row.variant for row in rows() if row.parent_id} == {"grayscale"}
    assert run(grayscale_frames=True).result["gray_frames"] == 0


def test_lossless_variants_are_what_scikit_image_makes(reel, collect):
    (first,) = collect("col_1", [photograph(1)])
    run(format="webp", seed=7)
    exact = variants_of(
        np.asarray(open_picture(photograph(1))), seed=variant_seed(rows(id=first)[0].sha256, 7)
    )
    for row in rows(parent_id=first):
        data = reel.storage.get_bytes(row.key, max_bytes=10**6)
        assert np.array_equal(np.asarray(open_picture(data)), exact.images[Variant(row.variant)])
