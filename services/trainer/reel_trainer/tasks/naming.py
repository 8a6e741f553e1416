"""Names for what jobs make; called by the tasks."""

from __future__ import annotations

from reel_shared.runner import Context


def named_after(context: Context, prefix: str) -> str:
    """Name what a job makes after the job: an attempt that runs again makes the same thing."""
    return f"{prefix}_{context.job_id.partition('_')[2]}"
