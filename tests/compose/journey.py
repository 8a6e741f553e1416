"""What a person does with a platform that is up: films to a model that predicts and explains, by the documentation.

Called by the end-to-end tests of docker compose, of the pods of k8s/ and of a cluster.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from rich.console import Console

from reel_shared.client import Client
from reel_shared.contracts import JsonObject
from reelsight.studio.films import render_films

ROOT = Path(__file__).resolve().parent.parent.parent
SECONDS_OF_FILM = 24.0
JOB_SECONDS = 600.0
URL = "http://reelsight.localhost:8080"
HOSTS = ("reelsight.localhost", "s3.localhost")
"""Where docs/deploy-kubernetes.md says that `local` answers."""
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


def shell_lines(page: str, heading: str) -> list[str]:
    """The shell below a heading of a page of docs/, up to the next heading."""
    section = (ROOT / "docs" / page).read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [
        line for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL) for line in block.splitlines()
    ]


def commands(page: str, heading: str) -> list[list[str]]:
    """The commands below a heading of a page of docs/ that make a model."""
    lines = shell_lines(page, heading)
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith(".venv/bin/reel ")]


def train_as_written(client: Client, reel: Mapping[str, str], folder: Path, written: list[list[str]]) -> None:
    """Films to an active model that predicts and explains, by the documentation's commands and no others.

    ``reel`` has ``REEL_URL`` and ``REEL_TOKEN``.
    """
    for film in render_films(folder / "rendered", seed=7, seconds=SECONDS_OF_FILM):
        home = folder / "films" / film.label
        home.mkdir(parents=True)
        (home / film.path.name).symlink_to(film.path)
    version = ""
    assert len(written) > 5
    for arguments in written:
        if arguments[0] == "predict":
            (folder / "picture.jpg").write_bytes(pictures(client)[0])
        whole = [version if word == "VERSION" else word for word in arguments]
        with timed(f"reel {' '.join(arguments)}"):
            done = subprocess.run(
                [sys.executable, "-m", "reelsight.main", *whole],
                cwd=folder,
                env={**os.environ, **reel},
                capture_output=True,
                text=True,
                check=False,
            )
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        if arguments[:2] == ["dataset", "build"]:
            version = json.loads(done.stdout)["dataset_version_id"]


def check_names() -> None:
    """What k8s/overlays/local is called must be known to this system. Raises SystemExit."""
    for host in HOSTS:
        try:
            socket.getaddrinfo(host, 80)
        except OSError:
            raise SystemExit(
                f"This system does not know {host}: add the line of docs/deploy-kubernetes.md to /etc/hosts."
            ) from None


def assert_same(one: JsonObject, other: JsonObject) -> None:
    """The same answer: a lane by itself and one that fills a batch add in another order, so not to the last bit."""
    labels, others = ([line["label"] for line in answer["predictions"]] for answer in (one, other))
    assert labels == others
    for line, twin in zip(one["predictions"], other["predictions"], strict=True):
        assert abs(line["probability"] - twin["probability"]) < 1e-4, (line, twin)


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
