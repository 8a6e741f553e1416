"""The worker process of the trainer: ``python -m reel_trainer.worker``."""

from __future__ import annotations

import reel_trainer.tasks  # noqa: F401  (registers the job kinds)
from reel_shared.worker import main

if __name__ == "__main__":
    main("trainer")
