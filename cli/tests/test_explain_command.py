"""``reel explain``: which options it takes, and which files of a result it fetches under which names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from reel_shared.client import Client
from reel_shared.contracts import (
    ExplainPictureResult,
    Explanation,
    FeatureSheet,
    LabelDifference,
    StoredFile,
)
from reelsight.commands import console
from reelsight.commands.explain import drawing_options, fetched, files_of
from reelsight.main import app


def file(name: str, suffix: str) -> StoredFile:
    return StoredFile(key=f"explanations/{name}{suffix}", media_type="image/png", size=1, sha256="0" * 64)


def test_options_are_read_as_the_request_means_them() -> None:
    spoken = ["alpha=0.5", "colormap=jet", "rectify=false", 'methods=["guided"]']
    assert drawing_options(spoken) == {
        "alpha": 0.5,
        "colormap": "jet",
        "rectify": False,
        "methods": ["guided"],
    }


@pytest.mark.parametrize("spoken", ["alpha=2", "colour=red", "alpha"])
def test_a_wrong_option_is_a_usage_error_that_says_what_is_right(
    spoken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        drawing_options([spoken])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "name=value" in said or "colormap" in said


def test_every_file_of_a_result_is_fetched_under_a_name_of_its_own(tmp_path: Path) -> None:
    result = ExplainPictureResult(
        model="mdl_a",
        predictions=[],
        picture=file("square", ".png"),
        explanations=[
            Explanation(
                label=label,
                probability=0.5,
                gradcam=file(f"{label}-heat", ".png"),
                arrays={"gradcam": file(f"{label}-heat", ".npy")},
            )
            for label in ("kiki", "howl")
        ],
        difference=LabelDifference(
            labels=("kiki", "howl"), largest=1.0, picture=file("less", ".png"), array=file("less", ".npy")
        ),
        features=[
            FeatureSheet(label=None, channels=[], picture=file("active", ".png")),
            FeatureSheet(label="kiki", channels=[], picture=file("heavy", ".png")),
        ],
        panel=file("panel", ".png"),
        animation=file("fade", ".gif"),
    )

    class Bucket:
        def download(self, url: str) -> bytes:
            return url.encode()

    names = []
    for _, name, found in files_of(result.model_dump(mode="json")):
        path = fetched(Bucket(), {**found, "url": found["key"]}, tmp_path / f"a-{name}")  # type: ignore[arg-type]
        names.append(path.name)
        assert path.read_bytes().decode() == found["key"]
    assert sorted(names) == [
        "a-active-features.png",
        "a-animation.gif",
        "a-howl-gradcam.npy",
        "a-howl-gradcam.png",
        "a-kiki-features.png",
        "a-kiki-gradcam.npy",
        "a-kiki-gradcam.png",
        "a-kiki-less-howl.npy",
        "a-kiki-less-howl.png",
        "a-panel.png",
    ]


@pytest.fixture
def batch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """A platform that has explained one of two pictures; returns the requests that it got."""
    asked: list[Any] = []
    explained = ExplainPictureResult(
        model="mdl_a",
        predictions=[{"label": "kiki", "probability": 0.8}],
        picture=file("square", ".png"),
        explanations=[Explanation(label="kiki", probability=0.8, gradcam=file("heat", ".png"))],
    ).model_dump(mode="json", exclude={"model"}, exclude_none=True)  # as the worker writes a line
    explained["explanations"][0]["gradcam"]["url"] = "http://s3.test/heat.png"  # and the API hands it out
    gone = {"key": "pictures/b.jpg", "error": {"detail": "There is no picture pictures/b.jpg."}}
    lines = [{"key": "pictures/a.jpg", "actual": "howl", **explained}, gone]
    result = {"found": 5, "count": 2, "failed": 1}

    def submit(_self: Client, request: Any) -> Any:
        asked.append(request)
        return {"id": "job_1", "state": "succeeded", "error": None, "result": result}

    monkeypatch.setattr(Client, "explain_pictures", submit)
    monkeypatch.setattr(Client, "explanation_results", lambda _self, job_id: iter(lines))
    monkeypatch.setattr(Client, "download", lambda _self, _url: b"png")
    monkeypatch.setattr(console, "client", lambda **_: Client("http://reel.test"))
    monkeypatch.setattr(console, "wants_json", lambda flag: flag)
    monkeypatch.chdir(tmp_path)
    return asked


def test_a_model_s_mistakes_are_explained_a_folder_each(batch: list[Any]) -> None:
    done = CliRunner().invoke(app, ["explain-many", "--mistakes-in", "all", "-o", 'methods=["gradcam"]'])
    assert done.exit_code == 1, "one picture was not explained"
    (request,) = batch
    assert (request.mistakes_in, request.limit, request.methods) == ("all", 100, ["gradcam"])
    said = " ".join(done.output.split())
    assert "pictures/a.jpg is howl, called kiki (80%) explanations/a" in said
    assert "pictures/b.jpg: There is no picture pictures/b.jpg." in said
    assert "3 more were not explained" in said
    assert Path("explanations/a/kiki-gradcam.png").read_bytes() == b"png"
    kept = [json.loads(line) for line in Path("explanations/results.jsonl").read_text().splitlines()]
    assert [line["key"] for line in kept] == ["pictures/a.jpg", "pictures/b.jpg"]


@pytest.mark.parametrize("words", [[], ["--mistakes-in", "all", "--prefix", "pictures/"]])
def test_many_pictures_come_from_one_place(batch: list[Any], words: list[str]) -> None:
    done = CliRunner().invoke(app, ["explain-many", *words])
    assert done.exit_code == 2
    assert "exactly one of" in " ".join(done.output.split())
    assert not batch
