"""Runs inside a container with the owner's rights and prints, as JSON, what must hold once every job has ended.

`end_to_end.py` sends it there by standard input. `wrong` names whatever does not hold; the rest is what was counted.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter, defaultdict

import sqlalchemy as sa

from reel_shared.bucket_rights import PICTURES
from reel_shared.db.engine import reading
from reel_shared.db.models import Image, Job, JobEvent, OutboxMessage
from reel_shared.jobs import TERMINAL
from reel_shared.storage import storage

MOST_READ = 500
"""Objects whose bytes are compared with their hashes: every so many-th."""

wrong: list[str] = []
with reading() as session:
    jobs = session.execute(sa.select(Job.id, Job.kind, Job.state, Job.attempt, Job.lease_token)).all()
    told: dict[str, list[bool]] = defaultdict(list)
    for job_id, terminal in session.execute(
        sa.select(JobEvent.job_id, JobEvent.terminal).order_by(JobEvent.id)
    ):
        told[job_id].append(terminal)
    unsent = session.scalars(sa.select(OutboxMessage.job_id)).all()
    pictures = session.execute(
        sa.select(Image.key, Image.sha256, Image.movie_id, Image.frame_index, Image.parent_id,
                  Image.variant, Image.dataset)
    ).all()  # fmt: skip

for job in jobs:
    if job.state not in TERMINAL or told[job.id].count(True) != 1 or not told[job.id][-1]:
        wrong.append(f"{job.kind} {job.id} is {job.state}; its events end it at {told[job.id]}")
    if job.lease_token is not None:
        wrong.append(f"{job.kind} {job.id} still has a lease")
wrong += [f"{job_id} still waits to be sent" for job_id in unsent]

frames = Counter((each.movie_id, each.frame_index, each.variant) for each in pictures if each.movie_id)
variants = Counter((each.parent_id, each.variant) for each in pictures if each.parent_id)
wrong += [f"{number} times: {what}" for what, number in [*frames.items(), *variants.items()] if number > 1]

stored = {found.key for prefix in PICTURES for found in storage().list(f"{prefix}/")}
needed = {each.key: each.sha256 for each in pictures}
wrong += [f"no row is of {key}" for key in sorted(stored - needed.keys())]
wrong += [f"{key} is not there" for key in sorted(needed.keys() - stored)]
for key in sorted(stored & needed.keys())[:: max(1, len(needed) // MOST_READ)]:
    if hashlib.sha256(storage().get_bytes(key, max_bytes=2**26)).hexdigest() != needed[key]:
        wrong.append(f"{key} is not what was stored")

sets: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
for each in pictures:
    sets[each.dataset][each.variant, each.sha256] += 1
json.dump(
    {
        "wrong": wrong,
        "states": Counter(job.state for job in jobs),
        "again": sum(job.attempt > 1 for job in jobs),
        "kinds": Counter(job.kind for job in jobs),
        "pictures": len(pictures),
        "objects": len(stored),
        # the same pictures have the same figure, however often and on whichever machine they were made
        "datasets": {
            name: hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()
            for name, found in sets.items()
        },
    },
    sys.stdout,
)
