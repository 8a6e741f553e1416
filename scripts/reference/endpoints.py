"""The page of endpoints, from the OpenAPI document of the whole platform and from who may call what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute

from reel_augment.api import router as augment
from reel_explainer.api import router as explainer
from reel_inference.api import router as inference
from reel_ingest.api import router as ingest
from reel_shared.client import PATHS
from reel_shared.web.auth import scopes_of
from reel_shared.web.document import PARAMETERS
from reel_shared.web.health import health_router
from reel_trainer.api import router as trainer
from reel_web.api import router as web
from reelsight.platform.application import app
from scripts.reference.tables import default, first_sentence, page, prose, table

SERVICES = {
    "Ingest: films, web pictures, imports, curation": ingest,
    "Augment: variants": augment,
    "Trainer: dataset versions, trainings, models": trainer,
    "Inference: predictions": inference,
    "Explainer: heat maps": explainer,
    "Web: jobs, queues, keys, uploads, feedback": web,
    "Every service: health": health_router(()),
}
ABOUT = """The endpoints of all services, which one address serves; `GET /openapi.json` is the same for programs. Keys,
jobs, lists and errors work alike everywhere: [conventions](README.md#conventions). The fields of what submits a
job are on [the page of jobs](jobs.md)."""
KIND_OF = {path: kind.name for kind, path in PATHS.items()}
EVERYWHERE = {"cursor", "limit"}
"""Of every list, as the conventions say, and headers likewise."""
_ANYBODY = "–"


def routes(router: APIRouter) -> Iterator[APIRoute]:
    """Every route of a router and of the routers in it."""
    for route in router.routes:
        if isinstance(route, APIRoute):
            yield route
        elif (inner := getattr(route, "original_router", None)) is not None:
            yield from routes(inner)


def written() -> str:
    document = app().openapi()
    schemas = document["components"]["schemas"]
    parts = []
    for title, router in SERVICES.items():
        rows, details = [], []
        for route in routes(router):
            for verb in sorted(route.methods or ()):
                if not route.include_in_schema:
                    continue
                operation = document["paths"][route.path][verb.lower()]
                name = f"`{verb} {route.path}`"
                about = prose(operation.get("description"))
                rows.append((name, " or ".join(scopes_of(route)) or _ANYBODY, first_sentence(about)))
                details.append(_details(name, about, operation, schemas, verb, route.path))
        parts += [f"## {title}", table(("endpoint", "scope", "what"), rows), *filter(None, details)]
    return page("API", ABOUT, *parts, *_examples(schemas))


def _examples(schemas: dict[str, Any]) -> list[str]:
    """What an answer looks like, where the code gives one."""
    found = []
    for name, schema in schemas.items():
        for example in schema.get("examples", []):
            found += [f"### `{name}`", f"```json\n{json.dumps(example, indent=2, ensure_ascii=False)}\n```"]
    return ["## Examples", *found] if found else []


def _details(
    name: str, about: str, operation: dict[str, Any], schemas: dict[str, Any], verb: str, path: str
) -> str:
    """What does not fit into the row: the rest of the words, parameters, the body's fields, the answer."""
    said = [about] if first_sentence(about) != about else []
    rows: list[tuple[str, ...]] = [
        (
            f"`{one['name']}`",
            one["in"],
            kind(one["schema"], schemas),
            _default(one),
            prose(one.get("description")),
        )
        for one in operation.get("parameters", [])
        if one["name"] not in EVERYWHERE
        and one["name"] not in PARAMETERS
        and (one["in"] != "path" or one.get("description"))
    ]
    submits = KIND_OF.get(path) if verb == "POST" else None
    if submits:
        said.append(f"Submits a job [`{submits}`](jobs.md#{submits.replace('.', '')}).")
    else:
        rows += _body(operation, schemas)
    if not said and not rows:
        return ""
    listed = table(("parameter or field", "in", "type", "default", "what"), rows)
    parts = [f"### {name}", " ".join(said), listed, _example(operation), _answers(operation, schemas)]
    return "\n\n".join(filter(None, parts))


def _example(operation: dict[str, Any]) -> str:
    """A body as it may be sent."""
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    if "example" not in body:
        return ""
    return f"```json\n{json.dumps(body['example'], indent=2, ensure_ascii=False)}\n```"


def _body(operation: dict[str, Any], schemas: dict[str, Any]) -> list[tuple[str, ...]]:
    content = operation.get("requestBody", {}).get("content", {})
    media = next((one for one in content if one == "application/json"), None)
    if media is None:
        return (
            [("the body", "body", ", ".join(f"`{one}`" for one in content), "required", "")]
            if content
            else []
        )
    schema = resolved(content[media].get("schema", {}), schemas)
    needed = schema.get("required", [])
    return [
        (f"`{name}`", "body", kind(field, schemas), "required" if name in needed else _default({"schema": field}),
         prose(field.get("description")))
        for name, field in schema.get("properties", {}).items()
    ]  # fmt: skip


def _answers(operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    refused = ", ".join(status for status in operation["responses"] if status >= "4")
    otherwise = f" Otherwise {refused}: a [problem](problems.md)." if refused else ""
    for status, answer in operation["responses"].items():
        content = answer.get("content", {})
        if status.startswith("2"):
            schema = content.get("application/json", {}).get("schema")
            media = ", ".join(f"`{one}`" for one in content if one != "application/json")
            told = kind(schema, schemas) if schema else media or "nothing"
            return f"Answers {status}: {told}.{otherwise}"
    return ""


def _default(parameter: dict[str, Any]) -> str:
    if parameter.get("required"):
        return "required"
    return default(parameter["schema"].get("default"))


def resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """What a reference names; of what may be null or something else, the first that is an object."""
    if "$ref" in schema:
        return resolved(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    options = schema.get("anyOf", [])
    return next((resolved(one, schemas) for one in options if "$ref" in one), schema)


def kind(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    """A JSON schema in a few words: `string`, `integer 1 to 100`, `list of string`, the values of an enumeration."""
    if "$ref" in schema:
        named = schema["$ref"].rpartition("/")[2]
        if named.startswith("Page_"):
            return f"a page of `{named.removeprefix('Page_').rstrip('_')}`"
        return _values(schemas[named]) if "enum" in schemas[named] else f"`{named}`"
    if "enum" in schema or "const" in schema:
        return _values(schema)
    if options := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        return " or ".join(dict.fromkeys(kind(one, schemas) for one in options if one.get("type") != "null"))
    if schema.get("type") == "array":
        return f"list of {kind(schema.get('items', {}), schemas)}"
    bounds = [f"{schema[key]:g}" for key in ("minimum", "maximum") if key in schema]
    if len(bounds) == 2:
        return f"{schema['type']}, {' to '.join(bounds)}"
    if bounds:
        return f"{schema['type']}, {'from' if 'minimum' in schema else 'at most'} {bounds[0]}"
    return str(schema.get("type", "anything"))


def _values(schema: dict[str, Any]) -> str:
    return ", ".join(f"`{one}`" for one in schema.get("enum", [schema.get("const")]))
