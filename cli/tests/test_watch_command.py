"""`reel trainings watch` and `reel train --recipe-file`, before an API that answers from a script."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console
from typer.testing import CliRunner

from reel_shared.client import Client
from reelsight.commands import console, watching
from reelsight.main import app
from reelsight.plot import plot

RECIPE = """
name: mine
architecture: resnet18
weights: none
stages: [{name: one, size: 64, batch_size: 8, frozen: false, epochs: 1, lr_max: [0.001, 0.01]}]
"""


def point(step: int, **fields: Any) -> dict[str, Any]:
    return {"step": step, "epoch": 1, "lr": 0.01, "momentum": 0.9, "loss": 1 / step, **fields}


def metrics(state: str, *, points: list[Any], epochs: int, left: float = 65.0) -> dict[str, Any]:
    row = {"stage": "one", "train_loss": 0.5, "valid_loss": 0.4, "accuracy": 0.8, "accuracy_web": 0.7}
    rows = [row | {"epoch": number + 1} for number in range(epochs)]
    return {
        "job_id": "job_1",
        "state": state,
        "stages": [{"stage": "one", "points": points, "epochs": rows}],
        "now": {"images_per_second": 12.4, "seconds_left": left, "memory": 2**30, "gpu_memory": None},
    }


def job(state: str, **fields: Any) -> dict[str, Any]:
    progress = {"done": 1, "total": 2, "unit": "pictures", "message": "stage one"}
    return {"id": "job_1", "state": state, "progress": progress, "error": None, **fields}


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[httpx.Request]]:
    """Let the API answer each path from its list, the last answer for ever; return what it was asked."""

    def make(**paths: list[Any]) -> list[httpx.Request]:
        asked: list[httpx.Request] = []

        def answer(request: httpx.Request) -> httpx.Response:
            asked.append(request)
            left = paths[request.url.path.rpartition("/")[2]]
            return httpx.Response(200, json=left.pop(0) if len(left) > 1 else left[0])

        transport = httpx.MockTransport(answer)
        monkeypatch.setattr(console, "client", lambda **_: Client("http://reel.test", transport=transport))
        monkeypatch.setattr(watching, "LOOK_EVERY_SECONDS", 0)
        return asked

    return make


def test_each_point_and_epoch_is_one_line_once(answers: Callable[..., Any]) -> None:
    thinned = [point(2, loss=0.75), point(4, loss=0.3)]  # the server has made one of every two
    answers(
        job_1=[job("running"), job("running"), job("succeeded")],
        metrics=[
            metrics("running", points=[point(1), point(2)], epochs=0),
            metrics("running", points=[point(1), point(2), point(3)], epochs=1, left=60.0),
            metrics("succeeded", points=thinned, epochs=2, left=60.0),
        ],
    )
    result = CliRunner().invoke(app, ["trainings", "watch", "job_1"])
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["type"], line.get("step", line.get("epoch"))) for line in lines] == [
        *(("point", 1), ("point", 2), ("now", None)),
        *(("point", 3), ("epoch", 1), ("now", None)),
        *(("point", 4), ("epoch", 2), ("end", None)),
    ]
    assert lines[-1] == {"type": "end", "state": "succeeded", "error": None}


def test_a_training_that_fails_ends_the_command_badly(answers: Callable[..., Any]) -> None:
    error = {"detail": "The loss is no number."}
    nothing = {"job_id": "job_1", "state": "failed", "stages": [], "now": None}
    answers(job_1=[job("failed", error=error)], metrics=[nothing])
    result = CliRunner().invoke(app, ["trainings", "watch", "job_1"])
    assert result.exit_code == 1
    assert "job_1 failed. The loss is no number." in result.output


def test_ctrl_c_leaves_a_training_that_was_started_to_be_watched(
    answers: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    running = metrics("running", points=[point(1)], epochs=0)
    asked = answers(trainings=[job("queued")], job_1=[job("running")], metrics=[running])

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(watching.time, "sleep", interrupt)
    result = CliRunner().invoke(app, ["train", "dsv_1", "--watch", "--json"])
    assert result.exit_code == 130
    assert json.loads(result.stdout.splitlines()[0])["type"] == "point"
    assert "reel trainings watch job_1" in result.stderr
    assert not any(request.url.path.endswith("cancel") for request in asked)


def test_the_screen_shows_curves_time_left_and_epochs() -> None:
    points = [point(n) for n in range(1, 50)] + [point(50, loss=None)]
    page = Console(width=100)
    with page.capture() as shown:
        page.print(watching.screen(job("running"), metrics("running", points=points, epochs=3), width=100))
    text = shown.get()
    for words in ("job_1  running  stage one", "12 pictures/s, about 1 min 05 s left, 1.0 GiB of memory"):
        assert words in text
    for words in ("loss", "rate", "accuracy", "train loss", "web", "0.700"):
        assert words in text
    dots = [line for line in text.splitlines() if any(0x2800 < ord(letter) <= 0x28FF for letter in line)]
    assert dots[0].split()[0] == "1", "the first loss is the largest"
    assert len(dots) >= watching.HEIGHT
    empty = {"job_id": "job_1", "state": "queued", "stages": [], "now": None}
    with page.capture() as shown:
        page.print(watching.screen(job("queued"), empty, width=100))
    assert "job_1  queued" in shown.get()


def test_a_falling_line_falls() -> None:
    assert plot([(0, 3), (1, 2), (2, 1), (3, 0)], width=2, height=1) == ["\u2811\u2884"]
    assert plot([], width=2, height=2) == ["\u2800\u2800"] * 2
    with pytest.raises(ValueError, match="room"):
        plot([], width=0, height=1)


def test_a_recipe_of_ones_own_is_read_and_sent_whole(answers: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPE)
    asked = answers(trainings=[job("queued")])
    result = CliRunner().invoke(app, ["train", "dsv_1", "--recipe-file", str(path), "--detach"])
    assert result.exit_code == 0, result.output
    sent = json.loads(asked[0].content)["recipe"]
    assert (sent["name"], sent["stages"][0]["lr_max"]) == ("mine", [0.001, 0.01])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (RECIPE.replace("epochs: 1", "epochs: 0"), "stages.0.epochs"),
        ("[", "not YAML"),
        (None, "cannot be read"),
    ],
)
def test_a_wrong_recipe_is_not_sent(
    answers: Callable[..., Any], tmp_path: Path, text: str | None, reason: str
) -> None:
    path = tmp_path / "mine.yaml"
    if text is not None:
        path.write_text(text)
    asked = answers(trainings=[job("queued")])
    result = CliRunner().invoke(app, ["train", "dsv_1", "--recipe-file", str(path)])
    assert (result.exit_code, asked) == (2, [])
    assert reason in " ".join(result.output.split())


def test_a_sweep_is_drawn_with_what_it_suggests(
    answers: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    points = [{"lr": 10.0 ** (n / 10 - 7), "loss": 3 - n / 40, "raw_loss": 3.0} for n in range(60)]
    result = {"points": points, "suggestions": {"valley": 0.0012}, "diverged": True}
    asked = answers(**{"learning-rates": [job("succeeded", result=result)]})
    monkeypatch.setattr(console, "wants_json", lambda flag: flag)
    shown = CliRunner().invoke(app, ["trainings", "find-lr", "dsv_1", "--stage", "one", "--set", "steps=60"])
    assert shown.exit_code == 0, shown.output
    assert "rates from 1.0e-07 to 7.9e-02, where the loss diverged" in shown.output
    assert "valley 1.20e-03" in shown.output
    sent = json.loads(asked[0].content)
    assert {name: sent[name] for name in ("dataset_version_id", "recipe", "stage", "steps")} == {
        "dataset_version_id": "dsv_1",
        "recipe": "article",
        "stage": "one",
        "steps": 60,
    }
