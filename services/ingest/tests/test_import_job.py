"""The job that imports a dataset, on a real database and real storage."""

from __future__ import annotations

import hashlib
import io
import stat
import threading
import time
import zipfile
from collections import Counter

import pytest
import sqlalchemy as sa
from PIL import Image as Pillow
from PIL import ImageOps

from reel_ingest import admission, tasks
from reel_ingest.ledger import Ledger
from reel_shared import jobs
from reel_shared.contracts import (
    IMPORT_DATASET,
    TAKE_DOWN_PICTURES,
    ImportDatasetRequest,
    TakeDownPicturesRequest,
)
from reel_shared.db.engine import transaction
from reel_shared.db.models import Candidate, Collection, Image, Job, Movie, SplitPin, Takedown
from reel_shared.errors import Unavailable
from reel_shared.runner import run_job

pytestmark = pytest.mark.servers


@pytest.fixture
def imported(reel, submit, zipped):
    """Store a zip of these members and import it; gives the job's row."""

    def do(members, **fields):
        content = members if isinstance(members, bytes) else zipped(members)
        key = reel.storage.put_bytes("uploads", content, "application/zip", ".zip").key
        job = submit(IMPORT_DATASET, ImportDatasetRequest(key=key, dataset="d", **fields))
        assert job.state == "succeeded" or job.error, job.state
        return job

    return do


@pytest.fixture
def sides_of_pets(picture):
    """Folders of sides and classes with a picture each."""
    return {
        "pets/train/Kiki/1.png": picture(1),
        "pets/train/Kiki/2.jpg": picture(2, "JPEG"),
        "pets/train/Mulan/3.png": picture(3),
        "pets/val/Kiki/4.png": picture(4),
        "pets/val/Mulan/5.png": picture(5),
        "pets/probe-cosplay/Mulan/6.png": picture(6),
        "pets/README.txt": b"hello",
    }


def test_folders_of_sides_come_in_with_pins(imported, reel, databases, rows, picture, sides_of_pets):
    result = imported(sides_of_pets, licence="CC0 1.0").result
    assert result["counts"]["kept"] == result["counts"]["seen"] == 6
    assert result["classes"] == {"kiki": 3, "mulan": 3}
    assert result["sides"] == {"probe-cosplay": 1, "train": 3, "valid": 2}
    assert (result["pins"], result["renamed"]) == (5, {"kiki": "Kiki", "mulan": "Mulan"})
    assert (result["own_export"], result["movie_ids"], result["licences"]) == (False, [], {"CC0 1.0": 6})
    images = rows(state="active")
    assert {i.sha256 for i in images} == {
        hashlib.sha256(d).hexdigest() for n, d in sides_of_pets.items() if "R" not in n
    }
    assert {(i.source, i.style, i.provider, i.licence, i.url) for i in images} == {
        ("web", "imported", "import", "CC0 1.0", "")
    }
    assert [(i.label, i.sha256) for i in images if i.probe == "cosplay"] == [
        ("mulan", hashlib.sha256(picture(6)).hexdigest())
    ]
    sides = {pin.image_id: pin.side for pin in rows(SplitPin)}
    assert Counter(sides.values()) == {"train": 3, "valid": 2}
    valid = {hashlib.sha256(picture(n)).hexdigest() for n in (4, 5)}
    assert {i.sha256 for i in images if sides.get(i.id) == "valid"} == valid
    [collection] = rows(Collection)
    assert (collection.provider, collection.label, collection.id) == ("import", "", result["collection_id"])
    assert {i.collection_id for i in images} == {collection.id}
    [follow_up] = rows(Job, kind="augment.make_variants")
    assert follow_up.request["collection_id"] == collection.id


def test_two_imports_of_one_film_at_once(imported, databases, rows, picture):
    table = "file_name,movie,scene\n{0},Kiki,{1}\n"
    first = {"kiki/1.png": picture(1), "images.csv": table.format("kiki/1.png", 0).encode()}
    second = {"kiki/2.png": picture(2), "images.csv": table.format("kiki/2.png", 1).encode()}
    [movie_id] = imported(first).result["movie_ids"]
    with transaction() as session:
        movie = session.get_one(Movie, movie_id)
        facts = {column.key: getattr(movie, column.key) for column in sa.inspect(Movie).column_attrs}
        session.execute(sa.delete(Image).filter_by(movie_id=movie_id))
        session.execute(sa.delete(Movie).filter_by(id=movie_id))
    here = threading.Event()

    def other_import():
        with transaction() as session:
            admission.enter(session, "d")
            session.execute(sa.insert(Movie), [facts])
            here.set()
            time.sleep(1.5)  # the job below has come to its end meanwhile, and waits

    thread = threading.Thread(target=other_import)
    thread.start()
    here.wait()
    job = imported(second)
    thread.join()
    assert job.error is None, job.error
    assert [(one.id, one.scenes) for one in rows(Movie)] == [(movie_id, 2)]


