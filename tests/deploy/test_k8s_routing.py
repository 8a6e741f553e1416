"""The Ingress against the services' own routes: each request reaches the service that answers it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from fastapi import FastAPI
from k8s_objects import OVERLAYS, Object, of_kind

import reel_augment.api
import reel_explainer.api
import reel_inference.api
import reel_ingest.api
import reel_trainer.api
import reel_web.application
from reel_web.pages import jobs, sign_in, try_it

APPS: dict[str, FastAPI] = {
    "ingest": reel_ingest.api.app(),
    "augment": reel_augment.api.app(),
    "trainer": reel_trainer.api.app(),
    "inference": reel_inference.api.app(),
    "explainer": reel_explainer.api.app(),
    "web": reel_web.application.app(),
}
INSIDE = {"/healthz", "/readyz", "/metrics", "/openapi.json"}
"""Every service has them; who is inside asks each by itself."""


def paths_of(app: FastAPI) -> set[str]:
    return {path for path in app.openapi()["paths"] if path not in INSIDE}


def service_of(objects: list[Object], path: str) -> str:
    """Which Service an Ingress controller would choose: an exact path, an expression, the longest prefix."""
    rules = [
        (entry["pathType"], entry["path"], entry["backend"]["service"]["name"])
        for item in of_kind(objects, "Ingress")
        for rule in item["spec"]["rules"]
        if rule["host"].startswith("reelsight.")
        for entry in rule["http"]["paths"]
    ]
    for kind, pattern, name in rules:
        if (kind == "Exact" and pattern == path) or (
            kind == "ImplementationSpecific" and re.search("^" + pattern, path)
        ):
            return name
    prefixes = [
        (len(pattern), name)
        for kind, pattern, name in rules
        if kind == "Prefix" and (path + "/").startswith(pattern.rstrip("/") + "/")
    ]
    return max(prefixes)[1]


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("service", APPS)
def test_each_route_reaches_its_service(
    service: str, overlay: str, rendered: dict[str, list[dict[str, Any]]]
) -> None:
    paths = paths_of(APPS[service])
    assert paths
    for path in paths:
        for value in ("active", "mdl_0123"):
            asked = re.sub(r"\{[^}]*\}", value, path)
            assert service_of(rendered[overlay], asked) == f"{service}-api", asked


def test_each_path_of_the_ingress_is_there_for_a_route(rendered: dict[str, list[dict[str, Any]]]) -> None:
    for item in of_kind(rendered["cpu"], "Ingress"):
        for entry in item["spec"]["rules"][0]["http"]["paths"]:
            service = entry["backend"]["service"]["name"].removesuffix("-api")
            found = {re.sub(r"\{[^}]*\}", "active", path) for path in paths_of(APPS[service])}
            if entry["path"] != "/" and entry["pathType"] != "ImplementationSpecific":
                assert any((path + "/").startswith(entry["path"] + "/") for path in found), entry["path"]


def test_pages_for_people_reach_web(rendered: dict[str, list[dict[str, Any]]]) -> None:
    pages = {route.path for page in (try_it, jobs, sign_in) for route in page.router.routes}  # type: ignore[attr-defined]
    assert {"/", "/jobs", "/sign-in"} <= pages
    assert {service_of(rendered["cpu"], path) for path in pages} == {"web-api"}
