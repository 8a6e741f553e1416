"""docker compose for real: films to a served and explained model, replicas killed under load, outages of everything.

`make compose-test` builds the images and runs this; it takes minutes and prints what it measured. It fails when a
request under load fails, a job is lost, or an answer differs after a restart.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from journey import ask, assert_same, commands, finish, out, pictures, timed, train_as_written
from load import Load
from outages import take_away
from project import Project

from reel_shared.client import Client
from reel_shared.contracts import QUEUES, JsonObject

CALLERS = 4
COMPILED_ANEW = """
import importlib, os, sys
importlib.import_module(sys.argv[1])
print(*(name for name, module in [*sys.modules.items()]
        if getattr(module, "__cached__", None) and not os.path.exists(module.__cached__)))
"""
"""Modules whose bytecode is not in the image: nothing may write it there, so each start would compile them."""


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


def check_bytecode(project: Project) -> None:
    for name, module in [*((queue, "api") for queue in QUEUES), ("web", "application")]:
        missing = project.inside(name, "python3", "-", f"reel_{name}.{module}", text=COMPILED_ANEW).split()
        assert not missing, (name, missing)
    out.print("no start compiles anything")


def restart(project: Project, client: Client, frame: bytes, before: JsonObject) -> None:
    jobs = {job["id"]: job["state"] for job in client.jobs()}
    with timed("everything stopped and started again"):
        project("stop")
        project.up(inference=1, ingest_worker=1)
    after = client.predict(frame)
    assert_same(after, before)
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
            check_bytecode(project)
            written = commands("deploy-compose.md", "A model that serves")
            train_as_written(client, {"REEL_URL": project.url, "REEL_TOKEN": project.token}, folder, written)
            frames = pictures(client)
            before = ask(client, frames)
            scale_under_load(project, frames)
            kill_a_worker(project, client, folder / "rendered")
            take_away(project, folder / "rendered", frames)
            restart(project, client, frames[0], before)
    out.print("compose: everything held")


if __name__ == "__main__":
    main()
