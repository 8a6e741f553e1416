"""The typed client against the OpenAPI document: every call that stands in its code is one that the document has."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from reel_shared import client, operations
from reel_shared.client import PATHS
from reel_shared.contracts import Kind
from reelsight.platform.application import app

VERBS = {"get": "GET", "rows": "GET", "post": "POST"}
PAGED = {"limit", "cursor"}


class Sent(NamedTuple):
    """One call in the client's code; a value that is known only when it runs is ``*`` in the path."""

    verb: str
    path: str
    query: frozenset[str]
    body: frozenset[str] | None
    """The names in a body that is written out; None where it is a model's, or there is none."""
    whole: bool
    """Whether the body is nothing but these names."""


def spelled(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in node.values)
    return None


def names(node: ast.expr | None) -> tuple[frozenset[str] | None, bool]:
    if not isinstance(node, ast.Dict):
        return None, False
    found = [key.value for key in node.keys if isinstance(key, ast.Constant)]
    return frozenset(found), len(found) == len(node.keys)


def sent(module: Any) -> list[Sent]:
    found = []
    for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        name, given = node.func.attr, list(node.args)
        verb = str(ast.literal_eval(given.pop(0))) if name == "_json" else VERBS.get(name)
        path = spelled(given[0]) if given else None
        if verb is None or path is None or not path.startswith("/v1/"):
            continue
        options = {each.arg: each.value for each in node.keywords if each.arg}
        query = names(options.get("params"))[0] or frozenset()
        body, whole = names(options.get("json"))
        found.append(Sent(verb, path, query | (set(options) if name == "rows" else set()), body, whole))
    return found


SENT = [one for module in (client, operations) for one in sent(module)]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return app().openapi()


def operation(document: dict[str, Any], verb: str, path: str) -> dict[str, Any]:
    """The operation of a path, whose own words go before those that stand for any."""
    templates = [path] if path in document["paths"] else document["paths"]
    for template in templates:
        pattern = re.sub(r"\{\w+\}", r"\\*", re.escape(template).replace(r"\{", "{").replace(r"\}", "}"))
        if template == path or re.fullmatch(pattern, path):
            found = document["paths"][template].get(verb.lower())
            if found is not None:
                return found
    raise AssertionError(f"the document has no {verb} {path}")


def schema_of(document: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    schema = asked["requestBody"]["content"]["application/json"]["schema"]
    while "properties" not in schema:
        if "anyOf" in schema:
            schema = next(each for each in schema["anyOf"] if each.get("type") != "null")
        else:
            schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def test_the_calls_are_found() -> None:
    assert len(SENT) > 50
    assert {"GET", "POST", "PUT", "DELETE"} == {one.verb for one in SENT}
    assert sum(one.body is not None for one in SENT) > 5


@pytest.mark.parametrize("one", SENT, ids=lambda one: f"{one.verb} {one.path}")
def test_every_call_of_the_client_stands_in_the_document(document: dict[str, Any], one: Sent) -> None:
    asked = operation(document, one.verb, one.path)
    known = {each["name"] for each in asked.get("parameters", []) if each["in"] == "query"}
    assert one.query - PAGED <= known
    if one.body is not None:
        schema = schema_of(document, asked)
        assert one.body <= set(schema["properties"])
        assert not one.whole or set(schema.get("required", [])) <= one.body


@pytest.mark.parametrize("kind", PATHS, ids=lambda kind: kind.name)
def test_every_request_of_a_job_is_the_documents(document: dict[str, Any], kind: Kind) -> None:
    """The client sends the contract's model; the document has its fields, and asks for no others."""
    schema = schema_of(document, operation(document, "POST", PATHS[kind]))
    fields = kind.request.model_fields
    assert set(fields) <= set(schema["properties"])
    required = {name for name, field in fields.items() if field.is_required()}
    assert set(schema.get("required", [])) <= required | {"metadata"}
    assert "metadata" not in schema.get("required", [])
