"""Promotion, roll-back, candidate, tags and history over HTTP, on both databases."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from reel_shared import jobs
from reel_shared.contracts import (
    TRAIN_MODEL,
    Metrics,
    PromoteRequest,
    TrainModelRequest,
    TrainModelResult,
)
from reel_shared.db.engine import transaction
from reel_shared.db.models import DatasetVersion, ModelAlias, ShadowComparison, TrainedModel
from reel_shared.errors import GatesFailed
from reel_shared.model_card import ModelCard
from reel_shared.security import create_key
from reel_shared.software import Software
from reel_trainer import api, catalogue, registry

GOOD, BAD = (0.9, 0.86, 0.94), (0.4, 0.3, 0.5)


@pytest.fixture
def client(reel_database, databases):
    with transaction() as session:
        _, token = create_key(session, "test", ["read", "submit"])
        job_id = jobs.submit(session, TRAIN_MODEL, TrainModelRequest(dataset_version_id="dsv_1")).id
        session.add(
            DatasetVersion(
                id="dsv_1", dataset="d", manifest={}, manifest_sha256="0" * 64, classes=[], counts={}, certificate={},
                job_id=job_id,
            )
        )  # fmt: skip
    with TestClient(api.app(), headers={"Authorization": f"Bearer {token}"}) as made:
        yield made


def register(name, accuracy=GOOD, *, serve=False, **card):
    """Write a model as the end of its training does; returns the training's result."""
    figure, low, high = accuracy
    metrics = {
        "all": Metrics(accuracy=figure, images=50, accuracy_interval=(low, high), pictures_sha256="a" * 64)
    }
    facts = {
        "id": name, "architecture": "a", "classes": ["x", "y"], "size": 64, "mean": (0, 0, 0), "std": (1, 1, 1),
        "preprocessing": "p", "recipe": {}, "dataset_version_id": "dsv_1", "manifest_sha256": "0" * 64,
        "precision": "fp32", "held_out": True, "certificate_sha256": "c" * 64, "graph_difference": 1e-6,
        "software": Software(version="0.1.0", commit="d" * 40), "created_at": datetime.now(UTC),
    }  # fmt: skip
    result = TrainModelResult(
        model_id=name, dataset_version_id="dsv_1", recipe="demo", architecture="a", precision="fp32", device="cpu",
        stages=[], metrics=metrics, epochs=[], files={}, seconds=1,
    )  # fmt: skip
    with transaction() as session:
        job_id = jobs.submit(
            session, TRAIN_MODEL, TrainModelRequest(dataset_version_id="dsv_1"), owner="key_owner"
        ).id
        catalogue.write_model(session, result, ModelCard(**(facts | card)), job_id=job_id, serve=serve)
    return result


def post(client, path, **body):
    answer = client.post(f"/v1/models/{path}", json=body or None)
    return answer.status_code, answer.json()


def history(client, alias="active"):
    rows = client.get("/v1/alias-changes", params={"alias": alias}).json()["data"]
    return [(row["action"], row["from_model_id"], row["to_model_id"]) for row in rows]


def test_a_model_is_promoted_through_its_gates_and_a_worse_one_is_not(client):
    register("mdl_a")
    register("mdl_b", BAD)
    assert post(client, "v1/promote")[0] == 200
    status, problem = post(client, "mdl_b/promote")
    assert (status, problem["type"]) == (422, "urn:reelsight:problem:gates-failed")
    assert problem["detail"].startswith("v2 (mdl_b) stays out: Accuracy on all is 0.400")
    assert [(gate["name"], gate["part"]) for gate in problem["gates"]] == [("regression", "all")]
    assert client.get("/v1/models/active").json()["id"] == "mdl_a"
    shown = client.get("/v1/models/mdl_b/gates").json()
    assert (shown["passed"], shown["against"]) == (False, "mdl_a")
    assert [gate for gate in shown["gates"] if gate["state"] == "failed"] == problem["gates"]
    assert history(client) == [("promote", None, "mdl_a")]


def test_activating_goes_through_the_same_gates_and_twice_changes_nothing(client):
    register("mdl_a")
    register("mdl_b", certified=False)
    assert post(client, "mdl_a/activate")[0] == post(client, "mdl_a/activate")[0] == 200
    status, problem = post(client, "mdl_b/activate")
    assert (status, [gate["name"] for gate in problem["gates"]]) == (422, ["certificate"])
    assert history(client) == [("promote", None, "mdl_a")]
    assert post(client, "mdl_none/promote")[0] == 404