def test_the_same_zip_twice_adds_nothing(imported, rows, sides_of_pets):
    assert imported(sides_of_pets).result["counts"]["kept"] == 6
    before = (
        [(i.id, i.state) for i in rows()],
        [p.id for p in rows(SplitPin)],
        [c.id for c in rows(Collection)],
    )
    again = imported(sides_of_pets).result
    assert again["counts"] == {
        "seen": 6, "kept": 0, "exact_duplicates": 0, "near_duplicates": 0, "conflicts": 0, "rejected": {},
        "refused": {"already-there": 6},
    }  # fmt: skip
    assert (again["pins"], again["collection_id"], again["movie_ids"]) == (0, None, [])
    assert before == ([(i.id, i.state) for i in rows()], [p.id for p in rows(SplitPin)],
                      [c.id for c in rows(Collection)])  # fmt: skip
    assert len(rows(Job, kind="augment.make_variants")) == 1


def test_frames_become_a_film_and_later_ones_join_it(imported, reel, rows, picture):
    head = "file_name,label,split,source,movie_id,scene,time_seconds,frame_index,title,licence\n"
    lines = [
        f"{n}.png,kiki,{'valid' if n == 3 else 'train'},movie,mov_7,mov_7:{n // 2},{n / 2},{12 * n},The film,"
        for n in range(4)
    ]
    content = {f"{n}.png": picture(n) for n in range(4)}
    content["5.png"] = picture(5)
    table = head + "\n".join([*lines[:3], "5.png,mulan,valid,web,,,,,A drawing,CC BY 4.0"])
    result = imported({**content, "frames.csv": table}).result
    [movie] = rows(Movie)
    assert result["movie_ids"] == [movie.id]
    assert (movie.title, movie.label, movie.scenes, movie.frame_rate) == ("The film", "kiki", 2, 24.0)
    assert (movie.width, movie.height, movie.duration_seconds) == (300, 200, 1.0)
    frames = rows(movie_id=movie.id)
    assert [(f.source, f.scene, f.time_seconds, f.frame_index, f.style) for f in frames] == [
        ("movie", 0, 0.0, 0, ""),
        ("movie", 0, 0.5, 12, ""),
        ("movie", 1, 1.0, 24, ""),
    ]
    assert result["counts"]["refused"] == {"no-class": 1}  # a picture beside the table, in no folder
    pins = [(pin.movie_id, pin.scene, pin.side) for pin in rows(SplitPin, image_id=None)]
    assert sorted(pins) == [(movie.id, 0, "train"), (movie.id, 1, "train")]

    table = head + "\n".join([*lines, "5.png,mulan,valid,web,,,,,A drawing,CC BY 4.0"])
    more = imported({**content, "frames.csv": table}).result
    assert (more["counts"]["kept"], more["counts"]["refused"]) == (1, {"already-there": 4})
    assert [m.id for m in rows(Movie)] == [movie.id]
    assert [f.scene for f in rows(movie_id=movie.id)] == [0, 0, 1, 1]
    assert more["pins"] == 0, "the scene stays where it is pinned"


def test_a_scene_on_both_sides_is_not_pinned(imported, rows, picture):
    head = "file_name,label,split,source,movie,scene\n"
    table = head + "".join(
        f"{n}.png,{'kiki' if n < 3 else 'mulan'},{'valid' if n % 2 else 'train'},movie,Film {n // 3},0\n"
        for n in (0, 1, 3)
    )
    result = imported({**{f"{n}.png": picture(n) for n in (0, 1, 3)}, "t.csv": table}).result
    assert result["notes"] == [
        "1 groups of pictures that hang together by scene, web page or likeness would lie on both sides; they are "
        "not pinned, and the next version puts each of them on one side."
    ]
    assert [pin.side for pin in rows(SplitPin)] == ["valid"]


def export_of(*pictures):
    """An export, which is not judged for near copies: name, side, class, bytes and page of each picture."""
    head = "file_name,split,id,label,source,variant,parent_id,style,sha256,phash,group,page_url\n"
    lines = [
        f"{name},{side},img_{name[0]},{label},web,original,,,{hashlib.sha256(data).hexdigest()},,,{page}\n"
        for name, side, label, data, page in pictures
    ]
    return {**{name: data for name, _, _, data, _ in pictures}, "images.csv": head + "".join(lines)}


