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
from reel_shared.db.models import Collection, DatasetVersion, Image, Job, ModelAlias, Movie, TrainedModel
from reel_shared.embedded import Seaweed, Valkey
from reel_shared.embedded.ports import free_port
from reel_shared.ids import new_id
from reel_shared.s3 import connect
from reel_shared.storage import storage
from reel_shared.testing.stack import Reel, forget
from reelsight.studio.films import render_film

pytestmark = [pytest.mark.chaos, pytest.mark.servers, pytest.mark.timeout(600)]

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
    port, bucket = free_port(), f"chaos-{new_id('job')[-12:]}"
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

    def extract(self, dataset: str) -> JsonObject:
        return self.client.extract_frames(
            contracts.ExtractFramesRequest(dataset=dataset, label=FILM, key=self.film.key, every_frames=4)
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
    def model(self) -> Job:
        request = contracts.TrainModelRequest(
            dataset_version_id=new_id_of(self.version, "dataset_version_id"), recipe="demo", activate=True
        )
        return self.killed(lambda: self.client.train_model(request), self.has_trained_an_epoch)

    def has_trained_an_epoch(self, job: Job) -> bool:
        return any(event.type == "metric" for event in self.running.events(job.id))

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


# --- the seven kinds --------------------------------------------------------------------------------------


def test_extract_frames(running: Platform, story: Story) -> None:
    job = story.frames
    result = contracts.ExtractFramesResult.model_validate(job.result)
    assert result.counts.kept > 15
    assert running.count(Movie, job_id=job.id) == 1
    frames = keys(running, job_id=job.id)
    assert len(frames) == len(set(frames)) == result.counts.kept
    assert objects("frames") == set(frames), "an object too many or too few"


def test_collect_pictures(running: Platform, story: Story) -> None:
    job = story.pictures
    result = contracts.CollectPicturesResult.model_validate(job.result)
    assert result.counts.kept == PICTURES
    assert running.count(Collection, job_id=job.id) == 1
    pictures = keys(running, job_id=job.id)
    assert len(pictures) == len(set(pictures)) == PICTURES
    assert objects("pictures") == set(pictures)
    assert len(list(story.client.jobs(parent_id=job.id))) == 1, "the variants are asked for once"


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


def test_predict_pictures(running: Platform, story: Story) -> None:
    asked = (keys(running, job_id=story.frames.id) + keys(running, job_id=story.pictures.id)) * 20
    request = contracts.PredictPicturesRequest(keys=asked[:1000], model=new_id_of(story.model, "model_id"))
    job = story.killed(lambda: story.client.predict_pictures(request), lambda job: job.progress_done > 0)
    result = contracts.PredictPicturesResult.model_validate(job.result)
    assert (result.count, result.failed) == (len(request.keys), 0)
    assert objects("predictions") == {result.results.key}
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
        assert len(stored) == len(set(stored)) == job.result["counts"]["kept"]
        assert all(storage().exists(key) for key in stored)


def test_nothing_of_the_killed_attempts_is_left_on_the_disk(running: Platform, story: Story) -> None:
    assert story.frames.state == "succeeded"
    scratch = running.reel.data_dir / "scratch"
    running.until(lambda: not list(scratch.iterdir()), "the workers that came after have swept", 20)
