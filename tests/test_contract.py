"""The OpenAPI document against the whole API: schemathesis makes requests from it, and every answer must fit it."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from reel_shared.db.engine import transaction
from reel_shared.errors import NoModel
from reel_shared.security import create_key
from reelsight.platform.application import app

pytestmark = pytest.mark.servers
EXAMPLES = {GenerationMode.POSITIVE: 3, GenerationMode.NEGATIVE: 2}
"""Requests to one operation; the same ones in every run."""


def no_fault_of_the_server(_, response, case):
    """Everything that the API needs is there, so that it may lack nothing but a model to serve."""
    if response.status_code >= 500:
        assert response.json()["type"] == NoModel().problem()["type"], response.text


CHECKS = [
    no_fault_of_the_server,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]


def takes_input(operation):
    return bool(operation.body) or any(True for _ in operation.iter_parameters())


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_answer_fits_the_document(reel, mode):
    with transaction() as session:
        _, token = create_key(session, "contract", ["admin"])
    headers = {"Authorization": f"Bearer {token}"}
    schema = schemathesis.openapi.from_asgi("/openapi.json", app())
    found: dict[str, str] = {}
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) > 70
    for operation in operations:
        if mode is GenerationMode.NEGATIVE and not takes_input(operation):
            continue

        @settings(
            max_examples=EXAMPLES[mode],
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case):
            case.call_and_validate(headers=headers, checks=CHECKS)

        try:
            ask()
        except BaseExceptionGroup as group:
            found[operation.label] = "\n".join(str(error) for error in group.exceptions)
        except Exception as error:
            found[operation.label] = str(error)
    assert not found, "\n\n".join(f"{label}\n{text[:1500]}" for label, text in found.items())