def altered(data, *, negative=False):
    image = Pillow.open(io.BytesIO(data)).convert("RGB")
    buffer = io.BytesIO()
    (ImageOps.invert(image) if negative else image).save(buffer, "JPEG", quality=60)
    return buffer.getvalue()


def test_near_copies_on_both_sides_are_not_pinned(imported, rows, picture):
    split_at_random = export_of(
        ("1.png", "train", "a", picture(1), ""),
        ("2.jpg", "valid", "a", altered(picture(1)), ""),
        ("3.png", "train", "a", picture(3), ""),
        ("4.jpg", "valid", "a", altered(picture(3), negative=True), ""),
        ("5.png", "train", "b", picture(5), ""),
        ("6.jpg", "train", "b", altered(picture(5)), ""),
        ("7.png", "valid", "b", picture(7), ""),
    )
    result = imported(split_at_random).result
    assert (result["counts"]["kept"], result["pins"]) == (7, 3)
    assert result["notes"][0].startswith("2 groups of pictures")
    assert sorted(pin.side for pin in rows(SplitPin)) == ["train", "train", "valid"]


def test_what_hangs_together_with_what_is_pinned_elsewhere_is_not_pinned(imported, rows, picture):
    page = "https://x.org/"
    other = ("9.png", "valid", "b", picture(9), "")
    imported(export_of(("1.png", "train", "a", picture(1), f"{page}1"), other))
    [pinned, _] = rows(SplitPin)
    later = export_of(
        ("2.png", "valid", "a", picture(2), f"{page}1/#top"),
        ("3.png", "train", "a", picture(3), f"{page}1"),
        ("4.png", "train", "a", picture(4), f"{page}4"),
    )
    result = imported(later).result
    assert (result["pins"], result["notes"][0][:8]) == (1, "1 groups")
    sides = {pin.image_id: pin.side for pin in rows(SplitPin)}
    assert (len(sides), sides[pinned.image_id]) == (3, "train")


def test_a_hostile_zip(imported, rows, picture):
    link = zipfile.ZipInfo("a/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/good.png", picture(1))
        file.writestr("../../a/slip.png", picture(2))
        file.writestr("a/page.jpg", b"<html><script>alert(1)</script></html>")
        file.writestr(link, b"/etc/passwd")
        file.writestr("a/bomb.png", bytes(5_000_000))
        file.writestr("a/lie.png", picture(3))
        file.writestr(
            "metadata.csv",
            "file_name,label,sha256\n../../../etc/passwd,a,\n/etc/shadow,a,\n"
            f"a/gone.png,a,\na/lie.png,a,{'0' * 64}\na/good.png,a,\n",
        )
    result = imported(buffer.getvalue()).result
    assert result["counts"]["refused"] == {
        "bomb": 1, "link": 1, "missing": 1, "not-a-picture": 1, "unsafe-path": 3, "wrong-hash": 1,
    }  # fmt: skip
    assert [row.sha256 for row in rows()] == [hashlib.sha256(picture(1)).hexdigest()]
    reasons = {c.url: c.reason for c in rows(Candidate)}
    assert reasons["../../a/slip.png"] == reasons["../../../etc/passwd"] == "unsafe-path"


def test_copies_and_contradictions_are_judged_across_classes(imported, rows, picture):
    noisy = Pillow.open(io.BytesIO(picture(1)))
    buffer = io.BytesIO()
    noisy.save(buffer, "JPEG", quality=60)
    counts = imported(
        {"a/1.png": picture(1), "a/2.jpg": buffer.getvalue(), "a/3.png": picture(3), "b/4.png": picture(3),
         "b/5.png": picture(5)}
    ).result["counts"]  # fmt: skip
    assert (counts["kept"], counts["near_duplicates"], counts["conflicts"]) == (2, 1, 2)
    states = {(i.label, i.state) for i in rows(sha256=hashlib.sha256(picture(3)).hexdigest())}
    assert states == {("a", "quarantined"), ("b", "quarantined")}


