"""An import's pins go in one call, and nobody else's."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from reel_shared.db.engine import transaction
from reel_shared.db.models import SplitPin

pytestmark = pytest.mark.servers


def test_all_pins_of_an_import_go_at_once(client, dataset, databases):
    mine = client.post("/v1/split-pins", json={"side": "valid", "image_id": "img_bars60"}).json()["id"]
    with transaction() as session:
        for name, job_id in (("img_disc00", "job_1"), ("img_bars60", "job_1"), ("img_disc00", "job_2")):
            pin = {"id": f"pin_{job_id}_{name}", "dataset": "default", "side": "train", "image_id": name}
            session.execute(sa.insert(SplitPin), [{**pin, "by": job_id}])
    assert client.delete("/v1/split-pins").status_code == 422
    assert client.delete("/v1/split-pins", params={"job_id": "job_1"}).json() == {"removed": 2}
    left = [pin["id"] for pin in client.get("/v1/split-pins").json()["data"]]
    assert sorted(left) == sorted([mine, "pin_job_2_img_disc00"])
    assert client.delete("/v1/split-pins", params={"job_id": "job_1"}).json() == {"removed": 0}
