"""Pictures come into a dataset in their states, one job after another and two at once, and people's word holds."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa

from reel_ingest import admission, decisions
from reel_shared import jobs
from reel_shared.contracts import (
    COLLECT_PICTURES,
    EXTRACT_FRAMES,
    CollectPicturesRequest,
    Counts,
    ExtractFramesRequest,
    Source,
)
from reel_shared.contracts.curation import ChangeImagesRequest, ImageSetting, ResolveConflictRequest
from reel_shared.db.engine import transact, transaction
from reel_shared.db.models import Collection, Image, ImageChange, Movie, Takedown
from reel_shared.ids import new_id

A, B, C = 0xF0F0_F0F0_0F0F_0F0F, 0xAAAA_5555_CCCC_3333, 0x9999_0000_FFFF_6666
pytestmark = pytest.mark.usefixtures("reel_database")


class Run:
    """A job that has judged its pictures and not finished yet."""

    def __init__(self, pictures, label="kiki", source=Source.WEB, dataset="default"):
        with transaction() as session:
            self.parent, row = (_collection if source == Source.WEB else _movie)(session, label, dataset)
        self.sieve = admission.open_sieve(dataset=dataset, label=label, source=source, near_distance=6)
        self.counts, self.ids, self.rows = Counts(), {}, []
        for sha256, phash, *quality in pictures:
            image_id = new_id("img")
            self.ids.setdefault(sha256, image_id)
            common = {"id": image_id, "dataset": dataset, "label": label, "source": source}
            file = {"key": f"pictures/{sha256}", "sha256": sha256, "media_type": "image/png", "size": 1}
            look = {"phash": f"{phash:016x}", "width": 9, "height": 9, "variant": "original"}
            if self.sieve.judge(image_id, sha256, phash, quality=quality[0] if quality else None):
                self.rows.append({**common, **file, **look, **row, "job_id": self.parent.job_id})

    def finish(self):
        def write(session):
            again = type(self.parent)(**{c.key: getattr(self.parent, c.key) for c in self._columns})
            admission.write(session, again, iter(self.rows), self.sieve, self.counts)

        transact(write)
        return self

    @property
    def _columns(self):
        return [c for c in sa.inspect(type(self.parent)).column_attrs if c.key != "created_at"]


def _collection(session, label, dataset):
    request = CollectPicturesRequest(dataset=dataset, label=label, provider="folder", folder="drop/a")
    job_id = jobs.submit(session, COLLECT_PICTURES, request).id
    parent = Collection(id=new_id("col"), dataset=dataset, label=label, provider="folder", job_id=job_id)
    parent.query, parent.style, parent.probe, parent.styles = "", "", "", []
    return parent, {"collection_id": parent.id}


def _movie(session, label, dataset):
    request = ExtractFramesRequest(dataset=dataset, label=label, key="movies/a.mp4")
    job_id = jobs.submit(session, EXTRACT_FRAMES, request).id
    numbers = {"width": 9, "height": 9, "frame_rate": 24.0, "duration_seconds": 9.0, "scenes": 1, "crop": []}
    words = {"title": "", "key": "movies/a.mp4", "codec": "h264", "sampling": {}}
    parent = Movie(id=new_id("mov"), dataset=dataset, label=label, job_id=job_id, **numbers, **words)
    return parent, {"movie_id": parent.id}


def images():
    with transaction() as session:
        return {row.id: row for row in session.scalars(sa.select(Image))}


def stand(*image_ids):
    found = images()
    return [(found[one].state, found[one].state_reason, found[one].duplicate_of) for one in image_ids]


def active():
    return sorted(row.sha256 for row in images().values() if row.state == "active")


def test_everything_is_stored_in_its_state(databases):
    first = Run([("a", A), ("a", A), ("b", A ^ 1), ("black", 0, "dark"), ("c", C)]).finish()
    assert first.counts == Counts(
        seen=5, kept=2, exact_duplicates=1, near_duplicates=1, rejected={"dark": 1}, refused={}
    )
    found = images()
    assert len(found) == 5
    assert stand(first.ids["a"], first.ids["b"], first.ids["black"]) == [
        ("active", "", None),
        ("duplicate", "near-duplicate", first.ids["a"]),
        ("rejected", "dark", None),
    ]
    with transaction() as session:
        assert session.get(Collection, first.parent.id).counts == first.counts.model_dump(mode="json")


def test_a_second_run_adds_nothing_that_is_active():
    pictures = [("a", A), ("b", A ^ 1), ("black", 0, "dark"), ("c", C)]
    first = Run(pictures).finish()
    second = Run(pictures).finish()
    assert active() == ["a", "c"]
    assert (second.counts.kept, second.counts.exact_duplicates, second.counts.near_duplicates) == (0, 2, 1)
    assert stand(second.ids["a"]) == [("duplicate", "exact-duplicate", first.ids["a"])]
    assert Run(pictures, dataset="other").finish().counts.kept == 2


def test_two_jobs_that_store_the_same_at_once_end_with_one_active(databases):
    one, other = Run([("a", A), ("b", B)]), Run([("a", A), ("c", B ^ 1), ("d", B)])
    gate = threading.Barrier(2)

    def finish(run):
        gate.wait()
        run.finish()

    threads = [threading.Thread(target=finish, args=(run,)) for run in (one, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.counts.kept, other.counts.kept] in ([2, 0], [0, 2])
    assert len(active()) == 2
    late, early = (one, other) if other.counts.kept else (other, one)
    assert stand(late.ids["a"]) == [("duplicate", "exact-duplicate", early.ids["a"])]
    assert (late.counts.exact_duplicates, late.counts.near_duplicates) == (1, late.counts.seen - 1)
    found = images()
    assert len(found) == 5
    assert all(found[row.duplicate_of].state == "active" for row in found.values() if row.duplicate_of)


@pytest.mark.parametrize("meanwhile", [False, True])
def test_two_web_pictures_under_two_labels_are_both_quarantined(databases, meanwhile):
    if meanwhile:
        kiki, howl = Run([("a", A), ("b", B)]), Run([("a2", A ^ 1)], "howl")
        kiki.finish(), howl.finish()
    else:
        kiki = Run([("a", A), ("b", B)]).finish()
        howl = Run([("a2", A ^ 1)], "howl").finish()
    assert (howl.counts.conflicts, howl.counts.kept, active()) == (1, 0, ["b"])
    assert stand(kiki.ids["a"], howl.ids["a2"]) == [
        ("quarantined", "conflict", None),
        ("quarantined", "conflict", kiki.ids["a"]),
    ]
    with transaction() as session:
        [change] = session.scalars(sa.select(ImageChange))
        fields = (change.image_id, change.before, change.after, change.reason, change.by)
        assert fields == (kiki.ids["a"], "active", "quarantined", "conflict", howl.parent.job_id)
        decisions.undo(session, change.batch_id, by="key_1")
    assert active() == ["a", "b"]


@pytest.mark.parametrize("film_first", [False, True])
@pytest.mark.parametrize("sha256", ["a", "other"])
def test_a_film_is_right_against_a_web_picture(databases, film_first, sha256):
    film, web = ("kiki", Source.MOVIE), ("howl", Source.WEB)
    order = (film, web) if film_first else (web, film)
    runs = [
        Run([("a" if n == 0 else sha256, A)], label, source).finish()
        for n, (label, source) in enumerate(order)
    ]
    frame, picture = (run.rows[0]["id"] for run in (runs if film_first else runs[::-1]))
    assert stand(frame, picture) == [("active", "", None), ("quarantined", "conflict", frame)]


def test_two_films_that_show_the_same_wait_for_a_person():
    kiki = Run([("logo", A), ("a", B)], "kiki", Source.MOVIE).finish()
    howl = Run([("logo again", A ^ 1), ("b", C)], "howl", Source.MOVIE).finish()
    third = Run([("logo once more", A ^ 2)], "totoro", Source.MOVIE).finish()
    assert active() == ["a", "b"]
    assert [run.counts.conflicts for run in (kiki, howl, third)] == [0, 1, 1]
    with transaction() as session:
        changes = session.scalar(sa.select(sa.func.count()).select_from(ImageChange))
    assert changes == 1


def test_a_conflict_that_was_resolved_does_not_come_back():
    kiki = Run([("a", A)]).finish()
    howl = Run([("a2", A ^ 1)], "howl").finish()
    with transaction() as session:
        decisions.resolve(session, kiki.ids["a"], ResolveConflictRequest(), by="key_1")
    assert stand(howl.ids["a2"]) == [("duplicate", "conflict", kiki.ids["a"])]
    again = Run([("a2", A ^ 1), ("a3", A ^ 3)], "howl").finish()
    assert (again.counts.conflicts, active()) == (0, ["a"])
    assert {row[2] for row in stand(*again.ids.values())} == {kiki.ids["a"]}


def test_what_a_person_rejected_stays_rejected_and_what_a_check_did_is_checked_again():
    run = Run([("a", A), ("soft", B, "blurred")]).finish()
    change = ChangeImagesRequest(image_ids=[run.ids["a"]], set=ImageSetting(state="rejected"))
    with transaction() as session:
        decisions.change(session, change, by="key_1")
    Run([("a", A), ("a again", A ^ 1), ("soft", B)]).finish()
    assert active() == ["soft"]


def test_a_picture_made_active_by_a_person_meanwhile_is_seen(databases):
    run = Run([("a", A, "dark")]).finish()
    late = Run([("a", A)])
    change = ChangeImagesRequest(image_ids=[run.ids["a"]], set=ImageSetting(state="active"))
    with transaction() as session:
        decisions.change(session, change, by="key_1")
    late.finish()
    assert stand(late.ids["a"]) == [("duplicate", "exact-duplicate", run.ids["a"])]


@pytest.mark.parametrize("meanwhile", [False, True])
def test_what_was_taken_down_is_not_stored_again(meanwhile):
    old = Run([("gone", A)]).finish()
    late = Run([("gone", A), ("like it", A ^ 1), ("b", B)], dataset="other") if meanwhile else None
    with transaction() as session:
        session.add(
            Takedown(id="tkd_1", image_id=old.ids["gone"], sha256="gone", phash=f"{A:016x}", reason="asked")
        )
    late = late or Run([("gone", A), ("like it", A ^ 1), ("b", B)], dataset="other")
    late.finish()
    assert (late.counts.refused, late.counts.kept, late.counts.seen) == ({"taken-down": 2}, 1, 3)
    assert sorted(row.sha256 for row in images().values() if row.dataset == "other") == ["b"]


def test_a_transaction_that_is_repeated_counts_once(reel):
    run = Run([("a", A), ("b", B, "dark")])
    with transaction() as session:
        session.add(
            Takedown(id="tkd_1", image_id=Run([("c", C)]).finish().ids["c"], sha256="a", phash="0" * 16)
        )
    run.counts = run.sieve.counts  # as in a job's result
    with transaction() as session:
        admission.write(session, run.parent, run.rows, run.sieve, run.counts)
        session.rollback()
    run.finish()
    assert run.counts == Counts(seen=2, rejected={"dark": 1}, refused={"taken-down": 1})


def test_thousands_of_pictures_in_one_job(databases):
    count = 2 * admission.CHUNK + 10
    run = Run([(f"s{n}", 0, "dark") for n in range(count)]).finish()
    assert (run.counts.rejected, len(images())) == ({"dark": count}, count)
