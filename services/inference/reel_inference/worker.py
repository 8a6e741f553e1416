"""The worker process of inference: `python -m reel_inference.worker`."""

from __future__ import annotations

import reel_inference.tasks  # noqa: F401  (registers the job kinds)
from reel_shared.worker import main

if __name__ == "__main__":
    main("inference")
