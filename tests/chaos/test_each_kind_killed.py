"""For each kind of job: its real worker is killed in the middle; the job ends once, and its results are there once.

The chain is the real one, over the public API: film and pictures, variants, dataset version, model, answers.
"""

from __future__ import annotations

import io
import json
import os
import time
import zipfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
from chaos_platform import Platform, platform
from PIL import Image as Pillow
from PIL import ImageDraw

from reel_shared import contracts
from reel_shared.contracts import JsonObject, StoredFile
from reel_shared.db.models import (
    Collection,
    DatasetVersion,
    Image,
    Job,
    ModelAlias,
    Movie,
    SplitPin,
    Takedown,
    TrainedModel,
    TrainingState,
)
from reel_shared.embedded import Seaweed, Valkey
from reel_shared.embedded.ports import free_port
from reel_shared.ids import new_id
from reel_shared.s3 import connect
from reel_shared.storage import storage
from reel_shared.testing.stack import Reel, forget
from reelsight.studio.films import render_film

pytestmark = [pytest.mark.chaos, pytest.mark.servers, pytest.mark.timeout(1200)]

FILM = "moss-and-ember"
PICTURES = 40
REDIS_DATABASE = 250
"""Beyond those that the tests' fixtures count through."""


@pytest.fixture(scope="module")
def running(
    _valkey: Valkey, _s3: Seaweed, _migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("platform")
    database = folder / "reelsight.db"
    database.write_bytes(_migrated_sqlite.read_bytes())
    port, bucket = free_port(), f"reel-test-chaos-{new_id('job')[-12:]}"
    for server in (_valkey, _s3):
        server.start()
    connect(_s3.settings(bucket), _s3.endpoint).make_bucket(bucket)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("REEL_")]:
            patch.delenv(name)
        reel = Reel(patch, folder / "data", _valkey, _s3)
        reel.data_dir.mkdir()
        reel.configure(
            data_dir=reel.data_dir,
            database__url=f"sqlite:///{database}",
            redis__url=_valkey.url_of(REDIS_DATABASE),
            s3__endpoint=_s3.endpoint,
            s3__access_key=_s3.access_key,
            s3__secret_key=_s3.secret_key,
            s3__bucket=bucket,
            web__port=port,
            jobs__lease_seconds=4,
            jobs__heartbeat_seconds=0.5,
            jobs__reaper_seconds=0.5,
            jobs__resend_seconds=2,
            jobs__retry_base_seconds=0.5,
        )
        with platform(reel, _s3, port=port) as made:
            yield made
    forget()


class Story:
    """The chain of jobs, each made, and its worker killed, when it is first asked for."""

    def __init__(self, running: Platform, folder: Path) -> None:
        self.running, self.client = running, running.client
        film = render_film(FILM, folder / "film.mp4", seed=1, seconds=24, size=(320, 180))
        self.film: StoredFile = self.client.upload(film.path)
        self.archive: StoredFile = self.client.upload(drawings(folder / "drawings.zip"))

    def extract(self, dataset: str, *, parts: int = 1) -> JsonObject:
        return self.client.extract_frames(
            contracts.ExtractFramesRequest(
                dataset=dataset, label=FILM, key=self.film.key, every_frames=4, parts=parts
            )
        )

    def collect(self, dataset: str, *, augment: bool = True) -> JsonObject:
        request = contracts.CollectPicturesRequest(
            dataset=dataset, label="drawn", provider="zip", key=self.archive.key, augment=augment
        )
        return self.client.collect_pictures(request)

    @cached_property
    def frames(self) -> Job:
        return self.killed(lambda: self.extract("films"), lambda job: job.progress_done > 0)

    @cached_property
    def pictures(self) -> Job:
        return self.killed(lambda: self.collect("films"), lambda job: job.progress_done > 0)

    @cached_property
    def drawn(self) -> Job:
        """Pictures whose variants nobody has asked for yet."""
        (job,) = self.running.until_ended(self.collect("plain", augment=False)["id"])
        return job

    @cached_property
    def variants(self) -> Job:
        assert self.drawn.state == "succeeded"
        request = contracts.MakeVariantsRequest(dataset="plain")
        return self.killed(lambda: self.client.make_variants(request), lambda job: job.progress_done > 0)

    @cached_property
    def version(self) -> Job:
        assert self.frames.state == self.pictures.state == "succeeded"
        self.running.until_ended(*(child["id"] for child in self.client.jobs(parent_id=self.pictures.id)))
        request = contracts.BuildDatasetVersionRequest(dataset="films", variants=False)
        job_id = self.running.kill_at_the_end(lambda: self.client.build_dataset_version(request))
        return self.ended(job_id)

    @cached_property
    def exported(self) -> Job:
        version = new_id_of(self.version, "dataset_version_id")
        request = contracts.ExportDatasetRequest(dataset_version_id=version)
        return self.killed(lambda: self.client.export_dataset(request), lambda job: job.progress_done > 0)

    @cached_property
    def model(self) -> Job:
        request = contracts.TrainModelRequest(
            dataset_version_id=new_id_of(self.version, "dataset_version_id"), recipe="quick", activate=True
        )
        return self.killed(lambda: self.client.train_model(request), self.has_a_checkpoint)

    def has_a_checkpoint(self, job: Job) -> bool:
        return any(state.checkpoint for state in self.running.rows(TrainingState, job_id=job.id))

    def killed(self, submit, when) -> Job:
        return self.ended(self.running.kill_in_the_middle(submit, when))

    def ended(self, job_id: str) -> Job:
        self.running.until_ended(job_id)
        return self.running.check_ended_once(job_id, attempts=2)


