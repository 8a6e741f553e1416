"""The demo's promotions, before an API that promotes or refuses as it is told."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from reel_shared.client import Client
from reelsight.demo import promoting
from reelsight.demo.facts import EVERYTHING, FILMS_ONLY, Facts
from reelsight.demo.work import MissionFailed

LOST = {"name": "regression", "state": "failed", "says": "Lost.", "part": "web"}


class Registry:
    """Which model is active, and which ones the gates keep out."""

    def __init__(self) -> None:
        self.active, self.kept_out, self.reasons, self.former = "", set[str](), list[str](), [""]
        self.away = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        *_, model, verb = ("", *request.url.path.split("/"))
        if request.method == "GET" and verb == "gates":
            failed = model in self.kept_out
            report = {"model_id": model, "against": self.active or None, "passed": not failed}
            return httpx.Response(200, json={**report, "gates": [LOST] if failed else []})
        if verb == "rollback":
            self.active = self.former.pop()
            return httpx.Response(200, json={"id": self.active})
        if verb == "promote":
            return self.promote(model, json.loads(request.content))
        if verb == "models":
            rows = [{"id": self.active, "active": True}] if self.active else []
            return httpx.Response(200, json={"data": rows, "next_cursor": None})
        return httpx.Response(200, json={"id": verb, "active": verb == self.active})

    def promote(self, model: str, body: dict[str, Any]) -> httpx.Response:
        if self.away:
            gone = {"type": "urn:reelsight:problem:not-found", "status": 404, "detail": "Gone."}
            return httpx.Response(404, json=gone)
        if model in self.kept_out and not body["force"]:
            kind = "urn:reelsight:problem:gates-failed"
            problem = {"type": kind, "status": 422, "detail": "It stays out.", "gates": [LOST]}
            return httpx.Response(422, json=problem)
        self.reasons.append(body["reason"])
        self.former.append(self.active)
        self.active = model
        return httpx.Response(200, json={"id": model})


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def client(registry: Registry) -> Client:
    return Client("http://reel.test", transport=httpx.MockTransport(registry))


@pytest.fixture
def facts() -> Facts:
    made = Facts(dataset="d", titles={})
    made.models = {
        FILMS_ONLY: SimpleNamespace(model_id="mdl_f"),
        EVERYTHING: SimpleNamespace(model_id="mdl_e"),
    }  # type: ignore[dict-item]
    return made


def test_the_first_run_forces_nothing_and_a_later_one_says_why(
    registry: Registry, client: Client, facts: Facts
) -> None:
    promoting.begin(client, facts)
    assert (registry.active, registry.reasons) == ("mdl_f", [""])
    registry.active, registry.kept_out = "mdl_of_yesterday", {"mdl_f"}
    promoting.begin(client, facts)
    assert (registry.active, registry.reasons[-1]) == ("mdl_f", promoting.ANEW)


def test_the_verdict_on_the_full_model_is_kept_whether_it_serves_or_not(
    registry: Registry, client: Client, facts: Facts
) -> None:
    promoting.begin(client, facts)
    registry.kept_out = {"mdl_e"}
    promoting.promote(client, facts)
    assert facts.promotion is not None
    assert (facts.promotion.serves, facts.promotion.report.passed) == (False, False)
    registry.kept_out = set()
    promoting.promote(client, facts)
    assert (facts.promotion.serves, facts.promotion.report.against) == (True, "mdl_f")


def test_the_film_only_model_is_refused_and_one_that_is_not_does_not_stay(
    registry: Registry, client: Client, facts: Facts
) -> None:
    promoting.begin(client, facts)
    promoting.promote(client, facts)
    registry.kept_out = {"mdl_f"}
    promoting.be_refused(client, facts)
    assert facts.refusal is not None
    assert (facts.refusal.serves, [gate.part for gate in facts.refusal.failed]) == (False, ["web"])
    registry.kept_out = set()
    promoting.be_refused(client, facts)
    assert (facts.refusal.serves, registry.active) == (True, "mdl_e")


def test_any_other_fault_ends_the_mission(registry: Registry, client: Client, facts: Facts) -> None:
    registry.away = True
    for step in (promoting.promote, promoting.be_refused):
        with pytest.raises(MissionFailed, match="Gone"):
            step(client, facts)
