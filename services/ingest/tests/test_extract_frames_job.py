"""The job that takes frames out of films, on a real database and real storage."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from PIL import Image as Pillow

from reel_ingest import frames, packets, tasks
from reel_ingest.film_cache import FilmCache
from reel_ingest.frame_records import read_range, write_range
from reel_shared import jobs
from reel_shared.contracts import EXTRACT_FRAMES, ExtractFramesRequest, FrameChecks
from reel_shared.db.engine import transaction
from reel_shared.db.models import Job, Movie, Takedown
from reel_shared.errors import Corrupt, NotFound
from reel_shared.object_storage import Storage
from reel_shared.runner import run_job

pytestmark = pytest.mark.servers


def test_a_film_goes_from_upload_to_frames(client, run, reel, databases, bordered, rows):
    form = {"label": "kiki", "title": "The Film", "every_frames": "12", "metadata": '{"batch": "spring"}'}
    answer = client.post("/v1/movies", data=form, files={"file": ("film.mp4", bordered.read_bytes())})
    assert answer.status_code == 202, answer.text
    assert answer.json()["metadata"] == {"batch": "spring"}
    job = run(answer.json()["id"])
    assert job.error is None
    result = job.result
    assert result["crop"] == [14, 0, 14, 0]
    assert (result["scenes"], result["width"], result["height"], result["codec"]) == (5, 160, 100, "h264")
    counts = result["counts"]
    assert counts["seen"] == 9
    assert (counts["refused"], counts["rejected"]) == ({}, {"dark": 1})
    assert counts["kept"] + counts["near_duplicates"] == 8
    assert counts["kept"] >= 4

    [movie] = rows(Movie)
    assert (movie.id, movie.title, movie.crop) == (result["movie_id"], "The Film", [14, 0, 14, 0])
    assert movie.counts == counts
    assert len(rows()) == counts["seen"]
    assert [image.state_reason for image in rows(state="rejected")] == ["dark"]
    images = rows(state="active")
    assert {image.duplicate_of for image in rows(state="duplicate")} <= {image.id for image in images}
    assert len(images) == counts["kept"]
    assert {image.scene for image in images} == {0, 1, 2, 3}
    assert job.progress_message == f"{counts['kept']} frames kept"
    assert (job.progress_done, job.progress_total, job.progress_unit) == (4, 4, "seconds of film")
    for image in images:
        assert (image.label, image.source, image.movie_id) == ("kiki", "movie", movie.id)
        assert image.time_seconds == pytest.approx(image.frame_index / 24)
        assert image.scene == image.frame_index // 24
        stored = Pillow.open(
            io.BytesIO(reel.storage.get_bytes(image.key, max_bytes=10**6, sha256=image.sha256))
        )
        assert stored.size == (image.width, image.height) == (160, 72)


def test_the_same_film_again_adds_duplicates_only(submit, reel, bordered, rows):
    key = reel.storage.put_file("movies", bordered, "video/mp4", ".mp4").key
    request = ExtractFramesRequest(label="kiki", key=key, every_frames=24)
    first = submit(EXTRACT_FRAMES, request).result["counts"]
    second = submit(EXTRACT_FRAMES, request).result["counts"]
    assert first["kept"] == 4
    assert second["kept"] == 0
    assert second["exact_duplicates"] == 4
    first_frames = {image.sha256: image.id for image in rows(state="active")}
    assert len(first_frames) == 4
    for image in rows(state="duplicate"):
        assert (image.state_reason, image.duplicate_of) == ("exact-duplicate", first_frames[image.sha256])


def test_crop_and_size_as_asked(submit, reel, bordered, rows):
    key = reel.storage.put_file("movies", bordered, "video/mp4", ".mp4").key
    # The ball is cut off, and the backdrop behind it has no edge.
    request = ExtractFramesRequest(
        label="kiki",
        key=key,
        every_seconds=2,
        crop_borders=20,
        width=60,
        height=60,
        keep_aspect=False,
        quality_checks=FrameChecks(blurred=None),
    )
    assert submit(EXTRACT_FRAMES, request).result["crop"] == [20, 20, 20, 20]
    assert {(image.width, image.height) for image in rows()} == {(60, 60)}


def test_no_film_fails_for_good_with_a_reason(submit, reel, rows):
    key = reel.storage.put_bytes("movies", b"not a film" * 100, "video/mp4", ".mp4").key
    job = submit(EXTRACT_FRAMES, ExtractFramesRequest(label="kiki", key=key))
    assert (job.state, job.attempt) == ("failed", 1)
    assert job.error["type"] == "urn:reelsight:problem:bad-movie"
    missing = submit(EXTRACT_FRAMES, ExtractFramesRequest(label="kiki", key="movies/nothing.mp4"))
    assert missing.error["type"] == "urn:reelsight:problem:not-found"
    assert rows() == rows(Movie) == []


def test_a_canceled_film_leaves_no_rows(reel, bordered, rows):
    key = reel.storage.put_file("movies", bordered, "video/mp4", ".mp4").key
    with transaction() as session:
        job_id = jobs.submit(session, EXTRACT_FRAMES, ExtractFramesRequest(label="kiki", key=key)).id

    def canceled_meanwhile(context, request):
        with transaction() as session:
            jobs.cancel(session, job_id)
        return tasks.extract_frames(context, request)

    assert run_job(EXTRACT_FRAMES, canceled_meanwhile, job_id) == "canceled"
    assert rows() == rows(Movie) == []


# --- in ranges ------------------------------------------------------------------------------------------------


@pytest.fixture
def key(reel, film) -> str:
    """96 numbered frames in four scenes, with a keyframe every twelfth."""
    return reel.storage.put_file("movies", film("numbered.mp4"), "video/mp4", ".mp4").key


@pytest.fixture
def extract(submit, key, rows):
    """Extract into a dataset of its own; gives the job and what it stored, frame by frame."""

    def do(dataset, **wish):
        request = ExtractFramesRequest(dataset=dataset, label="kiki", key=key, **wish)
        job = submit(EXTRACT_FRAMES, request)
        assert job.error is None
        images = sorted(rows(job_id=job.id), key=lambda image: image.frame_index)
        fields = ("sha256", "pts", "time_seconds", "scene", "frame_index", "state", "phash", "quality")
        return job, [[getattr(image, name) for name in fields] for image in images]

    return do


@pytest.mark.parametrize(
    "wish", [{"every_frames": 5}, {"every_seconds": 0.4, "start_seconds": 0.9, "end_seconds": 3.3}]
)
def test_a_film_in_ranges_gives_the_same_rows_as_in_one_pass(databases, wish, rows, extract):
    whole, expected = extract("whole", parts=1, **wish)
    cut, found = extract("cut", parts=4, **wish)
    assert found == expected
    assert len(found) > 5
    assert (whole.result["parts"], cut.result["parts"]) == (1, 4)
    drop = {"movie_id", "parts"}
    assert {k: v for k, v in cut.result.items() if k not in drop} == {
        k: v for k, v in whole.result.items() if k not in drop
    }
    assert cut.result["notes"] == []
    parts = rows(Job, parent_id=cut.id)
    assert [(part.part, part.state) for part in parts] == [(number, "succeeded") for number in range(4)]
    assert sum(part.progress_total for part in parts) == cut.progress_total == cut.progress_done
    assert rows(Job, parent_id=whole.id) == []


def test_a_short_film_is_one_job(rows, extract):
    job, _ = extract("short")
    assert (job.result["parts"], rows(Job, parent_id=job.id)) == (1, [])


def test_frames_by_scene_in_one_part_whatever_is_wished(extract):
    job, found = extract("scenes", per_scene=2, parts=3)
    assert [scene for _, _, _, scene, *_ in found] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert job.result["parts"] == 1
    assert job.result["notes"] == ["The film was cut into 1, not 3, because frames are chosen by scene."]


def test_fast_mode_says_how_far_off_its_frames_are(extract):
    exact, _ = extract("exact", every_frames=7)
    fast, _ = extract("fast", every_frames=7, mode="fast", parts=2)
    assert (exact.result["mode"], exact.result["largest_shift_seconds"]) == ("exact", 0.0)
    assert (fast.result["mode"], fast.result["parts"]) == ("fast", 2)
    assert abs(fast.result["largest_shift_seconds"]) <= 3 / 24


def test_a_film_that_is_not_what_its_packets_say_is_decoded_in_one_part(monkeypatch, rows, extract):
    _, expected = extract("truth", every_frames=5)
    real = packets.read_table

    def lies(container, stream):
        table = real(container, stream)
        shown = table.shown.copy()
        shown[50] += 3
        return replace(table, shown=shown)

    monkeypatch.setattr("reel_ingest.decoding.read_table", lies)
    job, found = extract("lies", every_frames=5, parts=3)
    assert found == expected
    assert job.result["parts"] == 1
    assert job.result["notes"] == [
        "Every frame was decoded, because a frame is not where its packet says.",
        "The film was cut into 1, not 3, because a frame is not where its packet says.",
    ]
    assert {part.state for part in rows(Job, parent_id=job.id)} <= {"succeeded", "failed", "canceled"}


def test_the_film_is_downloaded_once_for_all_its_ranges(key, monkeypatch, extract):
    asked, real = [], Storage.get_file

    def get_file(self, wanted, *args, **options):
        asked.append(wanted)
        return real(self, wanted, *args, **options)

    monkeypatch.setattr(Storage, "get_file", get_file)
    extract("once", every_frames=5, parts=4)
    assert asked.count(key) == 1
    assert len(asked) == 5, "and the record of each range"


def test_a_frame_that_was_taken_down_is_not_stored_again(reel, rows, extract):
    _, before = extract("before", every_frames=24)
    gone = rows(dataset="before", frame_index=24)[0]
    with transaction() as session:
        session.add(
            Takedown(
                id="tkd_1", image_id=gone.id, sha256=gone.sha256, phash=gone.phash, reason="", by="key_1"
            )
        )
    reel.storage.delete(gone.key)
    job, after = extract("after", every_frames=24)
    assert after == [row for row in before if row[4] != 24]
    assert job.result["counts"]["refused"] == {"taken-down": 1}
    assert not reel.storage.exists(gone.key)


def test_the_films_row_says_what_was_asked_and_what_came_of_it(client, submit, reel, bordered):
    key = reel.storage.put_file("movies", bordered, "video/mp4", ".mp4").key
    result = submit(EXTRACT_FRAMES, ExtractFramesRequest(label="kiki", key=key, every_seconds=0.5)).result
    [movie] = client.get("/v1/movies").json()["data"]
    assert movie["counts"] == result["counts"]
    assert movie["sampling"] == {
        "every_frames": None,
        "every_seconds": 0.5,
        "per_scene": None,
        "start_seconds": 0.0,
        "end_seconds": None,
        "mode": "exact",
    }
    assert movie["borders"]["crop"] == [14, 0, 14, 0]
    picture = movie["borders"]["picture"]
    assert picture["url"].startswith("http")
    assert Pillow.open(io.BytesIO(reel.storage.get_bytes(picture["key"], max_bytes=10**6))).format == "JPEG"


# --- the parts of it ------------------------------------------------------------------------------------------


def test_the_cache_holds_one_film_as_it_is_now(reel):
    cache, storage = FilmCache(), reel.storage
    storage.put_at("drop/a.mp4", b"first", "video/mp4")
    storage.put_at("drop/b.mp4", b"other", "video/mp4")
    path = cache.fetch("drop/a.mp4")
    written = path.stat().st_mtime_ns
    assert cache.fetch("drop/a.mp4").stat().st_mtime_ns == written, "not downloaded again"
    assert cache.fetch("drop/b.mp4").read_bytes() == b"other"
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert cache.fetch("drop/a.mp4").read_bytes() == b"first"
    storage.put_at("drop/a.mp4", b"again", "video/mp4")
    assert cache.fetch("drop/a.mp4").read_bytes() == b"again"
    with pytest.raises(NotFound):
        cache.fetch("drop/none.mp4")
    cache.close()
    assert not path.parent.exists()
    assert cache.fetch("drop/a.mp4").read_bytes() == b"again"
    cache.close()


def test_a_record_without_its_end_is_refused(tmp_path):
    path = tmp_path / "range.jsonl"
    with path.open("w") as file:
        assert write_range(file, [], frames.RangeScores(), frames.Tally(lost=2)) == 0
    assert read_range(path).tally.lost == 2
    path.write_text("")
    with pytest.raises(Corrupt):
        read_range(path)


@pytest.mark.parametrize(
    "steps",
    [{"every_frames": 2, "per_scene": 1}, {"every_seconds": 2, "per_scene": 1}, {"parts": 0}, {"parts": 65}],
)
def test_wishes_that_do_not_fit(steps):
    with pytest.raises(ValueError, match=r"give one of|less than or equal|greater than or equal"):
        ExtractFramesRequest(label="kiki", key="movies/a.mp4", **steps)