def new_id_of(job: Job, field: str) -> str:
    assert job.result is not None
    return str(job.result[field])


def drawings(path: Path) -> Path:
    """A zip of pictures that are unlike each other."""
    dice = np.random.default_rng(7)
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(PICTURES):
            picture = Pillow.fromarray(dice.integers(0, 255, (6, 8, 3), dtype=np.uint8)).resize((640, 480))
            draw = ImageDraw.Draw(picture)
            for _ in range(6):
                corner = dice.integers(0, 400, 2)
                draw.ellipse(
                    (*corner, *(corner + dice.integers(30, 200, 2))), fill=tuple(dice.integers(0, 255, 3))
                )
            content = io.BytesIO()
            picture.save(content, "JPEG")
            archive.writestr(f"{number}.jpg", content.getvalue())
    return path


@pytest.fixture(scope="module")
def story(running: Platform, tmp_path_factory: pytest.TempPathFactory) -> Story:
    return Story(running, tmp_path_factory.mktemp("story"))


def keys(running: Platform, **wanted: object) -> list[str]:
    return [image.key for image in running.rows(Image, **wanted)]


def objects(prefix: str) -> set[str]:
    return {found.key for found in storage().list(f"{prefix}/")}


# --- each kind ------------------------------------------------------------------------------------------


def test_extract_frames(running: Platform, story: Story) -> None:
    job = story.frames
    result = contracts.ExtractFramesResult.model_validate(job.result)
    assert result.counts.kept > 15
    assert running.count(Movie, job_id=job.id) == 1
    frames = keys(running, job_id=job.id)
    assert len(frames) == result.counts.seen - sum(result.counts.refused.values())
    assert running.count(Image, job_id=job.id, state="active") == result.counts.kept
    assert objects("frames") == set(frames), "an object too many or too few"


def kill_the_helper(running: Platform, job_id: str) -> Job:
    """Kill the worker that only helps with a job of four parts; return the job once it has ended in one attempt."""

    def elsewhere() -> list[Job]:
        parent = running.job(job_id)
        parts = running.rows(Job, parent_id=job_id, state="running")
        return [part for part in parts if part.worker and part.worker != parent.worker]

    running.until(lambda: running.count(Job, parent_id=job_id), "the job is cut")
    with running.storage_frozen():  # nobody gets on, and the other worker has all the time it needs to come
        running.until(elsewhere, "another worker has a part")
        (killed,) = elsewhere()
        running.kill_worker_of(killed.id)
    running.until_ended(job_id)
    job = running.check_ended_once(job_id, attempts=1)
    parts = running.rows(Job, parent_id=job_id)
    assert sorted(part.part for part in parts if part.part is not None) == [0, 1, 2, 3]
    for part in parts:
        running.check_ended_once(part.id, attempts=2 if part.id == killed.id else 1)
    return job


