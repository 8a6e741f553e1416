"""What a child writes on standard error reaches the job's events, in bounds, and as a person can read it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from reel_shared import jobs
from reel_shared.contracts import TRAIN_MODEL, Model, TrainModelRequest
from reel_shared.db.engine import transaction
from reel_shared.db.models import JobEvent
from reel_shared.errors import ReelError
from reel_shared.runner import Context
from reel_trainer import child
from reel_trainer.child_log import LONGEST_LINE, ChildLog
from reel_trainer.tasks import metrics

PROGRAM = """
import json, sys, time
print("about to begin", file=sys.stderr, flush=True)
print(json.dumps({"event": "progress", "done": 0, "total": 1}), flush=True)
time.sleep(1)
sys.stderr.write("UserWarning: the rate is high\\nhalf a line")
sys.exit(9)
"""


class Empty(Model):
    pass


def test_lines_come_while_the_child_works_and_the_last_ones_before_it_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_program_that_warns.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(child, "TELL_EVERY_SECONDS", 0.1)
    heard: list[tuple[float, list[str]]] = []

    def hear(event: str, data: dict[str, list[str]]) -> None:
        if event == child.LOG:
            heard.append((time.monotonic(), data["lines"]))

    with pytest.raises(ReelError, match="code 9"):
        child.follow("a_program_that_warns", Empty(), tmp_path, hear=hear, look=lambda: None)
    assert [line for _, lines in heard for line in lines] == [
        "about to begin",
        "UserWarning: the rate is high",
        "half a line",
    ]
    assert heard[-1][0] - heard[0][0] > 0.5, "the first came while it worked"


def test_a_line_is_given_once_without_colours_and_what_was_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "child.log"
    log = ChildLog(path)
    path.write_bytes(b"\x1b[31mred\x1b[0m\n 10%\r 50%\r100%\r\n\n\xff\tbroken\nun")
    assert log.news() == ["red", "100%", "\ufffd    broken"]
    with path.open("ab") as file:
        file.write(b"til now\n" + b"x" * (LONGEST_LINE + 9) + b"\n")
    whole, long = log.news()
    assert (whole, len(long)) == ("until now", LONGEST_LINE + 2)
    assert log.news() == log.news(last=True) == []
    with path.open("ab") as file:
        file.write(b"early\n" * 300_000 + b"late")
    lines = log.news(last=True)
    assert (lines[-1], len(lines) < 200_000) == ("late", True)


@pytest.mark.servers
def test_of_a_log_the_end_is_kept_and_of_everything_else_all(reel_database) -> None:
    with transaction() as session:
        job_id = jobs.submit(session, TRAIN_MODEL, TrainModelRequest(dataset_version_id="dsv_1")).id
        lease = jobs.claim(session, job_id)
    context = Context(lease, time_limit=60)
    context.metric(accuracy=0.5)
    for number in range(metrics.LOG_EVENTS + 5):
        metrics.keep_log(context, {"lines": [f"{number} {line}" for line in range(metrics.LOG_LINES + 3)]})
    with transaction() as session:
        rows = session.query(JobEvent).filter_by(job_id=job_id).order_by(JobEvent.id).all()
    logs = [row.data for row in rows if row.type == "log"]
    assert len(logs) == metrics.LOG_EVENTS
    assert (logs[0]["lines"][0], logs[-1]["skipped"]) == ("5 3", 3)
    assert logs[-1]["lines"][-1] == f"{metrics.LOG_EVENTS + 4} {metrics.LOG_LINES + 2}"
    assert [row.type for row in rows if row.type != "log"] == ["state", "state", "metric"]
