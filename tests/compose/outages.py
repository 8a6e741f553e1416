"""What a project stands on is killed, emptied, stopped or cut off, one by one, while jobs of every kind run.

Nothing is to be lost or doubled by any of it: the client asks again while nothing answers, as it does for everybody,
and in the end ``proof.py`` looks from inside at the database and the bucket.
"""

from __future__ import annotations

import io
import json
import random
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from journey import finish, out, timed
from load import Load
from PIL import Image, ImageOps
from project import Project

from reel_shared.client import Client
from reel_shared.contracts import (
    QUEUES,
    BuildDatasetVersionRequest,
    ExplainPictureRequest,
    ExplainPicturesRequest,
    ExtractFramesRequest,
    ImportDatasetRequest,
    JsonObject,
    PredictPicturesRequest,
    TrainModelRequest,
)

PATIENCE_SECONDS = 180.0
SILENCE_SECONDS = 50.0
"""Of a worker that lives: longer than a lease and a scan for such that ran out (30 + 5 s)."""
OURS = [*QUEUES, *(f"{queue}-worker" for queue in QUEUES), "web", "reaper"]
KILLS = 8
"""Of one container each, so that no job meets more kills than it has attempts."""
MOST_GROWTH = 256 * 2**20
"""Bytes by which a process of ours may be larger after all outages than after the first round of jobs: torch keeps what
it has needed at once, and needs more when it explains beside others."""
PROOF = Path(__file__).with_name("proof.py")
UNDISTURBED = "undisturbed"


class Work:
    """One round's jobs of every kind; each round makes the same pictures, in a data set of its own."""

    def __init__(self, client: Client, films: Path, frames: list[bytes]) -> None:
        self._client = client
        self._films = {film.stem: client.upload(film).key for film in sorted(films.glob("*.mp4"))}
        self._pictures = [client.upload(frame).key for frame in frames]
        with io.BytesIO() as file:
            with zipfile.ZipFile(file, "w") as archive:
                for number, frame in enumerate(frames):
                    archive.writestr(f"class-{number % 3}/{number}.jpg", drawn(frame))
            self._zip = client.upload(file.getvalue()).key

    def submit(self, name: str, *, train: bool = False) -> list[JsonObject]:
        """Submit a round's jobs, each as soon as it is accepted, and return what was answered."""
        ask, frames = self._client, self._pictures
        jobs = [
            ask.extract_frames(ExtractFramesRequest(key=key, label=label, dataset=name, every_frames=6))
            for label, key in self._films.items()
        ]
        jobs.append(ask.import_dataset(ImportDatasetRequest(dataset=name, key=self._zip)))
        jobs.append(ask.build_dataset_version(BuildDatasetVersionRequest(dataset="films")))
        if train:
            version = next(job for job in ask.jobs(kind="trainer.build_dataset_version", state="succeeded"))
            known = version["result"]["dataset_version_id"]
            jobs.append(ask.train_model(TrainModelRequest(dataset_version_id=known, recipe="quick")))
        for number in range(6):
            jobs.append(ask.predict_pictures(PredictPicturesRequest(keys=frames)))
            jobs.append(ask.explain_picture(ExplainPictureRequest(key=frames[number])))
        jobs.append(ask.explain_pictures(ExplainPicturesRequest(keys=frames)))
        return jobs


def drawn(frame: bytes) -> bytes:
    """A picture like one of the web: another drawing than the frame, of the same things."""
    with Image.open(io.BytesIO(frame)) as picture, io.BytesIO() as file:
        ImageOps.posterize(ImageOps.mirror(picture.convert("RGB")), 2).save(file, "JPEG", quality=90)
        return file.getvalue()


