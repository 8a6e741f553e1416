"""Data set, review and splits as a person uses them: by mouse, by keys alone, on a phone, and as axe sees them."""

from __future__ import annotations

import io
import json
import time
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from PIL import Image as Pillow
from PIL import ImageDraw

from reel_shared import jobs
from reel_shared.contracts import (
    BUILD_DATASET_VERSION,
    CHECK_LABELS,
    EXTRACT_FRAMES,
    BuildDatasetVersionRequest,
    CheckLabelsRequest,
    CheckLabelsResult,
    ExtractFramesRequest,
)
from reel_shared.db.engine import reading, transaction
from reel_shared.db.models import DatasetVersion, Image, Job, Movie, SplitPin
from reel_shared.runner import run_job
from reel_shared.storage import storage
from reel_trainer.tasks.versions import build_dataset_version

pytestmark = [pytest.mark.e2e, pytest.mark.browser]
FRAMES, SCENES, DRAWINGS, DOUBTFUL = 36, 9, 30, 24
PHONE = (390, 844)


def label_of(number):
    return "kite" if number < FRAMES + DRAWINGS // 2 else "moon"


def drawing(number, colour):
    picture = Pillow.new("RGB", (320, 180), colour)
    pen = ImageDraw.Draw(picture)
    for spot in range(5):
        x, y = (number * 61 + spot * 97) % 300, (number * 37 + spot * 53) % 160
        pen.ellipse((x - 30, y - 30, x + 30, y + 30), fill=(x % 256, (y * 3) % 256, (x + y) % 256))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=70)
    return storage().put_bytes("pictures", buffer.getvalue(), "image/jpeg", ".jpg")


@pytest.fixture(scope="module")
def filled(site):
    """A film of nine scenes, drawings of two classes of which 24 are in doubt, and a version of it all."""
    with transaction() as session:
        job_id = jobs.submit(
            session, EXTRACT_FRAMES, ExtractFramesRequest(label="kite", key="films/a.mp4")
        ).id
        session.add(
            Movie(
                id="mov_1", dataset="films", label="kite", title="Kite Island", key="films/a.mp4", codec="h264",
                width=320, height=180, frame_rate=24, duration_seconds=FRAMES * 4, scenes=SCENES,
                crop=[0, 0, 0, 0], job_id=job_id,
            )
        )  # fmt: skip
        session.flush()
        for number in range(FRAMES + DRAWINGS):
            film, label = number < FRAMES, label_of(number)
            stored = drawing(number, (200, 220, 240) if label == "kite" else (60, 50, 90))
            origin = {
                "movie_id": "mov_1",
                "scene": number // 4,
                "time_seconds": number * 4.0,
                "frame_index": number,
            }
            web = {"title": f"Drawing {number}", "creator": "Inge Maar", "licence": "CC BY 4.0"}
            session.add(
                Image(
                    id=f"img_{number:03}", dataset="films", label=label, source="movie" if film else "web",
                    key=stored.key, sha256=stored.sha256, media_type="image/jpeg", size=stored.size, width=320,
                    height=180, phash=f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}", job_id=job_id,
                    **(origin if film else web),
                )
            )  # fmt: skip
        version = jobs.submit(session, BUILD_DATASET_VERSION, BuildDatasetVersionRequest(dataset="films")).id
    run_job(BUILD_DATASET_VERSION, build_dataset_version, version)
    with transaction() as session:
        version_id = session.get_one(Job, version).result["dataset_version_id"]
        doubts = [
            {
                "id": f"img_{n:03}",
                "label": "kite" if n < FRAMES + DRAWINGS // 2 else "moon",
                "suggested": "moon",
                "confidence": 0.9,
            }
            for n in range(FRAMES, FRAMES + DOUBTFUL)
        ]
        lines = "\n".join(json.dumps(doubt) for doubt in doubts).encode()
        stored = storage().put_bytes("proposals", lines, "application/jsonl", ".jsonl")
        check = jobs.submit(session, CHECK_LABELS, CheckLabelsRequest(dataset_version_id=version_id)).id
        result = CheckLabelsResult(
            dataset_version_id=version_id,
            model="mdl_1",
            images=60,
            doubtful=DOUBTFUL,
            by_label={},
            proposals=stored,
        )
        jobs.succeed(session, jobs.claim(session, check), jobs.Outcome(result))
    return SimpleNamespace(version=version_id)


def rows(**filters):
    with reading() as session:
        return {row.id: row for row in session.scalars(sa.select(Image).filter_by(**filters))}


def queued(kind):
    with reading() as session:
        return session.scalar(sa.select(Job.id).filter_by(kind=kind.name, state="queued"))


