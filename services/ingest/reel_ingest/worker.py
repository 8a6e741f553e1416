"""The worker process of ingest: `python -m reel_ingest.worker`."""

from __future__ import annotations

import reel_ingest.tasks  # noqa: F401  (registers the job kinds)
from reel_shared.worker import main

if __name__ == "__main__":
    main("ingest")
