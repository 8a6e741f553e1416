"""docker compose for real: films to a served and explained model, replicas added, removed and killed under load.

`make compose-test` builds the images and runs this; it takes minutes and prints what it measured. It fails when a
request under load fails, a job is lost, or an answer differs after a restart.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from load import Load
from PIL import Image
from project import ROOT, Project
from rich.console import Console

from reel_shared.client import Client
from reel_shared.contracts import JsonObject
from reelsight.studio.films import render_films

SECONDS_OF_FILM = 24.0
JOB_SECONDS = 600.0
CALLERS = 4
out = Console(highlight=False, soft_wrap=True, width=150)


@contextmanager
def timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    out.print(f"{what:<60} {time.monotonic() - began:7.1f} s")


def finish(client: Client, *jobs: JsonObject) -> list[JsonObject]:
    """Wait for jobs, all of which must succeed."""
    ended = [client.wait(job["id"], timeout=JOB_SECONDS) for job in jobs]
    for job in ended:
        assert job["state"] == "succeeded", job
    return ended


def commands() -> list[list[str]]:
    """The commands of docs/deploy-compose.md that make a model."""
    text = (ROOT / "docs/deploy-compose.md").read_text()
    _, _, section = text.partition("## A model that serves")
    lines = section.partition("```sh\n")[2].partition("```")[0].splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith(".venv/bin/reel ")]


def train_as_written(project: Project, client: Client, folder: Path) -> None:
    """Films to an active model that predicts and explains, by the documentation's commands and no others."""
    for film in render_films(folder / "rendered", seed=7, seconds=SECONDS_OF_FILM):
        home = folder / "films" / film.label
        home.mkdir(parents=True)
        (home / film.path.name).symlink_to(film.path)
    environment = {**os.environ, "REEL_URL": project.url, "REEL_TOKEN": project.token}
    version, written = "", commands()
    assert len(written) > 5
    for arguments in written:
        if arguments[0] == "predict":
            (folder / "picture.jpg").write_bytes(pictures(client)[0])
        whole = [version if word == "VERSION" else word for word in arguments]
        with timed(f"reel {' '.join(arguments)}"):
            done = subprocess.run(
                [sys.executable, "-m", "reelsight.main", *whole],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        if arguments[:2] == ["dataset", "build"]:
            version = json.loads(done.stdout)["dataset_version_id"]


def pictures(client: Client) -> list[bytes]:
    """Frames, by the links that a browser would follow: through the edge to storage."""
    found = []
    for image in client.images(dataset="films", limit=30):
        found.append(client.download(image["file"]["url"]))
        if len(found) == 30:
            return found
    raise AssertionError("The films gave fewer than 30 frames.")


def ask(client: Client, frames: list[bytes]) -> JsonObject:
    with timed("an explanation"):
        (job,) = finish(client, client.explain(frames[0]))
    overlay = job["result"]["explanations"][0]["gradcam"]["url"]
    assert Image.open(io.BytesIO(client.download(overlay))).size > (10, 10)
    return client.predict(frames[0])


def scale_under_load(project: Project, frames: list[bytes]) -> None:
    with Load(project.url, project.token, frames, callers=CALLERS) as load:
        load.phase("one replica", 10)
        load.phase("1 -> 4 replicas")
        project.up(inference=4, ingest_worker=3)
        load.phase("four replicas", 10)
        load.phase("one of four killed (SIGKILL)")
        killed = project.kill_one("inference")
        time.sleep(5)
        load.phase("and started again")
        project.revive(killed)
        project.wait_healthy()
        load.phase("4 -> 1 replicas")
        project.up(inference=1, ingest_worker=3)
        load.phase("one replica again", 5)
    for phase in load.phases[1:]:
        out.print(phase.row())
    failed = {phase.name: dict(phase.failed) for phase in load.phases if phase.failed}
    assert not failed, failed


def kill_a_worker(project: Project, client: Client, films: Path) -> None:
    """Three workers share the films; one dies in the middle of its job, and no job is lost."""
    jobs = [
        client.add_movie(film, label=film.stem, dataset=f"again-{number}", every_frames=4)
        for number in range(2)
        for film in sorted(films.glob("*.mp4"))
    ]
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        # all three are busy, so whichever is killed was
        if sum(client.job(job["id"])["state"] == "running" for job in jobs) >= 3:
            break
    killed = project.kill_one("ingest-worker")
    with timed(f"{len(jobs)} jobs, one of three workers killed in the middle"):
        ended = finish(client, *jobs)
    again = sum(job["attempt"] > 1 for job in ended)
    out.print(f"{'jobs that another worker took over':<60} {again:7d}")
    project.revive(killed)


def check_rights(project: Project) -> None:
    """What a service that was taken over could do besides its work: nothing of this."""
    script = (Path(__file__).parent / "rights.py").read_text()
    allowed = project.inside("web", "python3", "-", text=script)
    assert not allowed, allowed
    out.print("web may not change tables, read others' keys, write files, reach the internet")


def restart(project: Project, client: Client, frame: bytes, before: JsonObject) -> None:
    jobs = {job["id"]: job["state"] for job in client.jobs()}
    with timed("everything stopped and started again"):
        project("stop")
        project.up(inference=1, ingest_worker=1)
    after = client.predict(frame)
    assert after["predictions"] == before["predictions"]
    assert {job["id"]: job["state"] for job in client.jobs()} == jobs
    out.print(f"{'jobs after the restart, as before':<60} {len(jobs):7d}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-build", action="store_true", help="the images are there already")
    parser.add_argument("--keep", action="store_true", help="leave the containers running at the end")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reel-compose-") as name:
        folder = Path(name)
        with Project(folder, keep=chosen.keep) as project, project.client() as client:
            if not chosen.no_build:
                with timed("images built"):
                    project("build", quiet=False)
            with timed("from nothing to healthy"):
                project.up()
            check_rights(project)
            train_as_written(project, client, folder)
            frames = pictures(client)
            before = ask(client, frames)
            scale_under_load(project, frames)
            kill_a_worker(project, client, folder / "rendered")
            restart(project, client, frames[0], before)
    out.print("compose: everything held")


if __name__ == "__main__":
    main()