def waits(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def test_a_range_is_rejected_and_taken_back(open_page, filled):
    page = open_page("/datasets/films?source=movie&order=oldest")
    boxes = page.locator("#tiles input[type=checkbox]")
    boxes.nth(1).click()
    boxes.nth(5).click(modifiers=["Shift"])
    page.wait_for_selector("#count:has-text('5 chosen')")
    page.keyboard.press("x")
    page.wait_for_selector("#said:has-text('5 pictures rejected')")
    assert set(rows(state="rejected")) == {f"img_{n:03}" for n in range(1, 6)}
    page.wait_for_selector(".tile.rejected")
    page.click("#undo")
    page.wait_for_selector("#said:has-text('Taken back: 5 pictures')")
    assert rows(state="rejected") == {}


def test_the_grid_goes_by_keys_alone(open_page, filled):
    page = open_page("/datasets/films?source=web&label=moon")
    page.locator("#tiles input[type=checkbox]").first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_selector("#count:has-text('3 chosen')")
    page.keyboard.press("c")
    page.keyboard.type("kite")
    page.keyboard.press("Enter")
    page.wait_for_selector("#said:has-text('3 pictures filed under kite')")
    page.wait_for_selector("#facets a:has-text('Moon') .number:has-text('12')")
    page.keyboard.press("u")
    page.wait_for_selector("#said:has-text('Taken back: 3 pictures')")
    assert len(rows(label="moon", source="web")) == DRAWINGS // 2


def test_everything_that_fits_is_changed_at_once_and_a_films_frames_keep_their_class(open_page, filled):
    page = open_page("/datasets/films")
    page.locator("#tiles input[type=checkbox]").first.click()
    page.click("#everything")
    page.wait_for_selector(f"#count:has-text('{FRAMES + DRAWINGS} chosen')")
    page.click("#label")
    page.fill("[name=label]", "other")
    page.keyboard.press("Enter")
    page.wait_for_selector("#toast.bad #said:has-text('frames of a film')")
    assert rows(label="other") == {}


def test_twenty_pictures_are_labelled_by_keyboard_with_undo(open_page, filled):
    page = open_page("/review?dataset=films&kind=label")
    keys = ["k", "2", "x", "k", "2"] * 4  # 2 is the class moon
    loaded = "performance.getEntriesByType('resource').map((one) => one.name)"
    for number, key in enumerate(keys):
        if number == 14:  # the seventeenth is on the next sheet, which has not been opened
            waits(lambda: f"/pictures/img_{FRAMES + 16:03}/thumbnail" in "".join(page.evaluate(loaded)))
            assert page.locator(".case").first.get_attribute("data-id") == f"img_{FRAMES:03}"
        page.wait_for_selector(f".case.current[data-id=img_{FRAMES + number:03}]")
        page.keyboard.press(key)
        if number == 2:
            page.wait_for_selector(f".case.current[data-id=img_{FRAMES + 3:03}]")
            page.keyboard.press("u")
            page.wait_for_selector("#said:has-text('Taken back')")
            assert rows(state="rejected") == {}
            page.wait_for_selector(f".case.current[data-id=img_{FRAMES + 2:03}]")
            page.keyboard.press("x")
    waits(lambda: len(rows(state="rejected")) == keys.count("x"))
    waits(lambda: len(rows(state_reason="reviewed")) == len(keys) - keys.count("x"))
    assert rows()[f"img_{FRAMES + 1:03}"].label == "moon"
    page.goto("/review?dataset=films&kind=label")
    page.wait_for_selector("#told:has-text('4 to look at')")


def test_a_conflict_is_settled_by_one_key(open_page, filled):
    with transaction() as session:
        row = session.get_one(Image, "img_050")
        facts = {column.key: getattr(row, column.key) for column in sa.inspect(Image).columns}
        facts |= {"dataset": "pairs"}
        session.add(Image(**{**facts, "id": "img_900", "label": "moon"}))
        doubt = {"state": "quarantined", "state_reason": "conflict", "duplicate_of": "img_900"}
        session.add(Image(**{**facts, "id": "img_901", "label": "kite", **doubt}))
    page = open_page("/review?dataset=pairs")
    page.wait_for_selector(".case.current .other")
    page.keyboard.press("o")
    page.wait_for_selector("text=Nothing is left in doubt")
    found = rows(dataset="pairs")
    assert (found["img_900"].state, found["img_900"].label) == ("active", "moon")
    assert (found["img_901"].state, found["img_901"].duplicate_of) == ("duplicate", "img_900")


def test_a_scene_is_pinned_and_the_next_certificate_has_it(open_page, filled):
    page = open_page(f"/datasets/films/versions/{filled.version}")
    page.wait_for_selector(".certificate .verdict:has-text('Certified')")
    scene = page.locator(".scene.train:not(.pinned)").first
    number = scene.get_attribute("data-scene")
    scene.click()
    page.wait_for_selector("#scene[open] #scene-pictures img")
    page.keyboard.press("v")
    page.wait_for_selector(f".scene.pinned[data-scene='{number}']")
    with reading() as session:
        [pin] = session.scalars(sa.select(SplitPin)).all()
    assert (pin.scene, pin.side, pin.movie_id) == (int(number), "valid", "mov_1")
    newest = built(page)
    page.wait_for_selector(f".scene.valid.pinned[data-scene='{number}']")
    assert newest != filled.version


def built(page):
    """Build the version with the pins, do its job, and return its id when its page is there."""
    page.click("#build")
    waits(lambda: queued(BUILD_DATASET_VERSION))
    run_job(BUILD_DATASET_VERSION, build_dataset_version, queued(BUILD_DATASET_VERSION))
    with reading() as session:
        newest = session.scalar(sa.select(DatasetVersion.id).order_by(DatasetVersion.id.desc()).limit(1))
    page.wait_for_url(f"**/{newest}")
    assert page.locator(".certificate .id").inner_text() == newest
    return newest


def pins():
    with reading() as session:
        return {pin.scene: pin.side for pin in session.scalars(sa.select(SplitPin))}


def middle(locator):
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.fixture
def unpinned(filled):
    with transaction() as session:
        session.execute(sa.delete(SplitPin))
    return f"/datasets/films/versions/{filled.version}"


def test_a_scene_and_a_range_are_dragged_onto_a_side(open_page, unpinned):
    page = open_page(unpinned)
    scenes = page.locator(".scene")

    def drag(number, side):
        page.mouse.move(*middle(scenes.nth(number)))
        page.mouse.down()
        page.mouse.move(*[at + 20 for at in middle(scenes.nth(number))])
        page.mouse.move(*middle(page.locator(f"#sides [data-side={side}]")))
        page.wait_for_selector(f"#sides .over[data-side={side}]")
        page.mouse.up()
        page.wait_for_selector("#sides", state="hidden")

    drag(2, "valid")
    page.wait_for_selector("#said:has-text('Scene 3 is pinned to validation')")
    assert pins() == {2: "valid"}
    scenes.nth(4).click(modifiers=["Shift"])
    page.wait_for_selector("#said:has-text('Scenes 3 to 5 are chosen')")
    drag(3, "train")  # any of a range carries all of it; the earlier pin gives way
    page.wait_for_selector("#said:has-text('Scenes 3 to 5 are pinned to training')")
    assert pins() == {2: "train", 3: "train", 4: "train"}
    page.wait_for_selector("#pins b:has-text('3')")
    assert not page.locator("#scene[open]").count()
    assert built(page) not in unpinned
    assert page.locator(".scene.train.pinned").count() == 3
    page.wait_for_selector("#pins:has-text('3 pins hold pictures on a side; all are in this version')")
    # let go elsewhere, or given up, it was nothing
    page.mouse.move(*middle(scenes.nth(0)))
    page.mouse.down()
    page.mouse.move(5, 5)
    page.wait_for_selector("#sides:not([hidden])")
    page.mouse.up()
    page.mouse.move(*middle(scenes.nth(1)))
    page.mouse.down()
    page.mouse.move(*[at + 20 for at in middle(scenes.nth(1))])
    page.keyboard.press("Escape")
    page.wait_for_selector("#sides", state="hidden")
    page.mouse.up()
    assert len(pins()) == 3


def test_what_is_dragged_goes_by_keys_alone(open_page, unpinned):
    page = open_page(unpinned)
    page.locator(".scene").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_selector("#said:has-text('Scenes 2 to 3 are chosen')")
    page.keyboard.press("e")
    page.wait_for_selector("#said:has-text('Scenes 2 to 3 are pinned to neither side')")
    assert pins() == {1: "excluded", 2: "excluded"}
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Enter")
    page.wait_for_selector("#scene[open] h2:has-text('scenes 2 to 3')")
    page.keyboard.press("n")
    page.wait_for_selector("#said:has-text('The pins are gone')")
    assert pins() == {}


def test_a_finger_drags_a_scene(open_page, unpinned):
    page = open_page(unpinned, size=PHONE)
    scene = page.locator(".scene").nth(5)
    scene.scroll_into_view_if_needed()
    finger = page.context.new_cdp_session(page)

    def touch(kind, *points):
        touches = [{"x": x, "y": y} for x, y in points]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    x, y = middle(scene)
    touch("touchStart", (x, y))
    for step in range(1, 5):
        touch("touchMove", (x + 6 * step, y))
    touch("touchMove", middle(page.locator("#sides [data-side=valid]")))
    page.wait_for_selector("#sides .over[data-side=valid]")
    touch("touchEnd")
    page.wait_for_selector("#said:has-text('Scene 6 is pinned to validation')")
    assert pins() == {5: "valid"}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_page_keeps_anybody_out(open_page, filled, faults, dark):
    page = open_page("/datasets", dark=dark)
    for path in pages(filled):
        page.goto(path)
        assert faults(page) == [], path


def test_no_page_is_wider_than_a_phone(open_page, filled):
    page = open_page("/datasets", size=PHONE)
    for path in pages(filled):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0], path


def pages(filled):
    return (
        "/datasets",
        "/datasets/films",
        "/pictures/img_002",
        "/review?dataset=films&view=sheet",
        "/review?dataset=films",
        f"/datasets/films/versions/{filled.version}",
    )