def test_extract_range(running: Platform, story: Story) -> None:
    """Two workers share a film's ranges, and the one that only helps is killed: the rows are those of one pass."""
    whole = story.frames
    job_id: str = story.extract("ranges", parts=4)["id"]

    job = kill_the_helper(running, job_id)
    assert frames_of(running, job) == frames_of(running, whole)
    assert running.count(Movie, job_id=job_id) == 1


def frames_of(running: Platform, job: Job) -> list[tuple[object, ...]]:
    images = sorted(running.rows(Image, job_id=job.id), key=lambda image: image.frame_index or 0)
    return [(one.frame_index, one.pts, one.scene, one.sha256, one.state, one.quality) for one in images]


def test_collect_pictures(running: Platform, story: Story) -> None:
    job = story.pictures
    result = contracts.CollectPicturesResult.model_validate(job.result)
    assert result.counts.kept == PICTURES
    assert running.count(Collection, job_id=job.id) == 1
    pictures = keys(running, job_id=job.id)
    assert len(pictures) == len(set(pictures)) == PICTURES
    assert objects("pictures") == set(pictures)
    assert len(list(story.client.jobs(parent_id=job.id))) == 1, "the variants are asked for once"


def test_rank_subjects(running: Platform, story: Story) -> None:
    frames = running.rows(Image, job_id=story.frames.id)
    for mark, marked in (("keep", frames[::3]), ("background", frames[1::3])):
        story.client.mark_images([image.id for image in marked], mark)
    request = contracts.RankSubjectsRequest(dataset="films")
    job = story.killed(lambda: story.client.rank_subjects(request), lambda job: job.progress_done > 0)
    result = contracts.RankSubjectsResult.model_validate(job.result)
    assert result.frames == sum(image.state == "active" for image in frames)
    assert result.proposals is not None
    assert objects("proposals") == {result.proposals.key}


def test_make_variants(running: Platform, story: Story) -> None:
    job = story.variants
    result = contracts.MakeVariantsResult.model_validate(job.result)
    assert (result.sources, result.already) == (PICTURES, 0)
    made = running.rows(Image, job_id=job.id)
    assert len(made) == sum(result.made.values()) >= 5 * PICTURES
    assert len({(image.parent_id, image.variant) for image in made}) == len(made)
    assert {image.key for image in made} <= objects("variants")


def test_build_dataset_version(running: Platform, story: Story) -> None:
    job = story.version
    result = contracts.BuildDatasetVersionResult.model_validate(job.result)
    assert running.count(DatasetVersion) == 1
    assert objects("manifests") == {result.manifest.key}


def test_train_model(running: Platform, story: Story) -> None:
    job = story.model
    result = contracts.TrainModelResult.model_validate(job.result)
    assert running.count(TrainedModel) == 1
    assert running.count(ModelAlias, name="active", model_id=result.model_id) == 1
    assert objects("models") == {file.key for file in result.files.values()}
    again = [event.data.get("attempt") == 2 for event in running.events(job.id)].index(True)
    before, after = (
        [(row["stage"], row["epoch"]) for event in told if event.type == "metric" for row in [event.data]]
        for told in (running.events(job.id)[:again], running.events(job.id)[again:])
    )
    whole = [(row["stage"], row["epoch"]) for row in result.epochs]
    assert before, "it was killed behind an epoch"
    assert 0 < len(after) < len(whole), "the second attempt went on and did not begin anew"
    assert after == whole[-len(after) :]
    assert before[: len(whole) - len(after)] == whole[: len(whole) - len(after)]
    assert (running.count(TrainingState), objects("checkpoints")) == (0, set()), "what nobody needs any more"


def test_export_dataset(running: Platform, story: Story) -> None:
    result = contracts.ExportDatasetResult.model_validate(story.exported.result)
    assert objects("exports") == {result.archive.key}
    content = storage().get_bytes(result.archive.key, max_bytes=2**28)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        pictures = [name for name in archive.namelist() if name.endswith((".jpg", ".jpeg", ".png"))]
    assert len(pictures) == len(set(pictures)) == sum(result.images.values())


