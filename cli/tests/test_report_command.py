"""``reel report`` and ``reel attention-difference``, before an API that answers by path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from reel_shared.client import Client
from reelsight.commands import console
from reelsight.main import app, main

PAGE = b"<!DOCTYPE html><title>report</title>"


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Path -> what the API answers: bytes for a page, anything else as JSON; 404 for other paths."""
    found: dict[str, Any] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        key = request.url.path + ("?json" if request.url.params.get("format") == "json" else "")
        if key not in found:
            return httpx.Response(404, json={"detail": f"There is no {key}.", "status": 404})
        said = found[key]
        return (
            httpx.Response(200, content=said) if isinstance(said, bytes) else httpx.Response(200, json=said)
        )

    transport = httpx.MockTransport(answer)
    monkeypatch.setattr(console, "client", lambda **_: Client("http://reel.test", transport=transport))
    monkeypatch.setattr(console, "wants_json", lambda flag: flag)
    monkeypatch.chdir(tmp_path)
    found["/v1/models/mdl_1"] = {"id": "mdl_1", "dataset_version_id": "dsv_1"}
    found["/v1/models/active"] = found["/v1/models/mdl_1"]
    found["/v1/models/mdl_1/report"] = PAGE
    found["/v1/models/mdl_1/report?json"] = {"seed": 42}
    return found


def reel(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize("of", ["mdl_1", "active", "job_1"])
def test_a_page_is_written_for_a_model_or_a_run(of: str, answers: dict[str, Any]) -> None:
    answers["/v1/jobs/job_1"] = {
        "id": "job_1", "kind": "trainer.train_model", "state": "succeeded", "result": {"model_id": "mdl_1"},
    }  # fmt: skip
    done = reel("report", of)
    assert (done.exit_code, done.output.strip()) == (0, "report-mdl_1.html")
    assert Path("report-mdl_1.html").read_bytes() == PAGE


def test_figures_go_to_the_terminal_or_to_a_file(answers: dict[str, Any]) -> None:
    assert json.loads(reel("report", "mdl_1", "--json").output) == {"seed": 42}
    assert reel("report", "mdl_1", "--json", "-o", "figures.json").exit_code == 0
    assert json.loads(Path("figures.json").read_text()) == {"seed": 42}


def test_faults_are_one_line(
    answers: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers["/v1/jobs/job_2"] = {
        "id": "job_2",
        "kind": "trainer.train_model",
        "state": "running",
        "result": None,
    }
    for arguments, sentence in (
        (["report", "job_2"], "job_2 (trainer.train_model) is running and has made no model"),
        (["report", "mdl_9"], "There is no /v1/models/mdl_9."),
        (["report", "mdl_1", "-o", "nowhere/a.html"], "nowhere/a.html cannot be written"),
    ):
        monkeypatch.setattr("sys.argv", ["reel", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 1
        said = capsys.readouterr().err
        assert sentence in said.replace("\n", " ")


def test_the_page_is_opened_when_asked(answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert reel("report", "--open", "-o", "a.html").exit_code == 0
    assert opened == [Path("a.html").resolve().as_uri()]


def test_a_difference_of_attention_is_drawn_class_by_class(
    answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = [{"accuracy": 0.4, "ring_share": 0.61}, {"accuracy": 0.9, "ring_share": None}]
    shown = {"label": "kiki", "images": 7, "looks": looks, "picture": {"url": "http://storage/kiki.png"}}
    answers["/v1/attention-differences"] = {
        "id": "job_3", "state": "succeeded", "error": None, "result": {"missing": 0, "classes": [shown]},
    }  # fmt: skip
    monkeypatch.setattr(Client, "download", lambda _self, _url: b"png")
    done = reel("attention-difference", "active", "mdl_1", "--probe", "costumes", "--out", "drawn")
    assert done.exit_code == 0, done.output
    assert "kiki 7 40% → 90% 61% → – drawn/kiki.png" in " ".join(done.output.split())
    assert Path("drawn/kiki.png").read_bytes() == b"png"
