"""``reel models`` before an API that notes what it is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from reel_shared.client import ApiError, Client
from reelsight.commands import console
from reelsight.main import app, main

GATES = [
    {"name": "certificate", "state": "passed", "says": "On record."},
    {"name": "regression", "state": "failed", "says": "Lost [0.2].", "part": "web"},
]


class Api:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.answers: dict[str, Any] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        sent = json.loads(request.content) if request.content else None
        self.asked.append((request.method, request.url.path, sent))
        answer = self.answers.get(f"{request.method} {request.url.path}")
        if answer is None:
            return httpx.Response(404, json={"status": 404, "detail": "There is no such model."})
        return httpx.Response(answer.get("status", 200), json=answer)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    made = Api()
    transport = httpx.MockTransport(made)
    monkeypatch.setattr(console, "client", lambda **_: Client("http://reel.test", transport=transport))
    monkeypatch.setattr(console, "wants_json", lambda flag: flag)
    return made


@pytest.fixture
def model() -> Callable[..., dict[str, Any]]:
    def make(**fields: Any) -> dict[str, Any]:
        common = {
            "id": "mdl_1", "number": 7, "active": False, "aliases": ["candidate"], "tags": ["good"], "remarks": [],
            "forced": None, "architecture": "resnet50", "recipe": "article", "classes": ["a", "b"], "size": 350,
            "dataset_version_id": "dsv_1", "software": {"version": "0.1.0", "commit": "unknown"}, "notes": [],
            "metrics": {"all": {"accuracy": 0.9375, "images": 80}}, "job_id": "job_1",
            "created_at": "2026-01-31T12:00:00Z",
        }  # fmt: skip
        return {**common, **fields}

    return make


def reel(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def words(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


def test_models_are_listed_and_shown_with_what_they_came_from(api: Api, model: Any) -> None:
    api.answers["GET /v1/models"] = {"data": [model()], "next_cursor": None}
    assert "v7 mdl_1 candidate 0.938 article good 2026-01-31T12:00" in words(reel("models", "list"))
    forced = {"reason": "[urgent]", "by": "key_1", "at": "2026-01-31T12:00:00Z", "gates": ["held-out"]}
    remark = {"text": "weak at night", "by": "key_1", "at": "2026-02-01T12:00:00Z"}
    api.answers["GET /v1/models/v7"] = model(forced=forced, remarks=[remark], notes=["Leaks."])
    shown = words(reel("models", "show", "v7"))
    assert "version 0.1.0, commit unknown" in shown
    assert "accuracy, all 0.938 of 80 pictures" in shown
    assert "weak at night (key_1, 2026-02-01)" in shown
    assert "forced [urgent] (held-out had failed)" in shown
    assert json.loads(reel("models", "show", "v7", "--json").stdout)["number"] == 7


def test_gates_are_shown_and_a_failed_one_is_the_exit_code(api: Api) -> None:
    report = {"model_id": "mdl_1", "against": "mdl_0", "passed": False, "gates": GATES}
    api.answers["GET /v1/models/candidate/gates"] = report
    failed = reel("models", "gates")
    assert failed.exit_code == 1
    assert "✗ regression web Lost [0.2]." in " ".join(failed.stdout.split())
    api.answers["GET /v1/models/v7/gates"] = {**report, "passed": True, "gates": GATES[:1]}
    assert "✓ certificate On record." in words(reel("models", "gates", "v7"))


def test_a_model_is_promoted_with_its_way_back_told(api: Api, model: Any) -> None:
    api.answers["POST /v1/models/candidate/promote"] = model()
    assert words(reel("models", "promote")).startswith("v7 (mdl_1) serves. Back with `reel models rollback`")
    assert api.asked[-1][2] == {"force": False, "reason": ""}
    assert reel("models", "promote", "--force").exit_code == 2
    assert len(api.asked) == 1
    words(reel("models", "promote", "--force", "--reason", "asked for"))
    assert api.asked[-1][2] == {"force": True, "reason": "asked for"}
    api.answers["POST /v1/models/rollback"] = model(number=6)
    assert words(reel("models", "rollback", "--reason", "worse")) == "v6 (mdl_1) serves again."
    assert api.asked[-1][2] == {"reason": "worse"}
    api.answers["POST /v1/models/v5/candidate"] = model(number=5)
    assert words(reel("models", "candidate", "v5")).startswith("v5 (mdl_1) is the candidate.")


def test_a_refusal_is_one_line(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    problem = {"status": 422, "detail": "v7 (mdl_1) stays out: Lost [0.2].", "gates": GATES[1:]}
    api.answers["POST /v1/models/v7/promote"] = problem
    with pytest.raises(ApiError):
        CliRunner().invoke(app, ["models", "promote", "v7"], catch_exceptions=False)
    monkeypatch.setattr("sys.argv", ["reel", "models", "promote", "v7"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.strip() == "reel: v7 (mdl_1) stays out: Lost [0.2]."


def test_tags_are_added_and_taken_away(api: Api, model: Any) -> None:
    api.answers["GET /v1/models/v7"] = api.answers["PUT /v1/models/v7/tags"] = model()
    words(reel("models", "tag", "v7", "release-1"))
    assert api.asked[-1][2] == {"tags": ["good", "release-1"]}
    words(reel("models", "tag", "v7", "good", "--remove"))
    assert api.asked[-1][2] == {"tags": []}
    assert reel("models", "tag", "v7", "Two words").exit_code == 2
    api.answers["POST /v1/models/v7/remarks"] = model()
    assert words(reel("models", "note", "v7", "weak at night")) == "Noted on v7."
    assert api.asked[-1][2] == {"text": "weak at night"}


def test_the_shadow_is_begun_compared_and_ended(api: Api) -> None:
    report = {
        "model_id": "mdl_1", "number": 7, "against": "mdl_0", "share": 0.25, "since": "2026-01-31T12:00:00Z",
        "asked": 0, "agreed": 0, "agreement": None, "confidence_difference": None, "dropped": 2, "failed": 0,
        "disagreements": [], "other_disagreements": 0,
    }  # fmt: skip
    api.answers["POST /v1/models/v7/shadow"] = report
    begun = words(reel("models", "shadow", "v7", "--share", "0.25"))
    assert begun.endswith("on 25% of the answers; it has not been asked yet (2 dropped, 0 failed).")
    assert api.asked[-1][2] == {"share": 0.25}
    pairs = [{"active": "kiki", "shadow": "ponyo", "count": 3}]
    asked = {"asked": 40, "agreed": 37, "agreement": 0.925, "confidence_difference": -0.0311}
    api.answers["GET /v1/models/shadow"] = {**report, **asked, "disagreements": pairs}
    shown = words(reel("models", "shadow"))
    assert "40 asked, 92.5% agreed, its confidence differs by -0.031; 2 dropped" in shown
    assert "kiki ponyo 3" in shown
    assert reel("models", "shadow", "v7", "--share", "10").exit_code == 2
    api.answers["DELETE /v1/models/shadow/shadow"] = {}
    words(reel("models", "shadow", "--stop"))
    assert api.asked[-1][:2] == ("DELETE", "/v1/models/shadow/shadow")


def test_the_history_says_who_came_after_whom(api: Api) -> None:
    row = {
        "alias": "active", "action": "promote", "from_model_id": None, "to_model_id": "mdl_1", "by": "key_1",
        "reason": "first", "failed_gates": ["held-out"], "created_at": "2026-01-31T12:00:00Z",
    }  # fmt: skip
    api.answers["GET /v1/alias-changes"] = {"data": [row], "next_cursor": None}
    shown = words(reel("models", "history"))
    assert "active promote – mdl_1 first (held-out failed)" in shown
