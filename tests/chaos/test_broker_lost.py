"""The broker is disposable: flushed, killed, away or full of rubbish, every accepted job still ends once."""

from __future__ import annotations

import base64
import json
import os
import pickle
import time
from pathlib import Path

import pytest
from chaos_stage import Stage

from reel_shared import contracts, jobs, queues
from reel_shared.db.engine import transact
from reel_shared.jobs import State

pytestmark = [pytest.mark.chaos, pytest.mark.servers]


def test_200_jobs_survive_a_flush_and_a_kill_of_the_broker(stage: Stage, databases: str) -> None:
    stage.reaper()
    stage.worker()
    stage.worker()
    stage.submit("work", seconds=0.05, jobs_wanted=200)
    stage.until(lambda: stage.states().get(State.SUCCEEDED, 0) >= 20, "some jobs have ended")
    stage.redis().flushall()
    stage.until(lambda: stage.states().get(State.SUCCEEDED, 0) >= 60, "work goes on after the flush")
    stage.redis().flushall()
    stage.valkey.kill()
    stage.valkey.start()
    stage.until_ended(seconds=90)
    stage.check({"succeeded": 200})
    assert stage.starts() == [1] * 200, "no job ran twice"


def test_jobs_are_accepted_at_once_while_the_broker_is_away_and_run_when_it_is_back(stage: Stage) -> None:
    stage.reaper()
    worker = stage.worker()
    stage.valkey.kill()
    started = time.monotonic()
    for _ in range(10):
        stage.submit()
    assert time.monotonic() - started < 5, "a submit must not wait for the broker"
    assert stage.states() == {"queued": 10}
    stage.valkey.start()
    stage.until_ended(seconds=60)
    stage.check({"succeeded": 10})
    assert worker.running


def test_a_running_job_outlives_the_broker_and_its_worker_goes_on_consuming(stage: Stage) -> None:
    stage.reaper()
    worker = stage.worker()
    for _ in range(2):
        (job_id,) = stage.submit("work", seconds=1.5)
        stage.until_running(job_id)
        stage.valkey.kill()
        stage.until_ended(job_id)
        stage.valkey.start()
    stage.submit(jobs_wanted=3)
    stage.until_ended(seconds=60)
    stage.check({"succeeded": 5})
    assert stage.starts() == [1] * 5
    assert worker.running


@pytest.mark.parametrize("moment", ["committed", "sent"])
def test_a_job_is_accepted_when_its_row_is_whatever_kills_the_submitter(
    stage: Stage, databases: str, moment: str
) -> None:
    submitter = stage.start(str(Path(__file__).with_name("chaos_submit.py")), moment, "5")
    stage.until(lambda: not submitter.running, "the submitter is killed")
    assert submitter.exit_status() == -9
    assert stage.states() == {"queued": 5}
    assert stage.redis().llen("augment") == (0 if moment == "committed" else 5)
    stage.reaper()
    stage.worker()
    stage.until_ended()
    stage.check({"succeeded": 5})
    assert stage.starts() == [1] * 5


def test_the_same_message_many_times_and_two_workers_run_each_job_once(stage: Stage, databases: str) -> None:
    job_ids = stage.submit("work", seconds=0.1, jobs_wanted=6)
    client = stage.redis()
    messages = client.lrange("augment", 0, -1)
    assert len(messages) == 6
    for _ in range(4):
        client.lpush("augment", *messages)
    stage.worker()
    stage.worker()
    stage.until_ended()
    client.lpush("augment", *messages)  # and once more after the end
    stage.until(lambda: client.llen("augment") == 0, "the copies are consumed")
    (last,) = stage.submit()
    stage.until_ended(last)
    stage.check({"succeeded": 7})
    assert [stage.starts(job_id) for job_id in job_ids] == [[1]] * 6


def test_a_pause_outlives_the_broker_and_the_worker_that_was_refused(stage: Stage, databases: str) -> None:
    stage.reaper()
    stage.worker()
    stage.submit()
    stage.until_ended()
    transact(lambda session: queues.pause(session, "augment", by="key_1"))
    stage.submit(jobs_wanted=3)
    stage.until(lambda: stage.redis().llen("augment") == 0, "the worker has been refused")
    stage.submit(jobs_wanted=2)
    stage.redis().flushall()
    time.sleep(2)  # the reaper would have sent lost messages again by now
    assert stage.states() == {"succeeded": 1, "queued": 5}
    assert stage.redis().llen("augment") == 0
    transact(lambda session: queues.resume(session, "augment", by="key_1"))
    stage.until_ended(seconds=5)
    stage.check({"succeeded": 6})
    assert stage.starts() == [1] * 6


# --- rubbish ----------------------------------------------------------------------------------------------


class Exploit:
    """Unpickling this makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.file),)


def envelope(
    body: bytes, *, content_type: str = "application/json", task: str = "augment.make_variants"
) -> bytes:
    """Return a message as kombu writes it to a Redis list."""
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-encoding": "utf-8" if content_type.endswith("json") else "binary",
            "content-type": content_type,
            "headers": {
                "lang": "py",
                "task": task,
                "id": "7",
                "root_id": "7",
                "parent_id": None,
                "group": None,
            },
            "properties": {
                "correlation_id": "7",
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": "augment"},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": os.urandom(8).hex(),
            },
        }
    ).encode()


def call(*arguments: object, **named: object) -> bytes:
    return json.dumps([arguments, named, {}]).encode()


def test_rubbish_in_the_queue_is_refused_and_harms_no_job(stage: Stage, tmp_path: Path) -> None:
    """Whoever reaches the broker may write anything into it; it buys him nothing."""
    marker = tmp_path / "pickled"
    (other_kind,) = stage.submit_collect()
    client = stage.redis()
    rubbish = [
        envelope(pickle.dumps(([Exploit(marker)], {}, {})), content_type="application/x-python-serialize"),
        envelope(pickle.dumps(Exploit(marker)), content_type="application/json"),
        envelope(b"{not json"),
        envelope(call({"job": 1})),
        envelope(call(["job_1"], 2, 3)),
        envelope(call("job_" + "f" * 32)),
        envelope(call("x" * 10_000_000)),
        envelope(call("'; DROP TABLE jobs; --")),
        envelope(call(job_id=None)),
        envelope(call(other_kind)),
        envelope(call(), task="os.system"),
        envelope(call(), task=contracts.COLLECT_PICTURES.name),
        b"",
        b"rubbish",
        b"[1, 2, 3]",
        b"{}",
        b"\xff\xfe\x00",
        envelope(b"x")[:-40],
    ]
    stage.reaper()
    with stage.kept_alive(lambda: stage.worker(ready=False)):
        for message in rubbish:
            client.lpush("augment", message)
        good = stage.submit(jobs_wanted=3)
        stage.until_ended(*good, seconds=60)
        stage.until(lambda: client.llen("augment") == 0, "the rubbish is consumed")
    assert not marker.exists()
    assert stage.job(other_kind).state == State.QUEUED
    stage.read(lambda session: jobs.cancel(session, other_kind))
    stage.check({"succeeded": 3, "canceled": 1})
    assert len(stage.actors) == 2, "the worker lives through all of it"