def test_force_needs_a_reason_and_stays_with_the_model(client):
    register("mdl_a")
    register("mdl_b", BAD, held_out=False)
    post(client, "mdl_a/promote")
    status, problem = post(client, "mdl_b/promote", force=True)
    assert status == 422
    assert "Say why in 'reason'" in problem["errors"][0]["detail"]
    status, shown = post(client, "mdl_b/promote", force=True, reason="the film is out tomorrow")
    assert (status, shown["active"]) == (200, True)
    assert shown["forced"]["reason"] == "the film is out tomorrow"
    assert shown["forced"]["gates"] == ["held-out", "comparison"]
    newest = client.get("/v1/alias-changes").json()["data"][0]
    assert (newest["reason"], newest["failed_gates"]) == (
        "the film is out tomorrow",
        shown["forced"]["gates"],
    )
    assert newest["by"] == shown["forced"]["by"] != ""
    status, shown = post(client, "mdl_a/promote", force=True, reason="needless")
    assert (status, shown["forced"]) == (200, None), "nothing had to be overruled"


def test_roll_back_goes_one_back_each_time_until_there_is_none(client):
    status, problem = post(client, "rollback")
    assert (status, "none to return to" in problem["detail"]) == (409, True)
    for name in ("mdl_a", "mdl_b", "mdl_c"):
        register(name)
        post(client, f"{name}/promote")
    assert post(client, "rollback", reason="b was better")[1]["id"] == "mdl_b"
    assert post(client, "rollback")[1]["id"] == "mdl_a"
    assert post(client, "rollback")[0] == 409
    post(client, "mdl_c/promote")
    assert post(client, "rollback")[1]["id"] == "mdl_a", "a promotion starts a new way back"
    assert history(client)[:3] == [
        ("roll-back", "mdl_c", "mdl_a"),
        ("promote", "mdl_a", "mdl_c"),
        ("roll-back", "mdl_b", "mdl_a"),
    ]


def test_roll_back_knows_models_from_before_the_history(client):
    for name in ("mdl_a", "mdl_b"):
        register(name)
    with transaction() as session:
        session.add(ModelAlias(name="active", model_id="mdl_a"))
    post(client, "mdl_b/promote")
    assert post(client, "rollback")[1]["id"] == "mdl_a"


def test_what_was_taken_down_is_neither_promoted_nor_returned_to(client):
    for name in ("mdl_a", "mdl_b"):
        register(name)
        post(client, f"{name}/promote")
    with transaction() as session:
        session.get_one(TrainedModel, "mdl_a").takedowns = ["tkd_1"]
    status, problem = post(client, "rollback")
    assert (status, "taken down since; promote another" in problem["detail"]) == (409, True)
    status, problem = post(client, "mdl_a/promote")
    assert (status, [gate["name"] for gate in problem["gates"]]) == (422, ["take-downs"])
    assert client.get("/v1/models/active").json()["id"] == "mdl_b"


def test_a_training_serves_when_its_gates_pass_and_else_becomes_the_candidate(client):
    first, worse = register("mdl_a", serve=True), register("mdl_b", BAD, serve=True)
    assert (first.serves, first.notes) == (True, [])
    assert worse.serves is False
    assert worse.notes[0].startswith("It does not serve: Accuracy on all is 0.400")
    shown = client.get("/v1/models/candidate").json()
    assert (shown["id"], shown["aliases"], shown["active"]) == ("mdl_b", ["candidate"], False)
    newest = client.get("/v1/alias-changes").json()["data"][0]
    assert (newest["alias"], newest["by"], newest["failed_gates"]) == (
        "candidate",
        "key_owner",
        ["regression:all"],
    )
    post(client, "candidate/promote", force=True, reason="on purpose")
    assert client.get("/v1/models/mdl_b").json()["aliases"] == ["active"]
    assert client.get("/v1/models/candidate").status_code == 404
    assert history(client, "candidate")[0] == ("remove", "mdl_b", None)


def test_a_person_names_the_candidate(client):
    for name in ("mdl_a", "mdl_b"):
        register(name)
    post(client, "mdl_a/promote")
    assert post(client, "v2/candidate", reason="to be tried")[1]["aliases"] == ["candidate"]
    status, problem = post(client, "mdl_a/candidate")
    assert (status, "active already" in problem["detail"]) == (409, True)


