"""The commands about films, frames, pictures and pins, before an API that notes what it is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from reel_shared.client import Client
from reelsight.commands import console
from reelsight.main import app

Asked = list[tuple[str, str, Any]]


class Api:
    """Answers each request by its method and path, and notes it with its body."""

    def __init__(self) -> None:
        self.asked: Asked = []
        self.answers: dict[str, Any] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = request.content
        sent = json.loads(body) if request.headers.get("content-type") == "application/json" else body
        self.asked.append((request.method, request.url.path, sent))
        answer = self.answers.get(f"{request.method} {request.url.path}")
        return httpx.Response(204) if answer is None else httpx.Response(200, json=answer)

    def job(self, path: str, result: Any) -> None:
        self.answers[f"POST {path}"] = {"id": "job_1", "state": "succeeded", "result": result, "error": None}

    def rows(self, path: str, *rows: Any) -> None:
        self.answers[f"GET {path}"] = {"data": rows, "next_cursor": None}

    def sent(self) -> Any:
        """What the last request said, less the fields of every submission."""
        return {name: value for name, value in self.asked[-1][2].items() if name != "metadata"}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    made = Api()
    transport = httpx.MockTransport(made)
    monkeypatch.setattr(console, "client", lambda **_: Client("http://reel.test", transport=transport))
    monkeypatch.setattr(console, "wants_json", lambda flag: flag)
    return made


def reel(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def words(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


@pytest.fixture
def image() -> Callable[..., dict[str, Any]]:
    def make(**fields: Any) -> dict[str, Any]:
        common = {
            "id": "img_01a2b3c4d5e6f70812", "label": "kiki", "source": "web", "style": "fanart", "state": "rejected",
            "state_reason": "dark", "movie_id": None, "time_seconds": None, "title": "", "licence": "", "creator": "",
            "taken_at": None, "page_url": "",
        }  # fmt: skip
        return {**common, **fields}

    return make


def test_a_web_picture_is_listed_with_licence_author_date_and_page(
    api: Api, image: Callable[..., dict[str, Any]]
) -> None:
    page = "https://pictures.example/photos/1"
    api.rows(
        "/v1/images",
        image(
            licence="CC BY 4.0", creator="A. [bold]Painter", taken_at="2020-01-31T10:00:00Z", page_url=page
        ),
        image(id="img_2", style="sketch", state="active", state_reason=""),
        image(id="img_3", source="movie", style="", movie_id="mov_1", title="Kiki", time_seconds=12.5),
    )
    shown = words(reel("pictures", "list"))
    assert "img_01a2b3c4d5e6f70812 kiki fanart rejected dark CC BY 4.0, A. [bold]Painter, 2020-01-31" in shown
    assert page in shown
    assert "img_2 kiki sketch active licence unknown" in shown
    assert "img_3 kiki movie rejected dark Kiki, 12.5 s" in shown


def test_pictures_are_added_without_a_limit(api: Api, tmp_path: Path) -> None:
    (tmp_path / "kiki").mkdir()
    (tmp_path / "kiki" / "1.png").write_bytes(b"picture")
    key = {"key": "uploads/00/a.zip", "media_type": "application/zip", "size": 9, "sha256": "0" * 64}
    api.answers["POST /v1/uploads"] = key
    api.job("/v1/web-collections", {"counts": {}})
    assert reel("pictures", "add", str(tmp_path), "--detach").exit_code == 0
    sent = api.sent()
    assert (sent["label"], sent["provider"], sent["key"]) == ("kiki", "zip", "uploads/00/a.zip")
    assert "limit" not in sent


@pytest.mark.parametrize(("flag", "mark"), [("--keep", "keep"), ("--background", "background")])
def test_frames_are_marked(api: Api, flag: str, mark: str) -> None:
    api.answers["POST /v1/subject-marks"] = {"marked": 2}
    assert words(reel("frames", "mark", "img_1", "img_2", flag)).startswith(f"2 marked {mark}.")
    assert api.sent() == {"image_ids": ["img_1", "img_2"], "mark": mark}


def test_a_mark_has_to_be_said(api: Api) -> None:
    assert reel("frames", "mark", "img_1").exit_code == 2
    assert api.asked == []


def test_frames_are_ranked_and_the_way_back_is_told(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    ranked = [
        {"image_id": "img_1", "probability": 0.987, "proposed": True, "mark": None},
        {"image_id": "img_2", "probability": 0.01, "proposed": False, "mark": "keep"},
    ]
    lines = "".join(json.dumps(frame) + "\n" for frame in ranked).encode()
    monkeypatch.setattr(Client, "download", lambda _self, url: lines)
    api.job(
        "/v1/subject-rankings",
        {
            "proposals": {"url": "http://s3.test/x"},
            "message": "Nine of [ten] are.",
            "applied": 1,
            "batch_id": "bat_1",
        },
    )
    shown = words(reel("frames", "rank", "--dataset", "d", "--class", "kiki", "--apply"))
    assert api.sent() == {"dataset": "d", "label": "kiki", "precision": 0.95, "apply": True}
    assert "img_1 99% yes" in shown
    assert "img_2 1% keep" in shown
    assert shown.endswith("Nine of [ten] are. 1 rejected. To put them back: reel pictures undo bat_1")


def test_nothing_to_rank_is_said(api: Api) -> None:
    api.job("/v1/subject-rankings", {"proposals": None, "message": "None.", "applied": 0, "batch_id": None})
    assert words(reel("frames", "rank")) == "No frame is left to rank. None."


@pytest.mark.parametrize(
    ("options", "sent", "told"),
    [
        (["--film", "mov_1", "--scene", "0"], {"movie_id": "mov_1", "scene": 0}, "mov_1 scene 0"),
        (
            ["--film", "mov_1", "--from", "0", "--to", "12.5"],
            {"movie_id": "mov_1", "start_seconds": 0.0, "end_seconds": 12.5},
            "mov_1 0 to 12.5 s",
        ),
        (["--picture", "img_1"], {"image_id": "img_1"}, "img_1"),
    ],
)
def test_what_belongs_to_a_side_is_pinned(
    api: Api, options: list[str], sent: dict[str, Any], told: str
) -> None:
    nothing = dict.fromkeys(("movie_id", "scene", "start_seconds", "end_seconds", "image_id"))
    row = {"id": "pin_1", "dataset": "d", "side": "valid", **nothing, **sent}
    api.answers["POST /v1/split-pins"] = row
    assert words(reel("dataset", "pin", "valid", "--dataset", "d", *options)).startswith(
        f"pin_1: {told} to valid."
    )
    assert api.sent() == {"dataset": "d", "side": "valid", **sent}
    api.rows("/v1/split-pins", row)
    assert f"pin_1 d valid {told}" in words(reel("dataset", "pins"))
    assert words(reel("dataset", "unpin", "pin_1")) == "pin_1 is gone."
    assert api.asked[-1][:2] == ("DELETE", "/v1/split-pins/pin_1")


def test_a_pin_that_names_two_things_is_refused_here(api: Api) -> None:
    refused = reel("dataset", "pin", "valid", "--film", "mov_1", "--picture", "img_1")
    assert (refused.exit_code, api.asked) == (2, [])


@pytest.mark.parametrize(
    ("option", "field"), [("--id", "image_id"), ("--picture-url", "url"), ("--page-url", "page_url")]
)
def test_a_picture_is_taken_down(api: Api, option: str, field: str) -> None:
    api.job(
        "/v1/takedowns",
        {
            "images": ["img_1"], "variants": 6, "objects": 7, "dataset_versions": ["dsv_1"], "models": [],
            "look_alikes": ["img_9"],
        },
    )  # fmt: skip
    shown = words(reel("pictures", "take-down", option, "x", "--reason", "asked by its author"))
    assert api.sent() == {field: "x", "reason": "asked by its author"}
    assert shown == (
        "1 pictures and 6 variants taken down, 7 files gone. Versions that held it, now marked: dsv_1 "
        "Duplicates of it that stay; look at them: img_9"
    )


def test_a_take_down_names_one_thing_and_says_why(api: Api) -> None:
    assert reel("pictures", "take-down", "--id", "img_1").exit_code == 2
    assert reel("pictures", "take-down", "--reason", "x").exit_code == 2
    assert api.asked == []
