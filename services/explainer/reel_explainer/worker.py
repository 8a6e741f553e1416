"""The worker process of explainer: ``python -m reel_explainer.worker``."""

from __future__ import annotations

import reel_explainer.tasks  # noqa: F401  (registers the job kinds)
from reel_explainer.model import limit_threads
from reel_shared.worker import main

if __name__ == "__main__":
    limit_threads()
    main("explainer")