def test_import_dataset(running: Platform, story: Story) -> None:
    export = contracts.ExportDatasetResult.model_validate(story.exported.result)
    request = contracts.ImportDatasetRequest(dataset="again", key=export.archive.key, augment=False)
    job = story.killed(lambda: story.client.import_dataset(request), lambda job: job.progress_done > 0)
    result = contracts.ImportDatasetResult.model_validate(job.result)
    stored = keys(running, job_id=job.id)
    assert len(set(stored) & objects("pictures")) == len(stored) == sum(export.images.values())
    rows = (running.count(Movie, job_id=job.id), running.count(SplitPin, dataset="again"))
    assert rows == (len(result.movie_ids), result.pins) > (0, 0)


def test_check_labels(running: Platform, story: Story) -> None:
    request = contracts.CheckLabelsRequest(
        dataset_version_id=new_id_of(story.version, "dataset_version_id"),
        model=new_id_of(story.model, "model_id"),
    )
    job = story.killed(lambda: story.client.check_labels(request), lambda job: job.progress_done > 0)
    result = contracts.CheckLabelsResult.model_validate(job.result)
    assert result.images > PICTURES
    assert objects("reports") == {result.proposals.key}


def test_measure_leak_gap(running: Platform, story: Story) -> None:
    """Only its end is of interest here: it stores nothing, and its trainings are those of ``train_model``."""
    request = contracts.MeasureLeakGapRequest(dataset="films", train_sources=["movie", "web"], recipe="quick")
    job_id = running.kill_in_the_middle(
        lambda: story.client.measure_leak_gap(request), lambda job: job.progress_done > 0
    )
    assert story.ended(job_id).state == "succeeded"


def test_predict_pictures(running: Platform, story: Story) -> None:
    asked = (keys(running, job_id=story.frames.id) + keys(running, job_id=story.pictures.id)) * 20
    request = contracts.PredictPicturesRequest(keys=asked[:1000], model=new_id_of(story.model, "model_id"))
    job = story.killed(lambda: story.client.predict_pictures(request), lambda job: job.progress_done > 0)
    result = contracts.PredictPicturesResult.model_validate(job.result)
    assert (result.count, result.failed) == (len(request.keys), 0)
    assert objects("predictions") == {result.results.key}
    lines = storage().get_bytes(result.results.key, max_bytes=2**26).splitlines()
    assert [json.loads(line)["key"] for line in lines] == request.keys


def test_predict_part(running: Platform, story: Story) -> None:
    """Two workers share a job's pictures, and the one that only helps is killed: no line is lost, none comes twice."""
    asked = (keys(running, job_id=story.frames.id) + keys(running, job_id=story.pictures.id)) * 20
    request = contracts.PredictPicturesRequest(keys=asked[:1000], model=new_id_of(story.model, "model_id"))
    job_id: str = story.client.predict_pictures(request)["id"]

    job = kill_the_helper(running, job_id)
    result = contracts.PredictPicturesResult.model_validate(job.result)
    assert (result.count, result.failed, result.parts) == (1000, 0, 4)
    lines = storage().get_bytes(result.results.key, max_bytes=2**26).splitlines()
    assert [json.loads(line)["key"] for line in lines] == request.keys


def test_explain_picture(running: Platform, story: Story) -> None:
    request = contracts.ExplainPictureRequest(
        key=keys(running, job_id=story.pictures.id)[0], model=new_id_of(story.model, "model_id")
    )
    job = story.killed(lambda: story.client.explain_picture(request), lambda _job: True)
    result = contracts.ExplainPictureResult.model_validate(job.result)
    (one,) = result.explanations
    assert one.gradcam is not None
    assert one.guided is not None
    assert objects("explanations") == {result.picture.key, one.gradcam.key, one.guided.key}