def outages(project: Project, dice: random.Random) -> dict[str, Callable[[], None]]:
    """Each returns when what it took away is there again."""

    def killed(service: str, low: float, high: float) -> None:
        container = project.kill_one(service)
        time.sleep(dice.uniform(low, high))
        project.revive(container)

    def killed_at_random() -> None:
        for service in dice.sample(OURS, KILLS):
            killed(service, 0, 2)
            time.sleep(dice.uniform(0, 4))

    def emptied() -> None:
        project.inside("redis", "sh", "-c", "rm -rf /data/*", text="")
        project.revive(project.kill_one("redis"))

    def stopped() -> None:
        with project.paused("ingest-worker"):
            time.sleep(SILENCE_SECONDS)

    def cut_off() -> None:
        with project.cut_off("inference-worker", network="data"):
            time.sleep(SILENCE_SECONDS)

    return {
        "Redis killed": lambda: killed("redis", 2, 6),
        "Redis emptied and killed": emptied,
        "database killed": lambda: killed("postgres", 5, 12),
        "storage killed": lambda: killed("s3", 5, 12),
        f"{KILLS} APIs and workers killed, one by one": killed_at_random,
        "a worker stopped for longer than its lease": stopped,
        "a worker cut off for longer than its lease": cut_off,
    }


def take_away(project: Project, films: Path, frames: list[bytes], *, seed: int = 1) -> None:
    """One outage after another, in an order by the seed, each in the middle of a round of jobs."""
    dice = random.Random(seed)
    faults = list(outages(project, dice).items())
    dice.shuffle(faults)
    accepted: list[JsonObject] = []
    with Client(project.url, project.token, timeout=120, patience=PATIENCE_SECONDS) as client:
        work = Work(client, films, frames)
        with timed("a round of jobs of every kind, undisturbed"):
            accepted += work.submit(UNDISTURBED, train=True)
            finish(client, *accepted)
            until_all_ended(client)
        before = project.memory(*OURS)
        with Load(project.url, project.token, frames, callers=1) as load:
            for number, (name, fault) in enumerate(faults):
                load.phase(name)
                with submitted(work, f"outage-{number}", train=number % 3 == 0) as jobs:
                    time.sleep(dice.uniform(0.5, 3))
                    fault()
                accepted += jobs
            load.phase("all is there again")
            with timed("until every job had ended"):
                project.wait_healthy()
                finish(client, *accepted)
                until_all_ended(client)
        for phase in load.phases[1:]:
            out.print(phase.row(), *([dict(phase.failed)] if phase.failed else []))
    # Redis says so, and goes on without them, when it may not read transactions back
    unread = [line for line in project("logs", "redis").splitlines() if "CRITICAL" in line]
    assert not unread, unread[:3]
    after = project.memory(*OURS)
    grown = {name: after[name] - before[name] for name in OURS}
    assert max(grown.values()) < MOST_GROWTH, grown
    out.print(
        "MiB grown since then: " + ", ".join(f"{name} {size / 2**20:.0f}" for name, size in grown.items())
    )
    prove(project, accepted, len(faults))


@contextmanager
def submitted(work: Work, name: str, *, train: bool) -> Iterator[list[JsonObject]]:
    """Submit a round in the background; every job of it is accepted when this ends."""
    jobs: list[JsonObject] = []
    errors: list[Exception] = []

    def submit() -> None:
        try:
            jobs.extend(work.submit(name, train=train))
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=submit)
    thread.start()
    try:
        yield jobs
    finally:
        thread.join()
    if errors:
        raise errors[0]


def until_all_ended(client: Client) -> None:
    """Those too that follow others: variants of imported pictures, parts."""
    for state in ("queued", "running"):
        for job in client.jobs(state=state):
            finish(client, job)


def prove(project: Project, accepted: list[JsonObject], rounds: int) -> None:
    seen: dict[str, Any] = json.loads(project.run("setup", "python3", "-", text=PROOF.read_text()))
    assert not seen["wrong"], seen["wrong"][:20]
    sets = seen["datasets"]
    twins = [sets[f"outage-{number}"] for number in range(rounds)]
    assert twins == [sets[UNDISTURBED]] * rounds, "an outage changed a data set"
    out.print(
        f"{len(accepted)} jobs were accepted in {rounds} outages; with those that followed: {seen['states']}, "
        f"{seen['again']} of them at work more than once, kinds: {seen['kinds']}; each ended once, no lease is left"
    )
    out.print(
        f"{seen['pictures']} pictures, none lost or doubled, the same in each round; "
        f"{seen['objects']} objects, each of them needed"
    )
