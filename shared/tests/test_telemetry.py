"""Logs are one JSON object a line with the job's id in each; metrics are served where they should be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request

import pytest

from reel_shared.embedded.ports import free_port
from reel_shared.telemetry import JOB_SECONDS

TALK = """
import logging, structlog
from reel_shared.telemetry import configure_logging
configure_logging()
with structlog.contextvars.bound_contextvars(job="job_1", attempt=2):
    structlog.get_logger("reel").warning("job.failed", detail="two\\nlines")
    logging.getLogger("somebody.else").error("plain %s", "text")
    try:
        1 / 0
    except ZeroDivisionError:
        structlog.get_logger("reel").exception("job.crashed")
logging.getLogger("httpx").info("noise")
structlog.get_logger("reel").debug("too fine")
"""
SERVE = """
import sys
from reel_shared.probes import serve_probes
from reel_shared.telemetry import JOBS
JOBS.labels(kind="trainer.train_model", state="succeeded").inc()
serve_probes()
print("ready", flush=True)
sys.stdin.read()
"""


def run(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env={**os.environ, **env}, capture_output=True, text=True, check=True, timeout=60
    )


def test_each_line_is_json_and_carries_the_job() -> None:
    done = run(TALK)
    assert done.stdout == "", "logs belong on stderr"
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["job.failed", "plain text", "job.crashed"]
    for line in lines:
        assert (line["job"], line["attempt"]) == ("job_1", 2)
        assert line["timestamp"].endswith("Z")
    assert [line["level"] for line in lines] == ["warning", "error", "error"]
    assert lines[0]["detail"] == "two\nlines"
    assert "ZeroDivisionError" in lines[2]["exception"]


def test_the_level_is_a_setting() -> None:
    done = run(TALK, REEL_LOG_LEVEL="ERROR")
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == ["plain text", "job.crashed"]


@pytest.mark.parametrize("wanted", [True, False])
def test_metrics_are_served_where_the_setting_says(wanted: bool) -> None:
    port = free_port()
    env = {**os.environ, "REEL_METRICS_PORT": str(port if wanted else 0)}
    command = [sys.executable, "-c", SERVE]
    with subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            if wanted:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                    text = answer.read().decode()
                assert 'reel_jobs_total{kind="trainer.train_model",state="succeeded"} 1.0' in text
            else:
                with pytest.raises(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5)
        finally:
            process.communicate()


def test_the_histogram_tells_quick_jobs_from_long_trainings() -> None:
    JOB_SECONDS.labels(kind="test").observe(20_000)
    samples = {
        sample.labels["le"]: sample.value
        for metric in JOB_SECONDS.collect()
        for sample in metric.samples
        if sample.name.endswith("_bucket") and sample.labels["kind"] == "test"
    }
    assert samples["7200.0"] == 0
    assert samples["36000.0"] == 1