def test_an_export_is_not_judged_again_unless_asked(imported, rows, picture):
    grey = io.BytesIO()
    Pillow.new("RGB", (300, 200), (90, 90, 90)).save(grey, "PNG")
    near = io.BytesIO()
    Pillow.open(io.BytesIO(picture(1))).save(near, "JPEG", quality=60)
    files = {"train/a/1.png": picture(1), "train/a/2.jpg": near.getvalue(), "valid/b/3.png": grey.getvalue()}
    head = "file_name,split,id,label,source,variant,parent_id,style,sha256,phash,group\n"
    lines = [
        f"{name},{name[:5]},img_{number},{name[6]},web,original,,,{hashlib.sha256(data).hexdigest()},{'0' * 16},\n"
        for number, (name, data) in enumerate(files.items())
    ]
    content = {**files, "images.csv": head + "".join(lines)}
    result = imported(content).result
    assert result["own_export"]
    assert result["counts"]["kept"] == 3
    assert {i.style for i in rows()} == {""}
    assert "0" * 16 not in {i.phash for i in rows(label="a")}, "a table's hash is taken when it is near"

    with transaction() as session:
        session.execute(sa.delete(SplitPin))
        session.execute(sa.update(Image).values(dataset="elsewhere"))
    again = imported(content, recheck=True).result["counts"]
    assert (again["kept"], again["near_duplicates"], again["rejected"]) == (1, 1, {"low-information": 1})


def test_an_attempt_that_failed_is_continued(imported, reel, monkeypatch, rows, zipped, sides_of_pets):
    key = reel.storage.put_bytes("uploads", zipped(sides_of_pets), "application/zip", ".zip").key
    reel.configure(jobs__retry_base_seconds=0.001, jobs__retry_max_seconds=0.001)
    with transaction() as session:
        job_id = jobs.submit(session, IMPORT_DATASET, ImportDatasetRequest(key=key, dataset="d")).id
    store, stored = Ledger.store, []

    def failing(self, candidate, image):
        store(self, candidate, image)
        stored.append(candidate.url)
        if len(stored) == 3:
            raise Unavailable("The power is out.")

    monkeypatch.setattr(Ledger, "store", failing)
    assert run_job(IMPORT_DATASET, tasks.import_dataset, job_id) == "running"
    assert (len(rows(Candidate)), rows()) == (3, [])
    states = (run_job(IMPORT_DATASET, tasks.import_dataset, job_id) for _ in range(1000))
    assert next(state for state in states if state is not None) == "succeeded"
    assert len(stored) == len(set(stored)) == 6
    assert len(rows(state="active")) == 6
    assert len(rows(SplitPin)) == 5


def test_what_was_taken_down_does_not_come_back(imported, submit, reel, rows, picture):
    table = "file_name,label,page_url\n1.png,a,https://x.org/1\n2.png,a,https://x.org/2\n"
    imported({"1.png": picture(1), "2.png": picture(2), "t.csv": table})
    [gone] = rows(page_url="https://x.org/1")

    def take_down(**what):
        job = submit(TAKE_DOWN_PICTURES, TakeDownPicturesRequest(reason="asked", **what))
        assert job.state == "succeeded"

    def of_the_same_page(number):
        table = f"file_name,label,page_url\nb/{number}.png,b,https://x.org/1\n"
        return imported({f"b/{number}.png": picture(number), "t.csv": table}).result["counts"]

    take_down(image_id=gone.id)
    assert imported({"c/1.png": picture(1)}).result["counts"]["refused"] == {"taken-down": 1}
    assert of_the_same_page(3)["kept"] == 1, "one picture was taken down, not its page"
    assert [row.page_url for row in rows(Takedown)] == [""]
    take_down(page_url="https://x.org/1")
    assert of_the_same_page(4)["refused"] == {"taken-down": 1}
    assert {row.page_url for row in rows(Takedown)} == {"https://x.org/1"}


def test_a_bad_table_fails_the_job_with_its_line(imported, picture):
    job = imported({"a/1.png": picture(1), "metadata.csv": "file_name,split\na/1.png,sideways\n"})
    assert (job.state, job.attempt, job.error["status"]) == ("failed", 1, 400)
    assert job.error["detail"].startswith(
        "The table 'metadata.csv' cannot be read, line 2: the split 'sideways'"
    )


def test_a_zip_comes_in_by_form(client, run, rows, zipped, sides_of_pets):
    answer = client.post(
        "/v1/dataset-imports",
        data={"dataset": "d", "style": "sketch", "keep_sides": "false", "augment": "false"},
        files={"file": ("pets.zip", zipped(sides_of_pets))},
    )
    assert answer.status_code == 202, answer.text
    result = run(answer.json()["id"]).result
    assert (result["counts"]["kept"], result["pins"]) == (6, 0)
    assert {i.style for i in rows()} == {"sketch"}
    assert rows(Job, kind="augment.make_variants") == []
    refusals = client.get(f"/v1/web-collections/{result['collection_id']}/refusals")
    assert refusals.json()["data"] == []
    retry = client.post(f"/v1/web-collections/{result['collection_id']}/retry")
    assert retry.status_code == 409


def test_a_key_under_which_nothing_lies(client):
    answer = client.post("/v1/dataset-imports", json={"key": "uploads/none.zip"})
    assert answer.status_code == 404