def test_explain_pictures(running: Platform, story: Story) -> None:
    asked = keys(running, job_id=story.frames.id) + keys(running, job_id=story.pictures.id)
    request = contracts.ExplainPicturesRequest(
        keys=asked, methods=["gradcam"], model=new_id_of(story.model, "model_id")
    )
    job = story.killed(lambda: story.client.explain_pictures(request), lambda job: job.progress_done > 0)
    result = contracts.ExplainPicturesResult.model_validate(job.result)
    assert (result.count, result.failed) == (len(asked), 0)
    lines = list(story.client.explanation_results(job.id))
    assert [line["key"] for line in lines] == asked
    assert all(storage().exists(line["explanations"][0]["gradcam"]["key"]) for line in lines)


def test_explain_part(running: Platform, story: Story) -> None:
    """The one worker of the queue dies with a batch and one of its parts: no line is lost, none comes twice."""
    asked = (keys(running, job_id=story.frames.id) + keys(running, job_id=story.pictures.id)) * 10
    request = contracts.ExplainPicturesRequest(
        keys=asked[:210], methods=["gradcam"], model=new_id_of(story.model, "model_id")
    )
    job = story.killed(lambda: story.client.explain_pictures(request), lambda job: job.progress_done > 0)
    parts = running.rows(Job, parent_id=job.id)
    attempts = [running.check_ended_once(part.id, attempts=part.attempt).attempt for part in parts]
    assert sorted(attempts) == [1, 1, 2]
    result = contracts.ExplainPicturesResult.model_validate(job.result)
    assert (result.count, result.failed, result.parts) == (210, 0, 3)
    assert [line["key"] for line in story.client.explanation_results(job.id)] == request.keys


# --- storage away -----------------------------------------------------------------------------------------


def test_work_goes_on_after_storage_was_down_for_20_seconds(running: Platform, story: Story) -> None:
    """Two workers meet it, one with a film and one with pictures; neither loses an attempt."""
    job_ids = [story.extract("outage")["id"], story.collect("outage", augment=False)["id"]]
    running.until(lambda: all(running.job(job_id).state == "running" for job_id in job_ids), "both run")
    running.s3.kill()
    time.sleep(20)
    assert [running.job(job_id).state for job_id in job_ids] == ["running", "running"]
    running.s3.start()
    running.until_ended(*job_ids)
    for job_id, table in zip(job_ids, (Movie, Collection), strict=True):
        job = running.check_ended_once(job_id, attempts=1)
        assert job.result is not None
        assert running.count(table, job_id=job_id) == 1
        stored = keys(running, job_id=job_id)
        counts = job.result["counts"]
        assert len(stored) == len(set(stored)) == counts["seen"] - sum(counts["refused"].values())
        assert all(storage().exists(key) for key in stored)


def test_nothing_of_the_killed_attempts_is_left_on_the_disk(running: Platform, story: Story) -> None:
    assert story.frames.state == "succeeded"
    scratch = running.reel.data_dir / "scratch"

    def left() -> list[Path]:
        """Of jobs; and of films, more than the two workers of ingest that live keep one of."""
        found = [folder for folder in scratch.iterdir() if not folder.name.startswith("film-")]
        return found + sorted(scratch.glob("film-*"))[2:]

    running.until(lambda: not left(), "the workers that came after have swept", 20)


def test_take_down_pictures(running: Platform, story: Story) -> None:
    """The last test: the same drawings lie in several data sets, and all of them lose one."""
    assert story.variants.state == "succeeded"
    picture = running.rows(Image, job_id=story.drawn.id)[0]
    request = contracts.TakeDownPicturesRequest(image_id=picture.id, reason="its maker asks for it")
    job = story.killed(lambda: story.client.take_down_pictures(request), lambda _job: True)
    result = contracts.TakeDownPicturesResult.model_validate(job.result)
    assert result.variants >= 5
    gone = [*running.rows(Image, sha256=picture.sha256), *running.rows(Image, parent_id=picture.id)]
    assert {image.state for image in gone} == {"removed"}
    assert not any(storage().exists(image.key) for image in gone)
    takedowns = running.rows(Takedown, sha256=picture.sha256)
    assert len(takedowns) == len(result.images)
    assert all(takedown.finished_at for takedown in takedowns)
