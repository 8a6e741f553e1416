"""What KEDA asks the database, asked of a real one: the jobs that wait or run in a queue, and no others."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import sqlalchemy as sa
from k8s_objects import OVERLAYS, of_kind

from reel_shared import queues
from reel_shared.contracts import QUEUES
from reel_shared.db.engine import transaction
from reel_shared.db.models import Job
from reel_shared.ids import new_id
from reel_shared.jobs import State
from reel_shared.security import adopt_key, authenticate
from reel_shared.testing.stack import Reel

pytestmark = pytest.mark.servers


@pytest.fixture(params=["postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("postgres_url"))


def test_each_queue_is_scaled_by_its_own_jobs(
    rendered: dict[str, list[dict[str, Any]]], reel_database: Reel
) -> None:
    with transaction() as session:
        for number, queue in enumerate(QUEUES):
            for state in State:
                session.add_all(
                    Job(
                        id=new_id("job"),
                        kind=f"{queue}.any",
                        queue=queue,
                        state=state,
                        max_attempts=1,
                        request={},
                    )
                    for _ in range(number + 1)
                )
    scaled = of_kind(rendered["keda"], "ScaledObject")
    assert {item["metadata"]["name"] for item in scaled} == {
        f"{queue}-worker" for queue in QUEUES if queue != "trainer"
    }
    alive = [State.QUEUED, State.RUNNING, State.CANCELING]
    for item in scaled:
        (trigger,) = item["spec"]["triggers"]
        assert (trigger["type"], trigger["metadata"]["targetQueryValue"]) == ("postgresql", "1")
        queue = item["spec"]["scaleTargetRef"]["name"].removesuffix("-worker")
        each = list(QUEUES).index(queue) + 1
        with transaction() as session:
            assert session.scalar(sa.text(trigger["metadata"]["query"])) == len(alive) * each
            queues.pause(session, queue, by="key_1")
            assert session.scalar(sa.text(trigger["metadata"]["query"])) == (len(alive) - 1) * each


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_first_key_that_was_made_up_is_one(
    overlay: str, rendered: dict[str, list[dict[str, Any]]], reel_database: Reel
) -> None:
    secret = next(item for item in of_kind(rendered[overlay], "Secret") if "FIRST_KEY" in str(item))
    token = base64.b64decode(secret["data"]["REEL_WEB__FIRST_KEY"]).decode().strip()
    with transaction() as session:
        assert adopt_key(session, token, "first key", ["admin"])
        assert authenticate(session, token).may("submit")
