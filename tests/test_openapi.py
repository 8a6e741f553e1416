"""The OpenAPI document shows how everything is called: its examples fit its schemas and pass the API's own checks."""

from __future__ import annotations

import base64
import re

import jsonschema
import pytest
from fastapi.testclient import TestClient

from reel_shared.db.engine import transaction
from reel_shared.security import create_key
from reel_shared.settings import settings
from reel_shared.web.examples import ANSWERS, BODIES, Maker
from reelsight.platform.application import app

JSON = "application/json"
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
"""A picture."""


@pytest.fixture(scope="module")
def document():
    return app().openapi()


def operations(document):
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            yield f"{verb.upper()} {path}", operation


def shown(document):
    """Every body and answer in JSON: where it is, and what the document says of it."""
    for name, operation in operations(document):
        for media, content in operation.get("requestBody", {}).get("content", {}).items():
            if media == JSON:
                yield f"{name}: the body", content
        for status, answer in operation["responses"].items():
            for media, content in answer.get("content", {}).items():
                if media in (JSON, "application/problem+json"):
                    yield f"{name}: {status}", content


def test_every_body_and_every_answer_has_an_example_that_fits_its_schema(document):
    wrong = []
    for place, content in shown(document):
        if "example" not in content:
            wrong.append(f"{place} has no example")
            continue
        schema = {**content["schema"], "components": document["components"]}
        checker = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
        wrong += [
            f"{place} {list(error.path)}: {error.message}"
            for error in checker.iter_errors(content["example"])
        ]
    assert wrong == []


def test_no_text_in_an_answer_is_made_up_of_nothing(document):
    maker = Maker(document["components"]["schemas"])
    for name, operation in operations(document):
        for answer in operation["responses"].values():
            for media, content in answer.get("content", {}).items():
                if media == JSON and name not in ANSWERS:
                    maker.make(content["schema"])
    assert maker.unknown == set()
    names = {name for name, _ in operations(document)}
    assert names >= {*BODIES, *ANSWERS}
    assert ANSWERS["GET /v1/limits"].keys() >= settings().limits.model_dump().keys()


@pytest.mark.servers
def test_bodies_pass_the_checks_of_the_api_and_keys_of_repetition_are_told_where_they_are_read(
    document, reel
):
    with transaction() as session:
        _, token = create_key(session, "contract", ["admin"])
    client = TestClient(app(), headers={"Authorization": f"Bearer {token}"})
    names = {
        "image_id": "img_1",
        "job_id": "job_1",
        "model_id": "mdl_1",
        "key_id": "key_1",
        "endpoint_id": "whe_1",
        "queue": "trainer",
    }
    refused, silent = [], []
    for name, operation in operations(document):
        verb, path = name.split()
        if verb not in ("POST", "PUT") or name not in BODIES:
            continue
        asked = client.request(
            verb, path.format_map(names), json=BODIES[name], headers={"Idempotency-Key": "x" * 300}
        )
        read = asked.status_code == 400 and "Idempotency-Key" in asked.text
        told = "Idempotency-Key" in {one["name"] for one in operation.get("parameters", [])}
        if asked.status_code == 422:
            refused.append(f"{name}: {asked.text}")
        elif read != told and (read or asked.status_code not in (404, 409)):
            silent.append(f"{name}: {asked.status_code} {asked.text[:200]}")
    assert refused == []
    assert silent == []


def test_what_a_job_answers_says_where_it_is_and_when_to_ask(document):
    told = document["paths"]["/v1/trainings"]["post"]["responses"]["202"]["headers"]
    assert {"X-Request-ID", "Location", "Retry-After", "Idempotent-Replayed", "RateLimit"} <= set(told)
    job = document["paths"]["/v1/trainings"]["post"]["responses"]["202"]["content"][JSON]["example"]
    assert (job["kind"], job["state"], job["request"]["recipe"]) == (
        "trainer.train_model",
        "queued",
        "article",
    )


REFUSED = {"401", "403", "404", "413", "415"}
"""What a request can be made to meet at any operation that lists it, whatever lies in the database."""


class Asker:
    """Asks one operation as it should not be asked, and notes what that was refused with."""

    def __init__(self, client, name, operation):
        self.client, self.given = client, set()
        verb, path = name.split()
        wanted = [one["name"] for one in operation.get("parameters", []) if one.get("required")]
        self.request = {
            "method": verb,
            "url": re.sub(r"{\w+}", "none", path),
            "params": {one: "none" for one in wanted if f"{{{one}}}" not in path},
        }
        bodies = operation.get("requestBody", {}).get("content", {})
        self.example = {"content": PIXEL} if "image/*" in bodies else {}
        if name in BODIES:
            self.example = {"json": BODIES[name]}

    def ask(self, token, **options):
        headers = {"Authorization": f"Bearer {token}", **options.pop("headers", {})}
        answer = self.client.request(**self.request, headers=headers, **(options or self.example))
        self.given |= {str(answer.status_code)} & REFUSED


@pytest.mark.servers
def test_each_operation_lists_the_refusals_that_it_gives_and_no_others(document, reel):
    """Asked without a key, with one that lacks the scope, for what is not there, with too much, and with no JSON."""
    reel.configure(limits__json_bytes=20_000, limits__picture_bytes=20_000)
    with transaction() as session:
        keys = [create_key(session, scope, [scope])[1] for scope in ("read", "submit", "demo")]
        _, admin = create_key(session, "admin", ["admin"])
    client = TestClient(app())
    wrong = []
    for name, operation in operations(document):
        asker = Asker(client, name, operation)
        for token in ("reel_000000000000_" + "a" * 43, *keys):
            asker.ask(token)
        if "requestBody" in operation:
            picture = "image/*" in operation["requestBody"]["content"]
            read, unread = ("image/png", JSON) if picture else (JSON, "text/plain")
            asker.ask(admin, content=PIXEL + b"x" * 2**21, headers={"Content-Type": read})
            asker.ask(admin, content=b"words", headers={"Content-Type": unread})
        if "{" in name:
            asker.ask(admin)
        listed = operation["responses"].keys() & REFUSED
        missed = listed - asker.given - ({"404"} if "{" not in name else set())
        if missed or asker.given - listed:
            wrong.append(f"{name} lists {sorted(listed)} and gives {sorted(asker.given)}")
    assert wrong == []


def test_refusals_are_listed_by_their_own_statuses(document):
    listed = {name: sorted(operation["responses"]) for name, operation in operations(document)}
    assert listed["POST /v1/trainings"] == [
        "202",
        *["400", "401", "403", "404", "409", "413", "415", "422", "429", "500", "503"],
    ]
    assert listed["GET /v1/jobs/{job_id}"] == ["200", "304", "401", "404", "429", "500", "503"]
    assert listed["POST /v1/models/{model}/predict"][-3:] == ["500", "503", "504"]
    assert listed["GET /v1/limits"] == ["200"]
    told = document["paths"]["/v1/models/{model_id}/promote"]["post"]["responses"]["422"]
    assert told["description"] == "The request does not fit; The model does not pass its gates"
    assert document["paths"]["/readyz"]["get"]["responses"]["503"]["content"].keys() == {JSON}
