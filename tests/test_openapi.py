"""The OpenAPI document shows how everything is called: its examples fit its schemas and pass the API's own checks."""

from __future__ import annotations

import jsonschema
import pytest
from fastapi.testclient import TestClient

from reel_shared.db.engine import transaction
from reel_shared.security import create_key
from reel_shared.settings import settings
from reel_shared.web.examples import ANSWERS, BODIES, Maker
from reelsight.platform.server import app

JSON = "application/json"


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