def test_models_are_numbered_tagged_and_noted(client):
    for name in ("mdl_a", "mdl_b", "mdl_c"):
        register(name)
    rows = client.get("/v1/models").json()["data"]
    assert [(row["id"], row["number"]) for row in rows] == [("mdl_c", 3), ("mdl_b", 2), ("mdl_a", 1)]
    assert rows[0]["software"] == {"version": "0.1.0", "commit": "d" * 40}
    answer = client.put("/v1/models/v2/tags", json={"tags": ["release_1", "good", "good"]})
    assert answer.json()["tags"] == ["release_1", "good"]
    client.put("/v1/models/v3/tags", json={"tags": ["releasex1"]})
    found = client.get("/v1/models", params={"tag": "release_1"}).json()["data"]
    assert [row["id"] for row in found] == ["mdl_b"], "an underscore is no wildcard"
    wrong = client.put("/v1/models/v2/tags", json={"tags": ['"; drop']})
    assert (wrong.status_code, "one word" in wrong.json()["errors"][0]["detail"]) == (422, True)
    for text in ("sees borders", "no longer"):
        noted = client.post("/v1/models/v2/remarks", json={"text": text}).json()
    assert [remark["text"] for remark in noted["remarks"]] == ["sees borders", "no longer"]
    assert client.get("/v1/models/v4").status_code == 404


def test_gates_are_shown_and_are_those_of_the_settings(client, reel_database):
    assert client.get("/v1/gates").json()["min_accuracy"] == {}
    reel_database.configure(gates__min_accuracy='{"all": 0.95}')
    register("mdl_a")
    assert client.get("/v1/gates").json()["min_accuracy"] == {"all": 0.95}
    status, problem = post(client, "mdl_a/promote")
    assert (status, problem["gates"][0]["bound"]) == (422, 0.95)


def test_two_promotions_at_once_are_judged_one_after_the_other(client):
    """Both are better than none; the worse one must not take the place of the better one unseen."""
    register("mdl_good")
    register("mdl_bad", BAD)
    barrier, refused = threading.Barrier(2), []

    def go(name):
        barrier.wait()
        try:
            with transaction() as session:
                registry.promote(session, name, PromoteRequest(), by="")
        except GatesFailed:
            refused.append(name)

    threads = [threading.Thread(target=go, args=(name,)) for name in ("mdl_good", "mdl_bad")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert client.get("/v1/models/active").json()["id"] == "mdl_good"
    assert refused in ([], ["mdl_bad"])


def test_a_shadow_begins_counts_anew_with_each_pair_and_ends_when_it_serves(client):
    for name in ("mdl_a", "mdl_b", "mdl_c"):
        register(name)
    status, problem = post(client, "mdl_b/shadow")
    assert (status, "promote one first" in problem["detail"]) == (409, True)
    assert client.get("/v1/models/shadow").status_code == 404
    post(client, "mdl_a/promote")
    assert post(client, "mdl_a/shadow")[0] == 409
    assert post(client, "mdl_b/shadow", share=0)[0] == 422
    status, begun = post(client, "mdl_b/shadow")
    assert (status, begun["model_id"], begun["against"], begun["share"]) == (200, "mdl_b", "mdl_a", 0.1)
    assert (begun["asked"], begun["agreement"]) == (0, None)

    def count():
        with transaction() as session:
            row = session.scalars(sa.select(ShadowComparison)).one()
            row.asked, row.agreed, row.confidence, row.pairs = 4, 3, -0.2, [["x", "y", 1]]

    count()
    assert post(client, "v2/shadow", share=0.5)[1]["asked"] == 4, "another share is the same comparison"
    shown = client.get("/v1/models/shadow").json()
    assert (shown["share"], shown["agreement"], shown["confidence_difference"]) == (0.5, 0.75, -0.05)
    assert shown["disagreements"] == [{"active": "x", "shadow": "y", "count": 1}]
    post(client, "mdl_c/promote")
    shown = client.get("/v1/models/shadow").json()
    assert (shown["against"], shown["asked"], shown["share"]) == ("mdl_c", 0, 0.5)
    count()
    assert post(client, "mdl_a/shadow")[1]["asked"] == 0
    assert client.delete("/v1/models/mdl_b/shadow").status_code == 409
    post(client, "shadow/promote")
    assert client.get("/v1/models/mdl_a").json()["aliases"] == ["active"]
    assert client.get("/v1/models/shadow").status_code == 404
    post(client, "mdl_b/shadow")
    assert client.delete("/v1/models/shadow/shadow").status_code == 204
    assert client.get("/v1/models/shadow").status_code == 404
    with transaction() as session:
        assert session.scalars(sa.select(ShadowComparison)).all() == []
