"""What a job's helper threads log names the job and where it came from, as the job's own lines do."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from reel_shared import jobs, threads
from reel_shared.contracts import MAKE_VARIANTS, MakeVariantsRequest, MakeVariantsResult
from reel_shared.db.engine import transact
from reel_shared.origins import Origin, bound, here
from reel_shared.runner import Context, run_job
from reel_shared.testing.stack import Reel
from reel_shared.threads import Pool


def ids(_: Any = None) -> tuple[dict[str, Any], str | None]:
    origin = here()
    return structlog.contextvars.get_contextvars(), origin.request_id if origin else None


@pytest.mark.servers
def test_a_jobs_helper_threads_carry_its_ids_and_those_of_no_other(reel_database: Reel) -> None:
    seen: dict[str, list[tuple[dict[str, Any], str | None]]] = {}

    with Pool(2) as pool:

        def work(context: Context, _request: Any) -> jobs.Outcome:
            found = [ids(), pool.submit(ids).result(), *pool.map(ids, range(2))]
            beside = threads.start(lambda: found.append(ids()), name="beside")
            beside.join()
            seen[context.job_id] = found
            return jobs.Outcome(MakeVariantsResult(sources=1, made={}, already=0, skipped_low_contrast={}))

        for number in range(2):
            origin = Origin(f"req_{number}", f"00-{number + 1:032x}-{number + 1:016x}-00")
            with bound(origin):
                job_id = transact(
                    lambda session: jobs.submit(session, MAKE_VARIANTS, MakeVariantsRequest()).id
                )
            run_job(MAKE_VARIANTS, work, job_id)
            own, *helpers = seen[job_id]
            assert (own[0]["job"], own[0]["request"], own[1]) == (job_id, f"req_{number}", f"req_{number}")
            assert own[0]["trace_id"] == f"{number + 1:032x}"
            assert helpers == [own] * 4
        assert pool.submit(ids).result() == ({}, None), "nothing stays behind in a pool's threads"
